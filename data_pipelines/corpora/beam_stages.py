"""The steps of an Apache Beam pipeline that read a corpus on many machines, and what a launching process does.

units of work -> staged documents and their rows (any worker) -> the chosen documents, in pieces (one worker, which
reads rows only) -> whatever the caller does with pieces (any worker)

The launching process sends names of files. Everything that is large goes through files in the staging folder, so that
neither the launching process nor Beam's shuffle ever holds documents. A worker that finds bad input leaves the message
there, and the launching process raises it.
"""

import contextlib
import io
import os
import shlex
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

from absl import flags, logging

from bert_tf.utils import files
from data_pipelines.corpora.corpus import Corpus, StagedUnit, WorkUnit
from data_pipelines.corpora.documents import Document, in_groups, num_characters
from data_pipelines.corpora.file_parts import UNIT_BYTES
from data_pipelines.corpora.staging import DocumentRow, Staging

_SECONDS_BETWEEN_LOOKS = 5.0  # the time between looks at what the workers have finished, for the progress bar
_REPORT = "report.json"
_BAD_INPUT = "bad-input-"

Piece = TypeVar("Piece")


def define_flags() -> None:
    """Define the flags that choose where a command works."""
    flags.DEFINE_enum(
        "runner",
        "local",
        ["local", "beam"],
        "Where the work is done. local: in processes of this machine; beam: in an Apache Beam pipeline.",
    )
    flags.DEFINE_string("beam_options", "", "With --runner=beam, Beam's pipeline options in one string.")


def pipeline_of(runner: str, beam_options: str) -> Any:
    """Return an empty `apache_beam.Pipeline`, or None for the runner `local`.

    Args:
        runner: `local` or `beam`.
        beam_options: Beam's pipeline options in one string, such as `--runner=DataflowRunner --project=p`.

    Raises:
        ValueError: the runner is another one, has no options, Apache Beam is not installed, or refuses the options.
    """
    if runner not in ("local", "beam"):
        raise ValueError(f"`runner` must be local or beam. Received: {runner!r}")
    if runner == "local":
        if beam_options:
            raise ValueError(f"`beam_options` must be empty unless `runner` is beam. Received: {beam_options!r}")
        return None
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ValueError(f"`runner` beam needs Apache Beam: pip install 'bert_tf[beam]'. Received: {error}") from None
    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):  # argparse prints all options that Beam has
            parsed = PipelineOptions(shlex.split(beam_options))
            parsed.get_all_options()  # Beam itself reads each option when it is needed
            return beam.Pipeline(options=parsed)
    except SystemExit:
        reason = complaints.getvalue().strip().rpartition("error: ")[2]
    except Exception as error:
        reason = " ".join(str(error).split())
    raise ValueError(
        f"`beam_options` must be options of Apache Beam, which says {reason!r}. Received: {beam_options!r}"
    )


def staging_of(documents: Iterable[Document], folder: str, holdout: float = 0.0) -> Staging:
    """Return the description of the staging of documents, whose table holds what a `Corpus` needs to choose them."""
    if isinstance(documents, Corpus):
        return Staging(folder, holdout, documents.deduplicate, documents.seed)
    return Staging(folder, holdout)


def chosen_pieces(
    pipeline: Any,
    documents: Iterable[Document],
    staging: Staging,
    cut: Callable[[Iterator[DocumentRow]], Iterable[Piece]],
) -> Any:
    """Add the steps that stage a corpus and cut the chosen documents into pieces.

    Args:
        pipeline: the pipeline of `pipeline_of`.
        documents: a `Corpus`, which workers read; this process reads, and stages, anything else.
        staging: where documents are staged; what the folder holds is removed.
        cut: the function from the rows of the chosen documents to pieces, which is sent to a worker.

    Returns:
        Beam's collection of the pieces.

    Raises:
        OSError: a file cannot be read or written.
    """
    import apache_beam as beam

    files.remove_folder(staging.folder)
    if isinstance(documents, Corpus):
        corpus = documents
        units = (
            pipeline
            | "units of work" >> beam.Create(corpus.units())
            | "to any reader" >> beam.Reshuffle()
            | "read and stage" >> beam.Map(stage_unit, staging)
        )
    else:
        corpus = None
        units = pipeline | "units staged here" >> beam.Create(list(_staged_here(documents, staging)))
    return (
        units
        | "one key" >> beam.Map(_with_one_key)
        | "all units" >> beam.GroupByKey()
        | "choose and cut" >> beam.FlatMap(_cut_all, corpus, staging, cut)
        | "to any worker" >> beam.Reshuffle()
    )


def _staged_here(documents: Iterable[Document], staging: Staging) -> Iterator[StagedUnit]:
    """Stage documents that only this process can read, at least one unit of them."""
    group: list[Document] = []
    for number, group in enumerate(in_groups(documents, num_characters, UNIT_BYTES)):
        staging.write(number, group)
        yield StagedUnit(number, "", 1, {})
    if not group:
        staging.write(0, [])
        yield StagedUnit(0, "", 1, {})


def stage_unit(unit: WorkUnit, staging: Staging) -> StagedUnit:
    """Read, clean and stage the documents of a unit, on a worker."""
    with _bad_input_recorded(staging, f"{unit.number:05d}"):
        return unit.stage(staging)


def _with_one_key(unit: StagedUnit) -> tuple[int, StagedUnit]:
    return 0, unit


def _cut_all(
    keyed: tuple[int, Iterable[StagedUnit]],
    corpus: Corpus | None,
    staging: Staging,
    cut: Callable[[Iterator[DocumentRow]], Iterable[Piece]],
) -> Iterator[Piece]:
    return cut_units(sorted(keyed[1]), corpus, staging, cut)


def cut_units(
    units: Sequence[StagedUnit],
    corpus: Corpus | None,
    staging: Staging,
    cut: Callable[[Iterator[DocumentRow]], Iterable[Piece]],
) -> Iterator[Piece]:
    """Yield the pieces of the chosen documents of all units, on one worker, and leave a report for the launcher."""
    lines: list[str] = []
    with _bad_input_recorded(staging, "of all units"):
        rows: Iterator[DocumentRow]
        if corpus is None:
            rows = (row for unit in units for row in staging.rows(unit.number))
        else:
            rows = corpus.chosen(units, staging, lines.append)
        yield from cut(rows)
    skipped: dict[str, int] = {}
    for unit in units:
        for path, count in unit.skipped.items():
            skipped[path] = skipped.get(path, 0) + count
    files.write_json(os.path.join(staging.folder, _REPORT), {"lines": lines, "skipped": skipped})


@contextlib.contextmanager
def _bad_input_recorded(staging: Staging, name: str) -> Iterator[None]:
    """Leave the message of a ValueError in the staging folder, since Beam wraps errors as each runner likes."""
    try:
        yield
    except ValueError as error:
        files.write_text(os.path.join(staging.folder, f"{_BAD_INPUT}{name}"), str(error))
        raise


def run(
    pipeline: Any, staging: Staging, *, what: str = "", report: Callable[[str], None] = print
) -> Generator[None, None, None]:
    """Run a pipeline with `chosen_pieces` to its end, and yield whenever it is worth looking at what is finished.

    Args:
        pipeline: the pipeline, with all its steps.
        staging: as for `chosen_pieces`.
        what: what the same command keeps when it is run again, as a sentence for the message of an error; or "".
        report: the function that receives a line of text for each corpus of a mixture.

    Raises:
        ValueError: the input is bad.
        OSError: the pipeline failed.
    """
    failures: list[Exception] = []

    def run_to_the_end() -> None:
        try:
            pipeline.run().wait_until_finish()
        except Exception as error:  # Beam wraps the error of a worker in an exception that depends on the runner
            failures.append(error)

    thread = threading.Thread(target=run_to_the_end, daemon=True)
    thread.start()
    while thread.is_alive():
        yield
        thread.join(_SECONDS_BETWEEN_LOOKS)
    yield
    if failures:
        _raise(failures[0], staging, what)
    found = files.read_json(os.path.join(staging.folder, _REPORT))
    for path, count in found["skipped"].items():
        logging.warning("%s: left out %d lines without readable text", path, count)
    for line in found["lines"]:
        report(line)


def _raise(failure: Exception, staging: Staging, what: str) -> NoReturn:
    """Raise the first error of bad input, or one that says what Beam says."""
    for name in files.names_in_folder(staging.folder):
        if name.startswith(_BAD_INPUT):
            raise ValueError(files.read_text(os.path.join(staging.folder, name))) from failure
    # Beam's messages are tracebacks that end in the exception.
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    raise OSError(
        f"The Beam pipeline failed. {what}Beam says: {lines[-1] if lines else type(failure).__name__}"
    ) from failure
