"""The report of what a conversion did with every tensor."""

import dataclasses
import re
from collections.abc import Iterable


@dataclasses.dataclass
class ConversionReport:
    """Every tensor of the source and every weight of the model, by what happened to it.

    Attributes:
        source: the path or the name of the source.
        read: the name of the file of weights that was read, where a folder may hold several.
        unread: the names of the others, which are taken to hold the same weights.
        loaded: weight of the model -> the source's tensors that it was made of.
        transposed: the tensors of `loaded` whose axes were swapped.
        missing: weights of the model without a tensor in the source. They are random, if that was allowed.
        unexpected: tensors of the source that belong to no BERT.
        ignored: tensors that were left out on purpose -> the reason.
    """

    source: str
    read: str = ""
    unread: tuple[str, ...] = ()
    loaded: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    transposed: list[str] = dataclasses.field(default_factory=list)
    missing: list[str] = dataclasses.field(default_factory=list)
    unexpected: list[str] = dataclasses.field(default_factory=list)
    ignored: dict[str, str] = dataclasses.field(default_factory=dict)

    def summary(self) -> str:
        """Return the counts in one line."""
        tensors = sum(map(len, self.loaded.values()))
        return (
            f"{self.source}: {tensors} tensors loaded into {len(self.loaded)} weights ({len(self.transposed)} "
            f"transposed), {len(self.missing)} missing, {len(self.unexpected)} unexpected, {len(self.ignored)} ignored"
        )

    def __str__(self) -> str:
        """Return the summary, then every name, with equal blocks merged into one line."""
        lines = [self.summary()]
        lines += [f"  read        {self.read}"] if self.read else []
        lines += [f"  not read    {name}" for name in self.unread]
        swapped = set(self.transposed)
        for name, tensors in self.loaded.items():
            parts = " + ".join(f"{tensor} (transposed)" if tensor in swapped else tensor for tensor in tensors)
            lines.append(f"  loaded      {name} <- {parts}")
        lines += [f"  missing     {name}" for name in self.missing]
        lines += [f"  unexpected  {name}" for name in self.unexpected]
        lines += [f"  ignored     {name}: {reason}" for name, reason in self.ignored.items()]
        return "\n".join(_without_repetition(lines))


def _without_repetition(lines: Iterable[str]) -> list[str]:
    """Return the lines, with lines that differ only in the number of a block merged into one, with a `*`."""
    counts: dict[str, int] = {}
    for line in lines:
        pattern = re.sub(r"(block_|layer_(?:\._)?|layer_with_weights-|layer\.|_layers/)\d+", r"\1*", line)
        counts[pattern] = counts.get(pattern, 0) + 1
    return [f"{line}  [{count} blocks]" if count > 1 else line for line, count in counts.items()]
