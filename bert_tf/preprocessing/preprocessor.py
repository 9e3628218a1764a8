"""The step from raw strings to the inputs of a model, the same in Python and in a pipeline of tf.data.

Axes: B texts, L length.
"""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.tokenization.rows import RowOptions
from bert_tf.tokenization.wordpiece import MASK, WordPieceTokenizer

_NAMES = ("input_ids", "input_mask", "segment_ids")
_TEXT_NAMES = ("text", "text_pair")


class Preprocessor:
    """A function from texts, or pairs of texts, to the inputs of a model.

    >>> from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS
    >>> tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, "river", "##s"])
    >>> preprocessor = Preprocessor(tokenizer, max_length=6)
    >>> preprocessor(["Rivers", "river"])["input_ids"].tolist()
    [[2, 5, 6, 3, 0, 0], [2, 5, 3, 0, 0, 0]]
    >>> dataset = dataset.map(preprocessor)  # doctest: +SKIP

    In Python it takes lists, tuples of lists, arrays, columns of tables and eager tensors. Mapped over a
    `tf.data.Dataset` of strings it gives the same ids, in the operations of TensorFlow Text; where this is not
    installed, in a Python function that the pipeline calls.

    Args:
        tokenizer: the tokenizer.
        max_length: L, the largest number of tokens in a row; the longer text of a pair loses its end first.
        padding: `max_length` for rows of L tokens, as compilers prefer, or `longest` to pad to the longest row.
        long_texts: what is kept of a single text that exceeds the row: `cut` for its beginning, `head_tail` for its
            beginning and its end.
        parse_mask: whether a literal `[MASK]` in a text is the mask token.

    Attributes:
        tokenizer: the tokenizer.
        max_length: L.

    Raises:
        ValueError: `tokenizer` is none, or an option has an unknown value.
    """

    def __init__(
        self,
        tokenizer: WordPieceTokenizer,
        max_length: int,
        *,
        padding: str = "max_length",
        long_texts: str = "cut",
        parse_mask: bool = False,
    ) -> None:
        if not isinstance(tokenizer, WordPieceTokenizer):
            raise ValueError(f"`tokenizer` must be a WordPieceTokenizer. Received: {tokenizer!r:.100}")
        self._options = RowOptions(max_length, padding, long_texts)
        if max_length is None or self._options.padding is None:
            name, value = ("max_length", max_length) if max_length is None else ("padding", padding)
            raise ValueError(f"`{name}` must be given, so that rows make a batch. Received: {value!r}")
        self.tokenizer = tokenizer
        self.max_length = int(max_length)
        self.parse_mask = bool(parse_mask)
        self._graph_tokenizer: Any = None
        self._is_traced = False

    def __repr__(self) -> str:
        options = [f"max_length={self.max_length}", f"padding={self._options.padding!r}"]
        options += [f"long_texts={self._options.long_texts!r}"] * (self._options.long_texts != "cut")
        options += ["parse_mask=True"] * self.parse_mask
        return f"Preprocessor({self.tokenizer!r}, {', '.join(options)})"

    def __reduce__(self) -> tuple:
        """Pickle and copy by the configuration, since operations of a graph cannot be pickled."""
        return Preprocessor.from_config, (self.get_config(),)

    def get_config(self) -> dict[str, Any]:
        """Return the vocabulary and the options as values that JSON can hold."""
        return {
            "tokens": list(self.tokenizer.tokens),
            "do_lower_case": self.tokenizer.do_lower_case,
            "tokenizer_options": self.tokenizer.options.to_dict(),
            "max_length": self.max_length,
            "padding": self._options.padding,
            "long_texts": self._options.long_texts,
            "parse_mask": self.parse_mask,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Preprocessor":
        """Make the preprocessor whose `get_config` returned `config`.

        Raises:
            ValueError: an option has an unknown value, or the vocabulary lacks a token.
        """
        options = dict(config)
        tokenizer = WordPieceTokenizer.from_tokens(
            options.pop("tokens"),
            options.pop("do_lower_case"),
            TokenizerOptions.from_dict(options.pop("tokenizer_options")),
        )
        return cls(tokenizer, **options)

    def __call__(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Return the inputs of a model for texts, and labels and weights unchanged, in Keras's order.

        Args:
            x: texts, as the tokenizer takes them, or a string tensor, scalar or [B]. For pairs, a tuple `(texts,
                pairs)` of two such; or a dictionary of `text` and perhaps `text_pair`.
            y: labels, which are returned as they are; None for none.
            sample_weight: weights, which are returned as they are; None for none.

        Returns:
            `input_ids`, `input_mask` and `segment_ids`, int32 [B, L], or [L] for a scalar tensor: tensors of TensorFlow
            for a tensor, else arrays. With `y`, a tuple of this, `y` and, if given, `sample_weight`.

        Raises:
            ValueError: an item is not a text, the numbers of texts differ, or labels are texts.
        """
        texts, pairs = _texts_and_pairs(x)
        if _holds_text(y):
            raise ValueError(
                "`y` must be labels as numbers. The texts of a pair belong together: `x` is a tuple (texts, pairs). "
                f"Received: {y!r:.100}"
            )
        has_tensors = any(is_tensor(value) for value in (texts, pairs) if value is not None)
        batch = self._of_tensors(texts, pairs) if has_tensors else self._of_texts(texts, pairs)
        if sample_weight is not None:
            return batch, y, sample_weight
        return batch if y is None else (batch, y)

    def _of_texts(self, texts: Any, pairs: Any) -> dict[str, np.ndarray]:
        return self.tokenizer(
            texts,
            pairs,
            max_length=self.max_length,
            padding=self._options.padding,
            long_texts=self._options.long_texts,
            parse_special_tokens=[MASK] if self.parse_mask else False,
        )

    def _of_tensors(self, texts: Any, pairs: Any) -> dict[str, Any]:
        import tensorflow as tf

        tensors = [_string_tensor(value) for value in (texts, pairs) if value is not None]
        rank = tensors[0].shape.rank
        if not tensors[0].shape.is_compatible_with(tensors[-1].shape):
            raise ValueError(f"`x` must hold as many texts as pairs. Received: {texts!r:.100} and {pairs!r:.100}")
        if pairs is not None:
            self._options.check_pairs()
        if all(hasattr(tensor, "numpy") for tensor in tensors):
            batch = {name: tf.constant(array) for name, array in self._of_texts(*_pad(tensors)).items()}
        else:
            batch = self._in_graph([tf.reshape(tensor, [-1]) for tensor in tensors])
        if rank == 0:
            return {name: tensor[0] for name, tensor in batch.items()}
        return batch

    def _in_graph(self, tensors: list[Any]) -> dict[str, Any]:
        """Return the batch of symbolic tensors, string [B] each."""
        import tensorflow as tf

        if not self._is_traced:
            with tf.init_scope():  # the first call may be inside a function, whose constants would end with it
                self._graph_tokenizer = self._make_graph_tokenizer()
            self._is_traced = True
        length = self.max_length if self._options.padding == "max_length" else None
        batch_size = tensors[0].shape[0]
        graph = self._graph_tokenizer
        if graph is None:
            found = tf.numpy_function(self._arrays, tensors, [tf.int32] * len(_NAMES), stateful=False)
            batch = dict(zip(_NAMES, found, strict=True))
        else:
            from bert_tf.preprocessing.graph_rows import cut_to_longest, head_and_tail

            if len(tensors) > 1:  # one text would be taken for the pair of every other
                sizes = [tf.size(tensor) for tensor in tensors]
                tf.debugging.assert_equal(*sizes, "`x` must hold as many texts as pairs")
            ids = [graph.tokenize(tensor, MASK if self.parse_mask else None) for tensor in tensors]
            if self._options.long_texts == "head_tail":
                ids[0] = head_and_tail(ids[0], self.max_length - 2)
            rows = graph.pack_rows(*_pad(ids), self.max_length)
            batch = {name: rows[name] for name in _NAMES}
            if length is None:
                batch = cut_to_longest(batch)
        return {name: tf.ensure_shape(tensor, [batch_size, length]) for name, tensor in batch.items()}

    def _arrays(self, *texts: np.ndarray) -> list[np.ndarray]:
        batch = self._of_texts(*_pad(texts))
        return [batch[name] for name in _NAMES]

    def _make_graph_tokenizer(self) -> Any:
        from bert_tf.preprocessing.graph_tokenizer import GraphTokenizer

        try:
            return GraphTokenizer(self.tokenizer)
        except (ImportError, ValueError) as error:  # the latter for more added tokens than a graph finds
            logging.warning("A pipeline calls the tokenizer in Python, on one core at a time: %s", error)
            return None


def _pad(values: Any) -> tuple[Any, Any]:
    """Return one or two values as two, the second one perhaps None."""
    return (*values, None)[:2]


def _texts_and_pairs(x: Any) -> tuple[Any, Any]:
    """Return the first and the second texts of an input; None for the second of single texts."""
    if isinstance(x, Mapping):
        if "text" not in x or not set(x) <= set(_TEXT_NAMES):
            raise ValueError(
                f"`x` must have the names `text` and perhaps `text_pair`. Received: {', '.join(map(str, x))}"
            )
        return x["text"], x.get("text_pair")
    if not isinstance(x, tuple):
        return x, None
    if len(x) != 2 or any(isinstance(part, str | bytes) for part in x):
        raise ValueError(
            "`x` must be a list of texts, or a tuple (texts, pairs) of two lists, arrays or tensors. "
            f"Received: a tuple of {len(x)}, {x!r:.100}"
        )
    return x


def is_tensor(value: Any) -> bool:
    """Return whether a value is a tensor of TensorFlow, eager or symbolic, without importing it."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(value, tf.Tensor)


def _string_tensor(value: Any) -> Any:
    """Return texts as a tensor, string [] or [B]."""
    import tensorflow as tf

    tensor = tf.convert_to_tensor(value)
    if tensor.dtype != tf.string or tensor.shape.rank not in (0, 1):
        raise ValueError(f"`x` must be a string tensor of shape [] or [B]. Received: {tensor!r:.200}")
    return tensor


def _holds_text(labels: Any) -> bool:
    """Return whether labels are texts, by the first of them."""
    if is_tensor(labels):
        return labels.dtype.name == "string"
    if hasattr(labels, "shape"):
        labels = np.asarray(labels).reshape(-1)[:1].tolist()
    first = labels[0] if isinstance(labels, list | tuple) and labels else labels
    return isinstance(first, str | bytes)
