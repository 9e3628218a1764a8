"""The choice of tokens for masks, a few at each step, as in MaskGIT (Chang et al. 2022). NumPy alone.

Shapes: P masks of a text, C masks that a step predicts, V vocabulary.
"""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np

ORDERS = ("confidence", "left_to_right", "random")
"""Which masks a step fills: the most confident, the leftmost, or some at random."""

SCHEDULES = ("cosine", "linear")
"""How the number of masks decreases over the steps (Chang et al. 2022, section 3.2)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnmaskingOptions:
    """The options of `Predictor.complete`.

    Attributes:
        steps: number of steps in which the masks of a text are filled; None for one mask at each step.
        schedule: one of `SCHEDULES`.
        order: one of `ORDERS`.
        temperature: divisor of the logits when tokens are drawn; None for 1.
        top_k: number of likeliest tokens that are drawn from; None for all.
        top_p: tokens are drawn from the likeliest whose probabilities sum to this; None for all.
        seed: the random seed; None for another one in each call.
        num_return: number of completions of each text.

    Raises:
        ValueError: an option is out of range.
    """

    steps: int | None = None
    schedule: str = "cosine"
    order: str = "confidence"
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    num_return: int = 1

    def __post_init__(self) -> None:
        rules = {
            "steps": (self.steps is None or _is_whole(self.steps, 1), "a whole number from 1 on, or None"),
            "schedule": (self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
            "order": (self.order in ORDERS, f"one of {', '.join(ORDERS)}"),
            "temperature": (
                self.temperature is None or (_is_number(self.temperature) and self.temperature > 0),
                "above 0, or None",
            ),
            "top_k": (self.top_k is None or _is_whole(self.top_k, 1), "a whole number from 1 on, or None"),
            "top_p": (
                self.top_p is None or (_is_number(self.top_p) and 0 < self.top_p <= 1),
                "above 0 and at most 1, or None",
            ),
            "seed": (self.seed is None or _is_whole(self.seed, 0), "a whole number from 0 on, or None"),
            "num_return": (_is_whole(self.num_return, 1), "a whole number from 1 on"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ValueError(f"`{name}` must be {rule}. Received: {getattr(self, name)!r}")
        if self.num_return > 1 and not self.is_random:
            raise ValueError(
                "`num_return` must be 1, since a text has one completion without `temperature`, `top_k`, `top_p`, "
                f"`seed` or the random `order`. Received: {self.num_return}"
            )

    @property
    def is_sampled(self) -> bool:
        """True if tokens are drawn from their distribution."""
        return any(option is not None for option in (self.temperature, self.top_k, self.top_p, self.seed))

    @property
    def is_random(self) -> bool:
        """True if tokens or the order are drawn."""
        return self.is_sampled or self.order == "random"


def _is_whole(value: Any, smallest: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= smallest)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)


def masks_per_step(count: int, steps: int | None, schedule: str) -> list[int]:
    """Return how many masks each step fills, at least one, `count` in all.

    After step t of T, the part of the masks that is left is 1 - t / T (`linear`) or cos(pi / 2 * t / T) (`cosine`,
    which fills few masks at first), rounded down.

    >>> masks_per_step(8, 4, "linear"), masks_per_step(8, 4, "cosine"), masks_per_step(3, None, "cosine")
    ([2, 2, 2, 2], [1, 2, 2, 3], [1, 1, 1])

    Args:
        count: P.
        steps: T, of which at most `count` are made; None for `count`.
        schedule: one of `SCHEDULES`.
    """
    steps = count if steps is None else min(steps, count)
    left = [count]
    for step in range(1, steps + 1):
        part = 1 - step / steps if schedule == "linear" else math.cos(math.pi / 2 * step / steps)
        left.append(min(left[-1] - 1, int(count * part + 1e-9)))  # a rounding error must not take a whole mask
    return [before - after for before, after in itertools.pairwise(left)]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the logarithms of the probabilities, float32 [..., V]."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def chosen_tokens(
    log_probabilities: np.ndarray, allowed: np.ndarray, options: UnmaskingOptions, random: np.random.Generator | None
) -> np.ndarray:
    """Return a token for each mask, int [C]: the likeliest, or one that is drawn.

    Args:
        log_probabilities: float [C, V].
        allowed: whether a token may be chosen, bool [C, V], at least one for each mask.
        options: `temperature`, then `top_k`, then `top_p` narrow the distribution that tokens are drawn from.
        random: the generator, of which one number is drawn for each mask; None for the likeliest tokens.
    """
    scores = np.where(allowed, log_probabilities, -np.inf)
    if random is None:
        return scores.argmax(axis=-1)
    scores = scores.astype(np.float64) / (options.temperature or 1.0)
    tokens = np.broadcast_to(np.arange(scores.shape[-1]), scores.shape)
    if options.top_k is not None and options.top_k < scores.shape[-1]:
        tokens = np.argpartition(-scores, options.top_k - 1, axis=-1)[:, : options.top_k]
        scores = np.take_along_axis(scores, tokens, axis=-1)
    if options.top_p is not None:
        order = np.argsort(-scores, axis=-1, kind="stable")
        tokens, scores = np.take_along_axis(tokens, order, axis=-1), np.take_along_axis(scores, order, axis=-1)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    if options.top_p is not None:
        shares /= shares.sum(axis=-1, keepdims=True)
        shares[np.cumsum(shares, axis=-1) - shares >= options.top_p] = 0.0  # the token that reaches the sum is kept
    sums = np.cumsum(shares, axis=-1)
    drawn = random.random((len(sums), 1)) * sums[:, -1:]
    places = np.minimum((sums <= drawn).sum(axis=-1), (sums < sums[:, -1:]).sum(axis=-1))
    return np.take_along_axis(tokens, places[:, None], axis=-1)[:, 0]


class Unmasking:
    """The masks of one text, from the first step to the last. A mask that is filled stays so, as in MaskGIT.

    Args:
        count: P.
        options: the options.
        random: the generator, which options that are not random do not use.

    Attributes:
        tokens: the tokens so far, int [P]; -1 for a mask that is not filled.
        log_probability: the sum of the logarithms of their probabilities in the steps that filled them.
    """

    def __init__(self, count: int, options: UnmaskingOptions, random: np.random.Generator) -> None:
        self._options, self._random = options, random
        self._plan = masks_per_step(count, options.steps, options.schedule)
        self.tokens = np.full(count, -1, np.int64)
        self.log_probability = 0.0

    @property
    def done(self) -> bool:
        """True if all masks are filled."""
        return not self._plan

    def candidates(self) -> np.ndarray:
        """Return the masks that this step predicts, int [C]; none if all are filled. A call may draw them."""
        masks = np.flatnonzero(self.tokens < 0)
        if self.done or self._options.order == "confidence":
            return masks
        if self._options.order == "left_to_right":
            return masks[: self._plan[0]]
        return np.sort(self._random.choice(masks, self._plan[0], replace=False))

    def fill(self, candidates: np.ndarray, logits: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        """Fill masks, and return which, int.

        Args:
            candidates: the masks of `candidates()`, int [C].
            logits: the model's, float [C, V].
            allowed: whether a token may be chosen, bool [C, V].
        """
        log_probabilities = log_softmax(logits.astype(np.float32))
        random = self._random if self._options.is_sampled else None
        tokens = chosen_tokens(log_probabilities, allowed, self._options, random)
        confidences = np.take_along_axis(log_probabilities, tokens[:, None], axis=-1)[:, 0]
        best = np.argsort(-confidences, kind="stable")[: self._plan.pop(0)]
        self.tokens[candidates[best]] = tokens[best]
        self.log_probability += float(confidences[best].sum(dtype=np.float64))
        return candidates[best]
