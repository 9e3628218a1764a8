"""Losses as (sum, weight) pairs, divided once, after both are summed over replicas: two replicas give what one gives.

Shapes: B batch, P predictions, K sequences in a row, V vocabulary, C classes.
"""

from typing import Any

from keras import ops

from bert_tf.fusion import fused

Sums = dict[str, tuple[Any, Any]]
"""Name -> (sum of weighted values, sum of weights), float32 scalars."""


_LOWEST = -3.0e38  # about the least finite float32
_NO_CANDIDATE = -1.0e9  # finite when it is divided by a temperature


def cross_entropies(logits: Any, labels: Any) -> Any:
    """Of each example, in nats, float32 [...], from logits [..., C] and labels int [...].

    What the backward pass keeps beside the logits is one number an example, and it reads the logits once.
    """

    def losses_and_gradient(logits: Any) -> tuple[Any, Any]:
        losses, log_sums = fused(losses_and_log_sums, logits, labels)

        def gradient(upstream: Any) -> Any:
            return fused(cross_entropies_gradient, logits, labels, log_sums, upstream)

        return losses, gradient

    return ops.custom_gradient(losses_and_gradient)(logits)


def losses_and_log_sums(logits: Any, labels: Any) -> tuple[Any, Any]:
    """Cross-entropies and logarithms of the sums of exp(logits), float32 [...]; a fused operation (`bert_tf.fusion`)."""
    logits = ops.cast(logits, "float32")
    # On a CPU, XLA has no fast maximum of what was just converted, but of what is the greater of two.
    top = ops.max(ops.maximum(logits, _LOWEST), axis=-1, keepdims=True)
    log_sums = ops.squeeze(top + ops.log(ops.sum(ops.exp(logits - top), axis=-1, keepdims=True)), -1)
    return log_sums - logits_of(logits, labels), log_sums


def cross_entropies_gradient(logits: Any, labels: Any, log_sums: Any, upstream: Any) -> Any:
    """(softmax - one-hot label) x upstream, in the logits' dtype; a fused operation (`bert_tf.fusion`)."""
    probabilities = ops.exp(ops.cast(logits, "float32") - ops.expand_dims(log_sums, -1))
    classes = ops.arange(ops.shape(logits)[-1], dtype=labels.dtype)  # rows of spans come in several lengths
    targets = ops.cast(ops.equal(classes, ops.expand_dims(labels, -1)), "float32")
    return ops.cast((probabilities - targets) * ops.expand_dims(upstream, -1), logits.dtype)


def logits_of(logits: Any, labels: Any) -> Any:
    """Each example's logit of its label, [...]."""
    return ops.squeeze(ops.take_along_axis(logits, ops.expand_dims(labels, -1), axis=-1), -1)


def cross_entropy(logits: Any, labels: Any, weights: Any) -> tuple[Any, Any]:
    """Weighted softmax cross-entropy in nats, in float32.

    Args:
        logits: float [..., C].
        labels: int [...]; where the weight is 0, any valid class.
        weights: float [...].

    Returns:
        (sum of weight x loss, sum of weights).
    """
    losses = cross_entropies(logits, labels)
    return ops.sum(losses * weights), ops.sum(weights)


def pretraining_losses(outputs: dict[str, Any], batch: dict[str, Any]) -> Sums:
    """`masked_lm_loss` per prediction and `next_sentence_loss` per sequence; the training loss is their sum.

    Follows google-research/bert `run_pretraining.py` (`total_loss = masked_lm_loss + next_sentence_loss`).

    Args:
        outputs: of `BertPretrainer`.
        batch: `features.pretraining_batch`.
    """
    return {
        "masked_lm_loss": cross_entropy(
            outputs["masked_lm_logits"], batch["masked_lm_ids"], batch["masked_lm_weights"]
        ),
        "next_sentence_loss": cross_entropy(
            outputs["next_sentence_logits"], batch["next_sentence_labels"], batch["next_sentence_weights"]
        ),
    }


def classification_losses(logits: Any, batch: dict[str, Any], label_smoothing: float = 0.0) -> Sums:
    """`classification_loss` per example.

    Args:
        logits: of `BertClassifier`, [B, C].
        batch: `features.classification_batch`.
        label_smoothing: share of the target that all classes have equal parts in (Szegedy et al. 2016).
    """
    labels, weights = batch["label_ids"], batch["label_weights"]
    total, weight = cross_entropy(logits, labels, weights)
    if label_smoothing:
        # Cross-entropy is linear in its target: of the uniform one it is the mean over the classes.
        log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        uniform = ops.sum(-ops.mean(log_probabilities, axis=-1) * weights)
        total = (1.0 - label_smoothing) * total + label_smoothing * uniform
    return {"classification_loss": (total, weight)}


def multi_label_losses(logits: Any, batch: dict[str, Any]) -> Sums:
    """`multi_label_loss`: binary cross-entropy in nats, the mean over the labels, per example.

    Args:
        logits: of `BertMultiLabelClassifier`, [B, C].
        batch: `features.multi_label_batch`.
    """
    logits, targets = ops.cast(logits, "float32"), batch["label_targets"]
    losses = ops.mean(ops.softplus(logits) - logits * targets, axis=-1)
    return {"multi_label_loss": (ops.sum(losses * batch["label_weights"]), ops.sum(batch["label_weights"]))}


def regression_losses(values: Any, batch: dict[str, Any]) -> Sums:
    """`regression_loss`: squared error per example.

    Args:
        values: of `BertRegressor`, [B].
        batch: `features.regression_batch`.
    """
    errors = ops.square(ops.cast(values, "float32") - batch["label_values"])
    return {"regression_loss": (ops.sum(errors * batch["label_weights"]), ops.sum(batch["label_weights"]))}


def tagging_losses(logits: Any, batch: dict[str, Any]) -> Sums:
    """`tagging_loss` per word.

    Args:
        logits: of `BertTokenClassifier`, [B, L, C].
        batch: `features.tagging_batch`.
    """
    return {"tagging_loss": cross_entropy(logits, batch["tag_ids"], batch["tag_weights"])}


def question_answering_losses(outputs: dict[str, Any], batch: dict[str, Any]) -> Sums:
    """`answer_loss` per row: the mean of the cross-entropies of start and end (google-research/bert `run_squad.py`).

    Args:
        outputs: of `BertQuestionAnswerer`.
        batch: `features.question_answering_batch`.
    """
    # Padding takes no part, so that the loss of a row does not depend on the length of its batch.
    outside = ops.equal(batch["input_mask"], 0)
    start_logits, end_logits = (ops.where(outside, -1e9, outputs[name]) for name in ("start_logits", "end_logits"))
    start, weight = cross_entropy(start_logits, batch["start_positions"], batch["answer_weights"])
    end, _ = cross_entropy(end_logits, batch["end_positions"], batch["answer_weights"])
    return {"answer_loss": ((start + end) / 2.0, weight)}


def retrieval_losses(vectors: Any, batch: dict[str, Any], temperature: float) -> Sums:
    """`retrieval_loss` per query, in nats: of its passage among all passages of the batch.

    The softmax runs over products of vectors (Henderson et al. 2017, section 4; with negatives Karpukhin et al. 2020,
    equation 2). What answers the same query, here or in another row, is no negative of it.

    Args:
        vectors: of `BertDualEncoder`, [B, 1 + P, D].
        batch: `features.retrieval_batch`.
        temperature: what products are divided by.
    """
    scores, labels, weights = in_batch_scores(vectors, batch)
    return {"retrieval_loss": cross_entropy(scores / temperature, labels, weights)}


def in_batch_scores(vectors: Any, batch: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Each query's product with every passage of the batch; what is no negative of it has the least there is.

    Args:
        vectors: of `BertDualEncoder`, [B, 1 + P, D].
        batch: `features.retrieval_batch`.

    Returns:
        Scores float32 [B, B * P], the place of each query's passage among them int32 [B], and weights float32 [B].
    """
    rows, passages = ops.shape(batch["passage_ids"])
    ids = ops.reshape(batch["passage_ids"], (-1,))  # [B * P]
    candidates = ops.reshape(vectors[:, 1:], (rows * passages, vectors.shape[-1]))
    scores = ops.matmul(vectors[:, 0], ops.transpose(candidates))
    places = ops.arange(rows * passages, dtype="int32")
    labels = ops.arange(rows, dtype="int32") * passages
    is_own = ops.equal(places[None], labels[:, None])
    same_query = ops.equal(batch["query_ids"][:, None], batch["query_ids"][None])  # [B, B]
    is_passage = ops.equal(batch["passage_ids"][:, :1], ids[None])  # [B, B * P], of the query of each row
    is_right = ops.matmul(ops.cast(same_query, "float32"), ops.cast(is_passage, "float32")) > 0
    is_there = ops.greater(ops.reshape(batch["passage_weights"], (-1,)), 0.0)[None]
    counts = ops.logical_or(is_own, ops.logical_and(is_there, ops.logical_not(is_right)))
    return ops.where(counts, scores, _NO_CANDIDATE), labels, batch["passage_weights"][:, 0]
