"""The batches of `EncodedExamples.batch` and those that training gathers in a graph are the same."""

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.training.encoded_batches import batch_gatherer

COUNT, BATCH_SIZE = 12, 5


def _per_token(lengths, rng, dtype):
    return [rng.integers(0, 5, length).astype(dtype).tolist() for length in lengths], dtype


def _plain(lengths, rng):
    return {}, {}


def _texts(lengths, rng):
    ones = rng.random(COUNT).astype(np.float32)
    return {}, {"label_ids": rng.integers(0, 3, COUNT).astype(np.int32), "label_weights": ones}


def _multi_label(lengths, rng):
    targets = rng.integers(0, 2, (COUNT, 4)).astype(np.float32)
    weights = rng.random((COUNT, 4)).astype(np.float32)
    return {}, {"label_targets": targets, "label_weights": np.ones(COUNT, np.float32), "target_weights": weights}


def _tagging(lengths, rng):
    return {"tag_ids": _per_token(lengths, rng, "int32"), "tag_weights": _per_token(lengths, rng, "float32")}, {}


def _question_answering(lengths, rng):
    positions = {name: rng.integers(0, lengths).astype(np.int32) for name in ("start_positions", "end_positions")}
    return {}, positions | {"answer_weights": rng.random(COUNT).astype(np.float32)}


def _retrieval(lengths, rng):
    token_features = {name: _per_token(lengths, rng, "int32") for name in ("input_mask", "position_ids")}
    weights = rng.random((COUNT, 3)).astype(np.float32)
    return token_features, {"passage_ids": rng.integers(0, 9, (COUNT, 3)).astype(np.int32), "passage_weights": weights}


def _seq2seq(lengths, rng):
    ids = rng.integers(0, 9, (2, COUNT, 4)).astype(np.int32)
    weights = rng.random((COUNT, 4)).astype(np.float32)
    features = {"next_token_positions": ids[0], "next_token_ids": ids[1], "next_token_weights": weights}
    return {"order": _per_token(lengths, rng, "int32")}, features


def _multiple_choice(lengths, rng):
    token_features = {name: _per_token(lengths, rng, "int32") for name in ("input_mask", "position_ids")}
    _, features = _texts(lengths, rng)
    return token_features, features | {"choice_positions": rng.integers(-1, 9, (COUNT, 3)).astype(np.int32)}


FEATURES = {
    "no labels": _plain,
    "texts": _texts,
    "multi_label": _multi_label,
    "tagging": _tagging,
    "question_answering": _question_answering,
    "retrieval": _retrieval,
    "seq2seq": _seq2seq,
    "multiple_choice": _multiple_choice,
}


@pytest.mark.parametrize("bucket_lengths", [(24,), (8, 16, 24), (6, 30)], ids=str)
@pytest.mark.parametrize("features", FEATURES)
def test_graph_and_numpy_make_the_same_batches(features, bucket_lengths):
    rng = np.random.default_rng(7)
    lengths = rng.integers(3, 25, COUNT)
    lengths[:2] = 24, 3  # a filler repeats the first example, which may be longer than the batch
    token_features, example_features = FEATURES[features](lengths, rng)
    encoded = EncodedExamples.from_lists(
        [rng.integers(1, 99, length).tolist() for length in lengths],
        [rng.integers(0, 2, length).tolist() for length in lengths],
        pad_id=7,
        max_seq_length=bucket_lengths[-1],
        bucket_lengths=bucket_lengths,
        token_features=token_features,
        example_features=example_features,
    )
    gather = tf.function(batch_gatherer(encoded, BATCH_SIZE))
    random_choices = [np.append(rng.permutation(COUNT)[: BATCH_SIZE - fillers], [-1] * fillers) for fillers in range(4)]
    for indices in [np.array([1, -1, 1, -1, -1]), *random_choices]:
        indices = indices.astype(np.int64)
        length = encoded.bucket_length(int(encoded.lengths[indices[indices >= 0]].max()))
        expected = encoded.batch(indices, length)
        batch = {name: tensor.numpy() for name, tensor in gather(tf.constant(indices)).items()}
        assert batch.keys() == expected.keys()
        for name, array in expected.items():
            assert batch[name].dtype == array.dtype, name
            np.testing.assert_array_equal(batch[name], array, err_msg=name, strict=True)
