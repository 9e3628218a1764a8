"""The counting of words with Apache Beam.

staged documents (corpora/beam_stages.py) -> pieces of 16 MB -> words and their counts, by a hash of the word -> sums
"""

import functools
import marshal
import os
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.utils import files
from data_pipelines.corpora import beam_stages
from data_pipelines.corpora.documents import Document
from data_pipelines.corpora.staging import DocumentRow, Run, Staging, joined
from data_pipelines.word_counts import WordCounts, check_holdout, checked, count_group

_PIECE_BYTES = 16_000_000
_PARTS = 64  # of the words, each of which one worker adds up


class CountedPiece(NamedTuple):
    """Documents whose words a worker counts: the number of documents before them, and where they are staged."""

    first: int
    runs: list[Run]


def count_words(
    documents: Iterable[Document],
    *,
    pipeline: Any,
    staging_dir: str,
    do_lower_case: bool = True,
    options: TokenizerOptions | None = None,
    holdout: float = 0.0,
    num_workers: int = 1,
) -> WordCounts:
    """Count the words of documents, as `word_counts.count_words` does, in a Beam pipeline.

    The memory of this process grows only with the number of distinct words.

    Args:
        documents: the documents, which workers read if they are a `Corpus`.
        pipeline: the pipeline of `beam_stages.make_pipeline`, which this function runs.
        staging_dir: the folder where documents are staged, which is removed at the end. Workers must reach it, and the
            files of the corpus, by the same paths.
        do_lower_case: see `vocabulary.create_vocab`.
        options: see `vocabulary.create_vocab`.
        holdout: see `vocabulary.create_vocab`.
        num_workers: is ignored.

    Raises:
        ValueError: as `word_counts.count_words` and `readers.read_documents`.
        OSError: a file cannot be written, or the pipeline failed.
    """
    import apache_beam as beam

    check_holdout(holdout)
    # A worker decides what is held out: a document's number counts those that are, too.
    staging = beam_stages.staging_of(documents, staging_dir)
    count = functools.partial(
        _count_piece, staging=staging, do_lower_case=do_lower_case, options=options, holdout=holdout
    )
    (
        beam_stages.chosen_pieces(pipeline, documents, staging, _cut)
        | "count" >> beam.FlatMap(count)
        | "add up" >> beam.CombinePerKey(_sum)
        | "write counts" >> beam.Map(_write, staging)
    )
    for _ in beam_stages.run(pipeline, staging):
        pass
    counts = WordCounts()
    for name in files.names_in_folder(staging_dir):
        if name.endswith(".counts"):
            counts.add(_unpacked(files.read_bytes(os.path.join(staging_dir, name))))
    files.remove_folder(staging_dir)
    return checked(counts)


def _cut(rows: Iterator[DocumentRow]) -> Iterator[CountedPiece]:
    runs: list[Run] = []
    first = size = 0
    for row in rows:
        runs.append(row.run)
        size += row.text_bytes
        if size >= _PIECE_BYTES:
            yield CountedPiece(first, joined(runs))
            first, size, runs = first + len(runs), 0, []
    if runs:
        yield CountedPiece(first, joined(runs))


def _count_piece(piece: CountedPiece, staging: Staging, **settings: Any) -> Iterator[tuple[int, bytes]]:
    """Yield the counts of a piece in parts, each with the number of the part."""
    counts = count_group((piece.first, staging.read(piece.runs)), **settings)
    parts = [WordCounts() for _ in range(_PARTS)]
    for word, number in counts.words.items():
        parts[_part_of(word)].words[word] = number
    for word, number in counts.sample_words.items():
        parts[_part_of(word)].sample_words[word] = number
    parts[0].documents, parts[0].held_out_documents = counts.documents, counts.held_out_documents
    for number, part_counts in enumerate(parts):
        yield number, _packed(part_counts)


def _part_of(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass")) % _PARTS


def _sum(packed: Iterable[bytes]) -> bytes:
    counts = WordCounts()
    for data in packed:
        counts.add(_unpacked(data))
    return _packed(counts)


def _write(numbered: tuple[int, bytes], staging: Staging) -> None:
    number, packed = numbered
    files.write_bytes(os.path.join(staging.folder, f"words-{number:05d}.counts"), packed)


def _packed(counts: WordCounts) -> bytes:
    return marshal.dumps([dict(counts.words), dict(counts.sample_words), counts.documents, counts.held_out_documents])


def _unpacked(data: bytes) -> WordCounts:
    words, sample_words, documents, held_out_documents = marshal.loads(data)
    counts = WordCounts(documents=documents, held_out_documents=held_out_documents)
    counts.words.update(words)
    counts.sample_words.update(sample_words)
    return counts
