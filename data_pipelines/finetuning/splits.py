"""The split of one file's examples into parts for training, evaluation and test."""

import collections
import dataclasses
import hashlib
from collections.abc import Hashable, Sequence
from typing import Any

from bert_tf.examples import Examples

PARTS = ("train", "eval", "test")
"""The names of the parts, in the order of the shares."""


@dataclasses.dataclass(frozen=True)
class Split:
    """The shares and the seed of a split, which give the same parts of a file on every machine.

    Attributes:
        shares: the shares of the parts in the order train, eval, test, in any unit.
        seed: the random seed.
    """

    shares: tuple[float, ...]
    seed: int = 0

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> "Split":
        """Return the split that a text describes, such as `80/10/10` or `80/20`.

        Args:
            text: two or three numbers above 0, with `/` between them.
            seed: the random seed.

        Raises:
            ValueError: `text` does not hold two or three numbers above 0.
        """
        try:
            shares = tuple(float(part) for part in text.split("/"))
        except ValueError:
            shares = ()
        if not 2 <= len(shares) <= 3 or not all(0 < share < float("inf") for share in shares):
            raise ValueError(f"`split` must be two or three numbers above 0, such as 80/10/10. Received: {text!r}")
        return cls(shares, seed)

    def __str__(self) -> str:
        return "/".join(f"{share:g}" for share in self.shares)

    def parts(self, examples: Examples) -> dict[str, Examples]:
        """Return the examples of each part, in the order of the file.

        Examples with groups are split by group, and a group stays whole. Other examples are split within each label
        (stratified), so that all parts have the labels in the same shares, as nearly as whole examples allow.

        Args:
            examples: the examples of the file.

        Raises:
            ValueError: a part would be empty.
        """
        items = examples.examples
        if all(item.group is not None for item in items):
            by_group: dict[Hashable, list[int]] = collections.defaultdict(list)
            for number, item in enumerate(items):
                by_group[item.group].append(number)
            chosen = self._deal([by_group[name] for name in self._order(list(by_group))])
        else:
            strata: dict[Hashable, list[int]] = collections.defaultdict(list)
            for number, item in enumerate(items):
                strata[_stratum(item)].append(number)
            chosen = [[] for _ in self.shares]
            for name in sorted(strata, key=str):
                dealt = self._deal([[number] for number in self._order(strata[name])])
                for part, numbers in zip(chosen, dealt, strict=True):
                    part += numbers
        names = PARTS[: len(self.shares)]
        empty = next((name for name, numbers in zip(names, chosen, strict=True) if not numbers), None)
        if empty is not None:
            raise ValueError(f"`split` must leave examples of {examples.path} for the part {empty!r}. Received: {self}")
        return {
            name: Examples([items[number] for number in sorted(numbers)], f"{examples.path} ({name} of {self})")
            for name, numbers in zip(names, chosen, strict=True)
        }

    def _order(self, names: list[Any]) -> list[Any]:
        """Return the names in the order of a hash of (seed, name), which is the same in every Python version."""
        return sorted(names, key=lambda name: hashlib.sha256(f"{self.seed}:{name}".encode()).digest())

    def _deal(self, bundles: Sequence[list[int]]) -> list[list[int]]:
        """Return the parts, each with whole bundles, whose sizes are as near to the shares as the order allows."""
        total = sum(map(len, bundles))
        parts: list[list[int]] = [[] for _ in self.shares]
        wanted = [share * total / sum(self.shares) for share in self.shares]
        for bundle in bundles:
            # The bundle goes to the part that lacks most of its share.
            part = max(range(len(parts)), key=lambda number: wanted[number] - len(parts[number]))
            parts[part] += bundle
        return parts


def _stratum(example: Any) -> Hashable:
    """Return the label by which an example is stratified, or None for sets of labels, numbers and sequences."""
    label = getattr(example, "label", None)
    return label if isinstance(label, str) else None
