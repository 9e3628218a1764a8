"""The re-ranking of n-best lists by a model, and its error rates."""

import dataclasses
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_tf.examples import NBestList
from bert_tf.scoring.rescoring import Candidates, Weights, best_weights, errors_of, require_jiwer
from bert_tf.serving.methods.likelihood import log_likelihoods
from bert_tf.serving.predictor import Predictor

AUTO = "auto"
METRICS = ("wer", "cer")
"""The error rates of words and of characters."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """The weights of the totals, and how they are found.

    Attributes:
        likelihood: the weight of the log-likelihood; None to find it.
        length: the weight of the number of tokens; None to find it.
        tune_share: the share of the lists on which weights are found, if there are no other lists for it.
        metric: `wer` or `cer`, whose errors the found weights reduce.
        mask: as in `Predictor.log_likelihood`.
    """

    likelihood: float | None
    length: float | None
    tune_share: float = 0.5
    metric: str = "wer"
    mask: str = "token"

    @classmethod
    def parse(cls, weight: str, length_weight: str, tune_share: float, metric: str, mask: str) -> "Settings":
        """Return the settings of the flags.

        Raises:
            ValueError: a weight is neither a number nor `auto`, or the weight of the log-likelihood is negative.
        """
        likelihood, length = _weight("weight", weight), _weight("length_weight", length_weight)
        if likelihood is not None and likelihood < 0.0:
            raise ValueError(f"`weight` must be at least 0, or auto. Received: {weight!r}")
        return cls(likelihood, length, tune_share, metric, mask)

    @property
    def searched(self) -> bool:
        """True if a weight is to be found."""
        return self.likelihood is None or self.length is None

    def check(self, lists: Sequence[NBestList], tuning: Sequence[NBestList] | None) -> None:
        """Check that weights can be found.

        Raises:
            ValueError: a list that is needed for it has no reference, or there is no such list.
            ImportError: jiwer is needed and not installed.
        """
        if self.searched or any(one.reference is not None for one in lists):
            require_jiwer()
        if not self.searched:
            return
        chosen = tuning if tuning is not None else [one for one in lists if in_share(one.id, self.tune_share)]
        missing = next((one for one in chosen if one.reference is None), None)
        if missing is not None:
            raise ValueError(
                "`weight` and `length_weight` can be auto only for lists with references (`references`, or the field "
                f"`reference`). Received: {missing.source} without one"
            )
        if not chosen:
            raise ValueError(
                f"`tune_share` must take at least one of the {len(lists)} lists. Received: {self.tune_share}"
            )


class ErrorRates(NamedTuple):
    """The error rates of a choice of hypotheses.

    Attributes:
        part: the lists, `tune` or `test`.
        name: the choice: `first pass`, `rescored`, or `oracle`, the hypothesis of each list with the fewest errors.
        num_lists: the number of lists of the part that have references.
        wer: the errors of all words, divided by the words of the references; None if these have no words.
        cer: the same of characters.
    """

    part: str
    name: str
    num_lists: int
    wer: float | None
    cer: float | None


class Rescored(NamedTuple):
    """N-best lists with their totals, and the error rates of their best hypotheses.

    Attributes:
        weights: the weights, given or found.
        lines: for each list, in the order given: `id`, `part` (`tune` or `test`), `text` (the best one), `reference` if
            it is known, and `hypotheses`, the best one first: dictionaries of `text`, `score`, `log_likelihood`,
            `num_tokens` and `total`.
        rates: the error rates of each part and choice; () if no list has a reference.
    """

    weights: Weights
    lines: list[dict[str, Any]]
    rates: tuple[ErrorRates, ...]

    def describe(self) -> list[str]:
        """Return the weights and a table of the error rates, as lines."""
        weights = self.weights
        shown = f"{len(self.lines)} lists, weight {weights.likelihood:.4g}, length weight {weights.length:.4g}"
        table = [f"{'':<16} {'lists':>7} {'WER':>9} {'CER':>9}"] if self.rates else []
        for rates in self.rates:
            values = ["-" if rate is None else f"{100.0 * rate:.2f} %" for rate in (rates.wer, rates.cer)]
            table.append(f"{f'{rates.part}, {rates.name}':<16} {rates.num_lists:>7} {values[0]:>9} {values[1]:>9}")
        return [shown, *table]


def rescore(
    predictor: Predictor,
    lists: Sequence[NBestList],
    settings: Settings,
    *,
    tuning: Sequence[NBestList] | None = None,
) -> Rescored:
    """Return the lists with the log-likelihoods of a model and their totals.

    Args:
        predictor: a pre-trained model, or a regressor of the mean log-likelihood of a token.
        lists: the n-best lists.
        settings: the weights.
        tuning: other lists on which the weights are found; None for a share of `lists`.

    Raises:
        ValueError: the model can neither score texts nor fill masks.
    """
    likelihood_of = text_likelihoods(predictor, distinct_texts([*lists, *(tuning or ())]), settings.mask)
    return rescore_by(likelihood_of, lists, settings, tuning=tuning)


def rescore_by(
    likelihood_of: Mapping[str, tuple[float, int]],
    lists: Sequence[NBestList],
    settings: Settings,
    *,
    tuning: Sequence[NBestList] | None = None,
) -> Rescored:
    """Return the lists with given log-likelihoods, those of any language model, and their totals.

    Args:
        likelihood_of: the log-likelihood and the number of tokens of each text of the lists.
        lists: as in `rescore`.
        settings: as in `rescore`.
        tuning: as in `rescore`.
    """
    found = [_scored(one, likelihood_of, settings.metric) for one in lists]
    share = settings.tune_share if settings.searched and tuning is None else 0.0
    parts: dict[str, list[_Scored]] = {"tune": [], "test": []}
    for one in found:
        parts["tune" if in_share(one.given.id, share) else "test"].append(one)
    tuned = parts["tune"] if tuning is None else [_scored(one, likelihood_of, settings.metric) for one in tuning]
    weights = Weights(settings.likelihood or 0.0, settings.length or 0.0)
    if settings.searched:
        weights = best_weights(
            [one.candidates for one in tuned], likelihood=settings.likelihood, length=settings.length
        )
    part_of = {one.given.id: part for part, some in parts.items() for one in some}
    lines = [{"id": one.given.id, "part": part_of[one.given.id]} | one.line(weights) for one in found]
    return Rescored(weights, lines, tuple(_error_rates(parts, weights)))


def distinct_texts(lists: Iterable[NBestList]) -> list[str]:
    """Return the hypotheses of all lists, each text once."""
    return list(dict.fromkeys(text for one in lists for text in one.texts))


def text_likelihoods(predictor: Predictor, texts: Sequence[str], mask: str) -> dict[str, tuple[float, int]]:
    """Return the log-likelihood and the number of tokens of each text.

    Args:
        predictor: as in `rescore`.
        texts: the texts.
        mask: as in `Predictor.log_likelihood`.

    Raises:
        ValueError: the model can neither score texts nor fill masks.
    """
    if predictor.task is None or "score" not in predictor.task.methods:
        answers = log_likelihoods(predictor, texts, mask=mask)
        found = ((answer["log_likelihood"], answer["num_tokens"]) for answer in answers)
        return dict(zip(texts, found, strict=True))
    lengths = [len(ids) for ids in predictor.tokenizer.encode_batch(texts)]
    means = predictor.score(texts)
    return {text: (mean * length, length) for text, mean, length in zip(texts, means, lengths, strict=True)}


def in_share(name: str, share: float) -> bool:
    """Return whether an id belongs to a share of all ids. The same id always gives the same answer."""
    return zlib.crc32(name.encode()) < share * 2**32


def _weight(name: str, text: str) -> float | None:
    if text == AUTO:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"`{name}` must be a number, or auto. Received: {text!r}")
    return value


class _Scored(NamedTuple):
    """An n-best list with its numbers.

    Attributes:
        given: the list.
        candidates: its hypotheses as numbers.
        counts: the errors of its hypotheses and the length of its reference, for words and for characters; () for a
            list without reference.
    """

    given: NBestList
    candidates: Candidates
    counts: tuple[tuple[np.ndarray, int], ...]

    def line(self, weights: Weights) -> dict[str, Any]:
        """Return the list as it is written, its hypotheses from the largest total to the smallest."""
        totals = self.candidates.totals(weights)
        order = np.argsort(-totals, kind="stable").tolist()
        hypotheses = [
            {
                "text": self.given.texts[index],
                "score": self.given.scores[index],
                "log_likelihood": float(self.candidates.likelihoods[index]),
                "num_tokens": int(self.candidates.lengths[index]),
                "total": float(totals[index]),
            }
            for index in order
        ]
        reference = {} if self.given.reference is None else {"reference": self.given.reference}
        return {"text": self.given.texts[order[0]], **reference, "hypotheses": hypotheses}


def _scored(one: NBestList, likelihood_of: Mapping[str, tuple[float, int]], metric: str) -> _Scored:
    likelihoods, lengths = zip(*(likelihood_of[text] for text in one.texts), strict=True)
    counts: tuple[tuple[np.ndarray, int], ...] = ()
    if one.reference is not None:
        counts = tuple(errors_of(one.reference, one.texts, characters=characters) for characters in (False, True))
    errors = counts[METRICS.index(metric)][0] if counts else None
    return _Scored(one, Candidates(np.array(one.scores), np.array(likelihoods), np.array(lengths), errors), counts)


def _error_rates(parts: dict[str, list[_Scored]], weights: Weights) -> Iterator[ErrorRates]:
    """Yield the error rates of the lists with references, before and after, and those of the best hypotheses."""
    for part, some in parts.items():
        known = [one for one in some if one.counts]
        chosen = {
            "first pass": [np.argmax(one.candidates.scores) for one in known],
            "rescored": [np.argmax(one.candidates.totals(weights)) for one in known],
        }
        for name in (*chosen, "oracle") if known else ():
            rates: list[float | None] = []
            for kind in range(len(METRICS)):
                counts = [one.counts[kind] for one in known]
                winners = chosen.get(name) or [np.argmin(errors) for errors, _ in counts]
                errors = sum(int(errors[index]) for (errors, _), index in zip(counts, winners, strict=True))
                length = sum(length for _, length in counts)
                rates.append(errors / length if length else None)
            yield ErrorRates(part, name, len(known), *rates)
