"""The names and forms of inputs that a model takes, and those that it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, random_pretraining_batch, shake

from bert_tf.features import BATCH_NAMES, INPUT_ALIASES
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.inputs import model_inputs
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.models.token_classifier import BertTokenClassifier

OURS = ("input_ids", "input_mask", "segment_ids")
NAMES = {
    "ours": OURS,
    "Hugging Face": ("input_ids", "attention_mask", "token_type_ids"),
    "KerasHub": ("token_ids", "padding_mask", "segment_ids"),
    "Model Garden": ("input_word_ids", "input_mask", "input_type_ids"),
}


@pytest.fixture(scope="module")
def tagger():
    model = BertTokenClassifier(SMALL, num_classes=3)
    shake(model)
    return model


@pytest.fixture(scope="module")
def arrays():
    """Padded rows of two segments, in the order of `OURS`."""
    batch = random_pretraining_batch(rows=3)
    assert 0 in batch["input_mask"]
    assert 1 in batch["segment_ids"]
    return [batch[name] for name in OURS]


@pytest.fixture(scope="module")
def expected(tagger, arrays):
    """The outputs, which depend on each of the inputs."""
    logits = np.asarray(tagger(dict(zip(OURS, arrays, strict=True))))
    for missing in OURS[1:]:
        others = {name: array for name, array in zip(OURS, arrays, strict=True) if name != missing}
        assert not np.allclose(tagger(others), logits, atol=1e-3)
    return logits


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_other_projects_names_are_accepted(tagger, arrays, expected, names):
    assert np.array_equal(tagger(dict(zip(names, arrays, strict=True))), expected)


def test_other_names_work_in_keras_methods(tagger, arrays, expected):
    named = dict(zip(NAMES["Hugging Face"], arrays, strict=True))
    np.testing.assert_allclose(tagger.predict(named, verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(tagger.predict(tf.data.Dataset.from_tensors(named), verbose=0), expected, atol=1e-5)
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in named}
    functional = keras.Model(inputs, tagger(inputs))
    np.testing.assert_allclose(functional.predict(named, verbose=0), expected, atol=1e-5)


def test_a_padding_mask_of_booleans_is_accepted(tagger, arrays, expected):
    ids, mask, segments = arrays
    named = {"token_ids": ids, "padding_mask": mask.astype(bool), "segment_ids": segments}
    assert np.array_equal(tagger(named), expected)


def test_a_list_and_ids_alone_are_accepted(tagger, arrays, expected):
    assert np.array_equal(tagger(arrays), expected)
    assert np.array_equal(tagger(tuple(tf.constant(array) for array in arrays)), expected)
    assert np.array_equal(tagger([array.tolist() for array in arrays]), expected)
    alone = np.asarray(tagger({"input_ids": arrays[0]}))
    for ids in (arrays[0], arrays[0].astype(np.int64), tf.constant(arrays[0]), arrays[0].tolist(), [*arrays[0]]):
        assert np.array_equal(tagger(ids), alone)
    np.testing.assert_allclose(tagger.predict(arrays[0], verbose=0), alone, atol=1e-5)


def test_labels_pass_through_and_none_means_not_given(tagger, arrays):
    named = {"input_ids": arrays[0], "tag_ids": arrays[0], "token_type_ids": None}
    assert sorted(model_inputs(named)) == ["input_ids", "tag_ids"]
    assert np.array_equal(tagger(named), tagger(arrays[0]))


def test_aliases_stand_for_names_of_the_contract():
    assert set(INPUT_ALIASES.values()) <= BATCH_NAMES
    assert not BATCH_NAMES & INPUT_ALIASES.keys()


IDS = np.ones((2, 4), np.int32)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"input_ids": IDS, "inptu_mask": IDS},
            r"must be among .*attention_mask, .*Received: 'inptu_mask' .*'input_mask'",
        ),
        ({"input_ids": IDS, "labels": IDS}, r"must be among .*label_ids.*Received: 'labels'"),
        ({"input_ids": IDS, 3: IDS}, r"must be among .*Received: 3"),
        ({"input_ids": IDS, "token_ids": IDS}, r"must have `input_ids` once. Received: 'input_ids', 'token_ids'"),
        ({"input_mask": IDS, "attention_mask": IDS}, r"must have `input_mask` once"),
        ({"input_mask": IDS}, r"must have `input_ids`. Received: input_mask"),
        ({}, r"must have `input_ids`. Received: no inputs"),
        ([], r"at least `input_ids`. Received: an empty list"),
        ([IDS] * 4, r"must be input_ids, input_mask, segment_ids. Received: 4 tensors"),
        ({"input_ids": IDS.astype(np.float32)}, r"`input_ids` must hold integers .*Received: dtype float32"),
        ({"input_ids": IDS, "segment_ids": IDS > 0}, r"`segment_ids` must hold integers .*Received: dtype bool"),
        ({"input_ids": IDS[0]}, r"`input_ids` must have the shape \[B, L\]. Received: \[4\]"),
        ([7, 8, 9], r"`input_ids` must have the shape \[B, L\]. Received: \[3\]"),
        ({"input_ids": IDS, "input_mask": IDS[:, :3]}, r"`input_mask` must have the shape of `input_ids`, \[2, 4\]"),
        ({"input_ids": IDS, "input_mask": IDS[:, None]}, r"`input_mask` must have the shape \[B, L\]"),
        ([[1, 2, 3], [4, 5]], r"rows of an input must have one length .*Received: rows of 3, 2 numbers"),
        ("a text", r"`input_ids` must hold integers .*Received: dtype str"),
    ],
)
def test_wrong_inputs_are_refused(inputs, message):
    with pytest.raises(ValueError, match=message):
        BertEncoder(SMALL.replace(num_layers=1))(inputs)


def test_a_float_input_of_keras_is_refused():
    with pytest.raises(ValueError, match=r'`keras.Input` takes `dtype="int32"`'):
        BertEncoder(SMALL.replace(num_layers=1))(keras.Input((None,)))


def test_the_input_of_a_head_is_required():
    with pytest.raises(ValueError, match=r"must have `masked_lm_positions`. Received: input_ids"):
        BertPretrainer(SMALL.replace(num_layers=1))(IDS)
