"""The export of models to `.onnx` files for ONNX Runtime; `serving.onnx_model` reads them.

The graph is written layer by layer from the model's weights, with the operations that ONNX has for them: one node each
for LayerNorm, GELU and softmax, which runtimes recognise and fuse. (tf2onnx 1.17 knows no operation of TensorFlow's
GELU by the error function, and takes LayerNorm apart.)

Shapes: B batch, L length, D hidden, N heads, H = D / N head size.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_tf.features import ID_NAMES
from bert_tf.layers.transformer_block import TransformerBlock
from bert_tf.models.classifier import BertClassifier
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.multiple_choice import BertMultipleChoice
from bert_tf.models.question_answerer import BertQuestionAnswerer
from bert_tf.models.regressor import BertRegressor
from bert_tf.models.reranker import BertReranker
from bert_tf.models.token_classifier import BertTokenClassifier
from bert_tf.utils import files

OPSET = 20
"""The version of ONNX's operations, the first with GELU: ONNX Runtime 1.17, of January 2024."""

_IR_VERSION = 9  # the version of the file's format that came with the operations
_FORBIDDEN = -1e9  # what the score of a key that may not be read becomes, as in `attention_probabilities`
_HEADS = (
    *(BertClassifier, BertRegressor, BertReranker, BertTokenClassifier, BertQuestionAnswerer),
    BertMultipleChoice,
)


def check_model(model: Any) -> None:
    """Check that a model can be converted, and that the package `onnx` is installed.

    Raises:
        ValueError: the model is no encoder and has none of the heads that this module writes.
        ImportError: `onnx` is not installed.
    """
    outputs_of = getattr(type(model), "outputs_of", None)
    if not isinstance(model, BertEncoder) and outputs_of not in [head.outputs_of for head in _HEADS]:
        raise ValueError(
            "`onnx` takes encoders and models that classify, tag, choose, rerank, compute a number or answer "
            f"questions. Received: a {type(model).__name__}"
        )
    _onnx()


def write_onnx(model: Any, path: str) -> int:
    """Write a model as an ONNX file.

    The file takes `input_ids`, `input_mask` and `segment_ids`, int32 [B, L] of any size, and returns the outputs of the
    Keras model, float32.

    Args:
        model: an encoder or a fine-tuned model, in float32.
        path: the file to write, whole or not at all.

    Returns:
        The file's size in bytes.

    Raises:
        ValueError: as `check_model`.
        ImportError: `onnx` is not installed.
    """
    check_model(model)
    contents = _Graph(model).model().SerializeToString()
    files.write_bytes(path, contents)
    return len(contents)


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f"an ONNX file needs onnx: pip install 'bert_tf[onnx]' ({error})") from error
    return onnx


class _Graph:
    """The graph of a model, in which every method adds nodes and returns the name of their output."""

    def __init__(self, model: Any) -> None:
        self._onnx = _onnx()
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._outputs: list[Any] = []
        encoder = model if isinstance(model, BertEncoder) else model.encoder
        sequence = self._sequence(encoder)
        first = self._add("Gather", sequence, self._constant(0, np.int64), axis=1)  # [B, D]
        pooled = self._pooled(encoder, first)
        if model is encoder:
            self._output("sequence_output", sequence, ["B", "L", encoder.config.hidden_size])
            self._output("pooled_output", pooled, ["B", encoder.config.hidden_size])
            return
        if getattr(model, "pooling", "cls") == "mean":
            pooled = self._pooled(encoder, self._mean(sequence))
        if isinstance(model, BertClassifier):
            self._output("logits", self._dense(pooled, model.classification.dense), ["B", model.num_classes])
        elif isinstance(model, BertMultipleChoice):
            self._output("logits", self._dense(pooled, model.multiple_choice.dense), ["B", 1])
        elif isinstance(model, BertRegressor):
            values = self._dense(pooled, model.regression.dense)
            self._output("values", self._squeezed(values, 1), ["B"])
        elif isinstance(model, BertReranker):
            logits = self._dense(pooled, model.reranking.dense)
            self._output("logits", self._squeezed(logits, 1), ["B"])
        elif isinstance(model, BertTokenClassifier):
            logits = self._dense(sequence, model.token_classification.dense)
            self._output("logits", logits, ["B", "L", model.num_classes])
        else:
            logits = self._dense(sequence, model.question_answering.dense)
            for name, part in zip(("start_logits", "end_logits"), self._split(logits, 2, axis=2), strict=True):
                self._output(name, self._squeezed(part, 2), ["B", "L"])

    def model(self) -> Any:
        """Return the file's contents, an `onnx.ModelProto`."""
        helper, int32 = self._onnx.helper, self._onnx.TensorProto.INT32
        inputs = [helper.make_tensor_value_info(name, int32, ["B", "L"]) for name in ID_NAMES]
        graph = helper.make_graph(self._nodes, "bert", inputs, self._outputs, self._constants)
        return helper.make_model(
            graph,
            producer_name="bert_tf",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
        )

    def _sequence(self, encoder: BertEncoder) -> str:
        """Return `sequence_output`, [B, L, D]."""
        embeddings = encoder.embeddings
        words = self._add("Gather", self._constant(embeddings.word_embeddings.embeddings), "input_ids")
        segments = self._add("Gather", self._constant(embeddings.token_type_embeddings.embeddings), "segment_ids")
        table = self._constant(embeddings.position_embeddings.embeddings)
        length = self._add("Shape", "input_ids", start=1, end=2)
        positions = self._add("Slice", table, self._constant([0], np.int64), length)  # [L, E]
        summed = self._add("Add", self._add("Add", words, positions), segments)
        x = self._norm(summed, embeddings.layer_norm)
        if embeddings.projection is not None:
            x = self._dense(x, embeddings.projection)
        forbidden = self._forbidden()
        for block in encoder.blocks:
            x = self._block(block, x, forbidden)
        return x

    def _forbidden(self) -> str:
        """Return what is added to scores, [B, 1, L, L], so that queries read what `attention_allowed` allows."""
        queries = self._add("Unsqueeze", "input_mask", self._constant([1, 3], np.int64))
        keys = self._add("Unsqueeze", "input_mask", self._constant([1, 2], np.int64))
        is_token = self._add("Greater", keys, self._constant(0, np.int32))
        allowed = self._add("And", self._add("Equal", queries, keys), is_token)
        return self._add("Where", allowed, self._constant(0.0), self._constant(_FORBIDDEN))

    def _block(self, block: TransformerBlock, x: str, forbidden: str) -> str:
        attention = block.attention
        head_size = attention.hidden_size // attention.num_heads
        query, key, value = self._split(self._dense(x, attention.query_key_value), 3, axis=2)  # [B, L, D] each
        shape = self._constant([0, 0, attention.num_heads, head_size], np.int64)  # 0 keeps the size of an axis

        def heads(x: str, order: Sequence[int]) -> str:
            return self._add("Transpose", self._add("Reshape", x, shape), perm=order)

        scores = self._add("MatMul", heads(query, (0, 2, 1, 3)), heads(key, (0, 2, 3, 1)))  # [B, N, L, L]
        scaled = self._add("Mul", scores, self._constant(head_size**-0.5))
        probabilities = self._add("Softmax", self._add("Add", scaled, forbidden), axis=-1)
        context = self._add("MatMul", probabilities, heads(value, (0, 2, 1, 3)))  # [B, N, L, H]
        joined = self._add("Transpose", context, perm=(0, 2, 1, 3))
        flat = self._add("Reshape", joined, self._constant([0, 0, attention.hidden_size], np.int64))
        branch = self._dense(flat, attention.output_dense)
        x = self._norm(self._add("Add", x, branch), block.attention_layer_norm)
        expanded = self._activation(self._dense(x, block.intermediate_dense), block.hidden_act)
        return self._norm(self._add("Add", x, self._dense(expanded, block.output_dense)), block.output_layer_norm)

    def _activation(self, x: str, hidden_act: str) -> str:
        if hidden_act == "relu":
            return self._add("Relu", x)
        return self._add("Gelu", x, approximate="tanh" if hidden_act == "gelu_new" else "none")

    def _pooled(self, encoder: BertEncoder, vectors: str) -> str:
        return self._add("Tanh", self._dense(vectors, encoder.pooler.dense))

    def _mean(self, sequence: str) -> str:
        """Return the mean over each row's first sequence, [B, D], as `pooling.mean_vectors` does."""
        own = self._add("Equal", "input_mask", self._constant(1, np.int32))
        weights = self._add("Where", own, self._constant(1.0), self._constant(0.0))  # [B, L]
        rows = self._add("Unsqueeze", weights, self._constant([1], np.int64))  # [B, 1, L]
        summed = self._squeezed(self._add("MatMul", rows, sequence), 1)
        count = self._add("ReduceSum", weights, self._constant([1], np.int64), keepdims=1)
        return self._add("Div", summed, self._add("Max", count, self._constant(1.0)))

    def _dense(self, x: str, dense: Any) -> str:
        """Return the product and the bias of a dense layer, without its activation."""
        return self._add("Add", self._add("MatMul", x, self._constant(dense.kernel)), self._constant(dense.bias))

    def _norm(self, x: str, norm: Any) -> str:
        gamma, beta = self._constant(norm.gamma), self._constant(norm.beta)
        return self._add("LayerNormalization", x, gamma, beta, axis=-1, epsilon=norm.epsilon)

    def _squeezed(self, x: str, axis: int) -> str:
        return self._add("Squeeze", x, self._constant([axis], np.int64))

    def _split(self, x: str, count: int, axis: int) -> list[str]:
        names = [f"Split_{len(self._nodes)}_{number}" for number in range(count)]
        self._nodes.append(self._onnx.helper.make_node("Split", [x], names, axis=axis, num_outputs=count))
        return names

    def _add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operation}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operation, inputs, [name], name, **attributes))
        return name

    def _constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(_array(value, dtype), name))
        return name

    def _output(self, name: str, value: str, shape: Sequence[int | str]) -> None:
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name], name))
        float32 = self._onnx.TensorProto.FLOAT
        self._outputs.append(self._onnx.helper.make_tensor_value_info(name, float32, shape))


def _array(value: Any, dtype: Any = np.float32) -> np.ndarray:
    """Return a weight, or a number, as an array."""
    return np.asarray(getattr(value, "value", value), dtype)
