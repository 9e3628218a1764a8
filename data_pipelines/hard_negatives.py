"""Hard negatives: passages that a search ranks high for a query, though they do not answer it.

A passage that answers the query and is not known to (a false negative) would teach the opposite, so the first ranks,
high scores and scores near that of the right passage can be left out (Qu et al. 2021, "RocketQA", section 3.3; Moreira
et al. 2024, "NV-Retriever", section 3).
"""

import dataclasses
import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

SAMPLINGS = ("top", "random")


@dataclasses.dataclass(frozen=True)
class MiningOptions:
    """The passages of a search that become negatives.

    Attributes:
        first_rank: the first rank of the window, from 1. Right passages count.
        last_rank: the last one.
        num_negatives: the largest number of negatives of a query.
        margin: a negative's score is at least this much below that of the query's worst right passage that was found;
            a query without one has no negatives then. None for any.
        max_score: the greatest score of a negative; None for any.
        sampling: `top` for the first passages that remain, or `random`.
        seed: the seed of `random`. A query's draw depends on the query and the seed alone.

    Raises:
        ValueError: an option is out of range.
    """

    first_rank: int = 1
    last_rank: int = 100
    num_negatives: int = 7
    margin: float | None = None
    max_score: float | None = None
    sampling: str = "top"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("first_rank", "num_negatives"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1. Received: {getattr(self, name)}")
        if self.last_rank < self.first_rank:
            raise ValueError(
                f"`last_rank` must be at least `first_rank`, {self.first_rank}. Received: {self.last_rank}"
            )
        if self.sampling not in SAMPLINGS:
            raise ValueError(f"`sampling` must be {' or '.join(SAMPLINGS)}. Received: {self.sampling!r}")


class Found(NamedTuple):
    """The passages that a search found for a query.

    Attributes:
        query: the text of the query.
        positives: the texts of all passages that answer it, at least one.
        passages: the texts that were found, best first.
        scores: their scores.
    """

    query: str
    positives: Sequence[str]
    passages: Sequence[str]
    scores: Sequence[float]


def mined(queries: Iterable[Found], options: MiningOptions) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each query: one for each right passage, with `query`, `passage` and `negatives`.

    Readers of retrieval and of reranking read them. No negative has the text of a right passage, or that of another.

    Args:
        queries: what was found, in any order.
        options: which passages become negatives.
    """
    for found in queries:
        negatives = _negatives(found, options)
        yield [{"query": found.query, "passage": text, "negatives": negatives} for text in found.positives]


def _negatives(found: Found, options: MiningOptions) -> list[str]:
    right = {_same(text) for text in found.positives}
    highest = _highest_score(found, right, options)
    seen: set[str] = set(right)
    candidates = []
    window = slice(options.first_rank - 1, options.last_rank)
    for text, score in zip(found.passages[window], found.scores[window], strict=True):
        if score <= highest and _same(text) not in seen:
            seen.add(_same(text))
            candidates.append(text)
    if options.sampling == "random" and len(candidates) > options.num_negatives:
        drawn = random.Random(f"{options.seed}:{found.query}").sample(range(len(candidates)), options.num_negatives)
        return [candidates[number] for number in sorted(drawn)]
    return candidates[: options.num_negatives]


def _highest_score(found: Found, right: Collection[str], options: MiningOptions) -> float:
    """Return the greatest score that a negative may have."""
    highest = float("inf") if options.max_score is None else options.max_score
    if options.margin is None:
        return highest
    own = [score for text, score in zip(found.passages, found.scores, strict=True) if _same(text) in right]
    return min(highest, min(own) - options.margin) if own else float("-inf")


def _same(text: str) -> str:
    """Return what two texts have in common that are the same but for white space and case."""
    return " ".join(text.split()).casefold()
