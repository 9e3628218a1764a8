import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.corpora.cleaning import _composed, clean_text


@pytest.mark.parametrize(
    ("broken", "repaired"),
    [
        ("cafÃ© and Ã\x85ngstrÃ¶m", "café and Ångström"),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚", "Привет"),
        ("ä¸\xadæ–‡", "中文"),
        ("\x93quoted\x94", "“quoted”"),
        ("cafe\u0301", "café"),
    ],
)
def test_unicode_is_repaired(broken, repaired):
    assert clean_text(f"A line.\n{broken}\nAnother.") == f"A line.\n{repaired}\nAnother."


@pytest.mark.parametrize(
    "text",
    [
        "“Quotes”, it’s – fine… ﬁne.",
        "他来了，我走了。（全角ＡＢＣ）",
        "می‌خواهم क्‍ष 👩‍💻 שלום\u200f",
        "if a < b and c > d: vector<int> <unk> List<String> <john@example.com>",
        "a <b and b> c",
        "x <i or\nj> y, p <a if b> q, <s not t>",
        "AT&T, R&D; ?a=1&copy=2 &nosuchentity;",
        "<!-- never closed",
        "< script > is no tag",
    ],
)
def test_good_text_is_unchanged(text):
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("marked_up", "text"),
    [
        ("<p>One</p><p class='a b' id=x hidden>Two <b>bold</b>ly<br/>", "\nOne\n\nTwo boldly\n"),
        ("<p class=a uk-grid v-if>x<td NOWRAP hidden>y<a href=z nofollow>link</a class>", "\nx\nylink"),
        ("ក\u200bខ&#8203;គ", "ក ខ គ"),
        ('<a href="http://x.org/?a=1&amp;b=>2"\n target=_blank>link</a>', "link"),
        ("a<!-- <p>gone\n</p> --> b", "a b"),
        ("a<script type=x>if (a<b) {}</script>b<STYLE>p{}</style >c", "a\nb\nc"),
        ("<!DOCTYPE html>text <!-- open", "text <!-- open"),
        ("&lt;b&gt; &amp;amp; &#x41;&#66; caf&eacute;&#0;&#7; e&#769;", "<b> &amp; AB café é"),
    ],
)
def test_mark_up_is_dropped(marked_up, text):
    assert clean_text(marked_up) == text


def test_controls_are_dropped_and_line_breaks_become_one_kind():
    assert clean_text("a\x00b\x07\tc\ufeff\x1b[31mred\x1b[0m\ufffd\x7f") == "ab\tcred"
    assert clean_text("a\r\nb\rc\u2028d\x0ce") == "a\nb\nc\nd\ne"


@given(st.text(max_size=300))
def test_cleaned_text_holds_no_controls_and_no_surrogates(text):
    cleaned = clean_text(text)
    cleaned.encode()  # holds no surrogates
    assert not set(cleaned) & {chr(code) for code in range(32) if chr(code) not in "\t\n"}


@pytest.mark.parametrize(
    "part",
    [
        "<!--",
        "<script>",
        "<a b=c ",
        "<a",
        "<a b='",
        "&amp",
        "</p",
        "<!DOCTYPE ",
        "<b and ",
        "\u0301\u0323",
        "&#769;&#803;",
    ],
)
def test_cleaning_takes_linear_time(part):
    clean_text(part * (1_000_000 // len(part)))  # with a quadratic pattern, this would take hours


@given(st.text("a\xe9\u0301\u0323\u0344\u0345\u0f71\u0f72\u3099か\u1100\u1161-", max_size=200))
def test_long_runs_of_marks_are_composed_as_short_ones(text):
    assert _composed(text) == unicodedata.normalize("NFC", text)
