"""What a model is trained for: its losses, what they are divided by, and the metrics beside them."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from keras import ops

from bert_tf.objectives.losses import (
    Sums,
    classification_losses,
    multi_label_losses,
    pretraining_losses,
    question_answering_losses,
    regression_losses,
    retrieval_losses,
    tagging_losses,
)
from bert_tf.objectives.metrics import classification_metrics, pretraining_metrics, retrieval_metrics, tagging_metrics

Batch = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Objective:
    """Functions of (model outputs, batch) that return named (sum, weight) pairs; the training loss is the losses' sum.

    Attributes:
        losses: each is its sum over its weight.
        weights: of the batch alone, the weights of `losses`: known before the model has run, so that a batch which is
            computed in parts, here or on several replicas, is divided by the weights of the whole.
        metrics: reported beside the losses.
        gathered_features: the features of the batch by which rows are compared with each other; losses and metrics then
            see the rows of all replicas. () where each row is judged by itself.
        batch_metrics: metrics of the batch alone, such as its number of tokens.
    """

    losses: Callable[[Any, Batch], Sums]
    weights: Callable[[Batch], dict[str, Any]]
    metrics: Callable[[Any, Batch], Sums]
    gathered_features: tuple[str, ...] = ()
    batch_metrics: Callable[[Batch], Sums] = lambda batch: {}


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


def _weighted_by(loss: str, weights: str) -> Callable[[Batch], dict[str, Any]]:
    """Weights of an objective whose only loss is `loss`, divided by the batch's `weights`."""
    return lambda batch: {loss: ops.sum(batch[weights])}


def _no_metrics(outputs: Any, batch: Batch) -> Sums:
    return {}


def classification_objective(label_smoothing: float = 0.0) -> Objective:
    """One of several classes for a text or a pair of texts."""
    return Objective(
        partial(classification_losses, label_smoothing=label_smoothing),
        _weighted_by("classification_loss", "label_weights"),
        classification_metrics,
    )


def multi_label_objective() -> Objective:
    """Any number of labels."""
    return Objective(multi_label_losses, _weighted_by("multi_label_loss", "label_weights"), _no_metrics)


def regression_objective() -> Objective:
    """A number."""
    return Objective(regression_losses, _weighted_by("regression_loss", "label_weights"), _no_metrics)


def tagging_objective() -> Objective:
    """A tag for each word."""
    return Objective(tagging_losses, _weighted_by("tagging_loss", "tag_weights"), tagging_metrics)


def question_answering_objective() -> Objective:
    """Start and end of an answer."""
    return Objective(question_answering_losses, _weighted_by("answer_loss", "answer_weights"), _no_metrics)


def retrieval_objective(temperature: float) -> Objective:
    """A query's passage among all passages of its batch, those on other replicas included.

    Of a batch that is computed in parts (`train.concurrent_parts`, `train.gradient_accumulation_steps`) each query is
    compared with the passages of its part.
    """
    return Objective(
        partial(retrieval_losses, temperature=temperature),
        lambda batch: {"retrieval_loss": ops.sum(batch["passage_weights"][:, 0])},
        retrieval_metrics,
        gathered_features=("query_ids", "passage_ids", "passage_weights"),
    )


def no_objective() -> Objective:
    """Neither loss nor metrics: for rows of which only outputs are wanted."""
    return Objective(_no_metrics, lambda batch: {}, _no_metrics)
