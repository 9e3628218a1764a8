"""The WordPiece tokenizer: the same ids as google-research/bert's `FullTokenizer`, many times faster.

The character data are frozen at Unicode 14.0, so that the ids do not depend on the version of Python.

>>> tokenizer = WordPieceTokenizer("vocab.txt", do_lower_case=True)  # doctest: +SKIP
>>> tokenizer.encode("Exact WordPiece.")  # doctest: +SKIP
"""

import re
from collections.abc import Collection, Iterable
from itertools import chain

import numpy as np

from bert_tf.tokenization.added_tokens import AddedTokenSplitter, whole
from bert_tf.tokenization.basic import BasicTokenizer
from bert_tf.tokenization.batch import BatchEncoder
from bert_tf.tokenization.options import MAX_WORD_CHARACTERS, TokenizerOptions
from bert_tf.tokenization.string_cache import StringCache
from bert_tf.tokenization.unicode_tables import UNICODE_VERSION
from bert_tf.tokenization.vocab_files import read_vocab_file, vocab_hash
from bert_tf.utils import files

__all__ = ["MAX_WORD_CHARACTERS", "SPECIAL_TOKENS", "BasicTokenizer", "WordPieceTokenizer", "truncated_lengths"]

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_ASCII_WORDS = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")


def truncated_lengths(length_a: int, length_b: int, budget: int) -> tuple[int, int]:
    """Return how many tokens of A and of B are kept if together they may have `budget` tokens.

    This is the closed form of `_truncate_seq_pair` in google-research/bert run_classifier.py, which drops the last
    token of the longer text, or of B if both are equally long, until the two fit.

    >>> truncated_lengths(10, 3, 9)
    (6, 3)
    >>> truncated_lengths(10, 10, 9)
    (5, 4)
    """
    if length_a + length_b <= budget:
        return length_a, length_b
    # The shorter text is cut only if it exceeds half of the budget. A gets the larger half of an odd budget.
    kept_a = min(length_a, max(budget - length_b, (budget + 1) // 2))
    return kept_a, budget - kept_a


class WordPieceTokenizer:
    """A tokenizer that turns text into token ids and back, by a vocabulary.

    Text never yields the ids of special tokens: `[MASK]` in a document is split like any other text, unless
    `parse_special_tokens` is given. Added tokens are found in any text. Bytes are decoded as UTF-8; invalid bytes are
    dropped.

    Args:
        vocab_file: the vocabulary, as `read_vocab_file` reads it.
        do_lower_case: whether the vocabulary is uncased.
        options: the other options; None for those of the reference.

    Attributes:
        tokens: the tokens in the order of their ids.
        options: the options beside the casing.
        continuation: bool [V], True for the tokens that continue a word (`##...`).
        added: the splitter of texts at the added tokens; None if there are none.
        vocab_hash: SHA-256, in hexadecimal digits, of the tokens joined by LF, and of the options that are not the
            defaults. With the same casing, equal hashes mean equal ids.
        unicode_version: version of the character data, "14.0.0" under every Python.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not UTF-8, is empty, or lacks a special token or an added token.
    """

    def __init__(self, vocab_file: str, do_lower_case: bool = True, options: TokenizerOptions | None = None):
        self._set_vocabulary(read_vocab_file(vocab_file), do_lower_case, options, source=vocab_file)

    @classmethod
    def from_tokens(
        cls, tokens: Iterable[str], do_lower_case: bool = True, options: TokenizerOptions | None = None
    ) -> "WordPieceTokenizer":
        """Make the tokenizer of a vocabulary that is given as its tokens, in the order of their ids.

        Raises:
            ValueError: the vocabulary is empty, or lacks a special token or an added token.
        """
        tokenizer = cls.__new__(cls)
        tokenizer._set_vocabulary(list(tokens), do_lower_case, options, source="tokens")
        return tokenizer

    def _set_vocabulary(
        self, tokens: list[str], do_lower_case: bool, options: TokenizerOptions | None, *, source: str
    ) -> None:
        options = options or TokenizerOptions()
        while tokens and not tokens[-1]:
            tokens.pop()
        if not tokens:
            raise ValueError(f"{source}: a vocabulary must hold one token on each line. Received: an empty one")
        # A blank line takes up an id that no text can yield, and of equal lines the last one counts, as in the
        # reference.
        ids = {token: index for index, token in enumerate(tokens)}
        needed = (*SPECIAL_TOKENS, *(token.content for token in options.added_tokens))
        missing = [token for token in needed if token not in ids]
        if missing:
            raise ValueError(
                f"{source}: a vocabulary must hold {', '.join(needed)}. "
                f"Received: one of {len(tokens)} tokens without {', '.join(missing)}"
            )
        self.tokens = tuple(tokens)
        self.do_lower_case = do_lower_case
        self.options = options
        self.unicode_version = UNICODE_VERSION
        self.vocab_hash = vocab_hash(tokens, options)
        self.continuation = np.array([token.startswith("##") for token in tokens], np.bool_)
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (ids[token] for token in SPECIAL_TOKENS)
        self.basic_tokenizer = BasicTokenizer(
            do_lower_case,
            strip_accents=options.strip_accents,
            tokenize_chinese_chars=options.tokenize_chinese_chars,
        )
        added = options.added_tokens
        self.added = AddedTokenSplitter(added, ids, self.basic_tokenizer) if added else None
        self._ids = ids
        hidden = {"", *(token.content for token in added if not token.in_wordpiece)}
        self._first_ids = {token: index for token, index in ids.items() if token not in hidden}
        self._next_ids = {token[2:]: index for token, index in self._first_ids.items() if token.startswith("##")}
        self._next_ids.pop("", None)
        self._longest_token = max(map(len, tokens))
        # Caches for strings between spaces ("end.") and for words ("end"), without and with offsets.
        self._string_ids = StringCache(self._encode_string)
        self._word_ids = StringCache(self._encode_word)
        self._word_tokens = StringCache(self._tokens)
        self._string_offsets = StringCache(self._encode_string_with_offsets)
        self._batch_encoder = BatchEncoder(self.basic_tokenizer.folded, do_lower_case, self._encode_word)

    def __reduce__(self) -> tuple:
        """Pickle the vocabulary alone, for worker processes, where the caches start empty."""
        return WordPieceTokenizer.from_tokens, (self.tokens, self.do_lower_case, self.options)

    @property
    def vocab_size(self) -> int:
        """The number of tokens, V."""
        return len(self.tokens)

    @property
    def special_ids(self) -> tuple[int, int, int, int, int]:
        """The ids of `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` and `[MASK]`."""
        return self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id

    def save(self, vocab_file: str) -> None:
        """Write the vocabulary, one token on each line, whole or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        files.write_text(vocab_file, "".join(token + "\n" for token in self.tokens))

    def words(self, text: str | bytes) -> list[str]:
        """Return the words that WordPiece splits: cleaned, lower-cased for uncased models, cut at punctuation."""
        return self.basic_tokenizer.words(_decoded(text))

    def tokenize(self, text: str | bytes) -> list[str]:
        """Return the text's tokens."""
        return [self.tokens[index] for index in self.encode(text)]

    def encode(self, text: str | bytes, parse_special_tokens: bool | Collection[str] = False) -> list[int]:
        """Return the ids of the text's tokens, without `[CLS]` and `[SEP]`.

        Args:
            text: a text of any length.
            parse_special_tokens: whether a literal `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` or `[MASK]` (in capitals) stands
                for that token; or a collection of those that do. This is for inference, such as filling masks.

        Raises:
            ValueError: `parse_special_tokens` names something else.
        """
        text = _decoded(text)
        ids: list[int] = []
        if not parse_special_tokens:
            if self.added is None:
                return self._encode_plain(text)
            for piece in self.added.split(text):
                ids.extend(self._encode_plain(piece.text) if piece.token_id is None else [piece.token_id])
            return ids
        for number, part in enumerate(_special_pattern(parse_special_tokens).split(text)):
            # Odd parts are matches. A part of the text may look like a special token that is not parsed.
            ids.extend([self._ids[part]] if number % 2 else self.encode(part))
        return ids

    def _encode_plain(self, text: str) -> list[int]:
        # Every step after cleaning looks at one string between spaces, so a string always has the same ids.
        return list(chain.from_iterable(map(self._string_ids.__getitem__, self.basic_tokenizer.split_spaces(text))))

    def encode_batch(self, texts: Iterable[str | bytes]) -> list[list[int]]:
        """Return the ids of each text, as `encode` does for one."""
        ids, lengths = self.encode_ragged(texts)
        ends = np.cumsum(lengths)
        flat = ids.tolist()
        return [flat[start:end] for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]

    def encode_ragged(self, texts: Iterable[str | bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Encode many texts without a Python object for each word or token, as the preparation of data needs.

        Returns:
            The ids of all texts in a row, int32 [all ids], and the number of ids of each text, int64 [texts].
        """
        decoded = [_decoded(text) for text in texts]
        if self.added is None:
            return self._batch_encoder.encode(decoded)
        parts = [self.added.split(text) for text in decoded]
        flat = list(chain.from_iterable(parts))
        # An added token is an empty text for the encoder, and gets its one id afterwards.
        ids, lengths = self._batch_encoder.encode(["" if part.token_id is not None else part.text for part in flat])
        added = {number: part.token_id for number, part in enumerate(flat) if part.token_id is not None}
        places = list(added)
        ids = np.insert(ids, (np.cumsum(lengths) - lengths)[places], list(added.values()))
        lengths[places] = 1
        ends = np.concatenate(([0], np.cumsum(lengths)))[np.cumsum([0, *map(len, parts)])]
        return ids, np.diff(ends)

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the text's ids, as `encode` does, and the part of the text that each token came from.

        Returns:
            The ids, and for each a pair `(start, end)`: the token came from `text[start:end]`. Characters that were
            dropped inside it are part of it. A combining mark that was stripped belongs to the character before it. Two
            tokens can share a character that became several, such as a Hangul syllable. The white space around an
            added token is never part of it.
        """
        if self.added is None:
            return self._encode_plain_with_offsets(text)
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for part in self.added.split(text):
            if part.token_id is None:
                found, spans = self._encode_plain_with_offsets(part.text)
            else:
                found, spans = [part.token_id], [(0, len(part.text))]
            ids.extend(found)
            offsets.extend((min(part.starts[start:end]), max(part.ends[start:end])) for start, end in spans)
        return ids, offsets

    def word_offsets(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of each word of a text.

        A word is what lies between spaces and punctuation, an ideograph, or an added token.

        >>> WordPieceTokenizer.from_tokens(SPECIAL_TOKENS).word_offsets("Mr. Miller")
        [(0, 2), (2, 3), (4, 10)]
        """
        offsets: list[tuple[int, int]] = []
        for part in self.added.split(text) if self.added else [whole(text)]:
            spans = [(0, len(part.text))] if part.token_id is not None else self.basic_tokenizer.word_spans(part.text)
            offsets.extend((min(part.starts[start:end]), max(part.ends[start:end])) for start, end in spans)
        return offsets

    def _encode_plain_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for string, indices in self.basic_tokenizer.split_spaces_with_offsets(text):
            if isinstance(indices, range):  # nothing was dropped inside the string
                first = indices.start
                for index, start, end in self._string_offsets[string]:
                    ids.append(index)
                    offsets.append((first + start, first + end))
            else:
                for index, start, end in self._string_offsets[string]:
                    ids.append(index)
                    offsets.append((indices[start], indices[end - 1] + 1))
        return ids, offsets

    def encode_pair(
        self,
        text: str | bytes,
        text_pair: str | bytes | None = None,
        max_seq_length: int | None = None,
        *,
        parse_special_tokens: bool | Collection[str] = False,
    ) -> tuple[list[int], list[int]]:
        """Encode a text or a pair as `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`.

        This follows google-research/bert run_classifier.py.

        Args:
            text: A.
            text_pair: B, or None. A text B without tokens is left out together with its `[SEP]`.
            max_seq_length: the largest number of ids, at least 3; the longer of A and B loses its end
                (`truncated_lengths`). None for no limit.
            parse_special_tokens: see `encode`.

        Returns:
            `input_ids` and `segment_ids` (0 on `[CLS] A [SEP]`, 1 on `B [SEP]`), without padding.

        Raises:
            ValueError: `max_seq_length` is below 3.
        """
        if max_seq_length is not None and max_seq_length < 3:
            raise ValueError(f"`max_seq_length` must be at least 3. Received: {max_seq_length}")
        ids_a = self.encode(text, parse_special_tokens)
        ids_b = [] if text_pair is None else self.encode(text_pair, parse_special_tokens)
        if max_seq_length is not None:
            budget = max_seq_length - (3 if ids_b else 2)
            kept_a, kept_b = truncated_lengths(len(ids_a), len(ids_b), budget)
            ids_a, ids_b = ids_a[:kept_a], ids_b[:kept_b]
        input_ids = [self.cls_id, *ids_a, self.sep_id]
        segment_ids = [0] * len(input_ids)
        if ids_b:
            input_ids += [*ids_b, self.sep_id]
            segment_ids += [1] * (len(ids_b) + 1)
        return input_ids, segment_ids

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """Return the tokens as text: a `##` token joins the one before it, and a space precedes any other.

        Args:
            ids: ids of tokens.
            skip_special_tokens: whether to leave the special tokens out, and the added tokens that are `special`.

        Raises:
            ValueError: an id is outside the vocabulary.
        """
        text: list[str] = []
        skipped = set(self.special_ids) if skip_special_tokens else set()
        if skip_special_tokens:
            skipped |= {self._ids[token.content] for token in self.options.added_tokens if token.special}
        for index in map(int, ids):
            if not 0 <= index < self.vocab_size:
                raise ValueError(f"`ids` must be from 0 to {self.vocab_size - 1}. Received: {index}")
            if index in skipped:
                continue
            token = self.tokens[index]
            if token.startswith("##") and text:
                text.append(token[2:])
            else:
                text.extend((" ", token) if text else (token,))
        return "".join(text)

    def _encode_string(self, string: str) -> tuple[int, ...]:
        """Return the ids of one string of `split_spaces`."""
        if string.isascii():
            # Cleaned ASCII holds only letters, digits and what the reference counts as punctuation.
            words = _ASCII_WORDS.findall(string.lower() if self.do_lower_case else string)
        else:
            words = self.basic_tokenizer.split_word(string)
        return tuple(chain.from_iterable(map(self._word_ids.__getitem__, words)))

    def _encode_word(self, word: str) -> tuple[int, ...]:
        return tuple([index for index, _ in self._tokens(word)])

    def _encode_string_with_offsets(self, string: str) -> list[tuple[int, int, int]]:
        """Return the ids of one string of `split_spaces`, each with its start and end in the string."""
        tokens: list[tuple[int, int, int]] = []
        if string.isascii():
            # See `_encode_string`. A lower-cased ASCII letter is one letter too, so that indices stay the same.
            for match in _ASCII_WORDS.finditer(string.lower() if self.do_lower_case else string):
                end = match.start()
                for index, length in self._word_tokens[match[0]]:
                    start, end = end, end + length
                    tokens.append((index, start, end))
            return tokens
        for word in self.basic_tokenizer.split_word_with_offsets(string):
            end = 0
            for index, length in self._tokens(word.text):
                start, end = end, end + length
                tokens.append((index, min(word.starts[start:end]), max(word.ends[start:end])))
        return tokens

    def _tokens(self, word: str) -> list[tuple[int, int]]:
        """Split a word, longest match first: the id and length of each token, or one `[UNK]` for the whole word."""
        length = len(word)
        if length > self.options.max_input_chars_per_word:
            return [(self.unk_id, length)]
        tokens: list[tuple[int, int]] = []
        vocabulary = self._first_ids
        start = 0
        while start < length:
            for end in range(min(length, start + self._longest_token), start, -1):
                index = vocabulary.get(word[start:end])
                if index is not None:
                    break
            else:
                return [(self.unk_id, length)]
            tokens.append((index, end - start))
            vocabulary = self._next_ids
            start = end
        return tokens


def _decoded(text: str | bytes) -> str:
    return text.decode("utf-8", errors="ignore") if isinstance(text, bytes) else text


def _special_pattern(parse_special_tokens: bool | Collection[str]) -> re.Pattern[str]:
    """Return a pattern that captures the special tokens to parse."""
    parsed = SPECIAL_TOKENS if isinstance(parse_special_tokens, bool) else tuple(parse_special_tokens)
    for token in parsed:
        if token not in SPECIAL_TOKENS:
            raise ValueError(f"`parse_special_tokens` must be some of {', '.join(SPECIAL_TOKENS)}. Received: {token!r}")
    return re.compile("(" + "|".join(map(re.escape, parsed)) + ")")
