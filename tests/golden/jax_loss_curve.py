"""A script that writes the losses of `make_loss_curve.py` through JAX to a file, to be compared with the golden ones.

KERAS_BACKEND=jax PYTHONPATH=.:tests python tests/golden/jax_loss_curve.py OUT.json
"""

import json
import sys
from pathlib import Path

import keras
from small_model import random_pretraining_batch

from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.training.jax_engine.engine import JaxEngine
from experiments.configs import bert_tiny_debug

VOCAB_SIZE = 40
NUM_STEPS = 50


def loss_curve() -> dict[str, list[float]]:
    """Return the losses and the norm of the gradient, one number for each step."""
    config = bert_tiny_debug.get_config()
    train = config.train.replace(num_steps=NUM_STEPS)
    keras.utils.set_random_seed(train.seed)
    engine = JaxEngine()
    state = engine.make_state(lambda: BertPretrainer(config.model.replace(vocab_size=VOCAB_SIZE)), train)
    steps = engine.make_steps(state, pretraining_objective(), train=train, optimizer=config.optimizer)
    batches = (
        engine.devices.place_rows(random_pretraining_batch(number, rows=train.batch_size, vocab_size=VOCAB_SIZE))
        for number in range(NUM_STEPS)
    )
    values, _ = steps(batches, NUM_STEPS)
    ratios = values[:, :, 0] / values[:, :, 1].clip(1e-9)
    names = ("masked_lm_loss", "next_sentence_loss", "gradient_norm")
    return {name: [round(float(value), 6) for value in ratios[:, steps.names.index(name)]] for name in names}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(loss_curve()) + "\n", encoding="utf-8")
