"""The building of record files with Apache Beam, on Dataflow, Flink, Spark or this machine.

staged documents (corpora/beam_stages.py) -> the documents of each input shard, as ranges of staged files -> records

A worker that builds a shard reads the shard's documents, and does what a process of the local runner does, with the
same function. Nothing depends on the worker, so a shard may be built twice.
"""

import os
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

from bert_tf.utils import files
from data_pipelines.corpora import beam_stages
from data_pipelines.corpora.documents import Document, pack_documents
from data_pipelines.corpora.staging import DocumentRow, Run, Staging, joined
from data_pipelines.records.document_shards import InputShard, ShardFunction, cut_into_shards
from data_pipelines.records.local_runner import DoneShard, Writers
from data_pipelines.records.writer import entry_numbers, finished_shard, forget_shard, read_entry, write_shard

STAGING_FOLDER = "staging"
_SHARDS = "shards.json"


class PlannedShard(NamedTuple):
    """An input shard as a worker receives it: where its documents are staged, and where its records go."""

    held_out: bool
    number: int
    runs: list[Run]
    records_folder: str


class ShardCutter:
    """The function from rows of documents to planned shards, which a worker calls.

    Args:
        staging: where documents are staged.
        objective: as for `cut_into_shards`.
        records_folders: the folders of training and of held-out records.
    """

    def __init__(self, staging: Staging, objective: str, records_folders: tuple[str, str]) -> None:
        self._staging = staging
        self._objective = objective
        self._records_folders = records_folders

    def __call__(self, rows: Iterator[DocumentRow]) -> Iterator[PlannedShard]:
        """Yield the shards, and leave their numbers for the launching process.

        Raises:
            ValueError: as `cut_into_shards`.
        """
        described = ((row.run, row.run.held_out, row.text_bytes) for row in rows)
        counts = [0, 0]
        for held_out, number, runs in cut_into_shards(described, self._staging.holdout, self._objective):
            counts[held_out] += 1
            yield PlannedShard(held_out, number, joined(runs), self._records_folders[held_out])
        files.write_json(os.path.join(self._staging.folder, _SHARDS), counts)


def run(
    documents: Iterable[Document],
    function: ShardFunction,
    *,
    holdout: float,
    objective: str,
    writers: Writers,
    output_dir: str,
    pipeline: Any,
) -> Generator[DoneShard, None, None]:
    """Build the input shards and write their records, and keep those that are finished already (`local_runner.run`).

    Args:
        documents: the documents, which workers read if they are a `Corpus`.
        function: the function that builds a shard, which is sent to the workers.
        holdout: as for `input_shards`.
        objective: as for `input_shards`.
        writers: the writers of training and of held-out records.
        output_dir: the folder where documents are staged. Workers must reach it, the writers' folders and the files of
            the corpus by the same paths.
        pipeline: the pipeline of `beam_stages.pipeline_of`, which this function runs.

    Raises:
        ValueError: as `input_shards` and `readers.read_documents`.
        OSError: a file cannot be written, or the pipeline failed.
    """
    import apache_beam as beam

    staging = beam_stages.staging_of(documents, os.path.join(output_dir, STAGING_FOLDER), holdout)
    folders = (writers[False].folder, writers[True].folder)
    cut = ShardCutter(staging, objective, folders)
    shards = beam_stages.chosen_pieces(pipeline, documents, staging, cut)
    shards | "build and write" >> beam.Map(build_and_write, function, staging)
    before = {(folder, number): _made_from(folder, number) for folder in folders for number in entry_numbers(folder)}
    seen = set(before)
    what = "Finished shards are kept: run the same command again. "
    for _ in beam_stages.run(pipeline, staging, what=what):
        for folder in dict.fromkeys(folders):
            for number in sorted(entry_numbers(folder)):
                if (folder, number) not in seen and (finished := read_entry(folder, number)):
                    seen.add((folder, number))
                    yield DoneShard(finished.input_bytes, kept=False)
    for writer, count in zip(writers, files.read_json(os.path.join(staging.folder, _SHARDS)), strict=True):
        for number in range(count):
            finished = read_entry(writer.folder, number)
            if finished is None:
                raise OSError(f"The Beam pipeline ended without shard {number} of {writer.folder}")
            writer.keep(finished)
            if (writer.folder, number) in before:
                kept = before[writer.folder, number] == finished.made_from
                yield DoneShard(finished.input_bytes, kept=kept)
    files.remove_folder(staging.folder)


def _made_from(folder: str, number: int) -> str | None:
    finished = read_entry(folder, number)
    return finished.made_from if finished else None


def build_and_write(planned: PlannedShard, function: ShardFunction, staging: Staging) -> None:
    """Build one input shard from its staged documents and write its record files, on a worker, unless they exist."""
    shard = InputShard(planned.held_out, planned.number, pack_documents(list(staging.read(planned.runs))))
    made_from = function.fingerprint(shard)
    finished = finished_shard(planned.records_folder, planned.number)
    if finished is not None and finished.made_from == made_from:
        return
    forget_shard(planned.records_folder, planned.number)
    write_shard(
        planned.records_folder,
        planned.number,
        function.build(shard),
        made_from=made_from,
        settings=function.settings(planned.held_out),
    )
