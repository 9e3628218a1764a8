"""The base class of all exports: a tokenizer and a model in one graph, and the signatures that call it.

Axes: B texts, R rows, L length.
"""

import abc
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import tensorflow as tf

from bert_tf import features
from bert_tf.features import ID_NAMES
from bert_tf.models.weights import named_weights
from bert_tf.preprocessing.graph_tokenizer import GraphTokenizer
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving.exported import ExportedModel
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.padding_free import without_padding
from bert_tf.serving.static_shapes import Tensors, shaped
from bert_tf.tasks.encoded import default_bucket_lengths
from bert_tf.tasks.model_kinds import ModelKind
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

_IDS = tf.TensorSpec([None, None], tf.int32)
_STRINGS = tf.TensorSpec([None], tf.string)
_LISTS = tf.TensorSpec([None, None], tf.string)
_NUMBERS = tf.TensorSpec([None], tf.int32)


def named(spec: tf.TensorSpec, name: str) -> tf.TensorSpec:
    """Return a copy of `spec` with a name, which becomes the name of a signature's input."""
    return tf.TensorSpec(spec.shape, spec.dtype, name)


class Signatures(tf.Module, abc.ABC):
    """A model that answers raw strings.

    Args:
        model: the Keras model.
        description: the description of the model.
        tokenizer: the tokenizer of the model.
        options: the options of the export.
    """

    model_kind: ClassVar[type[ModelKind]]
    """The kind of model that has these signatures, unless its own class or one nearer to it has others."""

    text_inputs: tuple[str, ...] = ("text",)
    """The inputs of `serving_default`, each string [B], and the features of a `tf.train.Example` of `examples`."""

    list_inputs: tuple[str, ...] = ()
    """The names among `text_inputs` that hold several texts for each example: string [B, None], filled up with ""."""

    optional_inputs: tuple[str, ...] = ()
    """The names among `text_inputs` that a `tf.train.Example` may leave out, for ""."""

    number_inputs: tuple[str, ...] = ()
    """Further inputs of every signature, each int32 [B]. In a `tf.train.Example` of `examples` they may be left out."""

    id_inputs: tuple[str, ...] = ID_NAMES
    """The inputs of `token_ids`, each int32 [B, None]."""

    examples_method = "predict"
    """The method of TensorFlow Serving's API that calls `examples`: `predict`, `classify` or `regress`."""

    needs_mask = False
    """True if a text needs a `[MASK]` to have an answer."""

    def __init__(
        self, model: Any, description: ModelDescription, tokenizer: WordPieceTokenizer, *, options: ExportOptions
    ) -> None:
        super().__init__(name="served")
        # The module holds only the weights. A Keras model in a tf.Module would be traced and saved a second time.
        self.weights = [variable.value for variable in named_weights(model).values()]
        self.options = options
        self.max_seq_length = self.longest_row(description)
        task: Any = description.task_config
        self.task = task
        given = task.bucket_lengths if task else ()
        # Rows have one of a few lengths, as in evaluation, or a single length if the model has a fixed shape.
        shorter = sorted({length for length in given if length < self.max_seq_length})
        lengths = [*shorter, self.max_seq_length] if given else default_bucket_lengths(self.max_seq_length)
        self.bucket_lengths = tuple(lengths[-1:] if options.fixed_batch_size else lengths)
        self.graph_tokenizer = GraphTokenizer(tokenizer)
        head_inputs = set(self.id_inputs) - set(ID_NAMES)
        self.forward = self.function(model, (*features.encoder_batch(None, None), *head_inputs))

    @property
    def parts(self) -> "dict[str, Signatures]":
        """The signatures of each task by its name: these, whose task needs no name."""
        return {"": self}

    def longest_row(self, description: ModelDescription) -> int:
        """Return the largest number of tokens in a row of texts."""
        return description.max_seq_length

    def function(self, model: Any, names: tuple[str, ...]) -> Callable[[Tensors], Any]:
        """Return the model as a graph function of rows, with the inputs `names`."""
        # Without padding, shapes vary with the texts, and XLA would compile for each of them.
        as_it_is = self.options.jit_compile or self.options.fixed_batch_size or isinstance(model, ExportedModel)
        call = (lambda inputs: model(inputs, training=False)) if as_it_is else without_padding(model)
        return shaped(call, names, self.options, max_seq_length=self.max_seq_length)

    def rows(self, first: tf.RaggedTensor, second: tf.RaggedTensor | None = None) -> Tensors:
        """Return the encoder's inputs for the tokens of texts or pairs, padded to the shortest length that holds them.

        Args:
            first: int32 [R, None], the ids of the first texts.
            second: the ids of the second texts, or None for single texts.
        """
        lengths = first.row_lengths() if second is None else first.row_lengths() + second.row_lengths() + 1
        longest = tf.cast(tf.reduce_max(tf.concat([lengths, [1]], axis=0)), tf.int32) + 2
        buckets = tf.constant(self.bucket_lengths)
        # Longer rows are cut, as in training.
        index = tf.searchsorted(buckets, tf.minimum(longest, self.max_seq_length)[None])[0]
        return self.graph_tokenizer.pack_rows(first, second, tf.gather(buckets, index))

    @abc.abstractmethod
    def from_texts(self, *args: Any, **kwargs: Any) -> Tensors:
        """Return the outputs of `serving_default`."""

    @abc.abstractmethod
    def from_ids(self, inputs: Tensors) -> Tensors:
        """Return the outputs of `token_ids`."""

    def for_examples(self, outputs: Tensors) -> Tensors:
        """Return the outputs of `examples`, made from those of `serving_default`."""
        return outputs

    def signatures(self) -> dict[str, Any]:
        """Return the functions to save, keyed by the names of their signatures."""
        names = (*self.text_inputs, *self.number_inputs)

        @tf.function(input_signature=self._specs(_STRINGS, self.text_inputs), autograph=False)
        def serving_default(*given: tf.Tensor) -> Tensors:
            return self.from_texts(**dict(zip(names, given, strict=True)))

        @tf.function(input_signature=[named(_STRINGS, "inputs")], autograph=False)
        def examples(inputs: tf.Tensor) -> Tensors:
            schema: dict[str, Any] = {name: tf.io.FixedLenFeature([], tf.string) for name in self.text_inputs}
            schema |= {name: tf.io.FixedLenFeature([], tf.string, "") for name in self.optional_inputs}
            schema |= {name: tf.io.RaggedFeature(tf.string) for name in self.list_inputs}
            schema |= {name: tf.io.FixedLenFeature([], tf.int64, 0) for name in self.number_inputs}
            given = tf.io.parse_example(inputs, schema)
            given |= {name: given[name].to_tensor("") for name in self.list_inputs}
            numbers = {name: tf.cast(given[name], tf.int32) for name in self.number_inputs}
            return self.for_examples(self.from_texts(**given | numbers))

        return {
            "serving_default": serving_default,
            "examples": examples,
            "token_ids": self.of_ids(self.from_ids, self.id_inputs),
        }

    def of_ids(self, answer: Callable[[Tensors], Tensors], names: tuple[str, ...]) -> Any:
        """Return a signature that applies `answer` to token ids from the caller."""

        @tf.function(input_signature=self._specs(_IDS, names), autograph=False)
        def token_ids(*given: tf.Tensor) -> Tensors:
            inputs = dict(zip((*names, *self.number_inputs), given, strict=True))
            if self.options.fixed_batch_size:
                for name in ID_NAMES:
                    missing = self.max_seq_length - tf.shape(inputs[name])[1]
                    inputs[name] = tf.pad(inputs[name], [[0, 0], [0, missing]])
            positions = tf.range(tf.shape(inputs["input_ids"])[1])
            inputs["position_ids"] = tf.broadcast_to(positions, tf.shape(inputs["input_ids"]))
            return answer(inputs)

        return token_ids

    def _specs(self, spec: tf.TensorSpec, names: Sequence[str]) -> list[tf.TensorSpec]:
        """Return the inputs of a signature: those of `names`, and the numbers."""
        specs = {name: _LISTS if name in self.list_inputs else spec for name in names}
        return [
            *(named(each, name) for name, each in specs.items()),
            *(named(_NUMBERS, name) for name in self.number_inputs),
        ]
