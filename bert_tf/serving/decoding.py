"""The choice of tokens in generation: beam search, sampling, and the tokens that are not allowed. NumPy alone.

Shapes: G hypotheses of one source, V vocabulary.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

_NEVER = -np.inf


@dataclasses.dataclass(frozen=True)
class DecodingOptions:
    """The options of generation; those of `Predictor.generate`, with numbers for what it may leave open.

    Attributes:
        max_length: largest number of tokens of a target, with its `[SEP]`.
        beams: G of beam search; the number of samples of each source in sampling.
        num_return: number of targets to return for each source.
        length_penalty: the exponent alpha of `normalized_score`.
        no_repeat_ngram: number of tokens that occur in this order at most once in a target; 0 for no such rule.
        sampled: whether tokens are drawn from their distribution.
        temperature: divisor of the logits in sampling.
        top_k: number of likeliest tokens that sampling chooses from; None for all.
        top_p: the likeliest tokens whose probabilities sum to this; None for all (Holtzman et al. 2020).
        seed: the random seed of sampling; None for another one in each call.
    """

    max_length: int
    beams: int
    num_return: int = 1
    length_penalty: float = 0.6
    no_repeat_ngram: int = 3
    sampled: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        rules = {
            "max_length": (self.max_length >= 1, "at least 1"),
            "beams": (self.beams >= 1, "at least 1"),
            "num_return": (
                1 <= self.num_return <= self.beams,
                f"from 1 to the {self.beams} {'samples' if self.sampled else '`beams`'}",
            ),
            "length_penalty": (self.length_penalty >= 0.0, "at least 0"),
            "no_repeat_ngram": (self.no_repeat_ngram >= 0, "at least 0 (0 for no rule)"),
            "temperature": (self.temperature > 0.0, "above 0"),
            "top_k": (self.top_k is None or self.top_k >= 1, "at least 1, or None"),
            "top_p": (self.top_p is None or 0.0 < self.top_p <= 1.0, "above 0 and at most 1, or None"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ValueError(f"`{name}` must be {rule}. Received: {getattr(self, name)!r}")


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """A target that the model generated.

    Attributes:
        tokens: the ids, with `[SEP]` if the target ended within `max_length`.
        log_probability: the sum of the logarithms of the tokens' probabilities, as the model gives them.
        score: the `normalized_score`, by which beams are ranked.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float


def normalized_score(log_probability: float, length: int, penalty: float) -> float:
    """Return the log-probability divided by ((5 + length) / 6) ** penalty (Wu et al. 2016, equation 14).

    Args:
        log_probability: the sum over the tokens.
        length: the number of tokens, with `[SEP]`.
        penalty: alpha; 0 for no normalisation.
    """
    return log_probability / ((5.0 + length) / 6.0) ** penalty


def banned_by_ngrams(tokens: Sequence[int], size: int) -> set[int]:
    """Return the tokens that would repeat an n-gram of `tokens` if they came next.

    >>> banned_by_ngrams([1, 2, 3, 1, 2], 3)
    {3}

    Args:
        tokens: the tokens so far.
        size: n; 0 bans nothing.
    """
    if not size or len(tokens) < size:
        return set()
    last = tuple(tokens[len(tokens) - size + 1 :])
    starts = range(len(tokens) - size + 1)
    return {tokens[start + size - 1] for start in starts if tuple(tokens[start : start + size - 1]) == last}


def beam_step(totals: np.ndarray, log_probabilities: np.ndarray, allowed: np.ndarray) -> list[tuple[float, int, int]]:
    """Return the best continuations of one source's hypotheses, at most 2 G, the best first.

    Every hypothesis has one continuation that ends it, so that 2 G of them hold G that go on.

    Args:
        totals: the log-probability of each hypothesis, float [G].
        log_probabilities: those of the next token, float [G, V].
        allowed: whether a token may follow, bool [G, V].

    Returns:
        The log-probability, the hypothesis and the token of each. Among equal ones the first comes first.
    """
    candidates = np.where(allowed, totals[:, None] + log_probabilities.astype(np.float64), _NEVER).reshape(-1)
    count = min(2 * len(totals), len(candidates))
    bound = np.partition(candidates, -count)[-count]
    found = np.flatnonzero((candidates >= bound) & (candidates > _NEVER))
    order = found[np.argsort(-candidates[found], kind="stable")][:count]
    width = log_probabilities.shape[1]
    return [(float(candidates[index]), int(index) // width, int(index) % width) for index in order]


def sampled_token(
    log_probabilities: np.ndarray, allowed: np.ndarray, options: DecodingOptions, random: np.random.Generator
) -> int:
    """Return a token that is drawn from the distribution of the allowed ones, as the options narrow it.

    Args:
        log_probabilities: float [V].
        allowed: bool [V], at least one.
        options: `temperature`, then `top_k`, then `top_p`.
        random: the generator, of which one number is drawn.
    """
    logits = np.where(allowed, log_probabilities.astype(np.float64) / options.temperature, _NEVER)
    order = np.argsort(-logits, kind="stable")[: min(options.top_k or len(logits), int(allowed.sum()))]
    shares = np.exp(logits[order] - logits[order[0]])
    sums = np.cumsum(shares / shares.sum())
    if options.top_p is not None:
        kept = int(np.searchsorted(sums, options.top_p)) + 1  # the token that reaches the sum is one of them
        order, sums = order[:kept], sums[:kept] / sums[min(kept, len(sums)) - 1]
    place = int(np.searchsorted(sums, random.random(), side="right"))
    return int(order[min(place, len(order) - 1)])


class Search:
    """The hypotheses of one source, from the first token to the end.

    Args:
        options: the options.
        end: the id of `[SEP]`.
        allowed: whether a token may be generated at all, bool [V].
        random: the generators of the samples, one for each; () for beam search.
    """

    def __init__(
        self, options: DecodingOptions, end: int, allowed: np.ndarray, *, random: Sequence[np.random.Generator] = ()
    ) -> None:
        self._options, self._end, self._allowed, self._random = options, end, allowed, random
        count = options.beams
        self.tokens: list[tuple[int, ...]] = [()] * count
        self.parents = list(range(count))
        # All hypotheses are equal at first: in beam search, only one of them is continued.
        self._totals = np.full(count, 0.0 if options.sampled else _NEVER)
        self._totals[0] = 0.0
        self._ended: list[Hypothesis] = []
        self._open = [True] * count

    @property
    def done(self) -> bool:
        """True if no hypothesis goes on."""
        return not any(self._open)

    def step(self, log_probabilities: np.ndarray) -> None:
        """Choose the next tokens, and set `tokens` and `parents` of the hypotheses that go on.

        Args:
            log_probabilities: those of the next token of each hypothesis, float [G, V].
        """
        if self.done:
            return
        allowed = np.repeat(self._allowed[None], len(self.tokens), axis=0)
        for number, tokens in enumerate(self.tokens):
            allowed[number, list(banned_by_ngrams(tokens, self._options.no_repeat_ngram))] = False
        allowed[:, self._end] = True
        if self._options.sampled:
            self._sample(log_probabilities, allowed)
        else:
            self._continue_beams(log_probabilities, allowed)
        if not self.done and max(map(len, self.tokens)) >= self._options.max_length:
            for number, is_open in enumerate(self._open):
                if is_open:
                    self._end_one(self.tokens[number], float(self._totals[number]))
            self._open = [False] * len(self._open)

    def results(self) -> list[Hypothesis]:
        """Return the `num_return` best hypotheses, the best first; samples come in the order of their numbers."""
        found = self._ended
        if not self._options.sampled:
            found = sorted(found, key=lambda hypothesis: -hypothesis.score)
        return found[: self._options.num_return]

    def _continue_beams(self, log_probabilities: np.ndarray, allowed: np.ndarray) -> None:
        count = len(self.tokens)
        best = beam_step(self._totals, log_probabilities, allowed)
        before, kept = self.tokens, []
        for place, (total, parent, token) in enumerate(best):
            if token != self._end:
                kept.append((total, parent, token))
            elif place < count:
                self._end_one((*before[parent], token), total)
        kept = kept[:count]
        missing = count - len(kept)
        self.parents = [parent for _, parent, _ in kept] + [0] * missing
        self.tokens = [(*before[parent], token) for _, parent, token in kept] + [(self._end,)] * missing
        self._totals = np.array([total for total, _, _ in kept] + [_NEVER] * missing)
        self._open = [len(self._ended) < count] * len(kept) + [False] * missing

    def _sample(self, log_probabilities: np.ndarray, allowed: np.ndarray) -> None:
        for number, is_open in enumerate(self._open):
            if not is_open:
                continue
            token = sampled_token(log_probabilities[number], allowed[number], self._options, self._random[number])
            self.tokens[number] = (*self.tokens[number], token)
            self._totals[number] += float(log_probabilities[number, token])
            if token == self._end:
                self._open[number] = False
                self._end_one(self.tokens[number], float(self._totals[number]))

    def _end_one(self, tokens: tuple[int, ...], total: float) -> None:
        score = normalized_score(total, len(tokens), self._options.length_penalty)
        self._ended.append(Hypothesis(tokens, total, score))
