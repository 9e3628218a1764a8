"""The graph's offsets equal those of the Python tokenizer, even where characters are dropped or reordered."""

import random

import pytest
import reference_tokenizer
import tensorflow as tf
from graph_pair import Pair
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_tf.tokenization import unicode_tables as ucd

pytest.importorskip("tensorflow_text")

MARKS = "".join(chr(code) for code in range(0x110000) if ucd.COMBINING_CLASS[code])
ALPHABETS = [
    "ab éệÉ",
    MARKS,
    "".join(ucd.characters_with_context()),
    "!.,-",
    "中文豈",
    " \t\u200b\u00ad\x00",
    "가ΣσßİﬁΑ𐐀",
    "\u0344\u0345\u0300",
]


@pytest.fixture(scope="module")
def pairs(published_tokenizers):
    return {do_lower_case: Pair(tokenizer) for do_lower_case, tokenizer in published_tokenizers.items()}


@pytest.fixture(params=[True, False], ids=["uncased", "cased"])
def pair(request, pairs):
    return pairs[request.param]


def test_offsets_in_plain_text(pair):
    # A mark belongs to the character before it, also after punctuation, but not to a space or an ideograph.
    texts = ["The unaffable fox.", "e\u0301! !\u0301a", "a \u0301b", "中\u0301a", "so\u00adft hy\u200bphen"]
    assert not pair.differences(texts)
    assert pair.tokens(tf.constant(["ab naïve."])).starts.to_list()[0][-1] == 8


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(reference_tokenizer.TEXTS, max_size=8))
def test_offsets_in_fuzzed_texts(pairs, texts):
    for pair in pairs.values():
        assert not pair.differences(texts)


@settings(max_examples=100, deadline=None)
@given(
    texts=st.lists(
        st.lists(st.sampled_from([*b"A .\xc3\xa9\xcc\x81\xe2\x82\xac\xed\xa0\xf0\x9f\x98\xff\xce\xa3"])).map(bytes),
        max_size=6,
    )
)
def test_invalid_bytes_do_not_count(pairs, texts):
    for pair in pairs.values():
        assert not pair.differences(texts)


def test_offsets_of_marks_that_are_reordered_and_stripped(pair):
    generator = random.Random(0)
    texts = [
        "".join(generator.choice(generator.choice(ALPHABETS)) for _ in range(generator.randint(0, 20)))
        for _ in range(4000)
    ]
    assert not pair.differences(texts)


def test_offsets_of_words_around_200_characters(pair):
    texts = [character * count for count in (199, 200, 201, 900) for character in "aé中ßΣ𐐀가"]
    assert not pair.differences([*texts, " ".join(texts)])


def test_empty_batches_and_texts_have_no_tokens(pair):
    assert not pair.differences([])
    assert not pair.differences(["", " ", "\u0301", "\x00"])


def test_offsets_of_characters_that_folding_changes(pair):
    changed = ucd.mapped_code_points()
    inside_blocks = {code for code in changed if 0x3400 <= code < 0xD7A4 or 0x20000 <= code < 0x2F800}
    # Ideographs and syllables follow one rule, so that a sample is enough; all other characters are tested.
    characters = [chr(code) for code in sorted(changed - inside_blocks) + sorted(inside_blocks)[::37]]
    texts = [f"b{character}\u0301a {character}\u0301{character}" for character in characters]
    assert not pair.differences([" ".join(texts[start : start + 32]) for start in range(0, len(texts), 32)])
