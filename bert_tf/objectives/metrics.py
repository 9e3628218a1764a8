"""Metrics as (sum, weight) pairs, like the losses: the pairs of a whole set are summed, and divided once."""

from collections.abc import Sequence

import numpy as np
from keras import ops

from bert_tf.features import Batch, Tensor
from bert_tf.fusion import fused
from bert_tf.objectives.losses import Sums, cross_entropies, in_batch_scores, logits_of


def accuracy(logits: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return (sum of the weights of right answers, sum of weights) of logits [..., C], labels and weights [...]."""
    return ops.sum(fused(right_answers, logits, labels) * weights), ops.sum(weights)


def right_answers(logits: Tensor, labels: Tensor) -> Tensor:
    """Return 1.0 where the label has the greatest logit, else 0.0; a fused operation (`bert_tf.fusion`).

    Among equal logits the first class wins. An `argmax` would be slow on a CPU, where it compares the classes one by
    one. This function tests whether any class precedes the label.
    """
    own, labels = ops.expand_dims(logits_of(logits, labels), -1), ops.expand_dims(labels, -1)
    own, logits = ops.cast(own, "float32"), ops.cast(logits, "float32")
    classes = ops.arange(ops.shape(logits)[-1], dtype=labels.dtype)
    before = ops.logical_or(logits > own, ops.logical_and(ops.equal(logits, own), classes < labels))
    return ops.cast(ops.logical_not(ops.any(before, axis=-1)), "float32")


def log_unigram(token_counts: np.ndarray, special_ids: Sequence[int], vocab_size: int) -> np.ndarray:
    """Return the logarithm of the unigram distribution, float32 [V], which a model would predict without the text.

    Half a count is added to each token, since any may occur. Special tokens, which are never predicted, and the rows of
    a model beyond its vocabulary have a negligible probability.

    Args:
        token_counts: number of occurrences of each token in the training text, int [tokens of the vocabulary].
        special_ids: ids of `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]`, `[MASK]`. `[UNK]` keeps its count: it can be masked.
        vocab_size: V of the model, at least the size of the vocabulary.
    """
    counts = np.full(vocab_size, 1e-3)
    counts[: len(token_counts)] = np.asarray(token_counts, np.float64) + 0.5
    pad_id, _, *others = special_ids
    counts[[pad_id, *others]] = 1e-3
    return np.log(counts / counts.sum()).astype(np.float32)


def pretraining_metrics(outputs: Batch, batch: Batch, log_unigram: Tensor | None = None) -> Sums:
    """Return the accuracies of both objectives, and baselines that use no model.

    Args:
        outputs: outputs of `BertPretrainer`.
        batch: a batch of `features.pretraining_batch`.
        log_unigram: float [V], the result of `log_unigram`.

    Returns:
        `masked_lm_accuracy` per prediction; `next_sentence_accuracy` per sequence; `next_sentence_random`, the share of
        sequences whose second segment is random, which is the accuracy of always answering "random"; and, with
        `log_unigram`, `unigram_entropy`, the nats per masked token under that distribution.
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


def classification_metrics(logits: Tensor, batch: Batch) -> Sums:
    """Return `accuracy` per example."""
    return {"accuracy": accuracy(logits, batch["label_ids"], batch["label_weights"])}


def tagging_metrics(logits: Tensor, batch: Batch) -> Sums:
    """Return `accuracy` per word."""
    return {"accuracy": accuracy(logits, batch["tag_ids"], batch["tag_weights"])}


def seq2seq_metrics(logits: Tensor, batch: Batch) -> Sums:
    """Return `token_accuracy` per target token."""
    return {"token_accuracy": accuracy(logits, batch["next_token_ids"], batch["next_token_weights"])}


def target_tokens(logits: Tensor, batch: Batch) -> Batch:
    """Return what is known of each target token, instead of logits of the whole vocabulary.

    Args:
        logits: outputs of `BertSeq2Seq`, [B, P, V].
        batch: a batch of `features.seq2seq_batch`.

    Returns:
        `log_probabilities` float32 [B, P], and `right_tokens` float32 [B, P], 1 for a token with the greatest logit.
    """
    ids = batch["next_token_ids"]
    return {"log_probabilities": -cross_entropies(logits, ids), "right_tokens": right_answers(logits, ids)}


def retrieval_metrics(vectors: Tensor, batch: Batch) -> Sums:
    """Return `in_batch_accuracy` per query: the share of queries whose passage is the nearest of the batch."""
    return {"in_batch_accuracy": accuracy(*in_batch_scores(vectors, batch))}


def ratios(sums: dict[str, tuple[float, float]]) -> dict[str, float]:
    """Return sum / weight by name; nan where the weight is 0."""
    return {
        name: float(total) / float(weight) if float(weight) else float("nan") for name, (total, weight) in sums.items()
    }
