"""Steps on rows of several lengths are the same however they are compiled."""

import keras
import numpy as np
import pytest
from small_model import SMALL

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import ClassificationConfig
from bert_tf.tasks import task_of
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.training.encoded_batches import training_dataset
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.inner_loop import InnerLoop
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.tensorflow_engine.step import TrainStep

STEPS = 6


def _rows():
    random = np.random.default_rng(0)
    lists = [random.integers(5, 40, random.integers(3, 20)).tolist() for _ in range(24)]
    values = {"label_ids": random.integers(0, 2, 24).astype(np.int32), "label_weights": np.ones(24, np.float32)}
    return EncodedExamples.from_lists(
        lists,
        [[0] * len(row) for row in lists],
        pad_id=0,
        max_seq_length=24,
        bucket_lengths=(8, 16),
        example_features=values,
    )


def _losses(**changes):
    keras.utils.set_random_seed(0)
    train = TrainConfig(num_steps=STEPS, warmup_steps=0, batch_size=4, learning_rate=1e-3, **changes)
    task = task_of(ClassificationConfig(dropout_rate=0.1))
    encoder = SMALL.replace(num_layers=1, dropout_rate=0.1, attention_dropout_rate=0.1)
    state = TrainState(task.make_model(encoder, ("a", "b")))
    step = TrainStep(
        state, task.objective(training=True), train=train, optimizer=OptimizerConfig(), distribution=Distribution()
    )
    loop = InnerLoop(step, Distribution())
    metrics, _ = loop(iter(training_dataset(_rows(), 4, seed=0)), STEPS)
    place = loop.names.index("classification_loss")
    return metrics[:, place, 0] / metrics[:, place, 1]


@pytest.mark.long
def test_fused_operations_learn_the_same_as_the_plain_step():
    lengths = {batch["input_ids"].shape[1] for batch in training_dataset(_rows(), 4, seed=0).take(STEPS)}
    assert len(lengths) > 1
    plain = _losses(jit_compile=False)
    assert np.ptp(plain) > 1e-4, "the losses differ from step to step by more than the tolerance"
    np.testing.assert_allclose(_losses(xla_scope="fused"), plain, rtol=1e-5)
