"""Losses as (sum, weight) pairs.

The caller sums both over all replicas and divides once, so that any number of replicas gives the same loss.

Shapes: B batch, P predictions, K sequences in a row, V vocabulary, C classes.
"""

from keras import ops

from bert_tf.features import Batch, Tensor
from bert_tf.fusion import fused

Sums = dict[str, tuple[Tensor, Tensor]]
"""Pairs by name: (sum of weighted values, sum of weights), float32 scalars."""


_LOWEST = -3.0e38  # close to the lowest finite float32
_LOWEST_ERROR = 1.0e-12  # the smallest 1 - p that a focal loss tells from 0
_NO_CANDIDATE = -1.0e9  # stays finite after the division by a temperature


def cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each example in nats, float32 [...], from logits [..., C] and labels int [...].

    Besides the logits, the backward pass keeps one number for each example, and it reads the logits once.
    """

    def losses_and_gradient(logits: Tensor) -> tuple[Tensor, Tensor]:
        losses, log_sums = fused(losses_and_log_sums, logits, labels)

        def gradient(upstream: Tensor) -> Tensor:
            return fused(cross_entropies_gradient, logits, labels, log_sums, upstream)

        return losses, gradient

    return ops.custom_gradient(losses_and_gradient)(logits)


def losses_and_log_sums(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return cross-entropies and log(sum(exp(logits))), float32 [...]; a fused operation (`bert_tf.fusion`)."""
    # The look-up comes before the cast: XLA would write all logits in float32 for it.
    own = ops.cast(logits_of(logits, labels), "float32")
    logits = ops.cast(logits, "float32")
    # On a CPU, XLA reduces the output of a conversion slowly, but that of an element-wise maximum fast.
    top = ops.max(ops.maximum(logits, _LOWEST), axis=-1, keepdims=True)
    log_sums = ops.squeeze(top + ops.log(ops.sum(ops.exp(logits - top), axis=-1, keepdims=True)), -1)
    return log_sums - own, log_sums


def cross_entropies_gradient(logits: Tensor, labels: Tensor, log_sums: Tensor, upstream: Tensor) -> Tensor:
    """Return (softmax - one-hot label) x upstream in the logits' dtype; a fused operation (`bert_tf.fusion`)."""
    probabilities = ops.exp(ops.cast(logits, "float32") - ops.expand_dims(log_sums, -1))
    classes = ops.arange(ops.shape(logits)[-1], dtype=labels.dtype)  # for spans, C is the length of the batch
    targets = ops.cast(ops.equal(classes, ops.expand_dims(labels, -1)), "float32")
    return ops.cast((probabilities - targets) * ops.expand_dims(upstream, -1), logits.dtype)


def logits_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logit of each example's label, [...]."""
    return ops.squeeze(ops.take_along_axis(logits, ops.expand_dims(labels, -1), axis=-1), -1)


def cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor, *, focal_gamma: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return the weighted softmax cross-entropy in nats, computed in float32.

    Args:
        logits: float [..., C].
        labels: int [...]; any valid class where the weight is 0.
        weights: float [...].
        focal_gamma: exponent of `focal`; 0 for the cross-entropy itself.

    Returns:
        (sum of weight x loss, sum of weights).
    """
    losses = focal(cross_entropies(logits, labels), focal_gamma)
    return ops.sum(losses * weights), ops.sum(weights)


def pretraining_losses(outputs: Batch, batch: Batch) -> Sums:
    """Return `masked_lm_loss` per prediction and `next_sentence_loss` per sequence; the training loss is their sum.

    Follows google-research/bert `run_pretraining.py` (`total_loss = masked_lm_loss + next_sentence_loss`).

    Args:
        outputs: outputs of `BertPretrainer`.
        batch: a batch of `features.pretraining_batch`.
    """
    return {
        "masked_lm_loss": cross_entropy(
            outputs["masked_lm_logits"], batch["masked_lm_ids"], batch["masked_lm_weights"]
        ),
        "next_sentence_loss": cross_entropy(
            outputs["next_sentence_logits"], batch["next_sentence_labels"], batch["next_sentence_weights"]
        ),
    }


def focal(losses: Tensor, gamma: float) -> Tensor:
    """Return each cross-entropy times (1 - p) ** gamma, where p is the probability of its target.

    Follows Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4. The factor has a gradient, too.

    Args:
        losses: cross-entropies in nats, float32 [...], so that p = exp(-loss).
        gamma: the exponent; 0 returns `losses` itself.
    """
    if not gamma:
        return losses
    # The derivative of a power below 1 is infinite at 0, which a target of probability 1 reaches.
    return ops.maximum(-ops.expm1(-losses), _LOWEST_ERROR) ** gamma * losses


def classification_losses(
    logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0, focal_gamma: float = 0.0
) -> Sums:
    """Return `classification_loss` per example.

    Args:
        logits: outputs of `BertClassifier`, [B, C].
        batch: a batch of `features.classification_batch`.
        label_smoothing: share of the target that is spread equally over all classes (Szegedy et al. 2016); 0
            with a `focal_gamma`.
        focal_gamma: exponent of `focal`.
    """
    labels, weights = batch["label_ids"], batch["label_weights"]
    total, weight = cross_entropy(logits, labels, weights, focal_gamma=focal_gamma)
    if label_smoothing:
        # Cross-entropy is linear in its target; for the uniform target it is the mean over the classes.
        log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        uniform = ops.sum(-ops.mean(log_probabilities, axis=-1) * weights)
        total = (1.0 - label_smoothing) * total + label_smoothing * uniform
    return {"classification_loss": (total, weight)}


def multi_label_losses(logits: Tensor, batch: Batch, focal_gamma: float = 0.0) -> Sums:
    """Return `multi_label_loss` per example: binary cross-entropy in nats, averaged over the labels.

    Weights of targets count in the sum only, as `pos_weight` of PyTorch's `BCEWithLogitsLoss` does.

    Args:
        logits: outputs of `BertMultiLabelClassifier`, [B, C].
        batch: a batch of `features.multi_label_batch`, with `target_weights` or without.
        focal_gamma: exponent of `focal`.
    """
    logits, targets = ops.cast(logits, "float32"), batch["label_targets"]
    losses = focal(ops.softplus(logits) - logits * targets, focal_gamma)
    if "target_weights" in batch:
        losses = losses * batch["target_weights"]
    losses = ops.mean(losses, axis=-1)
    return {"multi_label_loss": (ops.sum(losses * batch["label_weights"]), ops.sum(batch["label_weights"]))}


def regression_losses(values: Tensor, batch: Batch) -> Sums:
    """Return `regression_loss` per example: the squared error.

    Args:
        values: outputs of `BertRegressor`, [B].
        batch: a batch of `features.regression_batch`.
    """
    errors = ops.square(ops.cast(values, "float32") - batch["label_values"])
    return {"regression_loss": (ops.sum(errors * batch["label_weights"]), ops.sum(batch["label_weights"]))}


def tagging_losses(logits: Tensor, batch: Batch, focal_gamma: float = 0.0) -> Sums:
    """Return `tagging_loss` per word.

    Args:
        logits: outputs of `BertTokenClassifier`, [B, L, C].
        batch: a batch of `features.tagging_batch`.
        focal_gamma: exponent of `focal`.
    """
    return {"tagging_loss": cross_entropy(logits, batch["tag_ids"], batch["tag_weights"], focal_gamma=focal_gamma)}


def question_answering_losses(outputs: Batch, batch: Batch) -> Sums:
    """Return `answer_loss` per row: the mean of the cross-entropies of start and end.

    Follows google-research/bert `run_squad.py`.

    Args:
        outputs: outputs of `BertQuestionAnswerer`.
        batch: a batch of `features.question_answering_batch`.
    """
    # Padding is left out, so that the loss of a row does not depend on the length of its batch.
    outside = ops.equal(batch["input_mask"], 0)
    start_logits, end_logits = (ops.where(outside, -1e9, outputs[name]) for name in ("start_logits", "end_logits"))
    start, weight = cross_entropy(start_logits, batch["start_positions"], batch["answer_weights"])
    end, _ = cross_entropy(end_logits, batch["end_positions"], batch["answer_weights"])
    return {"answer_loss": ((start + end) / 2.0, weight)}


def seq2seq_losses(logits: Tensor, batch: Batch) -> Sums:
    """Return `seq2seq_loss` per target token.

    Args:
        logits: outputs of `BertSeq2Seq`, [B, P, V].
        batch: a batch of `features.seq2seq_batch`.
    """
    return {"seq2seq_loss": cross_entropy(logits, batch["next_token_ids"], batch["next_token_weights"])}


def retrieval_losses(vectors: Tensor, batch: Batch, temperature: float) -> Sums:
    """Return `retrieval_loss` per query: the cross-entropy in nats of its passage among all passages of the batch.

    The softmax runs over products of vectors (Henderson et al. 2017, section 4; with negatives, Karpukhin et al. 2020,
    equation 2). Passages that answer the same query, in any row, are not negatives of it.

    Args:
        vectors: outputs of `BertDualEncoder`, [B, 1 + P, D].
        batch: a batch of `features.retrieval_batch`.
        temperature: divisor of the products.
    """
    scores, labels, weights = in_batch_scores(vectors, batch)
    return {"retrieval_loss": cross_entropy(scores / temperature, labels, weights)}


def in_batch_scores(vectors: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return each query's product with its passage and with all negatives of the batch.

    Other passages that answer the query, and missing ones, have a very low score.

    Args:
        vectors: outputs of `BertDualEncoder`, [B, 1 + P, D].
        batch: a batch of `features.retrieval_batch`.

    Returns:
        Scores float32 [B, B * P], the index of each query's passage among them int32 [B], and weights float32 [B].
    """
    rows, passages = ops.shape(batch["passage_ids"])
    ids = ops.reshape(batch["passage_ids"], (-1,))  # [B * P]
    candidates = ops.reshape(vectors[:, 1:], (rows * passages, vectors.shape[-1]))
    scores = ops.matmul(vectors[:, 0], ops.transpose(candidates))
    indices = ops.arange(rows * passages, dtype="int32")
    labels = ops.arange(rows, dtype="int32") * passages
    is_own = ops.equal(indices[None], labels[:, None])
    same_query = ops.equal(batch["query_ids"][:, None], batch["query_ids"][None])  # [B, B]
    is_passage = ops.equal(batch["passage_ids"][:, :1], ids[None])  # [B, B * P], the passage of each row's query
    is_right = ops.matmul(ops.cast(same_query, "float32"), ops.cast(is_passage, "float32")) > 0
    is_there = ops.greater(ops.reshape(batch["passage_weights"], (-1,)), 0.0)[None]
    counts = ops.logical_or(is_own, ops.logical_and(is_there, ops.logical_not(is_right)))
    return ops.where(counts, scores, _NO_CANDIDATE), labels, batch["passage_weights"][:, 0]
