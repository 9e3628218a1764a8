"""Models compute the same outputs without padding as with it."""

import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, shake

from bert_tf.models.classifier import BertClassifier
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.multi_label_classifier import BertMultiLabelClassifier
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.models.question_answerer import BertQuestionAnswerer
from bert_tf.models.regressor import BertRegressor
from bert_tf.models.token_classifier import BertTokenClassifier
from bert_tf.serving import padding_free
from bert_tf.serving.padding_free import in_one_matrix, without_padding

MODELS = {
    "encoder": BertEncoder,
    "factorised": lambda config: BertEncoder(config.replace(embedding_size=8, hidden_act="gelu_new")),
    "pretrainer": BertPretrainer,
    "classifier": lambda config: BertClassifier(config, 3),
    "mean": lambda config: BertClassifier(config, 3, pooling="mean"),
    "multi_label": lambda config: BertMultiLabelClassifier(config, 3),
    "regressor": BertRegressor,
    "tagger": lambda config: BertTokenClassifier(config, 5),
    "answerer": BertQuestionAnswerer,
}


def _rows(lengths, longest, per_row=1):
    """Return rows of random tokens, with `per_row` sequences of the same length in each."""
    random = np.random.default_rng(3)
    shape = (len(lengths), longest)
    inputs = {
        "input_ids": random.integers(5, SMALL.vocab_size, shape),
        "segment_ids": random.integers(0, 2, shape),
        "input_mask": np.zeros(shape),
        "position_ids": np.broadcast_to(np.arange(longest), shape).copy(),
    }
    for row, length in enumerate(lengths):
        for number in range(per_row):
            part = slice(number * length, (number + 1) * length)
            inputs["input_mask"][row, part] = number + 1
            inputs["position_ids"][row, part] = np.arange(length)
    inputs["masked_lm_positions"] = np.zeros((len(lengths), 2))
    return {name: tf.constant(array, tf.int32) for name, array in inputs.items()}


def _on_tokens(outputs, inputs):
    """Return the outputs by name, without the values at padding."""
    outputs = outputs if isinstance(outputs, dict) else {"output": outputs}
    is_token, length = inputs["input_mask"].numpy() > 0, inputs["input_mask"].shape[1]
    arrays = {name: tensor.numpy() for name, tensor in outputs.items()}
    return {
        name: array[is_token] if array.ndim > 1 and array.shape[1] == length else array
        for name, array in arrays.items()
    }


@pytest.mark.parametrize("form", [without_padding, in_one_matrix])
@pytest.mark.parametrize(("lengths", "per_row"), [((7, 1, 12, 3), 1), ((4, 1, 3), 3)])
@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_the_same_as_with_padding(name, lengths, per_row, form):
    model = MODELS[name](SMALL)
    shake(model)
    inputs = _rows(lengths, 14, per_row)
    expected = _on_tokens(model(inputs, training=False), inputs)
    found = _on_tokens(tf.function(form(model))(inputs), inputs)
    assert sorted(found) == sorted(expected)
    for key, array in expected.items():
        assert np.ptp(array) > 0.1
        np.testing.assert_allclose(found[key], array, atol=1e-5)


def test_bfloat16_models_keep_their_dtype_and_outputs():
    model = BertClassifier(SMALL, 3, dtype="bfloat16")
    shake(model)
    inputs = _rows((7, 1, 12, 3), 14)
    expected = model(inputs, training=False)
    found = without_padding(model)(inputs)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_rows_without_tokens_give_finite_outputs():
    encoder = BertEncoder(SMALL)
    shake(encoder)
    inputs = _rows((5, 0), 6)
    expected = encoder(inputs)["sequence_output"][0, :5]
    np.testing.assert_allclose(without_padding(encoder)(inputs)["sequence_output"][0, :5], expected, atol=1e-5)
    nothing = without_padding(encoder)(_rows((0,), 6))
    assert np.isfinite(nothing["sequence_output"]).all()
    no_rows = without_padding(encoder)({name: tensor[:0] for name, tensor in inputs.items()})
    assert no_rows["sequence_output"].shape == (0, 6, SMALL.hidden_size)
    assert no_rows["pooled_output"].shape == (0, SMALL.hidden_size)


def test_padding_is_left_out():
    lengths = np.random.default_rng(0).integers(5, 60, 32)
    mask = tf.constant(np.arange(64) < lengths[:, None], tf.int32)
    packing = padding_free._packing({"input_mask": mask})
    assert lengths.sum() <= len(packing.positions) <= 1.07 * lengths.sum() < 0.7 * mask.numpy().size
    np.testing.assert_array_equal(packing.positions[: lengths.sum()], np.flatnonzero(mask))
    tokens = packing.tokens.numpy()[np.flatnonzero(mask)]
    np.testing.assert_array_equal(tokens, np.arange(lengths.sum()))


def test_every_shape_in_the_graph_of_one_matrix_is_known():
    encoder = BertEncoder(SMALL)
    names = ("input_ids", "input_mask", "segment_ids")
    graph = tf.function(in_one_matrix(encoder)).get_concrete_function(
        {name: tf.TensorSpec([2, 6], tf.int32) for name in names}
    )
    unknown = [
        tensor.name
        for operation in graph.graph.get_operations()
        for tensor in operation.outputs
        if tensor.dtype.is_floating and not tensor.shape.is_fully_defined()
    ]
    assert not unknown


def test_matrices_have_few_sizes():
    counts = (0, 1, 8, 9, 255, 256, 257, 800, 1023, 70000)
    sizes = {count: int(padding_free._size(tf.constant(count))) for count in counts}
    assert sizes == {0: 8, 1: 8, 8: 8, 9: 16, 255: 256, 256: 256, 257: 272, 800: 800, 1023: 1024, 70000: 73728}
