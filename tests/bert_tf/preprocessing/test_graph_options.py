"""The graph tokenizer under every option gives the ids, words and offsets of the Python tokenizer."""

import pytest
import reference_tokenizer
from graph_pair import Pair
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_tf.preprocessing.graph_tokenizer import GraphTokenizer
from bert_tf.tokenization.options import AddedToken, TokenizerOptions
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

pytest.importorskip("tensorflow_text")

LETTERS = "abcdeéöıσςΣÅがか中国豈<>[]/0_한"
ADDED = (
    AddedToken("<e1>", normalized=False, special=True),
    AddedToken("<e1>x", normalized=False),
    AddedToken("[E]", single_word=True, normalized=False),
    AddedToken("ÖB"),
    AddedToken("abcab", single_word=True),
    AddedToken("中国"),
    AddedToken("New York"),
    AddedToken("ab", in_wordpiece=True, single_word=True),
)
PIECES = [
    *("ab", "ABCAB", "<e1>", "<E1>", "[E]", "öb", "ÖB", "O\u0308B", "中国", "中", "New York", "new  york", "e\u0301"),
    *(" ", "\u0301", "\u0323", "\u0345", "x", "_", "が", "か\u3099", "Σ", "α", ".", "\u00ad", "\u3000", "한", "\ua953"),
    *("\u200b", "a" * 9, "[MASK]", "豈", "\U0001d15e", "\u302e", "ſ", "\x01", "\x010"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=10).map("".join)
# Each casing with each value of each rule, with and without added tokens.
CASES = [
    (True, False, True, False),
    (True, True, False, False),
    (False, True, True, False),
    (False, False, False, False),
    (True, True, True, True),
    (True, False, False, True),
    (False, True, False, True),
    (False, False, True, True),
]


@pytest.mark.parametrize(("lower", "strip", "chinese", "has_added"), CASES)
def test_ids_words_and_offsets_equal_the_python_tokenizers(lower, strip, chinese, has_added):
    added = ADDED if has_added else ()
    tokens = [*SPECIAL_TOKENS, *LETTERS, *("##" + letter for letter in LETTERS), "ab", "##cd", "ab", "", "\u0301"]
    tokens += [token.content for token in added if token.content not in tokens]
    options = TokenizerOptions(strip, chinese, max_input_chars_per_word=8 if has_added else 3, added_tokens=added)
    pair = Pair(WordPieceTokenizer.from_tokens(tokens, lower, options))

    @settings(max_examples=25, deadline=None)
    @given(st.lists(TEXTS, max_size=30), st.lists(reference_tokenizer.TEXTS, max_size=4))
    def check(texts, fuzzed):
        assert not pair.differences([*texts, *fuzzed])

    check()
    assert not pair.differences(
        ["<e1><e1>x <e1>xab_[E] [E]ABCAB", "", "NEW\tYORK öbÖ\u0301B", "中国x国中国", "<e1", "ab-ab"]
    )


def test_a_sentinel_is_no_long_word():
    options = TokenizerOptions(max_input_chars_per_word=1, added_tokens=(AddedToken("<e1>"),))
    pair = Pair(WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, "a", "<e1>"], True, options))
    assert not pair.differences(["a aa <e1>", "a<e1>aa"])
    assert pair.tokenizer.encode("a<e1>aa") == [5, 6, 1]


def test_more_added_tokens_than_the_graph_has_room_for_are_refused():
    added = tuple(AddedToken(f"<{number}>") for number in range(2049))
    tokens = [*SPECIAL_TOKENS, *(token.content for token in added)]
    with pytest.raises(ValueError, match=r"`added_tokens` must be at most 2048 in a graph\. Received: 2049"):
        GraphTokenizer(WordPieceTokenizer.from_tokens(tokens, options=TokenizerOptions(added_tokens=added)))
