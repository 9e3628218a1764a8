"""The rows of a batch: `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]` for many texts at once, cut and padded.

Axes: B texts, L length, T tokens of all rows together.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_tf.utils.tensors import as_tensorflow

LONG_TEXTS = ("cut", "head_tail")
"""The parts that can be kept of a text that exceeds a row: its beginning, or its beginning and its end."""

_PADDINGS = ("longest", "max_length", None)
_RETURN_TENSORS = ("np", "tf", None)
MIN_LENGTH = 3
"""The smallest length of a row: `[CLS]`, a token and `[SEP]`."""


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


def head_length(room: int) -> int:
    """Return how many of `room` tokens `head_tail` takes from the beginning of a long text: 128 of 510.

    The numbers are those of Sun et al., "How to Fine-Tune BERT for Text Classification?" (2019).
    """
    return room * 128 // 510


def checked_padding(padding: Any) -> str | None:
    """Return a padding by its name: True means `longest`, and False means None.

    Raises:
        ValueError: there is no such padding.
    """
    if isinstance(padding, bool):
        return "longest" if padding else None
    if padding not in _PADDINGS:
        raise ValueError(f"`padding` must be 'longest', 'max_length' or None. Received: {padding!r}")
    return padding


@dataclasses.dataclass(frozen=True)
class RowOptions:
    """The options by which texts become rows.

    Attributes:
        max_length: the largest number of tokens in a row, with the special ones; None for no limit.
        padding: `longest` to pad all rows to the longest one, `max_length`, or None for rows of different lengths.
        long_texts: one of `LONG_TEXTS`.

    Raises:
        ValueError: an option has another value.
    """

    max_length: int | None = None
    padding: str | None = "longest"
    long_texts: str = "cut"

    def __post_init__(self) -> None:
        object.__setattr__(self, "padding", checked_padding(self.padding))
        length = self.max_length
        if length is not None and (isinstance(length, bool) or not isinstance(length, int | np.integer)):
            raise ValueError(f"`max_length` must be a whole number or None. Received: {length!r}")
        if length is not None and length < MIN_LENGTH:
            raise ValueError(f"`max_length` must be at least {MIN_LENGTH}. Received: {length}")
        if self.padding == "max_length" and length is None:
            raise ValueError("`max_length` must be given for padding='max_length'. Received: None")
        if self.long_texts not in LONG_TEXTS:
            raise ValueError(f"`long_texts` must be one of {', '.join(LONG_TEXTS)}. Received: {self.long_texts!r}")

    def check_pairs(self) -> None:
        """Raise a ValueError if the options are not for pairs of texts."""
        if self.long_texts != "cut":
            raise ValueError(f"`long_texts` must be 'cut' for pairs of texts. Received: {self.long_texts!r}")


class Flat(NamedTuple):
    """The tokens of many texts in a row.

    Attributes:
        ids: int32 [all ids].
        lengths: int64 [B], the number of ids of each text.
        offsets: int32 [all ids, 2], the start and end of each token in its text; None if they are not wanted.
    """

    ids: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray | None = None


class Rows(NamedTuple):
    """Texts or pairs as rows of ids, before padding.

    Attributes:
        lengths: int64 [B], the number of tokens of each row.
        features: name -> a value for each token of all rows, int32 [T] or [T, 2]: `input_ids`, `segment_ids` (0 on
            `[CLS] A [SEP]`, 1 on `B [SEP]`), `special_tokens_mask` (1 on `[CLS]` and `[SEP]`), and `offsets` if the
            tokens have them, (0, 0) for `[CLS]` and `[SEP]`.
        num_cut: the number of rows that lost tokens.
    """

    lengths: np.ndarray
    features: dict[str, np.ndarray]
    num_cut: int

    def lists(self, name: str) -> list[list[Any]]:
        """Return the values of a feature, a list for each row."""
        ends = np.cumsum(self.lengths).tolist()
        flat = self.features[name].tolist()
        return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def batch(self, options: RowOptions, names: Sequence[str], *, pad_id: int, return_tensors: str | None) -> Any:
        """Return the features of a batch.

        Args:
            options: the options that the rows were made with.
            names: the features to return.
            pad_id: the id of `[PAD]`.
            return_tensors: `np`, `tf`, or None for lists.

        Returns:
            Name -> int32 [B, L] (`offsets` int32 [B, L, 2]). Without padding: a list of arrays, a ragged tensor, or a
            list of lists.

        Raises:
            ValueError: there is no such kind of tensors.
            ImportError: TensorFlow is wanted and not installed.
        """
        if return_tensors not in _RETURN_TENSORS:
            raise ValueError(f"`return_tensors` must be 'np', 'tf' or None. Received: {return_tensors!r}")
        features = self.features | {"input_mask": np.ones_like(self.features["input_ids"])}
        if options.padding is None:
            return {name: self._ragged(features[name], return_tensors) for name in names}
        width = int(self.lengths.max(initial=0))
        if options.padding == "max_length":
            width = options.max_length or width
        is_used = np.arange(width) < self.lengths[:, None]
        batch: dict[str, Any] = {}
        for name in names:
            fill = {"input_ids": pad_id, "special_tokens_mask": 1}.get(name, 0)
            array = np.full((*is_used.shape, *features[name].shape[1:]), fill, np.int32)
            array[is_used] = features[name]
            batch[name] = array
            if return_tensors != "np":
                batch[name] = as_tensorflow(array) if return_tensors == "tf" else array.tolist()
        return batch

    def _ragged(self, values: np.ndarray, return_tensors: str | None) -> Any:
        if return_tensors == "tf":
            return as_tensorflow(values, row_lengths=self.lengths)
        rows = np.split(values, np.cumsum(self.lengths)[:-1]) if len(self.lengths) else []
        return rows if return_tensors == "np" else [row.tolist() for row in rows]


def rows_of(first: Flat, second: Flat | None, options: RowOptions, *, cls_id: int, sep_id: int) -> Rows:
    """Return the rows of texts or pairs. A second text without tokens is left out together with its `[SEP]`.

    Args:
        first: the tokens of the texts A.
        second: the tokens of the texts B; None for single texts.
        options: the options of the rows.
        cls_id: the id of `[CLS]`.
        sep_id: the id of `[SEP]`.
    """
    lengths_a = first.lengths
    lengths_b = np.zeros_like(lengths_a) if second is None else second.lengths
    kept_a, kept_b = lengths_a.copy(), lengths_b.copy()
    cut = np.zeros(0, np.int64)
    if options.max_length is not None:
        budgets = options.max_length - 2 - (lengths_b > 0)
        cut = np.flatnonzero(lengths_a + lengths_b > budgets)
        for row in cut.tolist():
            kept_a[row], kept_b[row] = truncated_lengths(int(lengths_a[row]), int(lengths_b[row]), int(budgets[row]))

    has_second = kept_b > 0
    first_lengths = kept_a + 2
    lengths = first_lengths + np.where(has_second, kept_b + 1, 0)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    # A number for each token of the rows: 0 for [CLS], 1 for [SEP], and 2 + the index of a token of A or B.
    index = np.zeros(int(ends[-1]) if len(ends) else 0, np.int64)
    index[starts + first_lengths - 1] = 1
    index[ends[has_second] - 1] = 1
    sources = _ranges(np.cumsum(lengths_a) - lengths_a, kept_a)
    if options.long_texts == "head_tail" and options.max_length is not None:
        is_tail = _ranges(np.zeros_like(kept_a), kept_a) >= head_length(options.max_length - 2)
        sources += np.where(is_tail, np.repeat(lengths_a - kept_a, kept_a), 0)
    index[_ranges(starts + 1, kept_a)] = 2 + sources
    index[_ranges(starts + first_lengths, kept_b)] = (
        2 + len(first.ids) + _ranges(np.cumsum(lengths_b) - lengths_b, kept_b)
    )
    return Rows(lengths, _features(index, lengths, first_lengths, (first, second), (cls_id, sep_id)), len(cut))


def _features(
    index: np.ndarray,
    lengths: np.ndarray,
    first_lengths: np.ndarray,
    texts: tuple[Flat, Flat | None],
    special_ids: tuple[int, int],
) -> dict[str, np.ndarray]:
    """Return the features of `Rows` for the numbers that `rows_of` gives to tokens."""
    given = [text for text in texts if text is not None]
    ids = np.concatenate([np.array(special_ids, np.int32), *(text.ids for text in given)])
    positions = _ranges(np.zeros_like(lengths), lengths)
    features = {
        "input_ids": ids[index],
        "segment_ids": (positions >= np.repeat(first_lengths, lengths)).astype(np.int32),
        "special_tokens_mask": (index < 2).astype(np.int32),
    }
    offsets = [text.offsets for text in given if text.offsets is not None]
    if offsets:
        features["offsets"] = np.concatenate([np.zeros((2, 2), np.int32), *offsets])[index]
    return features


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the numbers `starts[i]`, `starts[i] + 1` ..., `lengths[i]` of them, for each i, int64."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(int(ends[-1]) if len(ends) else 0)
