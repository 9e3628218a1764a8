"""A run in an object store: no folder can be renamed there, and nobody locks one.

`ram://` is TensorFlow's own stand-in for a remote file system, reached as `gs://` is.
"""

import json

import numpy as np
import pytest
import small_records
import tensorflow as tf
from small_model import SMALL

from bert_tf.configs import PretrainingConfig, TrainConfig
from bert_tf.runs import checkpoints, run_lock
from bert_tf.training.pretraining import pretrain
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine
from bert_tf.training.throughput import TIMING_METRICS
from bert_tf.utils import files
from data_pipelines.input.record_folder import RecordFolder
from data_pipelines.records.manifest import PreparationConfig

RUN = "ram://bucket/runs/first"
CONFIG = PretrainingConfig(
    model=SMALL.replace(num_layers=1, vocab_size=small_records.TOKENIZER.vocab_size),
    train=TrainConfig(
        num_steps=6,
        batch_size=8,
        learning_rate=1e-2,
        warmup_steps=2,
        steps_per_loop=2,
        log_every=2,
        checkpoint_every=2,
        eval_every=3,
        eval_batch_size=16,
        keep_checkpoints=3,
        precision="float32",
        jit_compile=False,
    ),
)


@pytest.fixture
def store(monkeypatch):
    """`ram://` with the rules of a bucket, and a lease that a test can wait for."""
    rename = tf.io.gfile.rename

    def rename_file(source, target, overwrite=False):
        assert not tf.io.gfile.isdir(source), f"{source} is a folder"
        rename(source, target, overwrite)

    monkeypatch.setattr(tf.io.gfile, "rename", rename_file)
    monkeypatch.setattr(run_lock, "_SETTLE_SECONDS", 0.1)


def _pretrain(records, run):
    train, held_out = RecordFolder(str(records)), RecordFolder(f"{records}/heldout")
    return pretrain(CONFIG, train, held_out, run_dir=str(run), engine=TensorFlowEngine())


def _lines(run):
    lines = [json.loads(line) for line in files.iterate_lines(f"{run}/metrics.jsonl")]
    return [{name: value for name, value in line.items() if name not in TIMING_METRICS} for line in lines]


def _steps(run):
    return [checkpoint.step for checkpoint in checkpoints.complete_checkpoints(str(run))]


@pytest.mark.long
def test_a_stopped_run_continues_as_on_a_disk(store, tmp_path):
    small_records.make(tmp_path / "records", PreparationConfig(max_seq_length=16), holdout=0.2)
    results = _pretrain(tmp_path / "records", tmp_path / "run")
    lines = _lines(tmp_path / "run")
    expected = checkpoints.read_tensors(checkpoints.newest_checkpoint(str(tmp_path / "run")))

    assert _pretrain(tmp_path / "records", RUN) == results
    assert not files.exists(f"{RUN}/lock.json")
    for kind in ("train", "eval"):
        assert any("tfevents" in name for name in files.names_in_folder(f"{RUN}/{kind}"))
    # As a job that was killed while it wrote its newest checkpoint leaves it, the one before it damaged since.
    assert _steps(RUN) == [2, 4, 6]
    damaged, newest = checkpoints.complete_checkpoints(RUN)[1:]
    files.remove(f"{newest.path}/complete.json")
    files.write_text(f"{damaged.bundle}.index", "no index")
    assert _steps(RUN) == [2, 4]

    assert _pretrain(tmp_path / "records", RUN) == results
    assert _steps(RUN) == [2, 4, 6]
    assert _lines(RUN) == lines
    found = checkpoints.read_tensors(checkpoints.newest_checkpoint(RUN))
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
