"""The names of each weight in every published format of BERT, in one table for all readers and writers.

Names are those of google-research/bert (`modeling.py`, `run_pretraining.py`, `run_classifier.py`, `run_squad.py`), of
Hugging Face's `BertModel` and its heads, and of KerasHub's `BertBackbone`; ours are `models.weights.named_weights`.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from bert_tf.configs import BertConfig

HEADS = (
    *("masked_lm", "next_sentence", "classification", "regression", "reranking", "token_classification"),
    *("question_answering", "multiple_choice"),
)
"""The heads that an encoder may have. The names of their weights begin with these."""


@dataclasses.dataclass(frozen=True)
class Part:
    """One tensor of the published formats.

    Attributes:
        google, hugging_face, keras_hub: its name in each format; None if the format has no such tensor.
        google_transposed, hugging_face_transposed: whether the format swaps the axes (PyTorch's kernels are [out, in]).
    """

    google: str | None
    hugging_face: str
    keras_hub: str | None = None
    google_transposed: bool = False
    hugging_face_transposed: bool = False

    @property
    def hugging_face_tf(self) -> str:
        """The name of a tensor of TensorFlow, whose kernels are [in, out]."""
        return self.hugging_face


@dataclasses.dataclass(frozen=True)
class Weight:
    """One weight of the models here.

    Attributes:
        name: the name in `models.weights.named_weights`.
        shape: the shape; None for a size that the configuration does not state (the number of classes).
        parts: the published tensors that it is made of, joined along the last axis.
    """

    name: str
    shape: tuple[int | None, ...]
    parts: tuple[Part, ...]

    def split(self, value: np.ndarray) -> list[np.ndarray]:
        """Return the parts of a value, not transposed."""
        return np.split(value, len(self.parts), axis=-1)


def is_encoder_weight(name: str) -> bool:
    """Return whether a weight belongs to the embeddings or the blocks, which every model has."""
    return name.startswith("encoder/") and not name.startswith("encoder/pooler/")


def _dense(name: str, inputs: int, outputs: int | None, google: str, hugging_face: str, keras_hub: str | None) -> list:
    kernel = Part(
        f"{google}/kernel",
        f"{hugging_face}.weight",
        keras_hub and f"{keras_hub}/kernel",
        hugging_face_transposed=True,
    )
    bias = Part(f"{google}/bias", f"{hugging_face}.bias", keras_hub and f"{keras_hub}/bias")
    return [Weight(f"{name}/kernel", (inputs, outputs), (kernel,)), Weight(f"{name}/bias", (outputs,), (bias,))]


def _layer_norm(name: str, size: int, google: str, hugging_face: str, keras_hub: str | None) -> list[Weight]:
    return [
        Weight(
            f"{name}/{ours}",
            (size,),
            (Part(f"{google}/{ours}", f"{hugging_face}.{theirs}", keras_hub and f"{keras_hub}/{ours}"),),
        )
        for ours, theirs in (("gamma", "weight"), ("beta", "bias"))
    ]


def _embeddings(config: BertConfig) -> Iterator[Weight]:
    tables = (
        ("word", config.vocab_size, "token_embedding/embeddings"),
        ("position", config.max_position_embeddings, "position_embedding/embeddings"),
        ("token_type", config.type_vocab_size, "segment_embedding/embeddings"),
    )
    for name, rows, keras_hub in tables:
        part = Part(f"bert/embeddings/{name}_embeddings", f"embeddings.{name}_embeddings.weight", keras_hub)
        yield Weight(f"encoder/embeddings/{name}_embeddings/embeddings", (rows, config.hidden_size), (part,))
    yield from _layer_norm(
        "encoder/embeddings/layer_norm",
        config.hidden_size,
        "bert/embeddings/LayerNorm",
        "embeddings.LayerNorm",
        "embeddings_layer_norm",
    )


def _block(config: BertConfig, number: int) -> Iterator[Weight]:
    ours, google = f"encoder/block_{number}", f"bert/encoder/layer_{number}"
    hugging_face, keras_hub = f"encoder.layer.{number}", f"transformer_layer_{number}"
    size = config.hidden_size
    for kind, shape in (("kernel", (size, 3 * size)), ("bias", (3 * size,))):
        parts = tuple(
            Part(
                f"{google}/attention/self/{role}/{kind}",
                f"{hugging_face}.attention.self.{role}.{'weight' if kind == 'kernel' else 'bias'}",
                f"{keras_hub}/self_attention_layer/{role}/{kind}",
                hugging_face_transposed=kind == "kernel",
            )
            for role in ("query", "key", "value")
        )
        yield Weight(f"{ours}/attention/query_key_value/{kind}", shape, parts)
    yield from _dense(
        f"{ours}/attention/output_dense",
        size,
        size,
        f"{google}/attention/output/dense",
        f"{hugging_face}.attention.output.dense",
        f"{keras_hub}/self_attention_layer/attention_output",
    )
    yield from _layer_norm(
        f"{ours}/attention_layer_norm",
        size,
        f"{google}/attention/output/LayerNorm",
        f"{hugging_face}.attention.output.LayerNorm",
        f"{keras_hub}/self_attention_layer_norm",
    )
    yield from _dense(
        f"{ours}/intermediate_dense",
        size,
        config.intermediate_size,
        f"{google}/intermediate/dense",
        f"{hugging_face}.intermediate.dense",
        f"{keras_hub}/feedforward_intermediate_dense",
    )
    yield from _dense(
        f"{ours}/output_dense",
        config.intermediate_size,
        size,
        f"{google}/output/dense",
        f"{hugging_face}.output.dense",
        f"{keras_hub}/feedforward_output_dense",
    )
    yield from _layer_norm(
        f"{ours}/output_layer_norm",
        size,
        f"{google}/output/LayerNorm",
        f"{hugging_face}.output.LayerNorm",
        f"{keras_hub}/feedforward_layer_norm",
    )


def _output_layer(
    head: str, size: int, classes: int | None, google: str, hugging_face: str, *, keras_hub: str | None = None
) -> list[Weight]:
    """Return the weights of a head's last product. Google names them `output_weights` [C, D] and `output_bias`."""
    kernel = Part(
        f"{google}output_weights",
        f"{hugging_face}.weight",
        keras_hub and f"{keras_hub}/kernel",
        google_transposed=True,
        hugging_face_transposed=True,
    )
    bias = Part(f"{google}output_bias", f"{hugging_face}.bias", keras_hub and f"{keras_hub}/bias")
    return [
        Weight(f"{head}/dense/kernel", (size, classes), (kernel,)),
        Weight(f"{head}/dense/bias", (classes,), (bias,)),
    ]


def _head(config: BertConfig, head: str) -> Iterator[Weight]:
    size = config.hidden_size
    if head == "masked_lm":
        google, hugging_face = "cls/predictions/transform", "cls.predictions.transform"
        yield from _dense("masked_lm/dense", size, size, f"{google}/dense", f"{hugging_face}.dense", None)
        yield from _layer_norm("masked_lm/layer_norm", size, f"{google}/LayerNorm", f"{hugging_face}.LayerNorm", None)
        bias = Part("cls/predictions/output_bias", "cls.predictions.bias")
        yield Weight("masked_lm/output_bias", (config.vocab_size,), (bias,))
    elif head == "next_sentence":
        yield from _output_layer(head, size, 2, "cls/seq_relationship/", "cls.seq_relationship")
    elif head == "question_answering":
        yield from _output_layer(head, size, 2, "cls/squad/", "qa_outputs")
    else:
        # Classifiers, taggers, regressors, rerankers and models that choose share their names (`conversion.heads`).
        classes = 1 if head in ("regression", "reranking", "multiple_choice") else None
        keras_hub = "logits" if head == "classification" else None
        yield from _output_layer(head, size, classes, "", "classifier", keras_hub=keras_hub)


def head_names(form: str, config: BertConfig, head: str) -> list[str]:
    """Return the names of a head's tensors in a format, such as `hugging_face`; [] if it has none."""
    weights = _head(config, head) if head in HEADS else ()
    names = [getattr(part, form) for weight in weights for part in weight.parts]
    return [name for name in names if name is not None]


def weights_of(config: BertConfig, heads: Sequence[str] = ()) -> list[Weight]:
    """Return the weights of an encoder with its pooler, and of `heads`, in the order of the model.

    Raises:
        ValueError: the configuration has no counterpart in published BERTs (factorised embeddings).
    """
    if config.embedding_size not in (None, config.hidden_size):
        raise ValueError(
            "`embedding_size` must be `hidden_size` for a conversion: published BERTs have no factorised embeddings. "
            f"Received: embedding_size={config.embedding_size}, hidden_size={config.hidden_size}"
        )
    weights = list(_embeddings(config))
    for number in range(config.num_layers):
        weights.extend(_block(config, number))
    size = config.hidden_size
    weights.extend(_dense("encoder/pooler/dense", size, size, "bert/pooler/dense", "pooler.dense", "pooled_dense"))
    for head in heads:
        weights.extend(_head(config, head))
    return weights
