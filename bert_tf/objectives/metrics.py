"""Metrics as (sum, weight) pairs, like the losses: weight 0 counts in none, and the whole set is divided once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from bert_tf.fusion import fused
from bert_tf.objectives.losses import Sums, in_batch_scores, logits_of


def accuracy(logits: Any, labels: Any, weights: Any) -> tuple[Any, Any]:
    """(sum of the weights of right answers, sum of weights); logits [..., C], labels and weights [...]."""
    return ops.sum(fused(right_answers, logits, labels) * weights), ops.sum(weights)


def right_answers(logits: Any, labels: Any) -> Any:
    """1 where the label has the greatest logit, the first of equal ones, else 0; a fused operation (`bert_tf.fusion`).

    Asks whether any class comes before the label: an `argmax` goes through them one by one on a CPU.
    """
    logits = ops.cast(logits, "float32")
    own, labels = ops.expand_dims(logits_of(logits, labels), -1), ops.expand_dims(labels, -1)
    classes = ops.arange(logits.shape[-1], dtype=labels.dtype)
    before = ops.logical_or(logits > own, ops.logical_and(ops.equal(logits, own), classes < labels))
    return ops.cast(ops.logical_not(ops.any(before, axis=-1)), "float32")


def log_unigram(token_counts: np.ndarray, special_ids: Sequence[int], vocab_size: int) -> np.ndarray:
    """Log of the unigram distribution of tokens, float32 [V]: what a model that ignores the text would predict.

    Half a count is added to each token, since every one may occur; special tokens, which are never predicted, get next
    to nothing, and so do the rows of a model that has more than the vocabulary needs.

    Args:
        token_counts: how often each token occurs in the training text, int [tokens of the vocabulary].
        special_ids: of `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]`, `[MASK]`. `[UNK]` keeps its count: it can be masked.
        vocab_size: V of the model, at least the vocabulary's.
    """
    counts = np.full(vocab_size, 1e-3)
    counts[: len(token_counts)] = np.asarray(token_counts, np.float64) + 0.5
    pad_id, _, *others = special_ids
    counts[[pad_id, *others]] = 1e-3
    return np.log(counts / counts.sum()).astype(np.float32)


def pretraining_metrics(outputs: dict[str, Any], batch: dict[str, Any], log_unigram: Any = None) -> Sums:
    """Accuracies of both objectives, and what they would be without a model.

    Args:
        outputs: of `BertPretrainer`.
        batch: `features.pretraining_batch`.
        log_unigram: float [V], of the function of this name.

    Returns:
        `masked_lm_accuracy` per prediction; `next_sentence_accuracy` per sequence; `next_sentence_random`, the share of
        sequences whose second segment is a random one, which always answering "random" would score; and, given
        `log_unigram`, `unigram_entropy`, nats per masked token under that distribution.
    """
    ids, weights = batch["masked_lm_ids"], batch["masked_lm_weights"]
    labels, label_weights = batch["next_sentence_labels"], batch["next_sentence_weights"]
    sums = {
        "masked_lm_accuracy": accuracy(outputs["masked_lm_logits"], ids, weights),
        "next_sentence_accuracy": accuracy(outputs["next_sentence_logits"], labels, label_weights),
        "next_sentence_random": (
            ops.sum(ops.cast(labels, "float32") * label_weights),
            ops.sum(label_weights),
        ),
    }
    if log_unigram is not None:
        nats = -ops.take(ops.convert_to_tensor(log_unigram), ids, axis=0)
        sums["unigram_entropy"] = (ops.sum(nats * weights), ops.sum(weights))
    return sums


def classification_metrics(logits: Any, batch: dict[str, Any]) -> Sums:
    """`accuracy` per example."""
    return {"accuracy": accuracy(logits, batch["label_ids"], batch["label_weights"])}


def tagging_metrics(logits: Any, batch: dict[str, Any]) -> Sums:
    """`accuracy` per word."""
    return {"accuracy": accuracy(logits, batch["tag_ids"], batch["tag_weights"])}


def retrieval_metrics(vectors: Any, batch: dict[str, Any]) -> Sums:
    """`in_batch_accuracy` per query: its passage is the nearest of the batch."""
    return {"in_batch_accuracy": accuracy(*in_batch_scores(vectors, batch))}


def ratios(sums: dict[str, tuple[float, float]]) -> dict[str, float]:
    """The last division: sum / weight by name; nan where the weight is 0."""
    return {
        name: float(total) / float(weight) if float(weight) else float("nan") for name, (total, weight) in sums.items()
    }
