"""The losses and metrics of rankings, which compare the passages of a query.

The passages of a query are consecutive rows of a batch. Missing ones fill a group up: their weight is 0, and they
change neither a loss nor a gradient. A group's weight is the greatest of its rows' weights.

Shapes: B batch, P passages of a query, G = B / P queries.
"""

from typing import NamedTuple

from keras import ops

from bert_tf.features import Batch, Tensor
from bert_tf.objectives.losses import Sums

_MISSING = -1.0e9  # the logit of a missing passage in a softmax


class _Groups(NamedTuple):
    """The rows of a batch in groups, float32 [G, P].

    Attributes:
        relevances: the relevance of each passage; 0 for a missing one.
        is_there: 1 for a passage, 0 for a missing one.
        weights: the weight of each group, [G].
    """

    relevances: Tensor
    is_there: Tensor
    weights: Tensor


def ranking_losses(logits: Tensor, batch: Batch, loss: str, *, group_size: int, margin: float, most: float) -> Sums:
    """Return `<loss>_loss` per query, or per passage for `binary`.

    - `binary`: the binary cross-entropy in nats; the target of a relevance r is r / `most`, at most 1.
    - `ranknet`: the mean of log(1 + exp(-(s_i - s_j))) over all pairs of passages of which i is more relevant (Burges
      et al. 2005, "Learning to Rank using Gradient Descent", section 3).
    - `margin`: the mean of max(0, margin - (s_i - s_j)) over these pairs.
    - `softmax`: the cross-entropy of softmax(s) with the relevances, divided by their sum (Bruch et al. 2019, "An
      Analysis of the Softmax Cost Function for Learning to Rank"; with one relevant passage, the localized contrastive
      loss of Gao et al. 2021).
    - `listnet`: the cross-entropy of softmax(s) with softmax(relevances) (Cao et al. 2007, "Learning to Rank: From
      Pairwise Approach to Listwise Approach", section 4).

    Args:
        logits: outputs of `BertReranker`, [B].
        batch: a batch of `features.reranking_batch`, whose groups are whole.
        loss: the name of the loss.
        group_size: P; B is a multiple of it.
        margin: the margin of `margin`.
        most: the relevance whose target is 1 in `binary`.
    """
    name = f"{loss}_loss"
    logits = ops.cast(logits, "float32")
    weight = ranking_weights(batch, loss, group_size)[name]
    if loss == "binary":
        targets = ops.minimum(batch["label_values"] / most, 1.0)
        return {name: (ops.sum((ops.softplus(logits) - logits * targets) * batch["label_weights"]), weight)}
    groups = _groups(batch, group_size)
    scores = ops.reshape(logits, (-1, group_size))
    if loss in ("ranknet", "margin"):
        differences = scores[:, :, None] - scores[:, None, :]
        costs = ops.softplus(-differences) if loss == "ranknet" else ops.relu(margin - differences)
        pairs = _pairs(groups)
        losses = ops.sum(costs * pairs, axis=(1, 2)) / ops.maximum(ops.sum(pairs, axis=(1, 2)), 1.0)
    else:
        there = groups.is_there > 0
        log_probabilities = ops.log_softmax(ops.where(there, scores, _MISSING), axis=-1)
        if loss == "softmax":
            sums = ops.sum(groups.relevances, axis=-1, keepdims=True)
            targets = groups.relevances / ops.where(sums > 0, sums, 1.0)
        else:
            targets = ops.softmax(ops.where(there, groups.relevances, _MISSING), axis=-1) * groups.is_there
        # The product of a target of 0 and a very low logarithm would still be 0, but its gradient might not be.
        losses = -ops.sum(ops.where(targets > 0, targets * log_probabilities, 0.0), axis=-1)
    return {name: (ops.sum(losses * _counted(groups, loss)), weight)}


def ranking_weights(batch: Batch, loss: str, group_size: int) -> Batch:
    """Return the weight of `ranking_losses`: of the groups that can be learnt from, or of all passages for `binary`.

    Pairwise losses need two passages of different relevance in a group, `softmax` a relevant one, and `listnet` any.
    """
    if loss == "binary":
        return {"binary_loss": ops.sum(batch["label_weights"])}
    return {f"{loss}_loss": ops.sum(_counted(_groups(batch, group_size), loss))}


def ranking_metrics(logits: Tensor, batch: Batch, group_size: int) -> Sums:
    """Return `top_1_accuracy` per query: the share of groups in which a most relevant passage has the greatest logit.

    Groups without a relevant passage do not count.
    """
    groups = _groups(batch, group_size)
    scores = ops.where(groups.is_there > 0, ops.reshape(ops.cast(logits, "float32"), (-1, group_size)), _MISSING)
    highest = ops.max(groups.relevances, axis=-1, keepdims=True)
    is_best = groups.relevances >= highest
    right = ops.max(ops.where(is_best, scores, _MISSING), axis=-1) >= ops.max(scores, axis=-1)
    weights = groups.weights * ops.cast(highest[:, 0] > 0, "float32")
    return {"top_1_accuracy": (ops.sum(ops.cast(right, "float32") * weights), ops.sum(weights))}


def _groups(batch: Batch, group_size: int) -> _Groups:
    weights = ops.reshape(ops.cast(batch["label_weights"], "float32"), (-1, group_size))
    is_there = ops.cast(weights > 0, "float32")
    relevances = ops.reshape(ops.cast(batch["label_values"], "float32"), (-1, group_size))
    return _Groups(relevances * is_there, is_there, ops.max(weights, axis=-1))


def _pairs(groups: _Groups) -> Tensor:
    """Return 1 for each pair of passages [i, j] of which i is more relevant, float32 [G, P, P]."""
    more = ops.cast(groups.relevances[:, :, None] > groups.relevances[:, None, :], "float32")
    return more * groups.is_there[:, :, None] * groups.is_there[:, None, :]


def _counted(groups: _Groups, loss: str) -> Tensor:
    """Return the weights of the groups, 0 for one that nothing can be learnt from, float32 [G]."""
    if loss == "softmax":
        counts = ops.sum(groups.relevances, axis=-1) > 0
    elif loss == "listnet":
        counts = ops.sum(groups.is_there, axis=-1) > 0
    else:
        counts = ops.sum(_pairs(groups), axis=(1, 2)) > 0
    return groups.weights * ops.cast(counts, "float32")
