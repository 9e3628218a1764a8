"""Pairs of sources and targets, split by package and written as JSON lines for sequence to sequence.

folder/
  train.jsonl, eval.jsonl, test.jsonl    {"source": ..., "target": ..., "package": ...} on each line
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from bert_tf.utils import files, json_text

PARTS = ("train", "eval", "test")


class Pair(NamedTuple):
    """A source and its target, with the package that they come from."""

    package: str
    source: str
    target: str


def distinct(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the pairs without those whose source occurred before, whatever its case and spaces.

    So no source is in two packages, nor in two parts.
    """
    seen: set[str] = set()
    kept = []
    for pair in pairs:
        key = " ".join(pair.source.lower().split())
        if key not in seen:
            seen.add(key)
            kept.append(pair)
    return kept


def parts_of_packages(pairs: Iterable[Pair], holdout: float) -> dict[str, str]:
    """Return the part of each package.

    Packages are taken in the order of a hash of their names: for `eval`, then for `test`, until each has the share
    `holdout` of the pairs. A package with more than this share is for training, as the others are.

    Args:
        pairs: the pairs.
        holdout: the share of each of the two parts.
    """
    counts = Counter(pair.package for pair in pairs)
    wanted = holdout * counts.total()
    names = sorted(counts, key=lambda name: hashlib.sha256(name.encode()).digest())
    parts, filled = {}, Counter[str]()
    for name in names:
        part = next((part for part in PARTS[1:] if filled[part] < wanted), PARTS[0])
        parts[name] = part if counts[name] <= wanted else PARTS[0]
        filled[parts[name]] += counts[name]
    return parts


def write(pairs: Iterable[Pair], output_dir: str, holdout: float) -> dict[str, dict[str, Any]]:
    """Write the pairs' parts into a folder, and return the number of packages and of pairs in each part.

    Raises:
        ValueError: there is no pair, or a part would have none.
    """
    kept = distinct(pairs)
    parts = parts_of_packages(kept, holdout)
    found = {}
    for part in PARTS:
        own = [pair for pair in kept if parts[pair.package] == part]
        if not own:
            raise ValueError(
                f"`output_dir` must get pairs of enough packages for train, eval and test. Received: none for {part}, "
                f"of {len(kept)} pairs in {len(parts)} packages"
            )
        lines = [
            {"source": " ".join(pair.source.split()), "target": " ".join(pair.target.split()), "package": pair.package}
            for pair in own
        ]
        files.write_text(
            os.path.join(output_dir, f"{part}.jsonl"), "".join(json_text.dumps(line) + "\n" for line in lines)
        )
        found[part] = {"packages": len({pair.package for pair in own}), "pairs": len(own)}
    return found
