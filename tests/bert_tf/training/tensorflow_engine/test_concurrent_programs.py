"""No XLA program is compiled while another one runs or is compiled.

Run as a script, the module makes a few steps, whose log tells which thread compiles and runs what, and when.
"""

import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import ClassificationConfig
from bert_tf.tasks import task_of
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.inner_loop import InnerLoop
from bert_tf.training.tensorflow_engine.partial_batches import concurrently
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.tensorflow_engine.step import TrainStep
from experiments.configs.sst2 import get_config

_LENGTHS = (8, 16)
_LOG = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "xla_ops=1,device_compiler=2"}
_LINE = re.compile(r"^I\d{4} [\d:.]+ +(?P<thread>\d+) (?P<file>\w+)\.\w+:\d+\] (?P<text>.*)$", re.MULTILINE)


def _batches(lengths):
    """Return endless batches of four rows, whose length is each of the lengths in turn."""

    def batch(length):
        shape, seed = (4, length), (length, 0)
        tokens = {
            "input_ids": tf.random.stateless_uniform(shape, seed, 5, SMALL.vocab_size, tf.int32),
            "input_mask": tf.ones(shape, tf.int32),
            "segment_ids": tf.zeros(shape, tf.int32),
            "position_ids": tf.broadcast_to(tf.range(length), shape),
        }
        labels = tf.random.stateless_uniform((4,), seed, 0, 2, tf.int32)
        tokens = {name: tf.ensure_shape(tensor, (4, None)) for name, tensor in tokens.items()}
        return tokens | {"label_ids": labels, "label_weights": tf.ones(4)}

    return tf.data.Dataset.from_tensor_slices(tf.constant(lengths, tf.int32)).map(batch).repeat()


def _step(steps, **changes):
    """Return a training step of a small classifier, and its distribution."""
    keras.utils.set_random_seed(0)
    train = TrainConfig(num_steps=steps, warmup_steps=0, batch_size=4, learning_rate=1e-5, **changes)
    task = task_of(ClassificationConfig(dropout_rate=0.1))
    encoder = SMALL.replace(num_layers=1, dropout_rate=0.1, attention_dropout_rate=0.1, max_position_embeddings=128)
    state = TrainState(task.make_model(encoder, ("a", "b")))
    objective, distribution = task.objective(training=True), Distribution()
    step = TrainStep(state, objective, train=train, optimizer=OptimizerConfig(), distribution=distribution)
    return step, distribution


def _losses(dataset, steps, **changes):
    """Return the loss of each step."""
    loop = InnerLoop(*_step(steps, **changes))
    metrics, _ = loop(iter(dataset), steps)
    place = loop.names.index("classification_loss")
    return metrics[:, place, 0] / metrics[:, place, 1]


def _compilations(log):
    """Return the number of programs that were compiled, and of those that were not compiled alone."""
    running, count, overlapping = {}, 0, 0  # by threads: whether it compiles
    for line in _LINE.finditer(log):
        thread, text = line["thread"], line["text"]
        if text.startswith("XlaLocalLaunchOpBase::Compute"):
            running[thread] = False
        elif text.startswith("Instantly compiling"):
            running[thread] = True
            count += 1
        elif line["file"] == "xla_ops" and text == "Done":
            running.pop(thread, None)
        overlapping += len(running) > 1 and any(running.values())
    return count, overlapping


def test_the_log_of_programs_is_understood():
    lines = (
        "7 xla_ops.cc:511] XlaLocalLaunchOpBase::Compute a",
        "7 device_compiler.h:551] Instantly compiling for signature: a",
        "8 xla_ops.cc:511] XlaLocalLaunchOpBase::Compute b",
        "7 xla_ops.cc:668] Done",
        "8 xla_ops.cc:668] Done",
    )
    alone, together = (
        "\n".join(f"I0000 00:00:17.25   {lines[place]}" for place in order) for order in ((0, 1, 3, 2, 4), range(5))
    )
    assert (_compilations(alone), _compilations(together)) == ((1, 0), (1, 1))


@pytest.mark.long  # dozens of programs are compiled, in a process of its own
@pytest.mark.skipif(tf.__version__.startswith("2.20."), reason="TensorFlow 2.20 does not log what begins")
def test_each_program_is_compiled_alone():
    env = os.environ | _LOG | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    found = subprocess.run([sys.executable, __file__], env=env, stderr=subprocess.PIPE, text=True, timeout=600)
    assert found.returncode == 0, found.stderr[-2000:]
    count, overlapping = _compilations(found.stderr)
    assert count > 10 * len(_LENGTHS), found.stderr[-2000:]
    assert overlapping == 0


def test_the_first_batch_of_each_shape_runs_a_part_alone_first():
    calls = []

    def note(rows, event):
        calls.append((event, int(rows)))
        return np.float32(0)

    def function(rows, weights, seed):
        begun = tf.numpy_function(lambda rows: note(rows, "begin"), [rows["x"][0, 0]], tf.float32)
        total = tf.reduce_sum(tf.cast(rows["x"], tf.float32)) * weights["loss"] + begun
        with tf.control_dependencies([total]):
            return total + tf.numpy_function(lambda rows: note(rows, "end"), [rows["x"][0, 0]], tf.float32)

    run = tf.function(concurrently(function, 2, compiled=True))
    for length, is_new in ((3, True), (3, False), (2, True)):
        calls.clear()
        x = tf.constant([[1] * length, [2] * length])
        assert float(run({"x": x}, {"loss": tf.constant(2.0)}, tf.constant([0, 1], tf.uint32))) == 6 * length
        first = [("begin", 1), ("end", 1)] if is_new else []
        assert calls[: len(first)] == first
        assert sorted(calls[len(first) :]) == [("begin", 1), ("begin", 2), ("end", 1), ("end", 2)]


def _all_inputs(operation):
    """Return the operations that must end before an operation begins."""
    found, left = set(), [operation]
    while left:
        one = left.pop()
        for other in (*(tensor.op for tensor in one.inputs), *one.control_inputs):
            if other not in found:
                found.add(other)
                left.append(other)
    return found


def test_the_parts_wait_for_the_first_call_and_not_for_each_other():
    step, _ = _step(1, xla_scope="fused", concurrent_parts=2)
    batch = next(iter(_batches([8])))
    graph = tf.function(step).get_concrete_function(batch).graph
    calls = [operation for operation in graph.get_operations() if operation.type.endswith("PartitionedCall")]
    names = [operation.get_attr("f").name for operation in calls]
    parts = [operation for operation, name in zip(calls, names, strict=True) if names.count(name) == 2]
    assert len(parts) == 2
    for part, other in (parts, parts[::-1]):
        before = _all_inputs(part)
        assert other not in before
        assert any(operation.type in ("If", "StatelessIf") for operation in before)


@pytest.mark.long
def test_hundreds_of_steps_over_all_row_lengths_of_sst2():
    lengths, steps = get_config().task.bucket_lengths, 400
    plain = _losses(_batches(lengths), steps, jit_compile=False, concurrent_parts=2)
    np.testing.assert_allclose(
        _losses(_batches(lengths), steps, xla_scope="fused", concurrent_parts=2), plain, rtol=1e-4
    )


if __name__ == "__main__":
    _losses(_batches(_LENGTHS), 2 * len(_LENGTHS), xla_scope="fused", concurrent_parts=2)
