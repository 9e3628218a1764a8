"""Encoding many texts at once gives the ids of each text alone."""

import numpy as np
import pytest
import reference_tokenizer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bert_tf.tokenization import batch
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

# Words of every length around 8 and 16 bytes, where a word is one number, two, or none.
WORDS = st.text(st.sampled_from("abé中'"), min_size=1, max_size=20)
TEXTS = st.lists(st.one_of(reference_tokenizer.TEXTS, st.lists(WORDS, max_size=8).map(" ".join)), max_size=12)


def expected(tokenizer, texts):
    ids = [tokenizer.encode(text) for text in texts]
    return [index for text_ids in ids for index in text_ids], list(map(len, ids))


def check(tokenizer, texts):
    ids, lengths = tokenizer.encode_ragged(texts)
    assert (ids.dtype, lengths.dtype) == (np.int32, np.int64)
    assert (ids.tolist(), lengths.tolist()) == expected(tokenizer, texts)


@pytest.mark.parametrize("do_lower_case", [True, False])
@pytest.mark.parametrize("small", [{}, {"_SLOT_BITS": 1}, {"_MAX_WORDS": 3}, {"_MAX_WORD_BYTES": 9}])
def test_fuzzed_texts_have_the_ids_of_each_alone(published_tokenizers, monkeypatch, do_lower_case, small):
    # Few slots make words collide, few words empty the table often, and small batches split the list.
    for name, value in small.items():
        monkeypatch.setattr(batch, name, value)
    monkeypatch.setattr(batch, "_BATCH_CHARACTERS", 100)
    tokenizer = WordPieceTokenizer.from_tokens(published_tokenizers[do_lower_case].tokens, do_lower_case)

    @settings(max_examples=80, deadline=None)
    @given(TEXTS)
    @example([])
    @example([""])
    @example(["", "  ", "a", "", "\n", "\0", "a\nb\0c"])
    @example(["abcdefgh", "abcdefghi", "abcdefghijklmnop", "abcdefghijklmnopq", "abcdefgh\u00e9"])
    @example(["\ud83d\ude00 a\udfff", "ab\ud800"])
    def test(texts):
        check(tokenizer, texts)

    test()


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_every_code_point_has_the_ids_of_the_plain_path(published_tokenizers, do_lower_case):
    # All planes in which Unicode 14.0 assigns characters, and a few code points of each other plane.
    codes = [*range(0x323B0), *range(0x323B0, 0x110000, 997), *range(0xE0000, 0xE0200)]
    texts = ["b".join(f"A{chr(code)}" for code in codes[start : start + 64]) for start in range(0, len(codes), 64)]
    check(published_tokenizers[do_lower_case], texts)


@pytest.mark.parametrize("length", [199, 200, 201, 5000])
@pytest.mark.parametrize("character", ["a", "é", "中", "𐐀"])
def test_long_words_have_the_ids_of_the_plain_path(published_tokenizers, character, length):
    check(published_tokenizers[True], [character * length, f"b {character * length}.", "c"])


def test_words_that_collide_keep_their_ids():
    # All words of up to three letters share two slots; each must keep its own id.
    letters = "abcdefgh"
    words = [a + b + c for a in letters for b in ("", *letters) for c in ("", *letters)]
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *dict.fromkeys(words)])
    for _ in range(2):
        ids, lengths = tokenizer.encode_ragged(words)
        assert [tokenizer.tokens[index] for index in ids] == words
        assert set(lengths.tolist()) == {1}


def test_the_table_stays_bounded(monkeypatch):
    monkeypatch.setattr(batch, "_MAX_WORDS", 50)
    monkeypatch.setattr(batch, "_BATCH_CHARACTERS", 100)
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *(f"w{number}" for number in range(1000))])
    ids, _ = tokenizer.encode_ragged([f"w{number}" for number in range(1000)])
    assert ids.tolist() == list(range(5, 1005))
    assert len(tokenizer._batch_encoder._numbers) < 100


def test_bytes_and_iterables_are_accepted(published_tokenizers):
    tokenizer = published_tokenizers[True]
    ids, lengths = tokenizer.encode_ragged(text for text in [b"caf\xc3\xa9\xff", "two words"])
    assert ids.tolist() == tokenizer.encode("café") + tokenizer.encode("two words")
    assert lengths.tolist() == [1, 2]
    assert tokenizer.encode_batch([b"caf\xc3\xa9\xff", "", "two words"]) == [
        tokenizer.encode("café"), [], tokenizer.encode("two words")
    ]  # fmt: skip
