import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import reference_tokenizer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bert_tf.tokenization import string_cache, wordpiece
from bert_tf.tokenization.rows import truncated_lengths
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
CASES = [json.loads(line) for line in (GOLDEN / "tokenizer_cases.jsonl").read_text("utf-8").splitlines()]
TOKENS = [*SPECIAL_TOKENS, "un", "##aff", "##able", "want", "##ed", "runn", "##ing", ",", "a", "b", "##b", "é"]
MULTILINGUAL = [
    "Exact WordPiece, in 2018: it's un-affable!",
    "北京市朝阳区 hello世界。",
    "日本語のテキスト、カタカナとひらがな。",
    "한국어 문장입니다. 가각힣",
    "مرحبا بالعالم، كَيْفَ حالُكَ؟",
    "हिन्दी में क्षत्रिय वाक्य।",
    "👩🏽‍💻 works 🇫🇷 ❤️!",
    "ΟΔΥΣΣΕΥΣ και ΌΔΟΣ. İstanbul ẞ ﬁ",
]


@pytest.fixture
def tokenizer():
    return WordPieceTokenizer.from_tokens(TOKENS)


def test_there_are_golden_cases_of_both_casings():
    assert [sum(case["do_lower_case"] is value for case in CASES) for value in (True, False)] == [56, 56]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']}-{case['do_lower_case']}")
def test_golden_cases_have_the_published_ids(published_tokenizers, case):
    tokenizer = published_tokenizers[case["do_lower_case"]]
    assert tokenizer.encode(case["text"]) == case["input_ids"]
    assert tokenizer.tokenize(case["text"]) == [tokenizer.tokens[index] for index in case["input_ids"]]
    assert tokenizer.encode_with_offsets(case["text"])[0] == case["input_ids"]


@pytest.mark.skipif(not reference_tokenizer.HAS_UNICODE_14, reason="compares with this Python's Unicode data")
@pytest.mark.parametrize("do_lower_case", [True, False])
@pytest.mark.parametrize("text", MULTILINGUAL)
def test_scripts_equal_the_reference(published_tokenizers, do_lower_case, text):
    tokenizer = published_tokenizers[do_lower_case]
    ids = {token: index for index, token in enumerate(tokenizer.tokens)}
    assert tokenizer.encode(text) == reference_tokenizer.encode(text, ids, do_lower_case)


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_fuzzed_text_equals_the_reference(published_tokenizers, do_lower_case):
    tokenizer = published_tokenizers[do_lower_case]
    ids = {token: index for index, token in enumerate(tokenizer.tokens)}

    @settings(max_examples=400, deadline=None)
    @given(reference_tokenizer.TEXTS)
    @example("ΑΣ\u0301 ΑΣ\u00ad中 \U0001d15e\u302e\u0323\u302f")
    def check(text):
        fast = tokenizer.encode(text)
        plain, offsets = tokenizer.encode_with_offsets(text)
        assert fast == plain
        assert len(offsets) == len(plain)
        if reference_tokenizer.HAS_UNICODE_14:
            assert tokenizer.words(text) == reference_tokenizer.words(text, do_lower_case)
            assert fast == reference_tokenizer.encode(text, ids, do_lower_case)
        data = text.encode()
        assert tokenizer.encode(data + b"\xff\xc3") == fast

    check()


@pytest.mark.parametrize("do_lower_case", [True, False])
@pytest.mark.parametrize("character", ["a", "é", "Σ", "中", "ß", "𐐀", "가"])
@pytest.mark.parametrize("length", [199, 200, 201, 800])
def test_words_over_200_characters_are_unknown(published_tokenizers, do_lower_case, character, length):
    tokenizer = published_tokenizers[do_lower_case]
    ids = tokenizer.encode(character * length)
    characters = len("".join(tokenizer.words(character)))
    if character == "中":  # each ideograph is a word
        assert len(ids) == length
    elif characters * length > wordpiece.MAX_WORD_CHARACTERS:
        assert ids == [tokenizer.unk_id]
    else:
        assert ids != [tokenizer.unk_id] or tokenizer.encode(character) == [tokenizer.unk_id]


@settings(max_examples=300, deadline=None)
@given(text=reference_tokenizer.TEXTS)
def test_offsets_cover_the_text_of_their_tokens(text):
    letters = [chr(code) for code in range(33, 127)]
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *letters, *("##" + c for c in letters)])
    ids, offsets = tokenizer.encode_with_offsets(text)
    assert ids == tokenizer.encode(text)
    for index, (start, end) in zip(ids, offsets, strict=True):
        assert 0 <= start < end <= len(text)
        if index != tokenizer.unk_id:
            # The text of a span tokenizes to exactly its token.
            token = (
                tokenizer.tokens[index].removeprefix("##") if tokenizer.continuation[index] else tokenizer.tokens[index]
            )
            assert token in "".join(tokenizer.words(text[start:end]))


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_offsets_of_ascii_are_those_of_the_plain_path(published_tokenizers, do_lower_case):
    tokenizer = published_tokenizers[do_lower_case]

    @settings(max_examples=200, deadline=None)
    @given(st.text(st.characters(max_codepoint=0x7E), max_size=40))
    def check(text):
        plain = []
        for string, indices in tokenizer.basic_tokenizer.split_spaces_with_offsets(text):
            for word in tokenizer.basic_tokenizer.split_word_with_offsets(string):
                end = 0
                for _, length in tokenizer._strings._tokens(word.text):
                    start, end = end, end + length
                    plain.append((indices[word.starts[start]], indices[word.ends[end - 1] - 1] + 1))
        assert tokenizer.encode_with_offsets(text)[1] == plain

    check()


def test_offsets_of_accents_controls_and_syllables(published_tokenizers):
    tokenizer = published_tokenizers[True]

    def spans(text):
        return [text[start:end] for start, end in tokenizer.encode_with_offsets(text)[1]]

    assert spans("Cafe\u0301s, na\u00efve\u0301!") == ["Cafe\u0301s", ",", "na\u00efve\u0301", "!"]
    assert spans("unaf\u00adfable") == ["una", "f\u00adfa", "ble"]
    assert spans("x中国 y") == ["x", "中", "国", "y"]
    assert spans("\u0301 a\u0301") == ["a\u0301"]
    assert spans("한") == ["한"] * 3
    assert spans("a" * 201 + " b") == ["a" * 201, "b"]


def test_literal_special_tokens_are_text_by_default(tokenizer):
    assert tokenizer.mask_id not in tokenizer.encode("a [MASK] b")
    assert tokenizer.encode("a[MASK]b [SEP]", parse_special_tokens=True) == [
        *tokenizer.encode("a"), tokenizer.mask_id, *tokenizer.encode("b"), tokenizer.sep_id,
    ]  # fmt: skip
    only_mask = tokenizer.encode("[MASK] [SEP]", parse_special_tokens=["[MASK]"])
    assert only_mask == [tokenizer.mask_id, *tokenizer.encode("[SEP]")]
    assert tokenizer.sep_id not in only_mask
    assert tokenizer.encode("[SEP]", parse_special_tokens=["[MASK]"]) == tokenizer.encode("[SEP]")
    assert tokenizer.encode("[mask]", parse_special_tokens=True) == tokenizer.encode("[mask]")
    with pytest.raises(ValueError, match=r"parse_special_tokens.*'a'"):
        tokenizer.encode("a", parse_special_tokens=["a"])


def test_attributes_describe_the_vocabulary(tokenizer):
    assert tokenizer.tokens == tuple(TOKENS)
    assert tokenizer.vocab_size == len(TOKENS)
    assert tokenizer.special_ids == (0, 1, 2, 3, 4)
    assert tokenizer.special_ids == tuple(
        getattr(tokenizer, f"{name}_id") for name in ("pad", "unk", "cls", "sep", "mask")
    )
    assert tokenizer.unicode_version == "14.0.0"
    assert tokenizer.continuation.dtype == np.bool_
    assert [TOKENS[i] for i in np.nonzero(tokenizer.continuation)[0]] == ["##aff", "##able", "##ed", "##ing", "##b"]
    assert tokenizer.vocab_hash != WordPieceTokenizer.from_tokens([*TOKENS, "c"]).vocab_hash
    assert tokenizer.encode_batch(["unwanted", "unaffable"]) == [[1], [5, 6, 7]]
    assert tokenizer.tokenize("Unaffable, running") == ["un", "##aff", "##able", ",", "runn", "##ing"]
    assert tokenizer.tokenize("Unaffable, runs") == ["un", "##aff", "##able", ",", "[UNK]"]


def test_a_saved_vocabulary_is_read_again(tmp_path, tokenizer):
    path = tmp_path / "vocab.txt"
    tokenizer.save(str(path))
    assert path.read_bytes() == "".join(token + "\n" for token in TOKENS).encode()
    again = WordPieceTokenizer(str(path))
    assert again.tokens == tokenizer.tokens
    assert again.vocab_hash == tokenizer.vocab_hash
    # White space around a token is dropped, as in the reference.
    path.write_bytes("".join(f" {token}\t\r\n" for token in TOKENS).encode())
    assert WordPieceTokenizer(str(path)).tokens == tokenizer.tokens


def test_blank_lines_keep_their_ids():
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, "", "a", "", "b"])
    assert tokenizer.encode("a b  ") == [6, 8]


def test_a_pickled_tokenizer_encodes_alike(tokenizer):
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.tokens == tokenizer.tokens
    assert again.encode("unaffable") == tokenizer.encode("unaffable")


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60))
def test_truncation_drops_the_last_token_of_the_longer_text(length_a, length_b, budget):
    a, b = length_a, length_b
    while a + b > budget:
        if a > b:
            a -= 1
        else:
            b -= 1
    assert truncated_lengths(length_a, length_b, budget) == (a, b)


def test_pairs_have_special_tokens_segments_and_a_limit(tokenizer):
    cls, sep = tokenizer.cls_id, tokenizer.sep_id
    a, b = tokenizer.encode("unaffable"), tokenizer.encode("a b")
    assert (len(a), len(b)) == (3, 2)
    assert tokenizer.encode_pair("unaffable") == ([cls, *a, sep], [0] * 5)
    assert tokenizer.encode_pair("unaffable", "a b") == ([cls, *a, sep, *b, sep], [0] * 5 + [1] * 3)
    assert tokenizer.encode_pair("unaffable", "a b", 7) == ([cls, *a[:2], sep, *b, sep], [0] * 4 + [1] * 3)
    assert tokenizer.encode_pair("unaffable", max_seq_length=4) == ([cls, *a[:2], sep], [0] * 4)
    assert tokenizer.encode_pair("unaffable", "\t", 8) == ([cls, *a, sep], [0] * 5)
    assert tokenizer.encode_pair("[MASK]", "[MASK]", parse_special_tokens=True)[0] == [cls, 4, sep, 4, sep]
    with pytest.raises(ValueError, match=r"max_seq_length.*2"):
        tokenizer.encode_pair("a", None, 2)


class TestBadVocabularies:
    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"nothing\.txt"):
            WordPieceTokenizer(str(tmp_path / "nothing.txt"))

    @pytest.mark.parametrize("content", [b"", b"\n\n"])
    def test_an_empty_file_is_refused(self, tmp_path, content):
        path = tmp_path / "vocab.txt"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"vocab\.txt.*empty"):
            WordPieceTokenizer(str(path))

    def test_a_line_that_is_not_utf8_is_named(self, tmp_path):
        path = tmp_path / "vocab.txt"
        path.write_bytes(b"[PAD]\n\xe9t\xe9\n")
        with pytest.raises(ValueError, match=r"vocab\.txt, line 2.*UTF-8"):
            WordPieceTokenizer(str(path))

    @pytest.mark.parametrize("token", SPECIAL_TOKENS)
    def test_a_missing_special_token_is_named(self, tmp_path, token):
        path = tmp_path / "vocab.txt"
        path.write_text("\n".join(t for t in TOKENS if t != token), encoding="utf-8")
        with pytest.raises(ValueError, match=rf"vocab\.txt.*without \{token}$"):
            WordPieceTokenizer(str(path))


def test_of_repeated_lines_the_last_counts_with_a_warning(tmp_path, caplog):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*TOKENS, "want "]), encoding="utf-8")
    tokenizer = WordPieceTokenizer(str(path))
    assert tokenizer.encode("wanted") == [len(TOKENS), TOKENS.index("##ed")]
    assert tokenizer.tokens == (*TOKENS, "want")
    assert "vocab.txt holds 1 lines whose token comes again, such as 'want' in line 9" in caplog.text


def test_blank_lines_at_the_end_are_dropped_with_a_warning(tmp_path, caplog):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*TOKENS, "", " ", ""]), encoding="utf-8")
    assert WordPieceTokenizer(str(path)).tokens == tuple(TOKENS)
    assert "vocab.txt ends in 2 blank lines, which are dropped" in caplog.text
    assert WordPieceTokenizer.from_tokens([*TOKENS, ""]).vocab_hash == WordPieceTokenizer.from_tokens(TOKENS).vocab_hash


def test_the_caches_stay_bounded(monkeypatch, tokenizer):
    monkeypatch.setattr(string_cache, "_MAX_CACHED_STRINGS", 10)
    words = [f"a{number}" for number in range(100)]
    assert tokenizer.encode(" ".join(words)) == [tokenizer.unk_id] * 100
    tokenizer.encode("a" * 5000)
    for cache in (tokenizer._strings.ids, tokenizer._strings._word_ids):
        assert 0 < len(cache) <= 10
        assert max(map(len, cache)) <= string_cache._MAX_CACHED_CHARACTERS
    assert tokenizer.encode("unaffable a") == [5, 6, 7, 13]
