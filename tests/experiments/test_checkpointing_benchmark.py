"""The benchmark of checkpoints: what it counts where."""

import time

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.runs import checkpoint_writer, checkpoints
from experiments.benchmarks import checkpointing


def test_the_measurements(tmp_path, monkeypatch):
    copy, write = checkpoints.host_copy, checkpoints.write

    def slow_copy(variables):
        time.sleep(0.1)
        return copy(variables)

    def slow_write(*arguments, **options):
        time.sleep(0.3)
        return write(*arguments, **options)

    monkeypatch.setattr(checkpoint_writer.checkpoints, "host_copy", slow_copy)
    monkeypatch.setattr(checkpoint_writer.checkpoints, "write", slow_write)
    variables = {"a": tf.Variable(np.zeros((10, 25), np.float32))}
    calls = []

    def step():
        calls.append(1)
        time.sleep(0.01)

    metrics = checkpointing.measure(step, variables, str(tmp_path), steps=5, rounds=2)
    assert len(calls) == 5 + 4 * 5
    names = ("with", "without", "processor_with", "processor_without", "copying", "writing")
    assert [len(metrics[name]) for name in names] == [2, 2, 2, 2, 2, 1]
    assert metrics["bytes"] == 1000
    # Copying is part of a block, writing goes on beside it, and does not reach into the next.
    assert min(metrics["with"]) >= 0.15
    assert min(metrics["copying"]) >= 0.1
    assert min(metrics["writing"]) >= 0.3
    assert metrics["ratio"] == pytest.approx(np.median(metrics["without"]) / np.median(metrics["with"]))
    assert [checkpoint.step for checkpoint in checkpoints.complete_checkpoints(str(tmp_path))] == [2, 3]
    assert metrics["ratios"] == [a / b for a, b in zip(metrics["without"], metrics["with"], strict=True)]
    text = checkpointing.describe(metrics | {"with": [2.5], "without": [2.0], "ratio": 0.8, "ratios": [0.75, 0.8]})
    assert text.startswith(
        "2.000 steps/s with a checkpoint of 0 MB every 5 steps, 2.500 without: 0.800 (0.750, 0.800)."
    )
