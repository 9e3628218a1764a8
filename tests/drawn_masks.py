"""A pre-trainer that shows which dropout masks a step drew for each row of the global batch."""

from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf.layers.base import seed_part
from bert_tf.layers.dropout import dropped
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.objective import Objective, pretraining_objective


class ShowingPretrainer(BertPretrainer):
    """Its outputs have `masks`, float32 [B, 2, 48], 1 where dropout keeps: of the first block and of the head."""

    def outputs_of(self, encoded: Any, inputs: Any, training: bool = False, seed: Any = None) -> Any:
        ones = tf.ones((tf.shape(inputs["input_ids"])[0], 4, 3, 4))
        masks = [dropped(ones, part, 0.5) / 2 for part in (seed_part(seed, 1), self.head_seed(seed))]
        outputs = super().outputs_of(encoded, inputs, training, seed)
        return outputs | {"masks": tf.stack([tf.reshape(mask, (-1, 48)) for mask in masks], axis=1)}


def numbered(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the batch with each row's number as the token of its first prediction."""
    ids = batch["masked_lm_ids"].copy()
    ids[:, 0] = np.arange(len(ids))
    return batch | {"masked_lm_ids": ids}


def showing_objective(rows: int) -> Objective:
    """Return the objective whose metric `masks` is the masks of all `rows` rows of a `numbered` batch, [B, 2, 48]."""
    plain = pretraining_objective()

    def metrics(outputs: Any, batch: Any) -> Any:
        places = tf.one_hot(batch["masked_lm_ids"][:, 0], rows)
        return {"masks": (tf.einsum("br,bmn->rmn", places, outputs["masks"]), tf.ones(()))}

    return Objective(plain.losses, plain.weights, metrics)
