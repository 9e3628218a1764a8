"""Simulated n-best lists of a speech recognizer, without speech: sentences with confused words, and noisy scores.

At half of a sentence's words (4 to 10 of them) a recognizer may err, each time with one error: a word that sounds or
looks alike (7 of 10), a short word dropped or inserted, a word split into two, or two joined (`Confusions`, `_KINDS`).
The error at a place costs a normal random number with the standard deviation `NOISE`, whose mean is larger the less
alike both sound: `COST * (1 - similarity)`. A hypothesis has any of the errors, and the score

    -(sum of the costs of its errors) + normal noise of the standard deviation `HYPOTHESIS_NOISE`.

An error whose cost is negative is more likely than the right word, as in a recognizer whose acoustics are wrong there.
The list has the hypotheses with the best scores of all combinations of errors, so that the reference is in it only if
its score is among them. What a real recognizer confuses, and how its errors depend on each other, is not simulated.
"""

import functools
import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from random import Random
from typing import NamedTuple

import numpy as np

from bert_tf.examples import NBestList

COST, NOISE, HYPOTHESIS_NOISE = 3.0, 1.2, 0.2
MIN_WORDS, MAX_WORDS = 6, 25
_LEAST_SIMILARITY = 0.5
_FEWEST_PLACES, _MOST_PLACES = 4, 10
_MOST_ALIKE = 6
_SHORT = 3
_KINDS = {"substitute": 0.7, "drop": 0.08, "insert": 0.08, "split": 0.07, "join": 0.07}
"""The kinds of errors and their weights, if all are possible at a place."""
_SIMILARITY = {"drop": 0.7, "insert": 0.7, "split": 0.85, "join": 0.85}
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_PLAIN = r"[(\"“‘']?[A-Za-z]+(?:['’][a-z]+)?[)\"”’',;:]*"
_SENTENCE = re.compile(rf"(?=[A-Z]){_PLAIN}(?: {_PLAIN}){{{MIN_WORDS - 1},{MAX_WORDS - 1}}}[.?!]")


def recognized_words(text: str) -> list[str]:
    """Return the words of a text as a recognizer writes them: in lower case and without punctuation.

    >>> recognized_words("It's a *real* test, isn’t it?")
    ["it's", 'a', 'real', 'test', "isn't", 'it']
    """
    return _WORD.findall(text.lower().replace("’", "'"))


def plain_sentence(line: str) -> str | None:
    """Return a line as a recognizer writes it, if it is a sentence of 6 to 25 words of letters, else None."""
    line = line.strip()
    return " ".join(recognized_words(line)) if _SENTENCE.fullmatch(line) else None


def require_packages() -> None:
    """Raise an ImportError that says how to install the packages that compare words, if one is missing."""
    try:
        import jellyfish  # noqa: F401
        import rapidfuzz  # noqa: F401
    except ImportError as error:
        raise ImportError(f"simulated lists need two packages: pip install jellyfish rapidfuzz. {error}") from None


class Confusions:
    """The words of a text that a recognizer may confuse.

    The similarity of two words is the mean of two normalised Levenshtein similarities, that of their letters and that
    of their Metaphone keys (Philips 1990), which say how they sound. Words are alike if the latter and the mean are
    at least 0.5.

    Args:
        counts: how often each word of the text occurs.
        least_count: the occurrences of a word that may be confused with others.
    """

    def __init__(self, counts: Mapping[str, int], *, least_count: int = 20) -> None:
        import jellyfish

        self.counts = {word: count for word, count in sorted(counts.items()) if count >= least_count and word.isalpha()}
        self._words = list(self.counts)
        self._key = jellyfish.metaphone
        keys, self._key_of_word = np.unique([self._key(word) for word in self._words], return_inverse=True)
        self._keys = keys.tolist()
        self._root_counts = np.sqrt(np.array(list(self.counts.values()), np.float64))
        self.alike = functools.cache(self._alike)

    @cached_property
    def short_words(self) -> dict[str, int]:
        """The 30 most frequent words of at most three letters, and their counts."""
        short = sorted((word for word in self._words if len(word) <= _SHORT), key=lambda word: -self.counts[word])
        return {word: self.counts[word] for word in short[:30]}

    def _alike(self, word: str) -> list[tuple[str, float, float]]:
        """Return up to 6 words that sound or look like `word`, each with the similarity and the weight of its draw.

        The weight is the square root of the count, multiplied by e to the 10 times similarity.
        """
        from rapidfuzz import process
        from rapidfuzz.distance import Levenshtein

        if not self._words:
            return []
        similarity = functools.partial(process.cdist, scorer=Levenshtein.normalized_similarity, dtype=np.float32)
        sounds = similarity([self._key(word)], self._keys, score_cutoff=_LEAST_SIMILARITY)[0][self._key_of_word]
        places = np.flatnonzero(sounds)
        both = (sounds[places] + similarity([word], [self._words[place] for place in places.tolist()])[0]) / 2.0
        weights = np.where(both >= _LEAST_SIMILARITY, self._root_counts[places] * np.exp(10.0 * both), 0.0)
        found = []
        for number in np.argsort(-weights, kind="stable")[: _MOST_ALIKE + 1].tolist():
            other = self._words[places[number]]
            if weights[number] > 0.0 and other != word:
                found.append((other, float(both[number]), float(weights[number])))
        return found[:_MOST_ALIKE]

    def halves(self, word: str) -> list[tuple[str, str]]:
        """Return the pairs of known words of at least two letters that a word can be split into."""
        cuts = ((word[:cut], word[cut:]) for cut in range(2, len(word) - 1))
        return [(first, second) for first, second in cuts if first in self.counts and second in self.counts]


class Edit(NamedTuple):
    """An error: the words from `start` to `end` (exclusive) are replaced by `words`."""

    start: int
    end: int
    words: tuple[str, ...]
    similarity: float


def simulated_list(name: str, reference: str, confusions: Confusions, *, size: int, seed: int) -> NBestList:
    """Return a simulated n-best list of a sentence, the hypothesis with the best score first.

    Args:
        name: the id of the list, on which its random numbers depend, beside `seed`.
        reference: the sentence.
        confusions: the words that may be confused.
        size: the number of hypotheses; a sentence with few possible errors has fewer.
        seed: the seed.
    """
    random = Random(f"{seed} {name}")
    words = reference.split()
    edits = _edits(words, confusions, random)
    costs = [random.gauss(COST * (1.0 - edit.similarity), NOISE) for edit in edits]
    chosen = (np.arange(2 ** len(edits))[:, None] >> np.arange(len(edits))) & 1  # all combinations: [2^edits, edits]
    noise = np.array([random.gauss(0.0, HYPOTHESIS_NOISE) for _ in chosen])
    scores = noise - chosen @ np.array(costs, np.float64)
    hypotheses: dict[str, float] = {}
    for number in np.argsort(-scores, kind="stable").tolist():
        text = " ".join(_edited(words, [edit for edit, used in zip(edits, chosen[number], strict=True) if used]))
        hypotheses.setdefault(text, round(float(scores[number]), 4))
        if len(hypotheses) == size:
            break
    return NBestList(name, tuple(hypotheses), tuple(hypotheses.values()), reference)


def _edits(words: Sequence[str], confusions: Confusions, random: Random) -> list[Edit]:
    """Return an error for half of the words, but 4 to 10 if so many are possible, from the first word to the last."""
    edits: list[Edit] = []
    taken: set[int] = set()
    wanted = min(_MOST_PLACES, max(_FEWEST_PLACES, math.ceil(len(words) / 2)))
    for place in random.sample(range(len(words)), len(words)):
        possible = {} if place in taken else _possible(words, place, confusions, random)
        if place + 1 in taken:
            possible.pop("join", None)
        if possible:
            [kind] = random.choices(list(possible), [_KINDS[kind] for kind in possible])
            edits.append(possible[kind])
            taken |= set(range(place, max(place + 1, possible[kind].end)))
        if len(edits) == wanted:
            break
    return sorted(edits)


def _possible(words: Sequence[str], place: int, confusions: Confusions, random: Random) -> dict[str, Edit]:
    """Return an error of each kind that is possible at a place."""
    word, found = words[place], {}
    if alike := confusions.alike(word):
        [(other, similarity, _)] = random.choices(alike, [weight for _, _, weight in alike])
        found["substitute"] = Edit(place, place + 1, (other,), similarity)
    if len(word) <= _SHORT:
        found["drop"] = Edit(place, place + 1, (), _SIMILARITY["drop"])
    if short := confusions.short_words:
        inserted = random.choices(list(short), list(short.values()))
        found["insert"] = Edit(place, place, tuple(inserted), _SIMILARITY["insert"])
    if halves := confusions.halves(word):
        found["split"] = Edit(place, place + 1, random.choice(halves), _SIMILARITY["split"])
    if place + 1 < len(words) and (joined := word + words[place + 1]) in confusions.counts:
        found["join"] = Edit(place, place + 2, (joined,), _SIMILARITY["join"])
    return found


def _edited(words: Sequence[str], edits: Sequence[Edit]) -> list[str]:
    """Return the words with these errors, which are in the order of their places."""
    found: list[str] = []
    done = 0
    for edit in edits:
        found += [*words[done : edit.start], *edit.words]
        done = edit.end
    return [*found, *words[done:]]
