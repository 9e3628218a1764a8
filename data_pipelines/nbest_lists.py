"""The reader of n-best lists: JSON lines, and the text files of Kaldi and ESPnet."""

import collections
import dataclasses
import math
import os
import re
from collections.abc import Iterator
from typing import Any

from bert_tf.examples import NBestList
from bert_tf.utils import files

_TEXTS = ("text", "words_text")
_COSTS = ("ac_cost", "lm_cost")
_NBEST_FOLDER = re.compile(r"(\d+)best_recog")
_RANKED = re.compile(r"(.+)-(\d+)")
_TENSOR = re.compile(r"tensor\((.*?)[,)].*")


def read_nbest_lists(path: str, references: str | None = None) -> list[NBestList]:
    """Return the n-best lists of a file or a folder, in their order there.

    - A file of JSON lines has one list a line: `{"id": ..., "hypotheses": [{"text": ..., "score": ...}, ...]}`, and
      `"reference"` if it is known.
    - A folder of Kaldi has a file `text` (or `words_text`) with lines `UTTERANCE-RANK WORDS`, and a file `score` with
      lines `UTTERANCE-RANK NUMBER`, or the files `ac_cost` and `lm_cost` of costs: a score is then minus the sum of
      both.
    - A folder of ESPnet has folders `1best_recog`, `2best_recog`, ..., each with the files `text` and `score`, whose
      lines begin with the utterance.

    Args:
        path: the file or the folder.
        references: a text file with lines `UTTERANCE WORDS`; None for the references of the lists themselves.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a hypothesis has no text or no score, a list has no hypotheses, two lists have the same id, or a
            list has no line in `references`. The message names file and line.
    """
    if files.is_folder(path):
        names = files.names_in_folder(path)
        folders = sorted((name for name in names if _NBEST_FOLDER.fullmatch(name.rstrip("/"))), key=_rank_of_folder)
        lists = _of_espnet(path, folders) if folders else _of_kaldi(path, names)
    elif not files.exists(path):
        raise FileNotFoundError(f"`path` must be a file or a folder of n-best lists. Received: {path!r}")
    else:
        lists = [_of_object(fields, source) for source, fields in files.iterate_json_objects(path)]
    if not lists:
        raise ValueError(f"`path` must hold at least one n-best list. Received: {path!r}, which has none")
    seen: dict[str, str] = {}
    for one in lists:
        if one.id in seen:
            raise ValueError(f"{one.source}: must have an id of its own. Received: {one.id!r}, as {seen[one.id]}")
        seen[one.id] = one.source
    return lists if references is None else _with_references(lists, references)


def _of_object(fields: dict[str, Any], source: str) -> NBestList:
    """Return the n-best list of a line of JSON."""
    name, hypotheses, reference = fields.get("id"), fields.get("hypotheses"), fields.get("reference")
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise ValueError(f"{source}: `id` must be a text or a whole number. Received: {name!r}")
    if not isinstance(hypotheses, list) or not hypotheses:
        raise ValueError(f"{source}: `hypotheses` must be a list with at least one item. Received: {hypotheses!r:.100}")
    if not isinstance(reference, str | None):
        raise ValueError(f"{source}: `reference` must be a text. Received: {reference!r:.100}")
    texts, scores = [], []
    for number, hypothesis in enumerate(hypotheses, 1):
        given = hypothesis if isinstance(hypothesis, dict) else {}
        text, score = given.get("text"), given.get("score")
        if not isinstance(text, str):
            raise ValueError(f"{source}: hypothesis {number} must have a `text`. Received: {hypothesis!r:.100}")
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise ValueError(f"{source}: hypothesis {number} must have a number `score`. Received: {hypothesis!r:.100}")
        texts.append(text)
        scores.append(float(score))
    return NBestList(str(name), tuple(texts), tuple(scores), reference, source)


def _of_kaldi(path: str, names: list[str]) -> list[NBestList]:
    """Return the n-best lists of a folder of Kaldi."""
    texts = next((name for name in _TEXTS if name in names), None)
    if texts is None:
        raise FileNotFoundError(
            f"`path` must have a file text or words_text (Kaldi), or folders 1best_recog, 2best_recog, ... (ESPnet). "
            f"Received: {path!r}"
        )
    score_of: dict[str, float] = collections.defaultdict(float)
    if "score" in names:
        score_of |= _numbers(os.path.join(path, "score"))
    elif set(_COSTS) <= set(names):
        costs = [_numbers(os.path.join(path, name)) for name in _COSTS]
        score_of |= {name: -cost - costs[1][name] for name, cost in costs[0].items() if name in costs[1]}
    else:
        raise FileNotFoundError(f"`path` must have a file score, or ac_cost and lm_cost. Received: {path!r}")
    found: dict[str, list[tuple[int, str, float]]] = {}
    sources: dict[str, str] = {}
    for source, key, text in _lines(os.path.join(path, texts)):
        ranked = _RANKED.fullmatch(key)
        if ranked is None:
            raise ValueError(f"{source}: must begin with UTTERANCE-RANK, such as utt1-1. Received: {key!r}")
        if key not in score_of:
            raise ValueError(f"{source}: the hypothesis must have a score in {path!r}. Received: none for {key!r}")
        found.setdefault(ranked[1], []).append((int(ranked[2]), text, score_of[key]))
        sources.setdefault(ranked[1], source)
    return [
        NBestList(
            name, tuple(text for _, text, _ in ranks), tuple(score for _, _, score in ranks), source=sources[name]
        )
        for name, ranks in ((name, sorted(ranks)) for name, ranks in found.items())
    ]


def _of_espnet(path: str, folders: list[str]) -> list[NBestList]:
    """Return the n-best lists of a folder of ESPnet."""
    found: dict[str, list[tuple[str, float]]] = {}
    sources: dict[str, str] = {}
    for folder in folders:
        scores = _numbers(os.path.join(path, folder, "score"))
        for source, name, text in _lines(os.path.join(path, folder, "text")):
            if name not in scores:
                raise ValueError(f"{source}: the hypothesis must have a score in {folder}. Received: none for {name!r}")
            found.setdefault(name, []).append((text, scores[name]))
            sources.setdefault(name, source)
    return [
        NBestList(name, tuple(text for text, _ in some), tuple(score for _, score in some), source=sources[name])
        for name, some in found.items()
    ]


def _rank_of_folder(name: str) -> int:
    found = _NBEST_FOLDER.fullmatch(name.rstrip("/"))
    assert found is not None
    return int(found[1])


def _lines(path: str) -> Iterator[tuple[str, str, str]]:
    """Yield the source, the key and the rest of each line `KEY REST` of a file. The rest may be empty."""
    for number, line in enumerate(files.iterate_lines(path), 1):
        if line.strip():
            key, _, rest = line.strip().partition(" ")
            yield f"{path}, line {number}", key, rest.strip()


def _numbers(path: str) -> dict[str, float]:
    """Return the numbers of a file with lines `KEY NUMBER`, which ESPnet writes as `tensor(NUMBER)`."""
    numbers = {}
    for source, key, text in _lines(path):
        try:
            numbers[key] = float(_TENSOR.sub(r"\1", text))
        except ValueError:
            numbers[key] = math.nan
        if not math.isfinite(numbers[key]):
            raise ValueError(f"{source}: must be a key and a number. Received: {text!r:.80} for {key!r}")
    return numbers


def _with_references(lists: list[NBestList], path: str) -> list[NBestList]:
    """Return the lists with the references of a text file."""
    if not files.exists(path):
        raise FileNotFoundError(f"`references` must be a text file with lines UTTERANCE WORDS. Received: {path!r}")
    texts = {key: text for _, key, text in _lines(path)}
    missing = next((one for one in lists if one.id not in texts), None)
    if missing is not None:
        raise ValueError(f"{missing.source}: the list must have a line in {path!r}. Received: none for {missing.id!r}")
    return [dataclasses.replace(one, reference=texts[one.id]) for one in lists]
