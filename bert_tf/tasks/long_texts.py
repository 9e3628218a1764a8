"""Texts that exceed a row: what is kept of them, the windows over them, and the pooling of the windows' outputs.

Shapes: N texts, R rows.
"""

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from bert_tf.configs.tasks import TextTaskConfig
from bert_tf.examples import TextExample
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tokenization.rows import RowOptions
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

_Counts = dict[tuple[str, int, str], tuple[int, int]]

_COLLECTED: contextvars.ContextVar[_Counts | None] = contextvars.ContextVar("collected", default=None)
_WARNED: contextvars.ContextVar[set[tuple[str, int, str]] | None] = contextvars.ContextVar("warned", default=None)


def window_starts(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Return (first token, number of tokens) of the windows over a text or a context.

    >>> window_starts(10, 6, 3)
    [(0, 6), (3, 6), (6, 4)]
    """
    windows = [(0, min(length, room))]
    while sum(windows[-1]) < length:
        start = windows[-1][0] + min(stride, room)
        windows.append((start, min(length - start, room)))
    return windows


def default_stride(room: int) -> int:
    """Return the number of tokens between the starts of windows of `room` tokens that overlap by a quarter."""
    return max(1, room * 3 // 4)


def windows_of(ids: list[int], longest: int, stride: int | None = None) -> list[list[int]]:
    """Return the windows over a text, each with `[CLS]` and `[SEP]`; a text that fits is its only window.

    The last window ends with the text, so that all windows of a long text are full.

    Args:
        ids: the ids of the text, with `[CLS]` and `[SEP]`.
        longest: the largest number of ids in a window.
        stride: the number of tokens between the starts of two windows; None for `default_stride`.
    """
    if len(ids) <= longest:
        return [ids]
    room, tokens = longest - 2, ids[1:-1]
    starts = [start for start, _ in window_starts(len(tokens), room, stride or default_stride(room))]
    starts[-1] = len(tokens) - room
    return [[ids[0], *tokens[start : start + room], ids[-1]] for start in starts]


class TextRows(NamedTuple):
    """The rows of texts or pairs.

    Attributes:
        input_ids: the ids of each row.
        segment_ids: the segments of each row.
        sources: the index of each row's text, ascending.
        num_cut: the number of texts or pairs that lost tokens.
    """

    input_ids: list[list[int]]
    segment_ids: list[list[int]]
    sources: list[int]
    num_cut: int


def rows_of_texts(
    texts: Sequence[str],
    tokenizer: WordPieceTokenizer,
    longest: int,
    *,
    second: Sequence[str] | None = None,
    long_texts: str = "cut",
    stride: int | None = None,
) -> TextRows:
    """Return the rows of texts or pairs.

    Args:
        texts: the texts, or the first texts of pairs.
        tokenizer: the tokenizer of the model's vocabulary.
        longest: the largest number of ids in a row.
        second: the second texts of pairs, or None.
        long_texts: what becomes of a text that exceeds the row, as in `TextTaskConfig`.
        stride: see `windows_of`.

    Raises:
        ValueError: `long_texts` is not for pairs.
    """
    if long_texts == "windows":
        if second is not None:
            raise ValueError(f"`long_texts` must be 'cut' for pairs of texts. Received: {long_texts!r}")
        whole = tokenizer.encode_rows(texts, None, RowOptions(padding=None)).lists("input_ids")
        windows = [windows_of(ids, longest, stride) for ids in whole]
        rows = [row for own in windows for row in own]
        sources = [number for number, own in enumerate(windows) for _ in own]
        return TextRows(rows, [[0] * len(row) for row in rows], sources, 0)
    encoded = tokenizer.encode_rows(texts, second, RowOptions(longest, None, long_texts))
    return TextRows(encoded.lists("input_ids"), encoded.lists("segment_ids"), list(range(len(texts))), encoded.num_cut)


def encode_texts(
    examples: Sequence[TextExample],
    tokenizer: WordPieceTokenizer,
    config: TextTaskConfig,
    *,
    features: dict[str, np.ndarray],
) -> EncodedExamples:
    """Return the rows of single texts or pairs, and warn if texts were cut.

    The source of a row is the index of its example. Each window has the labels of its text; its `label_weights` are
    those of the text, divided by the number of the text's windows.

    Args:
        examples: N single texts or pairs.
        tokenizer: the tokenizer of the model's vocabulary.
        config: the settings of the task.
        features: name -> a value for each example, [N, ...], with `label_weights`.
    """
    has_pairs = any(example.text_pair is not None for example in examples)
    rows = rows_of_texts(
        [example.text for example in examples],
        tokenizer,
        config.max_seq_length,
        second=[example.text_pair or "" for example in examples] if has_pairs else None,
        long_texts=config.long_texts,
        stride=config.window_stride,
    )
    others = {"cut": "`task.long_texts=head_tail` or `windows`", "head_tail": "`task.long_texts=windows`"}
    other = others.get(config.long_texts) if config.num_segments == 1 else None
    advice = f"A larger `task.max_seq_length`{f', or {other},' if other else ''} may help"
    report_cut(rows.num_cut, len(examples), config.max_seq_length, advice=advice)
    if len(rows.sources) > len(examples):
        features = {name: array[rows.sources] for name, array in features.items()}
        windows = np.bincount(rows.sources)[rows.sources].astype(np.float32)
        features["label_weights"] = features["label_weights"] / windows
        logging.info("%d texts became %d rows of at most %d tokens", len(examples), len(windows), config.max_seq_length)
    return EncodedExamples.from_lists(
        rows.input_ids,
        rows.segment_ids,
        pad_id=tokenizer.pad_id,
        max_seq_length=config.max_seq_length,
        bucket_lengths=config.bucket_lengths,
        example_features=features,
        sources=rows.sources,
    )


def pooled(values: np.ndarray, sources: Sequence[int], pooling: str = "mean") -> np.ndarray:
    """Return the mean or the maximum of the rows of each text, [N, ...].

    Args:
        values: an output of each row, float [R, ...].
        sources: the index of each row's text, ascending. Every text has a row.
        pooling: `mean` or `max`.
    """
    starts = np.flatnonzero(np.diff(sources, prepend=-1))
    if len(starts) == len(values):
        return values
    if pooling == "max":
        return np.maximum.reduceat(values, starts, axis=0)
    counts = np.diff(starts, append=len(values)).astype(values.dtype)
    return np.add.reduceat(values, starts, axis=0) / counts.reshape([-1] + [1] * (values.ndim - 1))


def pooled_distributions(probabilities: np.ndarray, sources: Sequence[int], pooling: str) -> np.ndarray:
    """Return the probabilities of exclusive classes, pooled as in `pooled`, float [N, C], with the sum 1.

    The largest probabilities of each class over several windows are divided by their sum.
    """
    found = pooled(probabilities, sources, pooling)
    if pooling == "max" and len(found):
        sums = np.where(np.bincount(sources)[:, None] > 1, found.sum(axis=-1, keepdims=True), 1)
        found = found / sums.astype(found.dtype)
    return found


def report_cut(num_cut: int, total: int, longest: int, *, advice: str, what: str = "texts") -> None:
    """Warn of texts that were cut, if there are any: now, or with all that `CutReports` collects.

    Args:
        num_cut: the number of texts that were cut.
        total: the number of all texts.
        longest: the number of tokens, with `[CLS]` and `[SEP]`, that they were cut to.
        advice: a sentence that says what helps, without its full stop.
        what: the name of the texts.
    """
    collected, warned = _COLLECTED.get(), _WARNED.get()
    key = what, longest, advice
    if collected is not None:
        before = collected.get(key, (0, 0))
        collected[key] = before[0] + num_cut, before[1] + total
    elif num_cut and (warned is None or key not in warned):
        logging.warning("%d of %d %s have more than %d tokens and were cut. %s", num_cut, total, what, longest, advice)
        if warned is not None:
            warned.add(key)


@contextlib.contextmanager
def warning_once() -> Iterator[None]:
    """Let `report_cut` warn once of the same texts, where several models answer them or they are changed a little.

    A block inside another one belongs to it.
    """
    warned = _WARNED.get()
    token = _WARNED.set(set() if warned is None else warned)
    try:
        yield
    finally:
        _WARNED.reset(token)


class CutReports:
    """Collects the reports of many calls, so that a command that answers in parts warns once."""

    def __init__(self) -> None:
        self._counts: _Counts = {}

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Collect the reports of the block."""
        token = _COLLECTED.set(self._counts)
        try:
            yield
        finally:
            _COLLECTED.reset(token)

    def report(self) -> None:
        """Warn of what was collected."""
        for (what, longest, advice), (num_cut, total) in self._counts.items():
            report_cut(num_cut, total, longest, advice=advice, what=what)
