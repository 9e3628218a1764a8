"""Split the examples of one file into parts for training, evaluation and test."""

import collections
import dataclasses
import hashlib
from collections.abc import Hashable, Sequence
from typing import Any

from bert_tf.examples import Examples

PARTS = ("train", "eval", "test")


@dataclasses.dataclass(frozen=True)
class Split:
    """The shares and the seed of a split, which give the same parts of a file on every machine.

    Attributes:
        shares: of the parts in the order train, eval, test; whole numbers or not, they are divided by their sum.
        seed: of the choice.
    """

    shares: tuple[float, ...]
    seed: int = 0

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> "Split":
        """Return the split that `--split` names, such as `80/10/10` or `80/20`.

        Raises:
            ValueError: there are not two or three numbers above 0.
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

        Examples with groups are split by group: none is torn apart. Others are split within each label, so that every
        part has each label in the same share, as near as whole examples allow (stratified).

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
        """Sort by a hash of (seed, name): each seed gives another order, and every Python the same one."""
        return sorted(names, key=lambda name: hashlib.sha256(f"{self.seed}:{name}".encode()).digest())

    def _deal(self, bundles: Sequence[list[int]]) -> list[list[int]]:
        """Return the bundles in parts whose sizes are as near to the shares as the order of the bundles allows."""
        total = sum(map(len, bundles))
        parts: list[list[int]] = [[] for _ in self.shares]
        wanted = [share * total / sum(self.shares) for share in self.shares]
        for bundle in bundles:
            # Where most is missing: what the share wants, less what is there.
            part = max(range(len(parts)), key=lambda number: wanted[number] - len(parts[number]))
            parts[part] += bundle
        return parts


def _stratum(example: Any) -> Hashable:
    """Return the class of an example, which all parts share equally; sets, numbers and sequences have no class."""
    label = getattr(example, "label", None)
    return label if isinstance(label, str) else None
