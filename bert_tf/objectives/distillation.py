"""The losses of a student beside its teacher: of outputs, of layers, and of relations among tokens.

Each is 0, and has no gradient, where the student computes what the teacher computes.

Shapes: B batch, L length, C classes, D width of the student, E width of the teacher, R heads of the relations.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from bert_tf.features import ORDER, Batch, Tensor
from bert_tf.layers.attention import attention_allowed
from bert_tf.objectives.losses import Sums
from bert_tf.objectives.objective import Objective

_OUTSIDE = -1.0e9  # the score of what cannot be chosen

Imitation = Callable[[Any, Batch, float], Tensor]
"""A function (student's outputs, batch with the teacher's, T) -> losses in the shape of the labels' weights."""


def divergences(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Return T^2 KL(softmax(targets / T) || softmax(logits / T)) in nats (Hinton et al. 2015, section 2).

    The cross-entropy of the paper differs from it by the entropy of the targets, which has no gradient.

    Args:
        logits: the student's logits, float [..., C].
        targets: the teacher's logits, float [..., C].
        temperature: T.

    Returns:
        float32 [...].
    """
    own, others = (ops.log_softmax(ops.cast(x, "float32") / temperature, axis=-1) for x in (logits, targets))
    return temperature**2 * ops.sum(ops.exp(others) * (others - own), axis=-1)


def class_imitation(logits: Tensor, batch: Batch, temperature: float) -> Tensor:
    """Return the divergence of each row or token, float32 [B] or [B, L], of logits [..., C]."""
    return divergences(logits, batch["teacher_outputs"], temperature)


def label_imitation(logits: Tensor, batch: Batch, temperature: float) -> Tensor:
    """Return the divergence of each row, float32 [B]: the mean over labels that are each present or absent.

    Args:
        logits: outputs of `BertMultiLabelClassifier`, [B, C].
        batch: a batch with `teacher_outputs`, [B, C].
        temperature: T, of both logits.
    """
    both = [
        ops.stack([ops.cast(x, "float32"), ops.zeros_like(x, "float32")], axis=-1)
        for x in (logits, batch["teacher_outputs"])
    ]
    return ops.mean(divergences(both[0], both[1], temperature), axis=-1)


def number_imitation(values: Tensor, batch: Batch, temperature: float) -> Tensor:
    """Return the squared difference of each row's number from the teacher's, float32 [B]. It has no temperature."""
    return ops.square(ops.cast(values, "float32") - batch["teacher_outputs"])


def span_imitation(outputs: Batch, batch: Batch, temperature: float) -> Tensor:
    """Return the mean of the divergences of start and end, float32 [B], over the tokens without padding.

    Args:
        outputs: outputs of `BertQuestionAnswerer`, [B, L] each.
        batch: a batch with `teacher_start_logits` and `teacher_end_logits`, [B, L].
        temperature: T.
    """
    outside = ops.equal(batch["input_mask"], 0)
    losses = [
        divergences(
            ops.where(outside, _OUTSIDE, ops.cast(outputs[name], "float32")),
            ops.where(outside, _OUTSIDE, batch[f"teacher_{name}"]),
            temperature,
        )
        for name in ("start_logits", "end_logits")
    ]
    return (losses[0] + losses[1]) / 2.0


def layer_losses(states: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Return the squared differences of the layers, averaged over the width and summed over the layers, float32 [B, L].

    Follows Jiao et al. 2020, "TinyBERT", equations 8 and 9.

    Args:
        states: the student's layers, mapped to the teacher's width, float [B, L, E] each.
        others: the teacher's layers, float [B, L, E] each.
    """
    pairs = zip(states, others, strict=True)
    differences = [ops.square(ops.cast(own, "float32") - ops.cast(other, "float32")) for own, other in pairs]
    return sum(ops.mean(difference, axis=-1) for difference in differences)


def relation_losses(vectors: Sequence[Tensor], others: Sequence[Tensor], allowed: Tensor, num_heads: int) -> Tensor:
    """Return the divergences of the relations of each token, averaged over the heads and summed, float32 [B, L].

    A relation is the softmax of the scaled products of a token's vector with those of all tokens. Those of queries with
    queries, keys with keys and values with values are compared (Wang et al. 2021, "MiniLMv2", equations 5 to 7).

    Args:
        vectors: the student's queries, keys and values, all heads side by side, float [B, L, D] each.
        others: the teacher's, float [B, L, E] each.
        allowed: whether a token may read another one, bool [B, 1, L, L].
        num_heads: R, which divides D and E.
    """
    pairs = zip(vectors, others, strict=True)
    return sum(
        ops.mean(divergences(_scores(own, allowed, num_heads), _scores(other, allowed, num_heads), 1.0), axis=1)
        for own, other in pairs
    )


def _scores(vectors: Tensor, allowed: Tensor, num_heads: int) -> Tensor:
    """Return the scaled products of all pairs of tokens in each head, float32 [B, R, L, L]."""
    rows, length, width = ops.shape(vectors)
    size = width // num_heads
    heads = ops.transpose(ops.reshape(vectors, (rows, length, num_heads, size)), (0, 2, 1, 3))
    scores = ops.matmul(heads, ops.transpose(heads, (0, 1, 3, 2)))
    return ops.where(allowed, ops.cast(scores, "float32") * size**-0.5, _OUTSIDE)


@dataclasses.dataclass(frozen=True)
class Term:
    """A part of a student's loss.

    Attributes:
        name: the name of the loss.
        factor: its weight in the sum of all losses.
        losses: a function (outputs of `StudentAndTeacher` or of the student alone, batch) -> losses, float32.
        weights: a function of the batch that returns the weights of these losses, in their shape.
    """

    name: str
    factor: float
    losses: Callable[[Any, Batch], Tensor]
    weights: Callable[[Batch], Tensor]


def output_term(factor: float, imitation: Imitation, weights: str, *, temperature: float) -> Term:
    """Return the loss of the student's outputs beside the teacher's, which the batch holds.

    Args:
        factor: its weight.
        imitation: the losses of the task's outputs.
        weights: the feature of the batch that weights the labels, and these losses.
        temperature: T.
    """
    return Term(
        "distillation_loss",
        factor,
        lambda outputs, batch: imitation(student_outputs(outputs), batch, temperature),
        lambda batch: batch[weights],
    )


def masked_lm_term(factor: float, *, temperature: float) -> Term:
    """Return the loss of the student's masked-LM logits beside those that the teacher computes in the step."""

    def losses(outputs: Any, batch: Batch) -> Tensor:
        name = "masked_lm_logits"
        return divergences(outputs["student"][name], outputs["teacher"][name], temperature)

    return Term("distillation_loss", factor, losses, lambda batch: batch["masked_lm_weights"])


def layer_term(factor: float) -> Term:
    """Return the loss of the student's layers beside the teacher's, per token."""
    return Term(
        "hidden_loss",
        factor,
        lambda outputs, _: layer_losses(outputs["student_layers"], outputs["teacher_layers"]),
        token_weights,
    )


def relation_term(factor: float, num_heads: int) -> Term:
    """Return the loss of the relations among the student's queries, keys and values beside the teacher's, per token."""

    def losses(outputs: Any, batch: Batch) -> Tensor:
        allowed = attention_allowed(batch["input_mask"], batch.get(ORDER))
        return relation_losses(outputs["student_vectors"], outputs["teacher_vectors"], allowed, num_heads)

    return Term("relation_loss", factor, losses, token_weights)


def token_weights(batch: Batch) -> Tensor:
    """Return 1 for each token and 0 for padding, float32 [B, L], times the weight of the row, if it has one."""
    weights = ops.cast(ops.greater(batch["input_mask"], 0), "float32")
    rows = batch.get("teacher_weights")
    return weights if rows is None else weights * ops.expand_dims(rows, -1)


def student_outputs(outputs: Any) -> Any:
    """Return the student's outputs, from those of `StudentAndTeacher` or from its own."""
    return outputs["student"] if isinstance(outputs, dict) and "student" in outputs else outputs


def distilled(objective: Objective, label_weight: float, terms: Sequence[Term]) -> Objective:
    """Return the objective of a student: that of the labels times its weight, and the terms.

    Losses are reported as they are, without their factors: each factor divides the weight that a step divides by.

    Args:
        objective: the objective of the labels.
        label_weight: the factor of its losses; 0 reports them alone.
        terms: the other losses.
    """

    def losses(outputs: Any, batch: Batch) -> Sums:
        own = objective.losses(student_outputs(outputs), batch) if label_weight else {}
        return own | {term.name: _sums(term, outputs, batch) for term in terms}

    def weights(batch: Batch) -> Batch:
        own = objective.weights(batch) if label_weight else {}
        found = {name: weight / label_weight for name, weight in own.items()}
        return found | {term.name: ops.sum(term.weights(batch)) / term.factor for term in terms}

    def metrics(outputs: Any, batch: Batch) -> Sums:
        outputs = student_outputs(outputs)
        return objective.metrics(outputs, batch) | ({} if label_weight else objective.losses(outputs, batch))

    return dataclasses.replace(objective, losses=losses, weights=weights, metrics=metrics)


def _sums(term: Term, outputs: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    weights = term.weights(batch)
    return ops.sum(term.losses(outputs, batch) * weights), ops.sum(weights)
