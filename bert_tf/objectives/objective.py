"""Training objectives: the losses of a model, their weights, and the metrics reported with them."""

import dataclasses
from collections.abc import Callable
from functools import partial

from keras import ops

from bert_tf.features import Batch, Tensor
from bert_tf.objectives.losses import (
    Sums,
    classification_losses,
    multi_label_losses,
    pretraining_losses,
    question_answering_losses,
    regression_losses,
    retrieval_losses,
    seq2seq_losses,
    tagging_losses,
)
from bert_tf.objectives.metrics import (
    classification_metrics,
    pretraining_metrics,
    retrieval_metrics,
    seq2seq_metrics,
    tagging_metrics,
    target_tokens,
)
from bert_tf.objectives.ranking import ranking_losses, ranking_metrics, ranking_weights


@dataclasses.dataclass(frozen=True)
class PrivateGradients:
    """The making of a differentially private gradient (Abadi et al. 2016, algorithm 1).

    Attributes:
        clip_norm: the largest global norm of the gradient of a row.
        noise_multiplier: the standard deviation of the noise on their sum, divided by `clip_norm`.
        expected_rows: what the sum is divided by.
        seed: the seed of the noise, which must stay secret.
    """

    clip_norm: float
    noise_multiplier: float
    expected_rows: int
    seed: int


@dataclasses.dataclass(frozen=True)
class Objective:
    """A training objective: functions of (model outputs, batch) that return named (sum, weight) pairs.

    Each loss is its sum divided by its weight. The training loss is the sum of the losses.

    Attributes:
        losses: the losses.
        weights: the weights of `losses`, a function of the batch alone. They are known before the model runs, so that
            a batch that is computed in parts, or on several replicas, is divided by the weights of the whole batch.
        metrics: metrics reported with the losses.
        gathered_features: features whose rows all replicas gather, for losses and metrics that compare rows with each
            other. Empty if each row has a loss of its own.
        batch_metrics: metrics of the batch alone, such as its number of tokens.
        kept: the part of the model's outputs that is kept for each row of an evaluation (`Engine.make_outputs`).
        private: how gradients become private, through JAX on one device; None for ordinary ones.
    """

    losses: Callable[[Tensor | Batch, Batch], Sums]
    weights: Callable[[Batch], Batch]
    metrics: Callable[[Tensor | Batch, Batch], Sums]
    gathered_features: tuple[str, ...] = ()
    batch_metrics: Callable[[Batch], Sums] = lambda batch: {}
    kept: Callable[[Tensor | Batch, Batch], Tensor | Batch] = lambda outputs, batch: outputs
    private: PrivateGradients | None = None


def of_member(objective: Objective, name: str, loss_weight: float = 1.0) -> Objective:
    """Return the objective of one of several tasks, whose losses and metrics are named `<name>/<loss>`.

    Args:
        objective: the objective of the task.
        name: the name of the task.
        loss_weight: factor of the losses in the training loss. They are reported without it.
    """

    def named(values: dict) -> dict:
        return {f"{name}/{key}": value for key, value in values.items()}

    return dataclasses.replace(
        objective,
        losses=lambda outputs, batch: named(objective.losses(outputs, batch)),
        weights=lambda batch: named({key: value / loss_weight for key, value in objective.weights(batch).items()}),
        metrics=lambda outputs, batch: named(objective.metrics(outputs, batch)),
    )


def pretraining_objective(log_unigram: Tensor | None = None) -> Objective:
    """Return the objective of masked-LM and next-sentence prediction.

    Args:
        log_unigram: float [V], the result of `metrics.log_unigram`; adds `unigram_entropy` to the metrics.
    """

    def weights(batch: Batch) -> Batch:
        return {
            "masked_lm_loss": ops.sum(batch["masked_lm_weights"]),
            "next_sentence_loss": ops.sum(batch["next_sentence_weights"]),
        }

    return Objective(pretraining_losses, weights, partial(pretraining_metrics, log_unigram=log_unigram))


def _weighted_by(loss: str, weights: str) -> Callable[[Batch], Batch]:
    """Return the `weights` of an objective with one loss, which is weighted by this feature of the batch."""
    return lambda batch: {loss: ops.sum(batch[weights])}


def _no_metrics(outputs: Tensor, batch: Batch) -> Sums:
    return {}


def classification_objective(label_smoothing: float = 0.0, focal_gamma: float = 0.0) -> Objective:
    """Return the objective of one class for each text or pair of texts. Arguments are those of its losses."""
    return Objective(
        partial(classification_losses, label_smoothing=label_smoothing, focal_gamma=focal_gamma),
        _weighted_by("classification_loss", "label_weights"),
        classification_metrics,
    )


def multi_label_objective(focal_gamma: float = 0.0) -> Objective:
    """Return the objective of any number of labels for each text. Arguments are those of its losses."""
    losses = partial(multi_label_losses, focal_gamma=focal_gamma)
    return Objective(losses, _weighted_by("multi_label_loss", "label_weights"), _no_metrics)


def regression_objective() -> Objective:
    """Return the objective of a number for each text or pair of texts."""
    return Objective(regression_losses, _weighted_by("regression_loss", "label_weights"), _no_metrics)


def tagging_objective(focal_gamma: float = 0.0) -> Objective:
    """Return the objective of a tag for each word. Arguments are those of its losses."""
    losses = partial(tagging_losses, focal_gamma=focal_gamma)
    return Objective(losses, _weighted_by("tagging_loss", "tag_weights"), tagging_metrics)


def question_answering_objective() -> Objective:
    """Return the objective of the start and the end of an answer."""
    return Objective(question_answering_losses, _weighted_by("answer_loss", "answer_weights"), _no_metrics)


def retrieval_objective(temperature: float) -> Objective:
    """Return the objective of finding a query's passage among all passages of the batch, on all replicas.

    If a batch is computed in parts (`train.concurrent_parts`, `train.gradient_accumulation_steps`), each query is
    compared with the passages of its part.

    Args:
        temperature: divisor of the scores.
    """
    return Objective(
        partial(retrieval_losses, temperature=temperature),
        lambda batch: {"retrieval_loss": ops.sum(batch["passage_weights"][:, 0])},
        retrieval_metrics,
        gathered_features=("query_ids", "passage_ids", "passage_weights"),
    )


def ranking_objective(loss: str, *, group_size: int, margin: float, most: float) -> Objective:
    """Return the objective of ranking the passages of each query. Arguments are those of `ranking.ranking_losses`."""
    return Objective(
        partial(ranking_losses, loss=loss, group_size=group_size, margin=margin, most=most),
        partial(ranking_weights, loss=loss, group_size=group_size),
        _no_metrics if loss == "binary" else partial(ranking_metrics, group_size=group_size),
    )


def seq2seq_objective() -> Objective:
    """Return the objective of each target token, given the source and the target before it."""
    weights = _weighted_by("seq2seq_loss", "next_token_weights")
    return Objective(seq2seq_losses, weights, seq2seq_metrics, kept=target_tokens)


def no_objective() -> Objective:
    """Return an objective without losses and metrics, for rows whose outputs alone are wanted."""
    return Objective(_no_metrics, lambda batch: {}, _no_metrics)
