"""Rows of a pre-training that are bidirectional, read left to right, or sequence to sequence, by their numbers."""

import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, shake
from small_records import CONFIG, make

from bert_tf import features
from bert_tf.configs import ConfigError, MaskingConfig, MixtureConfig, PretrainingConfig
from bert_tf.models.pretrainer import BertPretrainer
from data_pipelines.input import mixture as mixtures
from data_pipelines.input import pipeline
from data_pipelines.input.masking import encoder_features
from data_pipelines.input.mixture import BLOCK_ROWS, mixed, row_kinds
from data_pipelines.input.pipeline import static_batch_spec
from data_pipelines.input.record_folder import RecordFolder
from tpu_configs.batches import pretraining_features

MASKING = MaskingConfig()
THIRDS = MixtureConfig(bidirectional=1, left_to_right=1, seq2seq=1)
OF_NEXT_SENTENCES = ("next_sentence_positions", "next_sentence_labels", "next_sentence_weights")
NUM_BATCHES = 8


@pytest.fixture(scope="module", autouse=True)
def few_batches_at_a_time():
    """Groups of few batches, so that few records are read."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pipeline, "_TOKENS_TOGETHER", 24 * CONFIG.max_seq_length)
        yield


@pytest.fixture(scope="module", params=[1, 3], ids=["unpacked", "packed"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / str(request.param)
    make(path, CONFIG.replace(max_sequences_per_row=request.param))
    return RecordFolder(str(path))


@pytest.fixture(scope="module")
def eights(folder):
    """The first batches of 8 rows."""
    return _batches(folder)


def _kinds(numbers, mixture=THIRDS):
    return row_kinds(tf.constant(numbers, tf.int64), mixture).numpy()


def _batches(folder, mixture=THIRDS, batch_size=8, count=NUM_BATCHES, **options):
    data = folder.training_dataset(MASKING, batch_size, seed=5, mixture=mixture, **options)
    return list(data.take(count).as_numpy_iterator())


@pytest.mark.parametrize("weights", [(1, 1, 1), (2, 1, 1), (1, 1, 0), (0, 1, 1), (0, 0, 3), (0.7, 0.2, 0.1)])
def test_every_1024_rows_have_their_shares_and_every_row_of_the_batch_all_kinds(weights):
    mixture, shares = MixtureConfig(*weights), np.array(weights) / sum(weights)
    blocks = _kinds(np.arange(64 * BLOCK_ROWS), mixture).reshape(-1, BLOCK_ROWS)
    counts = np.stack([(blocks == kind).sum(axis=1) for kind in range(3)], axis=1)
    assert np.abs(counts - shares * BLOCK_ROWS).max() < 2
    assert np.abs(counts.sum(axis=0) - shares * blocks.size).max() < 2
    far = _kinds(10**12 + np.arange(BLOCK_ROWS), mixture)
    assert np.abs(np.bincount(far, minlength=3) - shares * BLOCK_ROWS).max() < 10  # parts of two blocks
    for batch_size in (4, 16, 24, 256, 2048):
        rows = blocks.ravel()[: blocks.size // batch_size * batch_size].reshape(-1, batch_size)
        of_rows = np.stack([(rows == kind).mean(axis=0) for kind in range(3)], axis=1)
        assert np.abs(of_rows - shares).max() < (0.05 if batch_size < 1000 else 0.25)  # of 32 steps of 2,048 rows


def _kind_of(batch):
    """Return the kind of each row, as its `order` shows it."""
    tokens = batch["input_mask"] > 0
    found = []
    for row, is_token in enumerate(tokens):
        order, positions, segments = (batch[name][row][is_token] for name in ("order", "position_ids", "segment_ids"))
        by_kind = (np.zeros_like(order), positions, positions * segments)
        found.append([kind for kind, expected in enumerate(by_kind) if np.array_equal(order, expected)])
        assert not batch["order"][row][~is_token].any()
    return found


@pytest.mark.parametrize("batch_size", [6, 8])
def test_batches_have_the_kinds_of_their_row_numbers(folder, eights, batch_size):
    batches = eights if batch_size == 8 else _batches(folder, batch_size=batch_size)
    expected = _kinds(np.arange(NUM_BATCHES * batch_size))
    found = [kinds for batch in batches for kinds in _kind_of(batch)]
    assert all(kind in kinds for kind, kinds in zip(expected, found, strict=True))
    assert sum(len(kinds) == 1 for kinds in found) > len(found) / 2  # else a row shows its kind less clearly
    for batch, kinds in zip(batches, expected.reshape(-1, batch_size), strict=True):
        assert not batch["next_sentence_weights"][kinds != mixtures.BIDIRECTIONAL].any()
        assert batch["next_sentence_weights"][kinds == mixtures.BIDIRECTIONAL].any(axis=1).all()


def test_everything_else_is_as_without_a_mixture(folder, eights):
    for one, other in zip(_batches(folder, MixtureConfig()), eights, strict=True):
        assert one.keys() == other.keys() - {"order"}
        for name in one:
            if name not in OF_NEXT_SENTENCES:
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def _require_same(first, second):
    for one, other in zip(first, second, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_a_later_start_and_several_hosts_give_the_same_batches(folder, eights):
    _require_same(_batches(folder, start_step=5, count=NUM_BATCHES - 5), eights[5:])
    hosts = [_batches(folder, input_pipeline_id=index, num_input_pipelines=2) for index in range(2)]
    parts = zip(*hosts, strict=True)
    _require_same([{name: np.concatenate([one[name], two[name]]) for name in one} for one, two in parts], eights)


def test_shapes_are_known_before_reading_and_an_evaluation_is_numbered_too(folder):
    spec = static_batch_spec(folder.path, MASKING, 8, THIRDS)
    assert spec["order"] == spec["input_ids"]
    sequences = folder.max_sequences_per_row
    compiled = pretraining_features(PretrainingConfig(mixture=THIRDS), 8, CONFIG.max_seq_length, sequences=sequences)
    assert compiled == spec
    data = folder.evaluation_dataset(MASKING, 8, mixture=THIRDS)
    for dataset in (folder.training_dataset(MASKING, 8, seed=0, mixture=THIRDS), data):
        element = dataset.element_spec.items()
        assert {name: features.Feature(tuple(one.shape), one.dtype.name) for name, one in element} == spec
    found = [kinds for batch in data.take(4).as_numpy_iterator() for kinds in _kind_of(batch)]
    assert all(kind in kinds for kind, kinds in zip(_kinds(np.arange(32)), found, strict=True))


def test_the_three_kinds_of_a_packed_row(monkeypatch):
    monkeypatch.setattr(mixtures, "row_kinds", lambda numbers, mixture: tf.range(3))
    rows = {"input_ids": tf.range(10)[None], "sequence_lengths": [[5, 3]], "first_segment_lengths": [[3, 3]]}
    rows["next_sentence_labels"] = [[1, features.NO_NEXT_SENTENCE_LABEL]]
    rows = {name: tf.repeat(tf.constant(values), 3, axis=0) for name, values in rows.items()}
    batch = mixed(encoder_features(rows), tf.range(3, dtype=tf.int64), THIRDS)
    assert batch["order"].numpy().tolist() == [
        [0] * 10,
        [0, 1, 2, 3, 4, 0, 1, 2, 0, 0],
        [0, 0, 0, 3, 4, 0, 0, 0, 0, 0],  # the second sequence has no B
    ]
    assert batch["next_sentence_weights"].numpy().tolist() == [[1, 0], [0, 0], [0, 0]]
    assert batch["next_sentence_labels"].numpy().tolist() == [[1, 0], [0, 0], [0, 0]]


def test_a_prediction_depends_on_no_token_to_its_right(folder):
    model = BertPretrainer(SMALL.replace(vocab_size=folder.tokenizer.vocab_size, max_position_embeddings=64))
    shake(model)
    batch = _batches(folder, batch_size=12, count=1)[0]
    kinds, (rows, length) = _kinds(np.arange(12)), batch["input_ids"].shape
    everywhere = {"masked_lm_positions": np.tile(np.arange(length, dtype=np.int32), (rows, 1))}
    changed = batch["input_ids"].copy()
    middle = length // 2
    changed[:, middle:] = np.where(batch["input_mask"][:, middle:], 7 + changed[:, middle:] % 5, 0)
    before, after = (
        np.asarray(model(batch | everywhere | {"input_ids": ids})["masked_lm_logits"])
        for ids in (batch["input_ids"], changed)
    )
    difference = np.abs(before - after).max(axis=-1)  # [B, L]
    reads_left = (kinds == mixtures.LEFT_TO_RIGHT)[:, None] & (np.arange(length) < middle)
    assert (difference[reads_left] == 0).all()
    # In a row of sequence to sequence, the tokens before the middle are those of A, or read no token after them.
    crosses = (batch["segment_ids"] == 0) & (batch["input_mask"] == batch["input_mask"][:, middle : middle + 1])
    source_ends = (crosses & (np.arange(length) >= middle)).any(axis=1)
    reads_source = ((kinds == mixtures.SEQ2SEQ) & ~source_ends)[:, None] & (np.arange(length) < middle)
    assert reads_source.any()
    assert (difference[reads_source] == 0).all()
    both = (kinds == mixtures.BIDIRECTIONAL)[:, None] & (np.arange(length) < middle)
    both &= batch["input_mask"] == batch["input_mask"][:, middle : middle + 1]
    assert (difference[both & (batch["input_mask"] > 0)] > 1e-6).mean() > 0.9


def test_mixtures_that_cannot_be_are_named(tmp_path):
    with pytest.raises(
        ConfigError, match=r"`bidirectional`, `left_to_right` or `seq2seq` must be above 0\. Received: 0"
    ):
        PretrainingConfig().override("mixture.bidirectional=0")
    fused = PretrainingConfig().override("model.attention_dropout_rate=0").override("model.attention=fused")
    for part in ("mixture", "eval_mixture"):
        with pytest.raises(ConfigError, match=r"`model\.attention` must be plain for a `mixture` or .*Received: fused"):
            fused.override(f"{part}.seq2seq=1")
    make(tmp_path / "records", CONFIG.replace(objective="mlm"))
    sentences = RecordFolder(str(tmp_path / "records"))
    with pytest.raises(
        ValueError, match=r"`mixture\.seq2seq` must be 0 for records of full sentences .*Received: 1, for"
    ):
        sentences.training_dataset(MASKING, 4, seed=0, mixture=THIRDS)
    with pytest.raises(ValueError, match=r"`eval_mixture\.seq2seq` must be 0 for records of full sentences"):
        sentences.evaluation_dataset(MASKING, 4, mixture=THIRDS)
    left_to_right = MixtureConfig(bidirectional=0, left_to_right=1)
    batch = next(iter(sentences.training_dataset(MASKING, 4, seed=0, mixture=left_to_right)))
    np.testing.assert_array_equal(batch["order"], batch["position_ids"])
