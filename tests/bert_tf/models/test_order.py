"""The input `order`, which makes a causal or a sequence-to-sequence model of every encoder."""

from itertools import chain

import numpy as np
import numpy_bert
import pytest
import tensorflow as tf
from small_model import SMALL, numpy_weights, shake

from bert_tf.layers.attention import attention_allowed
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.serving.padding_free import in_one_matrix, without_padding

SOURCE, TARGET = [2, 9, 17, 3], [11, 30, 8, 3]


@pytest.fixture(scope="module")
def encoder():
    model = BertEncoder(SMALL)
    shake(model)
    return model


def _pair(source, target, number=1):
    """Return the row of a source and a target, as lists."""
    size = len(source) + len(target)
    return {
        "input_ids": [*source, *target],
        "input_mask": [number] * size,
        "segment_ids": [0] * len(source) + [1] * len(target),
        "position_ids": list(range(size)),
        "order": [0] * len(source) + list(range(1, len(target) + 1)),
    }


def _batch(*rows):
    return {name: np.array([row[name] for row in rows], "int32") for name in rows[0]}


def _causal(ids, weights, order):
    """Return `sequence_output` [L, D] of one sequence in NumPy, where a token reads no token of a larger order."""
    encoder = {name.removeprefix("encoder/"): array for name, array in weights.items()}
    embeddings = {n.removeprefix("embeddings/"): a for n, a in encoder.items() if n.startswith("embeddings/")}
    x = numpy_bert.embed(np.array(ids), np.zeros(len(ids), int), np.arange(len(ids)), embeddings)
    for number in range(SMALL.num_layers):
        start = f"block_{number}/"
        block = {name.removeprefix(start): array for name, array in encoder.items() if name.startswith(start)}
        # The vector of a token is that which a row of the tokens that it may read gives it.
        reads = [[key for key in range(len(ids)) if order[key] <= order[query]] for query in range(len(ids))]
        x = np.stack([numpy_bert.block(x[keys], SMALL.num_heads, block)[keys.index(q)] for q, keys in enumerate(reads)])
    return x


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 2, 3], [0, 0, 1, 1, 2, 2]])
def test_equals_numpy(encoder, order):
    ids = [2, 9, 17, 30, 8, 3]
    found = encoder({"input_ids": np.array([ids], "int32"), "order": np.array([order], "int32")})["sequence_output"][0]
    np.testing.assert_allclose(found, _causal(ids, numpy_weights(encoder), order), atol=1e-5)
    assert np.abs(found - encoder({"input_ids": np.array([ids], "int32")})["sequence_output"][0]).max() > 0.1


def test_order_0_everywhere_changes_no_bit(encoder):
    batch = _batch(_pair(SOURCE, TARGET), _pair(SOURCE[::-1], TARGET, number=3))
    without = {name: array for name, array in batch.items() if name != "order"}
    for training in (False, True):
        with_zeros = encoder(without | {"order": np.zeros_like(batch["order"])}, training=training)
        for name, tensor in encoder(without, training=training).items():
            np.testing.assert_array_equal(with_zeros[name], tensor)


def test_no_gradient_comes_from_future_target_tokens(encoder):
    batch = {name: tf.constant(array) for name, array in _batch(_pair(SOURCE, TARGET)).items()}
    embeddings, length = encoder.embeddings, len(SOURCE) + len(TARGET)
    ids = (batch["input_ids"], batch["segment_ids"], batch["position_ids"])
    allowed = attention_allowed(batch["input_mask"], batch["order"])
    x = embeddings(*ids)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = x
        for block in encoder.blocks:
            y = block(y, allowed)
        # Sums of squares: the sum of a normalised vector is constant.
        outputs = tf.reduce_sum(y * tf.random.stateless_normal(y.shape, [1, 2]), axis=-1)[0]
    influence = np.abs(tape.jacobian(outputs, x)[:, 0]).max(axis=-1)  # [query, key]
    order = batch["order"][0].numpy()
    reads = order[None, :] <= order[:, None]
    assert influence.shape == (length, length)
    assert (influence[~reads] == 0.0).all()
    assert (influence[reads] > 1e-6).all()


def test_pairs_of_a_packed_row_are_the_pairs_alone():
    model = BertPretrainer(SMALL)
    shake(model)
    pairs = [_pair(SOURCE, TARGET), _pair([2, 5, 3], [33, 3], number=2), _pair([2, 20, 21, 22, 3], [8, 9, 3], number=3)]
    padding = dict.fromkeys(pairs[0], [0] * 3)
    packed = {name: list(chain.from_iterable(part[name] for part in (*pairs, padding))) for name in padding}
    size = len(packed["input_ids"])
    positions = {"masked_lm_positions": np.arange(size, dtype="int32")[None]}
    together = model(_batch(packed) | positions)["masked_lm_logits"][0]
    start = 0
    for pair in pairs:
        length = len(pair["input_ids"])
        alone = model(_batch(pair) | {"masked_lm_positions": np.arange(length, dtype="int32")[None]})
        np.testing.assert_allclose(together[start : start + length], alone["masked_lm_logits"][0], atol=1e-5)
        start += length


@pytest.mark.parametrize("form", [without_padding, in_one_matrix])
def test_serving_without_padding_keeps_the_order(encoder, form):
    short = {name: [*values[:-2], 0, 0] for name, values in _pair(SOURCE, TARGET).items()}
    batch = {name: tf.constant(array) for name, array in _batch(_pair(SOURCE, TARGET), short).items()}
    is_token = batch["input_mask"].numpy() > 0
    found = form(encoder)(batch)["sequence_output"].numpy()[is_token]
    np.testing.assert_allclose(found, encoder(batch)["sequence_output"].numpy()[is_token], atol=1e-5)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (np.zeros((1, 5), "int32"), r"`order` must have the shape of `input_ids`, \[1, 6\]"),
        (np.zeros((1, 6), "float32"), "`order` must hold integers"),
    ],
)
def test_a_wrong_order_is_refused(encoder, order, message):
    with pytest.raises(ValueError, match=message):
        encoder({"input_ids": np.ones((1, 6), "int32"), "order": order})


def test_exports_and_keras_files_have_no_order(encoder):
    assert "order" not in encoder.input_shapes()
