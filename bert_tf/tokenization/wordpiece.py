"""The WordPiece tokenizer: the same ids as google-research/bert's `FullTokenizer`, many times faster.

The character data are frozen at Unicode 14.0, so that the ids do not depend on the version of Python.

>>> tokenizer = WordPieceTokenizer("vocab.txt", do_lower_case=True)  # doctest: +SKIP
>>> tokenizer.encode("Exact WordPiece.")  # doctest: +SKIP
"""

import os
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from bert_tf.tokenization.added_tokens import AddedTokenSplitter, Part, TokenMatcher, whole
from bert_tf.tokenization.basic import BasicTokenizer
from bert_tf.tokenization.batch import BatchEncoder
from bert_tf.tokenization.options import MAX_WORD_CHARACTERS, TokenizerOptions
from bert_tf.tokenization.published_writer import save_tokenizer
from bert_tf.tokenization.rows import MIN_LENGTH, Flat, RowOptions, Rows, checked_padding, rows_of, truncated_lengths
from bert_tf.tokenization.sources import find_tokenizer
from bert_tf.tokenization.strings import StringEncoder
from bert_tf.tokenization.texts import decoded, list_of_pairs
from bert_tf.tokenization.unicode_tables import UNICODE_VERSION
from bert_tf.tokenization.vocab_files import read_vocab_file
from bert_tf.tokenization.vocabulary import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, UNK, Vocabulary

__all__ = [
    "CLS",
    "MASK",
    "MAX_WORD_CHARACTERS",
    "PAD",
    "SEP",
    "SPECIAL_TOKENS",
    "UNK",
    "BasicTokenizer",
    "WordPieceTokenizer",
]


class WordPieceTokenizer(Vocabulary):
    """A tokenizer that turns text into token ids and back, by a vocabulary.

    >>> tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, "river", "##s", "run"])
    >>> tokenizer(["Rivers run", "river"])["input_ids"].tolist()
    [[2, 5, 6, 7, 3], [2, 5, 3, 0, 0]]
    >>> tokenizer.decode([2, 5, 6, 7, 3], skip_special_tokens=True)
    'rivers run'

    Text never yields the ids of special tokens: `[MASK]` in a document is split like any other text, unless
    `parse_special_tokens` is given. Added tokens are found in any text. Bytes are decoded as UTF-8; invalid bytes are
    dropped.

    Args:
        vocab_file: the vocabulary, as `read_vocab_file` reads it.
        do_lower_case: whether the vocabulary is uncased.
        options: the other options; None for those of the reference.

    Attributes:
        added: the splitter of texts at the added tokens; None if there are none.
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
        tokenizer._set_vocabulary(tokens, do_lower_case, options, source="tokens")
        return tokenizer

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> "WordPieceTokenizer":
        """Make the tokenizer of a published model, with every setting that changes ids.

        >>> tokenizer = WordPieceTokenizer.from_pretrained("bert-base-uncased")  # doctest: +SKIP

        Args:
            path: the folder of a tokenizer or a model, local or `gs://`, in the form of `transformers` or Google; the
                folder of a run, or `assets` of an export; a vocabulary file; or the name of a repository on the Hugging
                Face hub, whose tokenizer files are downloaded.

        Raises:
            FileNotFoundError: there is no such folder or file, and nothing on the hub (if it can be reached).
            ValueError: there is no vocabulary, a file is damaged, or the tokenizer is not one of BERT.
        """
        found = find_tokenizer(path)
        return cls.from_tokens(found.check(), found.do_lower_case, found.options)

    def save_pretrained(self, folder: str | os.PathLike[str], *, max_length: int | None = None) -> None:
        """Write the files that `transformers` and `from_pretrained` load: the vocabulary and all settings.

        Args:
            folder: the folder, which is made if it is missing. Files of a tokenizer in it are replaced.
            max_length: the largest number of tokens in a row, for the readers of `model_max_length`; None to state
                none.

        Raises:
            OSError: a file cannot be written.
            ValueError: other files of the folder make its reader expect another tokenizer.
        """
        save_tokenizer(self, max_length, os.fspath(folder))

    def _set_vocabulary(
        self, tokens: Iterable[str], do_lower_case: bool, options: TokenizerOptions | None, *, source: str
    ) -> None:
        Vocabulary.__init__(self, tokens, do_lower_case, options, source=source)
        self.unicode_version = UNICODE_VERSION
        self.basic_tokenizer = BasicTokenizer(
            do_lower_case,
            strip_accents=self.options.strip_accents,
            tokenize_chinese_chars=self.options.tokenize_chinese_chars,
        )
        added = self.options.added_tokens
        self.added = AddedTokenSplitter(added, self._ids, self.basic_tokenizer) if added else None
        self._special_matchers: dict[tuple[str, ...], TokenMatcher] = {}
        self._strings = StringEncoder(self, self.basic_tokenizer)
        self._batch_encoder = BatchEncoder(self.basic_tokenizer.folded, do_lower_case, self._strings.encode_word)

    def __reduce__(self) -> tuple:
        """Pickle the vocabulary alone, for worker processes, where the caches start empty."""
        return WordPieceTokenizer.from_tokens, (self.tokens, self.do_lower_case, self.options)

    def __call__(
        self,
        texts: Any,
        pairs: Any = None,
        *,
        max_length: int | None = None,
        padding: str | bool | None = "longest",
        return_tensors: str | None = "np",
        long_texts: str = "cut",
        parse_special_tokens: bool | Collection[str] = False,
        return_offsets: bool = False,
        return_special_tokens_mask: bool = False,
    ) -> dict[str, Any]:
        """Return the batch of many texts or pairs, as models take it.

        Args:
            texts: texts, in a list, tuple, array, column of a table or eager tensor; or one text, which makes a batch
                of one row. A text is a string, or bytes in UTF-8.
            pairs: the second text of each pair, as many as `texts`; None for single texts. A second text without tokens
                is left out together with its `[SEP]`.
            max_length: the largest number of tokens in a row, with the special ones. In a pair, the longer text loses
                its end, as in google-research/bert. None for no limit.
            padding: "longest" (or True) pads to the longest row, "max_length" to `max_length`. None (or False)
                gives rows of different lengths.
            return_tensors: "np" for arrays, "tf" for tensors of TensorFlow, None for lists.
            long_texts: what is kept of a single text that exceeds `max_length`: "cut" for its beginning, "head_tail"
                for its beginning and its end.
            parse_special_tokens: see `encode`. Texts with `[MASK]` need it.
            return_offsets: whether to return the part of its text that each token came from.
            return_special_tokens_mask: whether to return which tokens are not from the texts.

        Returns:
            `input_ids`, `input_mask` (1 on tokens, 0 on padding) and `segment_ids` (1 on the second text and its
            `[SEP]`), int32 [B, L]. If wanted, `offsets` int32 [B, L, 2], the start and end of each token in the
            characters of its own text, (0, 0) for special tokens; and `special_tokens_mask` int32 [B, L], 1 on the
            special tokens and padding. Without padding, each is a list of arrays, a ragged tensor or a list of lists.

        Raises:
            ValueError: an item is not a text, the numbers of texts differ, or an option has an unknown value.
            ImportError: tensors of TensorFlow are wanted and it is not installed.
        """
        options = RowOptions(max_length, checked_padding(padding), long_texts)
        first, second = list_of_pairs(texts, pairs)
        rows = self.encode_rows(
            first, second, options, parse_special_tokens=parse_special_tokens, return_offsets=return_offsets
        )
        names = ["input_ids", "input_mask", "segment_ids"]
        names += ["offsets"] * return_offsets + ["special_tokens_mask"] * return_special_tokens_mask
        return rows.batch(options, names, pad_id=self.pad_id, return_tensors=return_tensors)

    def words(self, text: str | bytes) -> list[str]:
        """Return the words that WordPiece splits: cleaned, lower-cased for uncased models, cut at punctuation."""
        return self.basic_tokenizer.words(decoded(text))

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
        text = decoded(text)
        if self.added is None and not parse_special_tokens:
            return self._encode_plain(text)
        ids: list[int] = []
        for part in self._parts(text, parse_special_tokens):
            ids.extend(self._encode_plain(part.text) if part.token_id is None else [part.token_id])
        return ids

    def ids_of_token(self, token: str) -> list[int]:
        """Return the ids that stand for a token of another vocabulary, such as `river` or `##s`, or that of `[UNK]`."""
        return list(self._strings.encode_word(token.removeprefix("##"), token.startswith("##")))

    def _parts(self, text: str, parse_special_tokens: bool | Collection[str] = False) -> list[Part]:
        """Return a text, cut at the tokens that are found before the text is cut into words."""
        parts = [whole(text)]
        if parse_special_tokens:
            parts = list(self._special_matcher(parse_special_tokens).split(parts[0]))
        if self.added is None:
            return parts
        # A text between added tokens may look like a special token that is not parsed.
        return [piece for part in parts for piece in (self.added.split(part) if part.token_id is None else [part])]

    def _special_matcher(self, parse_special_tokens: bool | Collection[str]) -> TokenMatcher:
        parsed = SPECIAL_TOKENS if isinstance(parse_special_tokens, bool) else tuple(parse_special_tokens)
        if parsed in self._special_matchers:
            return self._special_matchers[parsed]
        for token in parsed:
            if token not in SPECIAL_TOKENS:
                raise ValueError(
                    f"`parse_special_tokens` must be some of {', '.join(SPECIAL_TOKENS)}. Received: {token!r}"
                )
        return self._special_matchers.setdefault(
            parsed, TokenMatcher({token: (self._ids[token], False) for token in parsed})
        )

    def _encode_plain(self, text: str) -> list[int]:
        return list(chain.from_iterable(map(self._strings.ids.__getitem__, self.basic_tokenizer.split_spaces(text))))

    def encode_batch(
        self, texts: Iterable[str | bytes], parse_special_tokens: bool | Collection[str] = False
    ) -> list[list[int]]:
        """Return the ids of each text, as `encode` does for one."""
        ids, lengths = self.encode_ragged(texts, parse_special_tokens)
        ends = np.cumsum(lengths)
        flat = ids.tolist()
        return [flat[start:end] for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]

    def encode_ragged(
        self, texts: Iterable[str | bytes], parse_special_tokens: bool | Collection[str] = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode many texts without a Python object for each word or token, as the preparation of data needs.

        Args:
            texts: the texts.
            parse_special_tokens: see `encode`.

        Returns:
            The ids of all texts in a row, int32 [all ids], and the number of ids of each text, int64 [texts].
        """
        strings = [decoded(text) for text in texts]
        if self.added is None and not parse_special_tokens:
            return self._batch_encoder.encode(strings)
        parts = [self._parts(text, parse_special_tokens) for text in strings]
        flat = list(chain.from_iterable(parts))
        # A token that was found is an empty text for the encoder, and gets its one id afterwards.
        ids, lengths = self._batch_encoder.encode(["" if part.token_id is not None else part.text for part in flat])
        added = {number: part.token_id for number, part in enumerate(flat) if part.token_id is not None}
        places = list(added)
        ids = np.insert(ids, (np.cumsum(lengths) - lengths)[places], list(added.values()))
        lengths[places] = 1
        ends = np.concatenate(([0], np.cumsum(lengths)))[np.cumsum([0, *map(len, parts)])]
        return ids, np.diff(ends)

    def encode_rows(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        options: RowOptions,
        *,
        parse_special_tokens: bool | Collection[str] = False,
        return_offsets: bool = False,
    ) -> Rows:
        """Return the rows of many texts or pairs, cut but not padded. The arguments are those of `__call__`."""
        if pairs is not None:
            options.check_pairs()
        encode = self._encode_flat_with_offsets if return_offsets else self._encode_flat
        first = encode(texts, parse_special_tokens)
        second = None if pairs is None else encode(pairs, parse_special_tokens)
        return rows_of(first, second, options, cls_id=self.cls_id, sep_id=self.sep_id)

    def _encode_flat(self, texts: Sequence[str], parse_special_tokens: bool | Collection[str]) -> Flat:
        return Flat(*self.encode_ragged(texts, parse_special_tokens))

    def _encode_flat_with_offsets(self, texts: Sequence[str], parse_special_tokens: bool | Collection[str]) -> Flat:
        encoded = [self.encode_with_offsets(text, parse_special_tokens) for text in texts]
        ids = np.array([index for ids, _ in encoded for index in ids], np.int32)
        offsets = np.array([span for _, spans in encoded for span in spans], np.int32).reshape(-1, 2)
        return Flat(ids, np.array([len(ids) for ids, _ in encoded], np.int64), offsets)

    def encode_with_offsets(
        self, text: str, parse_special_tokens: bool | Collection[str] = False
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the text's ids, as `encode` does, and the part of the text that each token came from.

        Args:
            text: a text of any length.
            parse_special_tokens: see `encode`.

        Returns:
            The ids, and for each a pair `(start, end)`: the token came from `text[start:end]`. Characters that were
            dropped inside it are part of it. A combining mark that was stripped belongs to the character before it. Two
            tokens can share a character that became several, such as a Hangul syllable. The white space around an
            added token is never part of it.
        """
        if self.added is None and not parse_special_tokens:
            return self._encode_plain_with_offsets(text)
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for part in self._parts(text, parse_special_tokens):
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
        for part in self._parts(text):
            spans = [(0, len(part.text))] if part.token_id is not None else self.basic_tokenizer.word_spans(part.text)
            offsets.extend((min(part.starts[start:end]), max(part.ends[start:end])) for start, end in spans)
        return offsets

    def _encode_plain_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for string, indices in self.basic_tokenizer.split_spaces_with_offsets(text):
            if isinstance(indices, range):  # nothing was dropped inside the string
                first = indices.start
                for index, start, end in self._strings.offsets[string]:
                    ids.append(index)
                    offsets.append((first + start, first + end))
            else:
                for index, start, end in self._strings.offsets[string]:
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
        if max_seq_length is not None and max_seq_length < MIN_LENGTH:
            raise ValueError(f"`max_seq_length` must be at least {MIN_LENGTH}. Received: {max_seq_length}")
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
