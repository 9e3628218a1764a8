"""The description of each kind of model, from which readers, writers, predictor and exports take what they need."""

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias

if TYPE_CHECKING:
    from bert_tf.models.base import BertModel

Architectures: TypeAlias = Mapping[str, tuple[str, ...]]
"""Classes of Hugging Face's `transformers` by name, and the heads that each has."""


class ModelKind(abc.ABC):
    """A model for one purpose: a fine-tuning task, pre-training, or an encoder alone.

    Descriptions of models are read where Keras is not installed: only `model_class` imports it.

    Attributes:
        kind: the name of the kind in descriptions, configurations and messages.
        heads: the parts that the outputs depend on, besides the encoder's blocks, by the start of their weights' names.
                The model's own head is the last.
        keeps_head: whether fine-tuning goes on with the head of a checkpoint, where it has one.
        has_classes: whether the model has a number of classes of its own.
        has_pooling: whether the model can read texts by `pooling`.
        methods: the methods of `serving.predictor.Predictor` that answer with this model. `embed` and `search` need no
            mention where a Keras model has an encoder.
        output: the name of the model's output in exports; None if the model returns a dictionary of outputs.
        token_outputs: those of its outputs that have an axis of tokens.
        head_inputs: the inputs that the model reads beside those of the encoder.
        architectures: the classes of Hugging Face's `transformers` for this model, and the heads that each has.
        problem_type: the `problem_type` of Hugging Face's sequence classifiers; None for other models.
        pipeline_tag: the name of the task on the Hugging Face hub.
    """

    kind: ClassVar[str]
    heads: ClassVar[tuple[str, ...]] = ()
    keeps_head: ClassVar[bool] = False
    has_classes: ClassVar[bool] = False
    has_pooling: ClassVar[bool] = False
    methods: ClassVar[tuple[str, ...]] = ()
    output: ClassVar[str | None] = None
    token_outputs: ClassVar[tuple[str, ...]] = ()
    head_inputs: ClassVar[tuple[str, ...]] = ()
    architectures: ClassVar[Architectures] = {}
    problem_type: ClassVar[str | None] = None
    pipeline_tag: ClassVar[str]

    @classmethod
    @abc.abstractmethod
    def model_class(cls) -> "type[BertModel]":
        """Return the class of the model."""


class Encoder(ModelKind):
    """The encoder alone, which turns texts into vectors."""

    kind = "encoder"
    heads = ("encoder/pooler",)
    methods = ("embed", "search")
    token_outputs = ("sequence_output",)
    pipeline_tag = "feature-extraction"
    architectures: ClassVar[Architectures] = {"BertModel": heads}

    @classmethod
    def model_class(cls) -> "type[BertModel]":
        """Return `BertEncoder`."""
        from bert_tf.models.encoder import BertEncoder

        return BertEncoder


class Pretraining(ModelKind):
    """Masked-LM and next-sentence prediction."""

    kind = "pretraining"
    heads = ("encoder/pooler", "masked_lm", "next_sentence")
    methods = ("fill_mask", "complete", "log_likelihood", "perplexity", "embed", "search")
    head_inputs = ("masked_lm_positions",)
    pipeline_tag = "fill-mask"
    architectures: ClassVar[Architectures] = {
        "BertForPreTraining": heads,
        "BertForMaskedLM": ("masked_lm",),
        "BertForNextSentencePrediction": ("encoder/pooler", "next_sentence"),
    }

    @classmethod
    def model_class(cls) -> "type[BertModel]":
        """Return `BertPretrainer`."""
        from bert_tf.models.pretrainer import BertPretrainer

        return BertPretrainer
