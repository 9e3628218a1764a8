"""The building of record files with Apache Beam, on Dataflow, Flink, Spark or this machine.

The launching process reads the documents, in order, and stages each input shard as a file beside the records. The
pipeline then builds all shards, with the same function as the local runner, and writes records and journal entries.
Nothing depends on the worker, so a shard may be built twice. The staged files are removed at the end.
"""

import contextlib
import io
import os
import shlex
import threading
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

from bert_tf.utils import files
from data_pipelines.records.document_shards import InputShard, ShardFunction
from data_pipelines.records.local_runner import DoneShard, Writers
from data_pipelines.records.writer import entry_numbers, read_entry, write_shard

STAGING_FOLDER = "staging"
_SECONDS_BETWEEN_LOOKS = 5.0  # the time between searches for finished shards, for the progress bar


class StagedShard(NamedTuple):
    """An input shard as the pipeline receives it."""

    held_out: bool
    number: int
    path: str
    records_folder: str


def make_pipeline(options: str) -> Any:
    """Return an empty `apache_beam.Pipeline`.

    Args:
        options: Beam's pipeline options in one string, such as `--runner=DataflowRunner --project=p`.

    Raises:
        ValueError: Apache Beam is not installed, or refuses the options.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ValueError(f"`runner` beam needs Apache Beam: pip install 'bert_tf[beam]'. Received: {error}") from None
    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):  # argparse prints all options that Beam has
            parsed = PipelineOptions(shlex.split(options))
            parsed.get_all_options()  # Beam itself reads each option when it is needed
            return beam.Pipeline(options=parsed)
    except SystemExit:
        reason = complaints.getvalue().strip().rpartition("error: ")[2]
    except Exception as error:
        reason = " ".join(str(error).split())
    raise ValueError(f"`options` must be options of Apache Beam, which says {reason!r}. Received: {options!r}")


def run(
    shards: Iterator[InputShard], function: ShardFunction, *, writers: Writers, output_dir: str, pipeline: Any
) -> Generator[DoneShard, None, None]:
    """Build the input shards and write their records, and keep those that are finished already (`local_runner.run`).

    Args:
        shards: the input shards, which are read once. Memory holds one at a time.
        function: the function that builds a shard, which is sent to the workers.
        writers: the writers of training and of held-out records.
        output_dir: the folder where shards are staged. Workers must reach it, and the writers' folders, by the same
            paths.
        pipeline: the pipeline of `make_pipeline`, which this function runs.

    Raises:
        ValueError: as `input_shards`.
        OSError: a file cannot be written, or the pipeline failed.
    """
    staging = os.path.join(output_dir, STAGING_FOLDER)
    in_order: list[tuple[bool, int]] = []
    staged: list[StagedShard] = []
    for shard in shards:
        in_order.append((shard.held_out, shard.number))
        writer = writers[shard.held_out]
        standing = writer.finished(shard.number)
        if standing is not None and standing.made_from == function.fingerprint(shard):
            yield DoneShard(standing.input_bytes, kept=True)
            continue
        writer.forget(shard.number)
        path = os.path.join(staging, f"{'heldout' if shard.held_out else 'training'}-{shard.number:05d}.documents")
        files.write_bytes(path, shard.packed_documents)
        staged.append(StagedShard(shard.held_out, shard.number, path, writer.folder))
    if staged:
        yield from _run_pipeline(pipeline, staged, function)
    for held_out, number in in_order:
        finished = read_entry(writers[held_out].folder, number)
        if finished is None:
            raise OSError(f"The Beam pipeline ended without shard {number} of {writers[held_out].folder}")
        writers[held_out].keep(finished)
    files.remove_folder(staging)


def _run_pipeline(
    pipeline: Any, staged: list[StagedShard], function: ShardFunction
) -> Generator[DoneShard, None, None]:
    """Run the pipeline, and yield shards as they are finished. Some runners return only when all are done."""
    import apache_beam as beam

    (
        pipeline
        | "staged shards" >> beam.Create(staged)
        | "to any worker" >> beam.Reshuffle()
        | "build and write" >> beam.Map(build_and_write, function)
    )
    failures: list[Exception] = []

    def run_to_the_end() -> None:
        try:
            pipeline.run().wait_until_finish()
        except Exception as error:  # Beam wraps the error of a worker in an exception that depends on the runner
            failures.append(error)

    thread = threading.Thread(target=run_to_the_end, daemon=True)
    thread.start()
    waiting = {(shard.records_folder, shard.number) for shard in staged}
    while True:
        ended = not thread.is_alive()
        for folder in {folder for folder, _ in waiting}:
            for number in sorted(entry_numbers(folder)):
                if (folder, number) in waiting and (finished := read_entry(folder, number)):
                    waiting.remove((folder, number))
                    yield DoneShard(finished.input_bytes, kept=False)
        if ended:
            break
        thread.join(_SECONDS_BETWEEN_LOOKS)
    if failures:
        raise OSError(
            f"The Beam pipeline failed with {len(waiting)} of {len(staged)} shards missing. Finished shards "
            f"are kept: run the same command again. Beam says: {_cause(failures[0])}"
        ) from failures[0]


def _cause(error: Exception) -> str:
    """Return the last line of an error's message, because Beam's messages are tracebacks that end in the exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def build_and_write(staged: StagedShard, function: ShardFunction) -> None:
    """Build one input shard from its staged documents and write its record files, on a worker."""
    shard = InputShard(staged.held_out, staged.number, files.read_bytes(staged.path))
    write_shard(
        staged.records_folder,
        staged.number,
        function.build(shard),
        made_from=function.fingerprint(shard),
        settings=function.settings(staged.held_out),
    )
