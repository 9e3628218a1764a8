"""`WordPieceTokenizer` in graph operations, for a SavedModel that takes raw strings.

Every table is made from the Python tokenizer's own functions, so that there is one source of what a character becomes.
Operations: TensorFlow core and TensorFlow Text's `FastWordpieceTokenizer`, which a stock TensorFlow Serving has.

Axes: B texts, C characters of all texts, L length.
"""

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from bert_tf import unicode_tables as ucd
from bert_tf.tokenization import MASK, MAX_WORD_CHARACTERS, WordPieceTokenizer

_CODE_POINTS = 0x110000
_PAGE = 256
_CAPITAL_SIGMA, _FINAL_SIGMA = ord("Σ"), ord("ς")

# UTF-8 takes at most 4 bytes a character; whatever is longer than this is a word of too many characters.
_MAX_WORD_BYTES = 4 * MAX_WORD_CHARACTERS
_TOO_LONG_WORD = "x" * (_MAX_WORD_BYTES + 1)


class _PagedTable(tf.Module):
    """An integer for each code point. Most pages of 256 are equal, and equal ones are stored once."""

    def __init__(self, values: np.ndarray):
        super().__init__()
        pages, page_of = np.unique(values.reshape(-1, _PAGE), axis=0, return_inverse=True)
        self._first = tf.constant(page_of.reshape(-1) * _PAGE, tf.int32)
        self._values = tf.constant(pages.reshape(-1), tf.int32)

    def __call__(self, codes: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._values, tf.gather(self._first, codes // _PAGE) + codes % _PAGE)


class _Expansion(tf.Module):
    """Replaces code points by strings of them, of any length; most stay as they are."""

    def __init__(self, replacement: Callable[[str], str], characters: Iterable[str]):
        super().__init__()
        # In a row -1 stands for the code point itself, so that ideographs and punctuation share one: (" ", -1, " ").
        row_numbers: dict[tuple[int, ...], int] = {(-1,): 0}
        row_of = np.zeros(_CODE_POINTS, np.int32)
        for character in characters:
            row = tuple(-1 if part == character else ord(part) for part in replacement(character))
            row_of[ord(character)] = row_numbers.setdefault(row, len(row_numbers))
        rows = list(row_numbers)
        self._index = _PagedTable(row_of)
        self._lengths = tf.constant([len(row) for row in rows], tf.int64)
        self._starts = tf.constant(np.cumsum([0, *map(len, rows[:-1])]), tf.int64)
        self._flat = tf.constant([code for row in rows for code in row], tf.int32)

    def __call__(self, codes: tf.Tensor, splits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`codes` [C] in rows that end at `splits` [B + 1]; returns the same of the replacements."""
        index = self._index(codes)
        lengths = tf.gather(self._lengths, index)
        ends = tf.concat([[tf.constant(0, tf.int64)], tf.cumsum(lengths)], axis=0)
        source = tf.repeat(tf.range(tf.size(codes, tf.int64)), lengths)
        within = tf.range(ends[-1]) - tf.gather(ends, source)
        replaced = tf.gather(self._flat, tf.gather(tf.gather(self._starts, index), source) + within)
        return tf.where(replaced < 0, tf.gather(codes, source), replaced), tf.gather(ends, splits)


class GraphTokenizer(tf.Module):
    """Raw strings -> the ids that `WordPieceTokenizer.encode` gives, on every input.

    Invalid UTF-8 is dropped, as `bytes.decode(errors="ignore")` drops it.

    Args:
        tokenizer: whose vocabulary and rules to follow.

    Raises:
        ImportError: TensorFlow Text is not installed.
    """

    def __init__(self, tokenizer: WordPieceTokenizer):
        super().__init__(name="graph_tokenizer")
        try:
            import tensorflow_text
        except ImportError as error:
            raise ImportError(
                "tokenization in the graph needs TensorFlow Text of TensorFlow's own version: "
                f"pip install 'bert_tf[text]' ({error})"
            ) from error
        basic_tokenizer = tokenizer.basic_tokenizer
        self._do_lower_case = tokenizer.do_lower_case
        self._mask_id, self._pad_id = tokenizer.mask_id, tokenizer.pad_id
        self._cls_id, self._sep_id = tokenizer.cls_id, tokenizer.sep_id
        self._fold = _Expansion(basic_tokenizer.fold, basic_tokenizer.folded_characters())
        if self._do_lower_case:
            self._build_context_tables(tokenizer)
        # Blank lines of a vocabulary stand for no text; here every piece needs a text, one that no word can be.
        pieces = [token or f"blank line {index}" for index, token in enumerate(tokenizer.tokens)]
        self._wordpiece = tensorflow_text.FastWordpieceTokenizer(
            pieces,
            suffix_indicator="##",
            max_bytes_per_word=_MAX_WORD_BYTES,
            token_out_type=tf.int32,
            unknown_token=tokenizer.tokens[tokenizer.unk_id],
            no_pretokenization=True,
        )

    def _build_context_tables(self, tokenizer: WordPieceTokenizer) -> None:
        """What is needed where a character's neighbours count: the final form of sigma, the order of marks."""
        context = tokenizer.basic_tokenizer.context_characters
        flags = np.zeros(_CODE_POINTS, np.int32)
        flags[[ord(character) for character in context]] = 1
        self._has_context = _PagedTable(flags)
        classes = np.frombuffer(ucd.CHARACTER_CLASS, np.uint8)
        self._is_dropped = _PagedTable((classes == ucd.DROPPED).astype(np.int32))
        self._case_class = _PagedTable(np.frombuffer(ucd.CASE_CLASS, np.uint8).astype(np.int32))
        self._combining_class = _PagedTable(np.frombuffer(ucd.COMBINING_CLASS, np.uint8).astype(np.int32))
        self._decompose = _Expansion(_lowered_marks, tokenizer.basic_tokenizer.folded_characters())

    def tokenize(self, texts: tf.Tensor, parse_mask: bool = False) -> tf.RaggedTensor:
        """The ids of each text.

        Args:
            texts: string [B], UTF-8.
            parse_mask: a literal `[MASK]` becomes the mask token, as
                `encode(text, parse_special_tokens=["[MASK]"])` has it.

        Returns:
            int32 [B, None].
        """
        if not parse_mask:
            return self._tokenize(texts)
        # Invalid bytes go first: what they interrupt could be a `[MASK]`.
        parts = tf.strings.split(tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="ignore"), MASK)
        # A mask after each part of a text, then none after its last.
        ids = self._tokenize(parts.flat_values)
        masks = tf.fill([ids.nrows(), tf.constant(1, tf.int64)], self._mask_id)
        joined = parts.with_flat_values(tf.concat([ids, masks], axis=1)).merge_dims(1, 2)
        return joined[:, :-1]

    def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        characters = tf.strings.unicode_decode(texts, "UTF-8", errors="ignore")
        codes, splits = characters.flat_values, characters.row_splits
        if self._do_lower_case:
            codes, splits = tf.cond(
                tf.reduce_any(self._has_context(codes) == 1),
                lambda: self._resolve_context(codes, splits),
                lambda: (codes, splits),
            )
        codes, splits = self._fold(codes, splits)
        normalized = tf.strings.unicode_encode(tf.RaggedTensor.from_row_splits(codes, splits, validate=False), "UTF-8")
        words = tf.strings.split(normalized)
        is_too_long = tf.strings.length(words.flat_values, unit="UTF8_CHAR") > MAX_WORD_CHARACTERS
        words = words.with_flat_values(tf.where(is_too_long, _TOO_LONG_WORD, words.flat_values))
        return self._wordpiece.tokenize(words).merge_dims(1, 2)

    def _resolve_context(self, codes: tf.Tensor, splits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Settles what depends on neighbours, so that each character can then be folded on its own."""
        kept = tf.boolean_mask(codes, self._is_dropped(codes) == 0)
        kept_before = tf.concat([[0], tf.cumsum(1 - self._is_dropped(codes))], axis=0)
        splits = tf.cast(tf.gather(kept_before, splits), tf.int64)
        codes = self._final_sigmas(kept, splits)
        codes, splits = self._decompose(codes, splits)
        # Canonical order sorts, stably, each run of marks; a starter (class 0) and the start of a text begin a run.
        combining = self._combining_class(codes)
        begins = tf.cast(combining == 0, tf.int64) + _row_starts(codes, splits)
        order = tf.argsort(tf.cumsum(begins) * 256 + tf.cast(combining, tf.int64), stable=True)
        return tf.gather(codes, order), splits

    def _final_sigmas(self, codes: tf.Tensor, splits: tf.Tensor) -> tf.Tensor:
        """Replaces capital sigmas that end a word (`unicode_tables.is_final_sigma`).

        Spaces and ideographs, at which the tokenizer cuts first, are uncased as the end of a word is.
        """
        case = self._case_class(codes)
        places = tf.where(case != ucd.CASE_IGNORABLE)[:, 0]
        rows = tf.gather(tf.cumsum(_row_starts(codes, splits)), places)
        cased = tf.gather(case, places) == ucd.CASED
        next_is_cased = cased[1:] & (rows[1:] == rows[:-1])
        before_is_cased = cased[:-1] & (rows[1:] == rows[:-1])
        edge = tf.zeros([tf.minimum(tf.size(places), 1)], tf.bool)
        is_final = (
            (tf.gather(codes, places) == _CAPITAL_SIGMA)
            & tf.concat([edge, before_is_cased], axis=0)
            & ~tf.concat([next_is_cased, edge], axis=0)
        )
        finals = tf.boolean_mask(places, is_final)[:, None]
        return tf.tensor_scatter_nd_update(codes, finals, tf.fill([tf.shape(finals)[0]], _FINAL_SIGMA))

    def pack_rows(
        self, ids_a: tf.RaggedTensor, ids_b: tf.RaggedTensor | None, max_seq_length: int | tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Rows as `WordPieceTokenizer.encode_pair` makes them, padded.

        Args:
            ids_a: int32 [B, None], of `tokenize`.
            ids_b: the same, or None for single texts.
            max_seq_length: L, at least 3.

        Returns:
            `input_ids`, `input_mask` (1 on pieces, 0 on padding), `segment_ids`, `position_ids` (0 on padding), all
            int32 [B, L].
        """
        if isinstance(max_seq_length, int) and max_seq_length < 3:
            raise ValueError(f"`max_seq_length` must be at least 3. Received: {max_seq_length}")
        length_a = tf.cast(ids_a.row_lengths(), tf.int32)[:, None]
        if ids_b is None:
            ids_b = ids_a[:, :0]
        length_b = tf.cast(ids_b.row_lengths(), tf.int32)[:, None]
        budget = max_seq_length - tf.where(length_b > 0, 3, 2)
        # `truncated_lengths`, for all rows at once.
        kept_a = tf.minimum(length_a, tf.maximum(budget - length_b, (budget + 1) // 2))
        is_cut = length_a + length_b > budget
        length_a, length_b = tf.where(is_cut, kept_a, length_a), tf.where(is_cut, budget - kept_a, length_b)

        positions = tf.range(max_seq_length)[None, :]  # [1, L]
        first_segment = length_a + 2  # [CLS] A [SEP]
        end = first_segment + tf.where(length_b > 0, length_b + 1, 0)
        index_b = positions - first_segment
        separators = (positions == first_segment - 1) | (positions == end - 1)
        input_ids = tf.where(positions <= length_a, _take(ids_a, positions - 1), _take(ids_b, index_b))
        input_ids = tf.where(separators, self._sep_id, input_ids)
        input_ids = tf.where(positions == 0, self._cls_id, input_ids)
        is_used = positions < end
        return {
            "input_ids": tf.where(is_used, input_ids, self._pad_id),
            "input_mask": tf.cast(is_used, tf.int32),
            "segment_ids": tf.cast(is_used & (index_b >= 0), tf.int32),
            "position_ids": tf.where(is_used, positions, 0),
        }


def _lowered_marks(character: str) -> str:
    """The lower-cased decomposition of what decomposes into marks; other characters as they are.

    Only marks can change places, so that folding may see to the rest.
    """
    decomposed = "".join(part for lowered in ucd.lower(character) for part in ucd.decompose(lowered))
    return decomposed if any(ucd.COMBINING_CLASS[ord(part)] for part in decomposed) else character


def _row_starts(codes: tf.Tensor, splits: tf.Tensor) -> tf.Tensor:
    """int64 [C]: how many rows start at each code point (several where rows are empty)."""
    starts = tf.math.bincount(tf.cast(splits[:-1], tf.int32), minlength=tf.size(codes) + 1, dtype=tf.int64)
    return starts[: tf.size(codes)]


def _take(ids: tf.RaggedTensor, index: tf.Tensor) -> tf.Tensor:
    """`ids[b, index[b, l]]`, int32 [B, L]; any number where `index` is outside row b."""
    flat = tf.concat([ids.flat_values, [0]], axis=0)
    places = tf.cast(ids.row_starts(), tf.int32)[:, None] + index
    return tf.gather(flat, tf.clip_by_value(places, 0, tf.size(flat) - 1))
