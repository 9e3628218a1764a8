"""The report of a conversion: what it did with every tensor."""

import dataclasses
import re
from collections.abc import Iterable


@dataclasses.dataclass
class ConversionReport:
    """Every tensor of the source, and every weight of the model, by what became of it.

    Attributes:
        source: where the tensors came from.
        loaded: our weight -> the source's tensors that it was made of.
        transposed: those tensors of `loaded` whose axes were swapped on the way.
        missing: our weights that the source has no tensor for; they are random where that was allowed.
        unexpected: tensors of the source that no BERT has a place for.
        ignored: tensors that were left out knowingly -> the reason.
    """

    source: str
    loaded: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    transposed: list[str] = dataclasses.field(default_factory=list)
    missing: list[str] = dataclasses.field(default_factory=list)
    unexpected: list[str] = dataclasses.field(default_factory=list)
    ignored: dict[str, str] = dataclasses.field(default_factory=dict)

    def summary(self) -> str:
        """Return one line with the counts."""
        tensors = sum(map(len, self.loaded.values()))
        return (
            f"{self.source}: {tensors} tensors loaded into {len(self.loaded)} weights ({len(self.transposed)} "
            f"transposed), {len(self.missing)} missing, {len(self.unexpected)} unexpected, {len(self.ignored)} ignored"
        )

    def __str__(self) -> str:
        """Return the summary, then every name; those of equal blocks in one line."""
        lines = [self.summary()]
        swapped = set(self.transposed)
        for name, tensors in self.loaded.items():
            told = " + ".join(f"{tensor} (transposed)" if tensor in swapped else tensor for tensor in tensors)
            lines.append(f"  loaded      {name} <- {told}")
        lines += [f"  missing     {name}" for name in self.missing]
        lines += [f"  unexpected  {name}" for name in self.unexpected]
        lines += [f"  ignored     {name}: {reason}" for name, reason in self.ignored.items()]
        return "\n".join(_without_repetition(lines))


def _without_repetition(lines: Iterable[str]) -> list[str]:
    """Merge lines that differ only in the number of their block, and write `*` for the number."""
    counts: dict[str, int] = {}
    for line in lines:
        pattern = re.sub(r"(block_|layer_|layer_with_weights-|layer\.|_layers/)\d+", r"\1*", line)
        counts[pattern] = counts.get(pattern, 0) + 1
    return [f"{line}  [{count} blocks]" if count > 1 else line for line, count in counts.items()]
