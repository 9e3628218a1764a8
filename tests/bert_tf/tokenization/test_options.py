"""The options of the tokenizer: against the plain reference, and against the library `tokenizers`."""

import dataclasses
import itertools
import json
import pickle

import pytest
import reference_tokenizer
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import models, normalizers, pre_tokenizers

from bert_tf.tokenization import unicode_tables as ucd
from bert_tf.tokenization.basic import BasicTokenizer
from bert_tf.tokenization.options import AddedToken, TokenizerOptions
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

RULES = list(itertools.product((True, False), (None, True, False), (True, False)))
LETTERS = "abcdeéöıσςΣÅがか中国龥ㄅ<>[]/0_한"
TOKENS = [*SPECIAL_TOKENS, *LETTERS, *("##" + letter for letter in LETTERS), "ab", "##cd", "o", "##o"]
ADDED = (
    AddedToken("<e1>", normalized=False, special=True),
    AddedToken("</e1>", normalized=False, special=True, rstrip=True),
    AddedToken("<e1>x", normalized=False),
    AddedToken("[E]", single_word=True, normalized=False, lstrip=True),
    AddedToken("ÖB", normalized=True),
    AddedToken("abcab", single_word=True),
    AddedToken("中国"),
    AddedToken("New York"),
    AddedToken("ab", in_wordpiece=True, single_word=True),
)
# Neither capital sigma nor private-use characters, where `tokenizers` differs from the reference.
PIECES = [
    *("ab", "abcab", "ABCAB", "<e1>", "</e1>", "<E1>", "[E]", "öb", "ÖB", "o\u0308b", "O\u0308B", "中国", "中", "国"),
    *("New York", "new  york", "new york", "New", " ", "  ", "\u0301", "x", "_", "é", "が", "か\u3099", "0", ".", "\t"),
    *("\u00a0", "\u200b", "\u3000", "한", "I\u0307", "a" * 9, "[MASK", "¡", "ﬁ", "\n", "<", ">"),
]
HASHES = {True: "0f052197aac305fe", False: "9dd1dce5943e4cdd"}
TEXTS = st.lists(st.sampled_from(PIECES), max_size=10).map("".join)


def tokenizer_of(do_lower_case, added=(), **options):
    tokens = [*TOKENS, *(token.content for token in added if token.content not in TOKENS)]
    return WordPieceTokenizer.from_tokens(tokens, do_lower_case, TokenizerOptions(added_tokens=added, **options))


def peer_of(tokenizer):
    """Return the same tokenizer of the library `tokenizers`, made from the options one by one."""
    options = tokenizer.options
    hidden = {token.content for token in options.added_tokens if not token.in_wordpiece}
    ids = {token: index for index, token in enumerate(tokenizer.tokens) if token not in hidden}
    limit = options.max_input_chars_per_word
    peer = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=limit))
    peer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=options.tokenize_chinese_chars,
        strip_accents=options.strip_accents,
        lowercase=tokenizer.do_lower_case,
    )
    peer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    for token in options.added_tokens:  # ids are given in this order
        fields = dataclasses.asdict(token)
        fields.pop("in_wordpiece")
        special = fields.pop("special")
        add = peer.add_special_tokens if special else peer.add_tokens
        add([tokenizers.AddedToken(fields.pop("content"), **fields)])
    return peer


def test_the_hash_covers_only_options_that_are_not_the_defaults():
    plain = WordPieceTokenizer.from_tokens(TOKENS)
    assert plain.options == TokenizerOptions()
    assert tokenizer_of(True).vocab_hash == plain.vocab_hash
    others = [
        tokenizer_of(True, strip_accents=False),
        tokenizer_of(True, strip_accents=True),
        tokenizer_of(True, tokenize_chinese_chars=False),
        tokenizer_of(True, max_input_chars_per_word=100),
        tokenizer_of(True, (AddedToken("ab", in_wordpiece=True),)),
        tokenizer_of(True, (AddedToken("ab"),)),
    ]
    assert len({plain.vocab_hash, *(other.vocab_hash for other in others)}) == 7


def test_the_published_hashes_are_as_ever(published_tokenizers):
    """The hashes are in runs and records that people have."""
    assert {casing: tokenizer.vocab_hash[:16] for casing, tokenizer in published_tokenizers.items()} == HASHES


def test_options_survive_json_and_pickle():
    tokenizer = tokenizer_of(True, ADDED, strip_accents=False, max_input_chars_per_word=7)
    values = json.loads(json.dumps(tokenizer.options.to_dict()))
    added = tuple(AddedToken(**token) for token in values.pop("added_tokens"))
    assert TokenizerOptions(**values, added_tokens=added) == tokenizer.options
    again = pickle.loads(pickle.dumps(tokenizer))
    assert (again.options, again.vocab_hash) == (tokenizer.options, tokenizer.vocab_hash)
    assert again.encode("x <e1>möchte") == tokenizer.encode("x <e1>möchte")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_input_chars_per_word": 0}, r"`max_input_chars_per_word` must be at least 1\. Received: 0"),
        ({"added_tokens": (AddedToken("a"), AddedToken("a"))}, r"`added_tokens` must hold each token once.*'a'"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TokenizerOptions(**options)
    with pytest.raises(ValueError, match="`content` that is not blank"):
        AddedToken(" ")
    with pytest.raises(ValueError, match="without <e9>"):
        WordPieceTokenizer.from_tokens(TOKENS, options=TokenizerOptions(added_tokens=(AddedToken("<e9>"),)))


@pytest.mark.skipif(not reference_tokenizer.HAS_UNICODE_14, reason="compares with this Python's Unicode data")
@pytest.mark.parametrize(("lower", "strip", "chinese"), RULES)
def test_fuzzed_words_equal_the_reference(lower, strip, chinese):
    tokenizer = tokenizer_of(lower, strip_accents=strip, tokenize_chinese_chars=chinese)

    @settings(max_examples=40, deadline=None)
    @given(reference_tokenizer.TEXTS)
    @example("ΑΣ\u0301 ΑΣ\u00ad中 \U0001d15e\u302e\u0323\u302f")
    def check(text):
        expected = reference_tokenizer.words(text, lower, strip_accents=strip, tokenize_chinese_chars=chinese)
        assert tokenizer.words(text) == expected
        assert tokenizer.encode(text) == tokenizer.encode_with_offsets(text)[0]
        assert tokenizer.encode_batch([text, text]) == [tokenizer.encode(text)] * 2

    check()


@pytest.mark.parametrize(("lower", "strip", "chinese"), RULES)
@pytest.mark.parametrize("added", [(), ADDED], ids=["plain", "added"])
def test_ids_equal_those_of_the_library(lower, strip, chinese, added):
    options = {"strip_accents": strip, "tokenize_chinese_chars": chinese, "max_input_chars_per_word": 8}
    tokenizer = tokenizer_of(lower, added, **options)
    peer = peer_of(tokenizer)

    @settings(max_examples=60, deadline=None)
    @given(TEXTS)
    @example("<e1><e1>x</e1>abcab [E] _[E] NEW YORK ÖBab ab-abx")
    def check(text):
        expected = peer.encode(text)
        ids, offsets = tokenizer.encode_with_offsets(text)
        assert ids == expected.ids, text
        assert tokenizer.encode(text) == ids
        assert tokenizer.encode_batch(["ab " + text, text, "<e1>"])[1] == ids
        assert all(0 <= start < end <= len(text) for start, end in offsets)
        # Offsets of words with marks or several forms differ by the definition of a token's part.
        if text.isascii():
            assert [text[a:b].strip() for a, b in offsets] == [text[a:b].strip() for a, b in expected.offsets]

    check()


def test_added_tokens_have_the_offsets_of_the_original_text():
    tokenizer = tokenizer_of(True, ADDED)
    text = "a</e1> o\u0308\u0301b é<e1> new\u00a0york ÖBÖ\u0308B"
    ids, offsets = tokenizer.encode_with_offsets(text)
    assert [(tokenizer.tokens[index], text[start:end]) for index, (start, end) in zip(ids, offsets, strict=True)] == [
        ("a", "a"), ("</e1>", "</e1>"), ("ÖB", "o\u0308\u0301b"), ("e", "é"), ("<e1>", "<e1>"),
        ("New York", "new\u00a0york"), ("ÖB", "ÖB"), ("ÖB", "Ö\u0308B"),
    ]  # fmt: skip
    assert [text[start:end] for start, end in tokenizer.word_offsets(text)] == [text[a:b] for a, b in offsets]


def test_decoding_leaves_out_special_added_tokens():
    tokenizer = tokenizer_of(True, ADDED)
    ids = tokenizer.encode("a <e1> New York")
    assert tokenizer.decode(ids) == "a <e1> New York"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a New York"


@pytest.mark.parametrize(("lower", "strip", "chinese"), [(True, None, True), (True, False, False), (False, True, True)])
def test_normalized_text_has_the_same_words(lower, strip, chinese):
    """Text beside a token that is found in the normalized text is normalized twice."""
    basic = BasicTokenizer(lower, strip_accents=strip, tokenize_chinese_chars=chinese)
    codes = sorted({*ucd.mapped_code_points(), *range(0x3000)} - {*range(0xAC10, 0xD7A0)})
    text = " ".join(f"a{chr(code)}b {chr(code)}" for code in codes)
    normalized, starts, ends = basic.normalize(text)
    assert len(normalized) == len(starts) == len(ends)
    assert basic.words(normalized) == basic.words(text)
