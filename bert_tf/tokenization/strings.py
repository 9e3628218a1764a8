"""WordPiece for the strings between the spaces of a text, with caches.

Every step after cleaning looks at one string between spaces, so a string always has the same ids.
"""

import re
from itertools import chain

from bert_tf.tokenization.basic import BasicTokenizer
from bert_tf.tokenization.string_cache import StringCache
from bert_tf.tokenization.vocabulary import Vocabulary

_ASCII_WORDS = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")


class StringEncoder:
    """An encoder of words, and of strings of `BasicTokenizer.split_spaces`, such as "end.".

    Args:
        vocabulary: the vocabulary.
        basic_tokenizer: the rules by which a string is cut into words.

    Attributes:
        ids: string -> the ids of its tokens.
        offsets: string -> (id, start, end) of its tokens.
    """

    def __init__(self, vocabulary: Vocabulary, basic_tokenizer: BasicTokenizer) -> None:
        self._lower_case = vocabulary.do_lower_case
        self._basic_tokenizer = basic_tokenizer
        self._unk_id = vocabulary.unk_id
        self._longest_word = vocabulary.options.max_input_chars_per_word
        self._longest_token = max(map(len, vocabulary.tokens))
        hidden = {"", *(token.content for token in vocabulary.options.added_tokens if not token.in_wordpiece)}
        ids = {token: index for index, token in enumerate(vocabulary.tokens)}
        self._first_ids = {token: index for token, index in ids.items() if token not in hidden}
        self._next_ids = {token[2:]: index for token, index in self._first_ids.items() if token.startswith("##")}
        self._next_ids.pop("", None)
        self.ids = StringCache(self._encode_string)
        self.offsets = StringCache(self._encode_string_with_offsets)
        self._word_ids = StringCache(self.encode_word)
        self._word_tokens = StringCache(self._tokens)

    def encode_word(self, word: str, continues: bool = False) -> tuple[int, ...]:
        """Return the ids of the tokens of a word, or of the part of one that `continues` it."""
        return tuple([index for index, _ in self._tokens(word, continues)])

    def _encode_string(self, string: str) -> tuple[int, ...]:
        if string.isascii():
            # Cleaned ASCII holds only letters, digits and what the reference counts as punctuation.
            words = _ASCII_WORDS.findall(string.lower() if self._lower_case else string)
        else:
            words = self._basic_tokenizer.split_word(string)
        return tuple(chain.from_iterable(map(self._word_ids.__getitem__, words)))

    def _encode_string_with_offsets(self, string: str) -> list[tuple[int, int, int]]:
        tokens: list[tuple[int, int, int]] = []
        if string.isascii():
            # See `_encode_string`. A lower-cased ASCII letter is one letter too, so that indices stay the same.
            for match in _ASCII_WORDS.finditer(string.lower() if self._lower_case else string):
                end = match.start()
                for index, length in self._word_tokens[match[0]]:
                    start, end = end, end + length
                    tokens.append((index, start, end))
            return tokens
        for word in self._basic_tokenizer.split_word_with_offsets(string):
            end = 0
            for index, length in self._tokens(word.text):
                start, end = end, end + length
                tokens.append((index, min(word.starts[start:end]), max(word.ends[start:end])))
        return tokens

    def _tokens(self, word: str, continues: bool = False) -> list[tuple[int, int]]:
        """Split a word, longest match first: the id and length of each token, or one `[UNK]` for the whole word."""
        length = len(word)
        if length > self._longest_word:
            return [(self._unk_id, length)]
        tokens: list[tuple[int, int]] = []
        vocabulary = self._next_ids if continues else self._first_ids
        start = 0
        while start < length:
            for end in range(min(length, start + self._longest_token), start, -1):
                index = vocabulary.get(word[start:end])
                if index is not None:
                    break
            else:
                return [(self._unk_id, length)]
            tokens.append((index, end - start))
            vocabulary = self._next_ids
            start = end
        return tokens
