"""Losses as (sum, weight) pairs, divided once, after both are summed over replicas: two replicas give what one gives.

Shapes: B batch, P predictions, K sequences in a row, V vocabulary, C classes.
"""

from typing import Any

from keras import ops

Sums = dict[str, tuple[Any, Any]]
"""Name -> (sum of weighted values, sum of weights), float32 scalars."""


def cross_entropy(logits: Any, labels: Any, weights: Any) -> tuple[Any, Any]:
    """Weighted softmax cross-entropy in nats, in float32.

    Args:
        logits: float [..., C].
        labels: int [...]; where the weight is 0, any valid class.
        weights: float [...].

    Returns:
        (sum of weight x loss, sum of weights).
    """
    losses = ops.sparse_categorical_crossentropy(labels, ops.cast(logits, "float32"), from_logits=True)
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


def classification_losses(logits: Any, batch: dict[str, Any]) -> Sums:
    """`classification_loss` per example.

    Args:
        logits: of `BertClassifier`, [B, C].
        batch: `features.classification_batch`.
    """
    return {"classification_loss": cross_entropy(logits, batch["label_ids"], batch["label_weights"])}
