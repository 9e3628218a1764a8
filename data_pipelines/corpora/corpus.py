"""The documents that files, data sets and settings name, read by this process or, in parts, by several machines."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bert_tf.utils.arguments import renamed, renamed_items
from data_pipelines.corpora import mixtures, readers
from data_pipelines.corpora.deduplication import ExactDuplicateFilter
from data_pipelines.corpora.documents import Document
from data_pipelines.corpora.file_parts import FilePart, grouped_parts
from data_pipelines.corpora.near_duplicates import NearDuplicateDocumentFilter
from data_pipelines.corpora.staging import DocumentRow, Staging


@dataclasses.dataclass(frozen=True)
class Source:
    """The files and data sets of one corpus.

    Attributes:
        patterns: as in `readers.read_documents`.
        options: the options of reading.
        name: what errors call the patterns (`renamed`).
    """

    patterns: str
    options: readers.ReadingOptions = dataclasses.field(default_factory=readers.ReadingOptions)
    name: str = "patterns"

    def read(self, num_workers: int = 1) -> Iterator[list[str]]:
        """Return the documents, as `readers.read_documents` does."""
        with renamed(patterns=self.name):
            documents = readers.read_documents(self.patterns, self.options, num_workers=num_workers)
        return renamed_items(documents, patterns=self.name)


class WorkUnit(NamedTuple):
    """The parts of files and the data sets that one machine reads at a time, one after the other."""

    number: int
    corpus: str
    parts: Sequence[FilePart]
    data_sets: Sequence[str]
    options: readers.ReadingOptions

    def stage(self, staging: Staging) -> "StagedUnit":
        """Read, clean and stage the documents of the unit.

        Raises:
            ValueError: as `readers.read_sources`.
            OSError: a file cannot be read or written.
        """
        skipped: dict[str, int] = {}

        def count(path: str, lines: Sequence[int]) -> None:
            skipped[path] = skipped.get(path, 0) + len(lines)

        staging.write(self.number, readers.read_sources(self.parts, self.data_sets, self.options, count))
        sources = sum(not part.start for part in self.parts) + len(self.data_sets)
        return StagedUnit(self.number, self.corpus, sources, skipped)


class StagedUnit(NamedTuple):
    """A unit whose documents are staged.

    Attributes:
        number: its number, from 0, in the order of reading.
        corpus: the name of the corpus.
        sources: the number of files and data sets that begin in the unit.
        skipped: the number of unreadable lines that were left out, for each file that has any.
    """

    number: int
    corpus: str
    sources: int
    skipped: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The documents of one source, or of several that are mixed. Each iteration reads the same documents.

    Attributes:
        sources: the sources by name, in the order of reading.
        name: what errors call the sources (`renamed`).
        weights: as for `mixtures.mixed_documents`.
        temperature: as for `mixtures.mixed_documents`.
        deduplicate: which duplicates of earlier documents are left out (`mixtures.DEDUPLICATION`).
        seed: the random seed of mixing.
        num_workers: the number of processes that read and compare; 0 for one a core. The documents are the same.
    """

    sources: Mapping[str, Source]
    name: str = "corpora"
    weights: Mapping[str, float] | None = None
    temperature: float | None = None
    deduplicate: str = "none"
    seed: int = 0
    num_workers: int = 1

    def check(self) -> None:
        """Find what is wrong with settings, patterns and data sets, before a document is read.

        Raises:
            ValueError: as `mixtures.check_shares` and `readers.read_documents`.
            FileNotFoundError: a pattern matches no file.
        """
        mixtures.check_shares(list(self.sources), self.weights, self.temperature)
        for source in self.sources.values():
            source.read()

    def __iter__(self) -> Iterator[Document]:
        documents = mixtures.mixed_documents(
            {name: functools.partial(source.read, self.num_workers) for name, source in self.sources.items()},
            weights=self.weights,
            temperature=self.temperature,
            deduplicate=self.deduplicate,
            seed=self.seed,
            num_workers=self.num_workers,
        )
        return renamed_items(documents, corpora=self.name)

    def units(self) -> list[WorkUnit]:
        """Return the units of work, whose documents are, one unit after the other, those of the sources.

        Raises:
            FileNotFoundError: a pattern matches no file.
        """
        units: list[WorkUnit] = []
        for name, source in self.sources.items():
            with renamed(patterns=source.name):
                paths, data_sets = readers.matching_sources(source.patterns)
            for parts in grouped_parts(paths):
                units.append(WorkUnit(len(units), name, parts, (), source.options))
            for data_set in data_sets:
                units.append(WorkUnit(len(units), name, (), (data_set,), source.options))
        return units

    def chosen(
        self, units: Sequence[StagedUnit], staging: Staging, report: Callable[[str], None]
    ) -> Iterator[DocumentRow]:
        """Yield the rows of the documents that an iteration over this corpus yields, in the same order.

        Memory holds the filter of duplicates: up to 16 bytes a document, or 240 for near-duplicates.

        Args:
            units: the staged units, in order.
            staging: where they are staged.
            report: as for `mixtures.mixed_documents`.

        Raises:
            ValueError: as an iteration over the corpus.
        """

        def rows(name: str) -> Iterator[DocumentRow]:
            own = [unit for unit in units if unit.corpus == name]
            found = (row for unit in own for row in staging.rows(unit.number))
            patterns, label = self.sources[name].patterns, self.sources[name].name
            counted = readers.not_empty(found, patterns, sum(unit.sources for unit in own))
            return renamed_items(counted, patterns=label)

        if self.weights is None and self.temperature is None:
            everything = (row for name in self.sources for row in rows(name))
            return mixtures.only_new(everything, self._judge())
        documents = mixtures.mixed(
            {name: functools.partial(rows, name) for name in self.sources},
            self._judge(),
            sentences_of=lambda row: row.sentences,
            hash_of=lambda row: row.mixing,
            weights=self.weights,
            temperature=self.temperature,
            report=report,
        )
        return renamed_items(documents, corpora=self.name)

    def _judge(self) -> Callable[[Iterable[DocumentRow]], Iterator[tuple[DocumentRow, bool]]]:
        """Return the function that yields each row, and whether it is of a new document."""
        if self.deduplicate == "near":
            return functools.partial(
                NearDuplicateDocumentFilter().judged_by_sketch,
                sketch_of=lambda row: row.sketch,
                characters_of=lambda row: row.characters,
            )
        if self.deduplicate == "exact":
            admit = ExactDuplicateFilter().admit_fingerprint
            return lambda rows: ((row, admit(row.fingerprint)) for row in rows)
        return lambda rows: ((row, True) for row in rows)
