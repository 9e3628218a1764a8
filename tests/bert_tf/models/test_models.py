"""The models: values against NumPy, saving, names of weights, precision, and plain `compile` / `fit`."""

import keras
import numpy as np
import numpy_bert
import pytest
import tensorflow as tf
from small_model import (
    SMALL,
    numpy_weights,
    packed_pretraining_batch,
    random_classification_batch,
    random_pretraining_batch,
    shake,
)

from bert_tf.features import encoder_batch
from bert_tf.models.classifier import BertClassifier
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.models.weights import named_weights

DROPPING = SMALL.replace(dropout_rate=0.2, attention_dropout_rate=0.2)
MODELS = {
    "encoder": lambda config=DROPPING, **k: BertEncoder(config, **k),
    "pretrainer": lambda config=DROPPING, **k: BertPretrainer(config, **k),
    "classifier": lambda config=DROPPING, **k: BertClassifier(config, num_classes=3, **k),
    "mean_classifier": lambda config=DROPPING, **k: BertClassifier(
        config, num_classes=4, dropout_rate=0.3, pooling="mean", **k
    ),
}


@pytest.fixture(params=MODELS)
def make(request):
    return MODELS[request.param]


def _flat(outputs):
    return [np.asarray(tensor) for tensor in tf.nest.flatten(outputs)]


@pytest.mark.parametrize(("hidden_act", "reference"), [("gelu", numpy_bert.gelu), ("gelu_new", numpy_bert.gelu_new)])
def test_pretrainer_equals_numpy(hidden_act, reference):
    model = BertPretrainer(SMALL.replace(hidden_act=hidden_act))
    shake(model)
    weights = numpy_weights(model)
    batch = random_pretraining_batch(rows=5)
    outputs = model(batch)
    encoded = model.encoder(batch)
    head = {name: weights[f"next_sentence/dense/{name}"] for name in ("kernel", "bias")}
    for row, size in enumerate(batch["input_mask"].sum(1)):
        ids, segments = batch["input_ids"][row, :size], batch["segment_ids"][row, :size]
        sequence = numpy_bert.encode(ids, segments, SMALL.num_heads, weights, reference)
        pooled = numpy_bert.pool(sequence[0], weights)
        np.testing.assert_allclose(encoded["sequence_output"][row, :size], sequence, atol=1e-5)
        np.testing.assert_allclose(encoded["pooled_output"][row], pooled, atol=1e-5)
        masked_lm = numpy_bert.masked_lm_logits(sequence, batch["masked_lm_positions"][row], weights, reference)
        np.testing.assert_allclose(outputs["masked_lm_logits"][row], masked_lm, atol=1e-5)
        next_sentence = pooled @ head["kernel"] + head["bias"]
        np.testing.assert_allclose(outputs["next_sentence_logits"][row, 0], next_sentence, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_classifier_equals_numpy(pooling):
    model = BertClassifier(SMALL, num_classes=3, pooling=pooling)
    shake(model)
    weights = numpy_weights(model)
    batch = random_classification_batch(rows=5)
    logits = model(batch)
    for row, size in enumerate(batch["input_mask"].sum(1)):
        ids, segments = batch["input_ids"][row, :size], batch["segment_ids"][row, :size]
        sequence = numpy_bert.encode(ids, segments, SMALL.num_heads, weights)
        pooled = numpy_bert.pool(sequence[0] if pooling == "cls" else sequence.mean(0), weights)
        expected = pooled @ weights["classification/dense/kernel"] + weights["classification/dense/bias"]
        np.testing.assert_allclose(logits[row], expected, atol=1e-5)


def test_every_sequence_of_a_packed_row_has_a_next_sentence_output():
    model = BertPretrainer(SMALL)
    shake(model)
    a, b = [2, 9, 3, 11, 3], [2, 30, 31, 3]
    packed = model(
        {
            "input_ids": np.array([[*a, *b, 0]], "int32"),
            "input_mask": np.array([[1] * 5 + [2] * 4 + [0]], "int32"),
            "position_ids": np.array([[0, 1, 2, 3, 4, 0, 1, 2, 3, 0]], "int32"),
            "masked_lm_positions": np.array([[1, 7]], "int32"),
            "next_sentence_positions": np.array([[0, 5]], "int32"),
        }
    )
    for number, (ids, position) in enumerate(((a, 1), (b, 2))):
        alone = model({"input_ids": np.array([ids], "int32"), "masked_lm_positions": np.array([[position]], "int32")})
        np.testing.assert_allclose(
            packed["next_sentence_logits"][0, number], alone["next_sentence_logits"][0], atol=1e-5
        )
        np.testing.assert_allclose(packed["masked_lm_logits"][0, number], alone["masked_lm_logits"][0, 0], atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_classifier_answers_for_the_first_sequence_of_a_row(pooling):
    model = BertClassifier(SMALL, num_classes=3, pooling=pooling)
    shake(model)
    batch = packed_pretraining_batch()
    logits = model(batch)
    for row, mask in enumerate(batch["input_mask"]):
        size = int((mask == 1).sum())
        alone = model({name: batch[name][row : row + 1, :size] for name in ("input_ids", "segment_ids")})
        np.testing.assert_allclose(logits[row], alone[0], atol=1e-5)


def test_omitted_inputs_have_defaults(make):
    model = make()
    shake(model)
    batch = random_pretraining_batch(rows=2)
    full = batch | {
        "input_mask": np.ones_like(batch["input_ids"]),
        "segment_ids": np.zeros_like(batch["input_ids"]),
        "position_ids": np.tile(np.arange(batch["input_ids"].shape[1], dtype=np.int32), (2, 1)),
    }
    few = {name: array for name, array in batch.items() if name not in encoder_batch(1, 1) or name == "input_ids"}
    for given, omitted in zip(_flat(model(full)), _flat(model(few)), strict=True):
        np.testing.assert_allclose(given, omitted, atol=1e-6)


def test_a_keras_file_restores_the_model(make, tmp_path):
    model = make()
    shake(model)
    batch = random_pretraining_batch()
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
    assert loaded.get_config() == model.get_config()
    assert type(loaded) is type(model)
    for one, other in zip(_flat(model(batch)), _flat(loaded(batch)), strict=True):
        assert np.array_equal(one, other)


def test_a_model_is_made_again_from_its_configuration(make):
    model = make(dtype="mixed_bfloat16")
    clone = type(model).from_config(model.get_config())
    assert clone.get_config() == model.get_config()
    assert clone.dtype_policy.name == "mixed_bfloat16"
    clone.set_weights(model.get_weights())
    batch = random_pretraining_batch()
    for one, other in zip(_flat(model(batch)), _flat(clone(batch)), strict=True):
        assert np.array_equal(one, other)


def test_every_weight_has_a_name(make):
    model = make()
    names = named_weights(model)
    assert len(set(names)) == len(names)
    assert not any("seed" in name for name in names)
    named = {id(weight) for weight in names.values()}
    assert all(id(weight) in named for weight in model.trainable_weights)
    encoder = model if isinstance(model, BertEncoder) else model.encoder
    own = {id(weight) for weight in encoder.weights}
    assert all(name.startswith("encoder/") == (id(weight) in own) for name, weight in names.items())
    expected = set(named_weights(BertEncoder(DROPPING)))
    assert {name for name in names if name.startswith("encoder/")} == expected
    assert "encoder/block_1/attention/query_key_value/kernel" in expected
    assert len(expected) == 5 + 2 * 12 + 2


def test_names_do_not_depend_on_other_models_in_the_process():
    first, second = (list(named_weights(BertPretrainer(SMALL))) for _ in range(2))
    assert first == second
    assert list(named_weights(BertPretrainer(SMALL, name="another"))) == first


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(make, policy):
    model, full = make(SMALL, dtype=policy), make(SMALL)
    shake(full, scale=0.1)
    model.set_weights(full.get_weights())
    assert {tf.as_dtype(weight.dtype) for weight in named_weights(model).values()} == {tf.float32}
    batch = random_pretraining_batch()
    outputs = model(batch)
    if isinstance(model, BertEncoder):
        assert outputs["sequence_output"].dtype.name == model.compute_dtype
    else:
        assert {tensor.dtype for tensor in tf.nest.flatten(outputs)} == {tf.float32}
    used = batch["input_mask"].astype(bool)
    for half, exact in zip(_flat(outputs), _flat(full(batch)), strict=True):
        if half.shape[:2] == used.shape:
            half, exact = half[used], exact[used]
        np.testing.assert_allclose(half.astype("float32"), exact, atol=0.1)


def test_the_seed_makes_all_masks(make):
    model = make()
    shake(model)
    batch = random_pretraining_batch()
    one, same, other, without = (
        _flat(model(batch, training=training, seed=seed))
        for training, seed in ((True, 1), (True, 1), (True, 2), (False, None))
    )
    for index in range(len(one)):
        assert np.array_equal(one[index], same[index])
        assert not np.array_equal(one[index], other[index])
        assert not np.array_equal(one[index], without[index])


def test_every_dropout_has_its_own_seed(monkeypatch):
    import bert_tf.layers.dropout as dropout

    seeds = []
    random_bits = dropout.random_bits
    monkeypatch.setattr(
        dropout, "random_bits", lambda shape, own: seeds.append(tuple(own.numpy())) or random_bits(shape, own)
    )
    BertClassifier(DROPPING, num_classes=3)(random_classification_batch(), training=True, seed=5)
    # embeddings, three in each of two blocks, and the head
    assert len(seeds) == len(set(seeds)) == 1 + 3 * 2 + 1


def test_rows_beyond_the_vocabulary_are_never_likely_tokens():
    logits = np.array([[[0.0, 3.0, 1.0, 9.0], [2.0, 0.0, 1.0, -9.0]]], np.float32)  # the last column is no token
    probabilities, ids = BertPretrainer.likeliest_tokens(logits, vocab_size=3, count=2)
    assert np.asarray(ids).tolist() == [[[1, 2], [0, 2]]]
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(probabilities, np.take_along_axis(expected, np.asarray(ids), -1), rtol=1e-5)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"`num_classes` must be at least 2\. Received: 1"):
        BertClassifier(SMALL, num_classes=1)
    with pytest.raises(ValueError, match=r"`pooling` must be cls or mean\. Received: 'max'"):
        BertClassifier(SMALL, num_classes=2, pooling="max")


def test_pretrainer_fits_with_keras():
    keras.utils.set_random_seed(0)
    model = BertPretrainer(DROPPING.replace(num_layers=1))
    batch = random_pretraining_batch(rows=8)
    labels = {
        "masked_lm_logits": batch["masked_lm_ids"],
        "next_sentence_logits": batch["next_sentence_labels"],
    }
    weights = {
        "masked_lm_logits": batch["masked_lm_weights"],
        "next_sentence_logits": batch["next_sentence_weights"],
    }
    losses = {name: keras.losses.SparseCategoricalCrossentropy(from_logits=True) for name in labels}
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss=losses)
    inputs = {name: array for name, array in batch.items() if "_ids" in name or "mask" in name or "positions" in name}
    history = model.fit(inputs, labels, sample_weight=weights, epochs=25, batch_size=8, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]


@pytest.mark.long
def test_classifier_fits_with_keras(tmp_path):
    keras.utils.set_random_seed(0)
    model = BertClassifier(DROPPING, num_classes=3)
    batch = random_classification_batch(rows=12)
    inputs = {name: batch[name] for name in encoder_batch(1, 1)}
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    history = model.fit(inputs, batch["label_ids"], epochs=50, batch_size=12, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    loss, accuracy = model.evaluate(inputs, batch["label_ids"], verbose=0)
    assert accuracy > 0.8
    model.save(tmp_path / "fitted.keras")
    loaded = keras.models.load_model(tmp_path / "fitted.keras")
    assert loaded.evaluate(inputs, batch["label_ids"], verbose=0)[0] == pytest.approx(loss, abs=1e-5)
    np.testing.assert_allclose(loaded.predict(inputs, verbose=0), model.predict(inputs, verbose=0), atol=1e-6)
