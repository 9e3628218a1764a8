"""The choice of tokens in generation: rules, beams and samples, as operations of any backend.

Shapes: B sources, G hypotheses of each, T length of the targets, V vocabulary, K candidates.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from bert_tf.configs.decoding import DecodingOptions
from bert_tf.features import Tensor
from bert_tf.layers.random_bits import fold_in

NEVER = -np.inf
"""The logarithm of the probability of what must not be chosen."""

_TABLE_ROWS = 64


def normalized_scores(log_probabilities: Any, lengths: Any, penalty: float) -> Any:
    """Return the log-probabilities divided by ((5 + length) / 6) ** penalty (Wu et al. 2016, equation 14).

    Args:
        log_probabilities: the sums over the tokens, float of any shape.
        lengths: the numbers of tokens, with `[SEP]`, float.
        penalty: alpha; 0 for no normalisation.
    """
    return log_probabilities / ((5.0 + lengths) / 6.0) ** penalty


def rows_at(values: Tensor, indices: Tensor) -> Tensor:
    """Return `values[b, indices[b, k]]`, [B, K, ...], of values [B, G, ...] and indices int32 [B, K]."""
    batch, group, *rest = ops.shape(values)
    first = ops.expand_dims(ops.arange(batch, dtype="int32") * group, 1)
    return ops.take(ops.reshape(values, (-1, *rest)), indices + first, axis=0)


def with_token(tokens: Tensor, new: Tensor, number: Tensor) -> Tensor:
    """Return targets, int32 [B, K, T], with the tokens [B, K] at index `number`."""
    is_new = ops.equal(ops.arange(tokens.shape[2], dtype="int32"), number)
    return ops.where(is_new, ops.expand_dims(new, -1), tokens)


def permitted(logits: Tensor, allowed: np.ndarray, tokens: Tensor, number: Tensor, ngram: int) -> Tensor:
    """Return the logits of the tokens that may come next, and `NEVER` for all others.

    Args:
        logits: float32 [B, G, V].
        allowed: bool [V], the tokens that may occur at all; not all of them.
        tokens: int32 [B, G, T], the targets so far.
        number: int32 [], their number of tokens.
        ngram: number of tokens that occur in this order at most once; 0 for no rule.
    """
    found = ops.where(ops.convert_to_tensor(allowed), logits, ops.cast(NEVER, "float32"))
    starts = tokens.shape[2] - ngram + 1
    if not ngram or starts < 1:
        return found
    # The last tokens and the one that follows would be an n-gram, which an earlier start must not have.
    matches = ops.less(ops.arange(starts, dtype="int32") + ngram - 1, number)
    matches = ops.broadcast_to(matches, (*ops.shape(tokens)[:2], starts))
    for place in range(ngram - 1):
        last = ops.take(tokens, ops.maximum(number - ngram + 1 + place, 0), axis=2)
        same = ops.equal(tokens[:, :, place : place + starts], ops.expand_dims(last, -1))
        matches = ops.logical_and(matches, same)
    batch, group, size = ops.shape(found)
    never_anyway = int(np.flatnonzero(~allowed)[0])  # for the starts that ban nothing
    banned = ops.where(matches, tokens[:, :, ngram - 1 :], never_anyway)
    rows = ops.broadcast_to(ops.reshape(ops.arange(batch * group, dtype="int32"), (-1, 1)), (batch * group, starts))
    indices = ops.stack([ops.reshape(rows, (-1,)), ops.reshape(banned, (-1,))], axis=1)
    never = ops.full((batch * group * starts,), NEVER, dtype="float32")
    flat = ops.scatter_update(ops.reshape(found, (batch * group, size)), indices, never)
    return ops.reshape(flat, (batch, group, size))


def largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the largest values of the last axis and their indices, as `ops.top_k`, for a vocabulary in less time.

    The values are laid out as a table. The largest `count` are in the columns with the largest maxima. Which ones of
    equal values are returned depends on the table.

    Args:
        values: float32 [..., V].
        count: K, at most V.
    """
    *outer, size = ops.shape(values)
    rows = max(rows for rows in range(1, _TABLE_ROWS + 1) if size % rows == 0)
    columns = size // rows
    if rows == 1 or columns < count:
        found, indices = ops.top_k(values, count)
        return found, ops.cast(indices, "int32")
    table = ops.reshape(values, (-1, rows, columns))
    _, chosen = ops.top_k(ops.max(table, axis=1), count)
    in_row = ops.expand_dims(ops.arange(rows, dtype="int32") * columns, 1)
    # The indices of all values in these columns.
    candidates = ops.reshape(ops.expand_dims(ops.cast(chosen, "int32"), 1) + in_row, (-1, rows * count))
    flat = ops.reshape(values, (-1, size))
    found, places = ops.top_k(rows_at(flat, candidates), count)
    indices = rows_at(candidates, ops.cast(places, "int32"))
    return ops.reshape(found, (*outer, count)), ops.reshape(indices, (*outer, count))


def best_continuations(totals: Tensor, logits: Tensor, masked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best continuations of each source's hypotheses, at most 2 G, the best first.

    Every hypothesis has one continuation that ends it, so that 2 G of them hold G that go on.

    Args:
        totals: the log-probability of each hypothesis, float32 [B, G].
        logits: those of the next token, float32 [B, G, V].
        masked: the same with `NEVER` for tokens that may not come next.

    Returns:
        The log-probability, the hypothesis and the token of each, [B, K].
    """
    group, size = logits.shape[1:]
    # The best of all are among the best of each, and a softmax over the vocabulary need not be kept.
    own = min(2 * group, size)
    values, tokens = largest(masked, own)
    candidates = ops.expand_dims(totals - ops.logsumexp(logits, axis=-1), -1) + values
    flat = (-1, group * own)
    best, indices = ops.top_k(ops.reshape(candidates, flat), min(2 * group, group * own))
    indices = ops.cast(indices, "int32")
    return best, indices // own, rows_at(ops.reshape(tokens, flat), indices)


def drawn_tokens(masked: Tensor, options: DecodingOptions, uniform: Tensor) -> Tensor:
    """Return a token from each distribution, as the options narrow it, int32 of the shape of `uniform`.

    Args:
        masked: logits, float32 [..., V], with `NEVER` for tokens that may not be drawn.
        options: `temperature`, then `top_k`, then `top_p`.
        uniform: random numbers, float32 [...], at least 0 and below 1.
    """
    logits, tokens = masked / options.temperature, None
    if options.top_k is not None or options.top_p is not None:
        logits, tokens = largest(logits, min(options.top_k or logits.shape[-1], logits.shape[-1]))
    shares = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
    if options.top_p is not None:
        sums = ops.cumsum(shares, axis=-1)
        before = ops.concatenate([ops.zeros_like(sums[..., :1]), sums[..., :-1]], axis=-1)
        # The token that reaches the sum is one of them.
        shares = ops.where(before < options.top_p * ops.max(sums, axis=-1, keepdims=True), shares, 0.0)
    sums = ops.cumsum(shares, axis=-1)
    reached = sums > ops.expand_dims(uniform, -1) * ops.max(sums, axis=-1, keepdims=True)
    place = ops.argmax(ops.cast(ops.logical_and(reached, shares > 0), "int32"), axis=-1)
    if tokens is None:
        return ops.cast(place, "int32")
    return last_axis_at(tokens, place)


def last_axis_at(values: Tensor, indices: Tensor) -> Tensor:
    """Return `values[..., indices[...]]`, of the shape of `indices`."""
    flat = ops.reshape(values, (-1, values.shape[-1]))
    rows = ops.arange(ops.shape(flat)[0], dtype="int32") * values.shape[-1]
    found = ops.take(ops.reshape(flat, (-1,)), ops.cast(ops.reshape(indices, (-1,)), "int32") + rows, axis=0)
    return ops.reshape(found, ops.shape(indices))


def text_seeds(seeds: Tensor, input_ids: Tensor, input_mask: Tensor) -> Tensor:
    """Return a seed for each source, uint32 [B], made of its own seed and its tokens: not of others beside it.

    Args:
        seeds: int32 [B].
        input_ids: int32 [B, S].
        input_mask: int32 [B, S], 0 on padding.
    """
    places = ops.arange(ops.shape(input_ids)[1], dtype="int32")
    marks = ops.where(input_mask > 0, fold_in(places, input_ids), ops.cast(0, "uint32"))
    return fold_in(seeds, ops.sum(marks, axis=1))


def uniform_numbers(seeds: Tensor, samples: int, number: Tensor) -> Tensor:
    """Return the random number of each sample at step `number`, float32 [B, G], at least 0 and below 1.

    Args:
        seeds: uint32 [B], from `text_seeds`.
        samples: G.
        number: int32 [].
    """
    of_sample = fold_in(ops.expand_dims(seeds, -1), ops.arange(samples, dtype="int32"))
    bits = ops.right_shift(fold_in(of_sample, number), ops.cast(9, "uint32"))
    return ops.cast(bits, "float32") * 2.0**-23


def merged(first: dict[str, Tensor], more: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """Return the `count` best of ended hypotheses, by their `scores` float32 [B, K]; among equal ones the first."""
    both = {name: ops.concatenate([first[name], more[name]], axis=1) for name in first}
    scores, indices = ops.top_k(both["scores"], count)
    others: Sequence[str] = [name for name in both if name != "scores"]
    return {"scores": scores} | {name: rows_at(both[name], ops.cast(indices, "int32")) for name in others}
