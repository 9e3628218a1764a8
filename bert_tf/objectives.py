"""What a model is trained for: its losses, what they are divided by, and the metrics beside them."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from keras import ops

from bert_tf.losses import Sums, classification_losses, pretraining_losses
from bert_tf.metrics import classification_metrics, pretraining_metrics

Batch = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Objective:
    """Functions of (model outputs, batch) that return named (sum, weight) pairs; the training loss is the losses' sum.

    Attributes:
        losses: each is its sum over its weight.
        weights: of the batch alone, the weights of `losses`: known before the model has run, so that a batch which is
            computed in parts, here or on several replicas, is divided by the weights of the whole.
        metrics: reported beside the losses.
    """

    losses: Callable[[Any, Batch], Sums]
    weights: Callable[[Batch], dict[str, Any]]
    metrics: Callable[[Any, Batch], Sums]


def pretraining_objective(log_unigram: Any = None) -> Objective:
    """Masked-LM and next-sentence prediction.

    Args:
        log_unigram: float [V] of `metrics.log_unigram`, for `unigram_entropy` among the metrics.
    """

    def weights(batch: Batch) -> dict[str, Any]:
        return {
            "masked_lm_loss": ops.sum(batch["masked_lm_weights"]),
            "next_sentence_loss": ops.sum(batch["next_sentence_weights"]),
        }

    return Objective(pretraining_losses, weights, partial(pretraining_metrics, log_unigram=log_unigram))


def classification_objective() -> Objective:
    """Classification of texts or pairs of texts."""

    def weights(batch: Batch) -> dict[str, Any]:
        return {"classification_loss": ops.sum(batch["label_weights"])}

    return Objective(classification_losses, weights, classification_metrics)
