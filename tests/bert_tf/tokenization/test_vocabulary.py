"""The way back from ids to tokens and text, and what a tokenizer says of itself."""

import numpy as np
import pytest

from bert_tf.tokenization.options import AddedToken, TokenizerOptions
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

TOKENS = [*SPECIAL_TOKENS, "un", "##aff", "##able", ",", "a", "<e1>", ""]


@pytest.fixture
def tokenizer():
    added = (AddedToken("<e1>", normalized=False, special=True),)
    return WordPieceTokenizer.from_tokens([*TOKENS, "b"], options=TokenizerOptions(added_tokens=added))


def test_decoding_joins_tokens_to_words(tokenizer):
    ids = [tokenizer.cls_id, *tokenizer.encode("unaffable, <e1> a"), tokenizer.sep_id]
    assert tokenizer.decode(ids) == "[CLS] unaffable , <e1> a [SEP]"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "unaffable , a"
    assert tokenizer.decode([6, 7, 9]) == "##affable a"  # nothing is before the first token
    assert tokenizer.decode([]) == tokenizer.decode([0, 0]) == ""


def test_a_batch_is_decoded_without_its_padding(tokenizer):
    tf = pytest.importorskip("tensorflow")
    texts = ["unaffable", "", "a , unaffable"]
    batch = tokenizer(texts)["input_ids"]
    ragged = tokenizer(texts, padding=None, return_tensors="tf")["input_ids"]
    for rows in (batch, batch.tolist(), list(batch), tf.constant(batch), ragged, ragged.to_list(), iter(batch)):
        assert tokenizer.batch_decode(rows, skip_special_tokens=True) == texts
    assert tokenizer.batch_decode(batch) == [" ".join(f"[CLS] {text} [SEP]".split()) for text in texts]
    assert tokenizer.batch_decode([]) == tokenizer.batch_decode(tokenizer([])["input_ids"]) == []


def test_tokens_and_ids_are_converted_both_ways(tokenizer):
    tokens = tokenizer.tokenize("unaffable, b")
    ids = tokenizer.convert_tokens_to_ids(tokens)
    assert ids == tokenizer.encode("unaffable, b")
    assert tokenizer.convert_ids_to_tokens(np.array(ids)) == tokens
    assert tokenizer.convert_tokens_to_ids(["[MASK]", "never", ""]) == [tokenizer.mask_id, *[tokenizer.unk_id] * 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.decode([9, -1]), r"`ids` must be from 0 to 12\. Received: -1 at index 1"),
        (lambda t: t.convert_ids_to_tokens([13]), r"`ids` must be from 0 to 12\. Received: 13 at index 0"),
        (lambda t: t.batch_decode([[9], [9, 99]]), r"`batch\[1\]` must be from 0 to 12\. Received: 99 at index 1"),
        (lambda t: t.decode([[9, 9]]), r"`ids` must hold the ids of one text, integers\. Received: \[\[9, 9\]\]"),
        (lambda t: t.decode([[9], [9, 9]]), r"`ids` must hold the ids of one text, integers"),
        (lambda t: t.decode(9), r"`ids` must hold the ids of one text, integers\. Received: 9"),
        (lambda t: t.decode([9.0]), r"`ids` must hold the ids of one text, integers\. Received: \[9\.0\]"),
        (lambda t: t.decode("a"), r"`ids` must hold the ids of one text, integers\. Received: 'a'"),
        (lambda t: t.batch_decode([9]), r"`batch\[0\]` must hold the ids of one text, integers\. Received: 9"),
        (lambda t: t.batch_decode(t("a")), r"`batch` must hold rows of ids, such as `input_ids`\. Received: a dict"),
        (lambda t: t.batch_decode(9), r"`batch` must hold rows of ids.*Received: 9"),
        (lambda t: t.convert_tokens_to_ids("un"), r"`tokens` must be a list of tokens, not one string"),
        (lambda t: t.convert_tokens_to_ids(["a", 1]), r"`tokens\[1\]` must be a string\. Received: 1"),
    ],
)
def test_bad_ids_and_tokens_are_named(tokenizer, call, message):
    with pytest.raises(ValueError, match=message):
        call(tokenizer)


def test_a_tokenizer_says_what_it_is(tokenizer):
    assert len(tokenizer) == tokenizer.vocab_size == 13
    assert (
        repr(tokenizer) == f"WordPieceTokenizer(13 tokens, uncased, 1 added tokens, hash {tokenizer.vocab_hash[:12]})"
    )
    cased = WordPieceTokenizer.from_tokens(TOKENS, False, TokenizerOptions(strip_accents=True))
    assert repr(cased).startswith("WordPieceTokenizer(11 tokens, cased, strip_accents True, hash ")
