import hashlib
import unicodedata

import pytest
import reference_tokenizer

from bert_tf.tokenization import generate_unicode_tables
from bert_tf.tokenization import unicode_tables as ucd
from bert_tf.tokenization.basic import BasicTokenizer

# Planes 0 to 3, where Unicode 14.0 ends, and the tags and variation selectors of plane 14.
CODE_POINTS = (*range(0x32000), *range(0xE0000, 0xE0200))
# Made under Unicode 14.0, where the words themselves are compared with the plain reference below; under any
# other Python they show that nothing has changed.
CHECKSUMS = {
    True: "ba8c4194f0de008f58de5c1c03d86a4daa993e1f58b114953791f49d94e3b527",
    False: "543a05713dc5cd9548b0e39735800702319ced3d2d9dabeb21e607c53d388891",
}


def _text(code_points):
    """Return a text with every code point between letters and on its own."""
    return " ".join(f"a{chr(code)}b {chr(code)}" for code in code_points)


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_words_of_the_code_points_are_the_same_under_every_python(do_lower_case):
    words = BasicTokenizer(do_lower_case).words(_text(CODE_POINTS))
    checksum = hashlib.sha256("\n".join(words).encode("utf-8", "surrogatepass")).hexdigest()
    assert checksum == CHECKSUMS[do_lower_case]


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_fold_changes_only_the_characters_that_it_lists(do_lower_case):
    tokenizer = BasicTokenizer(do_lower_case)
    changed = {chr(code) for code in CODE_POINTS if tokenizer.fold(chr(code)) != chr(code)}
    assert changed <= set(tokenizer.folded_characters())


@pytest.mark.skipif(not reference_tokenizer.HAS_UNICODE_14, reason="compares with this Python's Unicode data")
class TestAgainstThisPython:
    @pytest.mark.parametrize("do_lower_case", [True, False])
    def test_words_of_assigned_code_points_equal_the_reference(self, do_lower_case):
        assigned = [code for code in CODE_POINTS if unicodedata.category(chr(code)) != "Cn"]
        text = _text(assigned)
        assert BasicTokenizer(do_lower_case).words(text) == reference_tokenizer.words(text, do_lower_case)

    @pytest.mark.long
    @pytest.mark.parametrize("do_lower_case", [True, False])
    def test_words_of_all_code_points_equal_the_reference(self, do_lower_case):
        text = _text(range(0x110000))
        assert BasicTokenizer(do_lower_case).words(text) == reference_tokenizer.words(text, do_lower_case)

    def test_the_script_makes_the_packaged_file(self):
        made = generate_unicode_tables.make_tables()
        kept = ucd._TABLES
        assert set(made) == set(kept)
        for name, array in made.items():
            assert array.dtype == kept[name].dtype
            assert (array == kept[name]).all(), name


def test_the_version_is_unicode_14():
    assert ucd.UNICODE_VERSION == "14.0.0"


def test_the_script_refuses_another_unicode(monkeypatch):
    monkeypatch.setattr(generate_unicode_tables.unicodedata, "unidata_version", "15.1.0")
    with pytest.raises(ValueError, match=r"14\.0\.0.*15\.1\.0"):
        generate_unicode_tables.make_tables()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("ΟΔΟΣ", "οδος"),
        ("ΣΑΣ", "σας"),
        ("Σ", "σ"),
        ("ΑΣ.", "ας."),
        ("ΑΣ.Α", "ασ.α"),
        ("1Σ", "1σ"),
        ("Α\u0301Σ", "α\u0301ς"),
    ],
)
def test_final_sigma_depends_on_its_neighbours(word, expected):
    assert "".join(ucd.lower_characters(word)) == expected == word.lower()


def test_canonical_order_is_stable_and_stops_at_starters():
    # Combining classes 230, 220, 230, 0, 230, 220.
    characters = list("\u0301\u0323\u0302a\u0301\u0323")
    assert ucd.canonical_order(characters) == [1, 0, 2, 3, 5, 4]
