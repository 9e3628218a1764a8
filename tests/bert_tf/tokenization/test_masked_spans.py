"""Spans of masks are found in texts, and tokens are put in their places."""

import pytest

from bert_tf.tokenization.basic import BasicTokenizer
from bert_tf.tokenization.masked_spans import masked_text


@pytest.mark.parametrize(
    ("text", "tokens", "expected", "spans"),
    [
        ("The meeting was [MASK:3] by the board.", [["can", "##cel", "##led"]], None, ["cancelled"]),
        ("The  Old[MASK]Miller", [["young"]], "The  Old young Miller", ["young"]),
        ("play[MASK].", [["##ing"]], "playing.", ["ing"]),
        ('"It is late[MASK:2] he said', [["!", '"']], '"It is late!" he said', ['!"']),
        ("don[MASK]t stop", [["'"]], "don't stop", ["'"]),
        ("1[MASK]000 ([MASK:2])", [[","], ["a", "b"]], "1,000 (a b)", [",", "a b"]),
        ("北京[MASK:3]奥运会。", [["举", "办", "了"]], "北京举办了奥运会。", ["举办了"]),
        ("[MASK:2][MASK] end", [["a", "##b"], ["c"]], "ab c end", ["ab", "c"]),
        ("[MASK] [MASK]\t", [["a"], ["b"]], "a b\t", ["a", "b"]),
        ("\tCAFÉ\u200b [MASK]\n\nX", [["now"]], "\tCAFÉ\u200b now\n\nX", ["now"]),
        ("[MASK:2]", [["##a", "##b"]], "##ab", ["##ab"]),
    ],
)
def test_the_text_around_spans_stays_and_tokens_join_it(text, tokens, expected, spans):
    masked = masked_text(text)
    assert masked.counts == tuple(map(len, tokens))
    found = masked.filled(tokens, BasicTokenizer().words)
    assert found == (expected or text.replace("[MASK:3]", spans[0]), spans)


def test_masks_are_expanded_and_continue_words_only():
    masked = masked_text("The[MASK:2] was [MASK], 北[MASK][MASK] ([MASK]")
    assert masked.expanded() == "The[MASK][MASK] was [MASK], 北[MASK][MASK] ([MASK]"
    assert masked.may_continue() == [True, True, False, False, True, False]
    assert masked_text("[MASK:2]").may_continue() == [False, True]


@pytest.mark.parametrize("mask", ["[MASK:0]", "[MASK:x]", "[MASK:-1]", "[MASK: 2]", "[MASK:]", f"[MASK:{'9' * 5000}]"])
def test_masks_without_a_number_are_refused(mask):
    with pytest.raises(ValueError, match=r"^`texts\[3\]`: a mask must be \[MASK\], or .*Received: '\[MASK:") as error:
        masked_text(f"a {mask} b", "`texts[3]`")
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("text", ["", "no mask", "[mask]", "[MASK", "[MASK:2"])
def test_texts_without_a_mask_are_refused(text):
    with pytest.raises(ValueError, match=r"^`text` must hold \[MASK\] or \[MASK:n\]\. Received: '"):
        masked_text(text)
