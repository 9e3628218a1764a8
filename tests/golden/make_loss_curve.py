"""A script that writes loss_curve.json: the losses of the debug experiment in 50 steps on fixed batches.

A change of the model, of the step or of the random numbers changes the losses. Then run this script again, and give
the reason in the commit.

    PYTHONPATH=.:tests python tests/golden/make_loss_curve.py
"""

import json
from pathlib import Path

import keras
import tensorflow as tf
from small_model import random_pretraining_batch

from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.tensorflow_engine.step import TrainStep
from experiments.configs import bert_tiny_debug

FILE = Path(__file__).resolve().parent / "loss_curve.json"
VOCAB_SIZE = 40
NUM_STEPS = 50


def loss_curve() -> dict[str, list[float]]:
    """Return the losses and the norm of the gradient, one number for each step."""
    config = bert_tiny_debug.get_config()
    train = config.train.replace(jit_compile=False, num_steps=NUM_STEPS)
    keras.utils.set_random_seed(train.seed)
    state = TrainState(BertPretrainer(config.model.replace(vocab_size=VOCAB_SIZE)))
    step = tf.function(
        TrainStep(state, pretraining_objective(), train=train, optimizer=config.optimizer, distribution=Distribution())
    )
    curve: dict[str, list[float]] = {"masked_lm_loss": [], "next_sentence_loss": [], "gradient_norm": []}
    for number in range(train.num_steps):
        batch = random_pretraining_batch(number, rows=train.batch_size, vocab_size=VOCAB_SIZE)
        sums = step({name: tf.constant(array) for name, array in batch.items()})
        for name, values in curve.items():
            values.append(round(float(sums[name][0] / sums[name][1]), 6))
    return curve


if __name__ == "__main__":
    FILE.write_text(json.dumps(loss_curve()) + "\n", encoding="utf-8")
