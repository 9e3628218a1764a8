r"""Text files -> record folder for pre-training.

    python -m data_pipelines.create_pretraining_data --input 'docs/*.txt' --vocab_file vocab.txt \
        --output_dir records --max_seq_length 128

The records hold sequences before masking: masks are drawn when a batch is read (data_pipelines/masking.py), new
ones each epoch.
"""

import collections
import itertools
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import NamedTuple

from absl import flags

from bert_tf import files, launching
from bert_tf.progress import progress_bar
from bert_tf.tokenization import WordPieceTokenizer
from data_pipelines import corpora
from data_pipelines.packing import DEFAULT_SEQUENCES_PER_ROW
from data_pipelines.record_shards import (
    Document,
    DocumentGrouper,
    ShardBuilder,
    without_blank_sentences,
)
from data_pipelines.records import (
    HELD_OUT_FOLDER,
    BuiltShard,
    Manifest,
    PreparationConfig,
    RecordFolderWriter,
    remove_records,
)


class _InputShard(NamedTuple):
    held_out: bool
    number: int
    documents: list[Document]


def create_pretraining_data(
    documents: Iterable[Document],
    tokenizer: WordPieceTokenizer,
    output_dir: str,
    config: PreparationConfig,
    *,
    holdout: float = 0.0,
    num_workers: int = 1,
    overwrite: bool = False,
    input_bytes: int | None = None,
) -> Manifest:
    """Write the record folder `output_dir`, and with `holdout` a second one, `output_dir/heldout`.

    The bytes depend on the documents, their order, the vocabulary, `config` and `holdout`, not on the number of
    workers. Memory holds a few input shards (2 to 32 MB of text each) for each worker, never the corpus. The
    manifests are written last, the training one after the held-out one.

    Args:
        documents: each a list of sentences; read once.
        tokenizer: makes the pieces.
        output_dir: local or remote folder.
        config: sequence length, packing, objective, seed.
        holdout: share of documents held out, chosen by `corpora.is_held_out`; one pass over them is made.
        num_workers: processes to build shards; 1 stays in this process, 0 takes one a core.
        overwrite: whether a complete record folder may be replaced.
        input_bytes: size of the text, where it is known, for the progress bar.

    Returns:
        The manifest of the training records.

    Raises:
        ValueError: an argument is out of range; a complete folder stands there; there are too few documents.
        OSError: the folder cannot be written to.
    """
    if not 0.0 <= holdout < 1.0:
        raise ValueError(f"--holdout must be at least 0 and less than 1. Received: {holdout}")
    if num_workers < 0:
        raise ValueError(f"--num_workers must be at least 0. Received: {num_workers}")
    held_out_config = config.replace(dupe_factor=1)
    held_out_dir = os.path.join(output_dir, HELD_OUT_FOLDER)
    writer = RecordFolderWriter(output_dir, config, tokenizer, "--output_dir", overwrite)
    held_out_writer = None
    if holdout:
        held_out_writer = RecordFolderWriter(held_out_dir, held_out_config, tokenizer, "--output_dir", overwrite)
    else:
        remove_records(held_out_dir)  # of an earlier run, or it would pass for this one's

    shards = _input_shards(without_blank_sentences(documents), holdout, config.objective)
    configs = (config, held_out_config)
    with progress_bar(label="records", total=input_bytes, unit="B", unit_scale=True) as bar:
        for held_out, built in _build_all(shards, tokenizer, configs, num_workers or os.cpu_count() or 1):
            target = held_out_writer if held_out and held_out_writer else writer
            target.add(built)
            bar.update(built.input_bytes)
    if held_out_writer:
        held_out_writer.finish()
    return writer.finish()


def _input_shards(documents: Iterable[Document], holdout: float, objective: str) -> Iterator[_InputShard]:
    """The documents in shards, training and held-out ones numbered apart."""
    groupers = (DocumentGrouper(), DocumentGrouper())
    numbers = [0, 0]

    def shard(held_out: bool, group: list[Document]) -> _InputShard:
        numbers[held_out] += 1
        return _InputShard(held_out, numbers[held_out] - 1, group)

    for document in documents:
        held_out = corpora.is_held_out(document, holdout)
        group = groupers[held_out].add(document)
        if group:
            yield shard(held_out, group)
    least = 2 if objective == "nsp" else 1
    for held_out in (False, True) if holdout else (False,):
        found = groupers[held_out].documents
        if found < least:
            what = f"--holdout {holdout} must leave" if holdout else "--input must give"
            part = "held-out" if held_out else "training"
            raise ValueError(
                f"{what} at least {least} {part} documents with --objective {objective}; documents are separated by "
                f"blank lines. Received: {found} of {groupers[0].documents + groupers[1].documents} documents"
            )
    for held_out in (False, True):
        for group in groupers[held_out].finish():
            yield shard(held_out, group)


# A worker's builders, for training and held-out shards; set once when the process starts.
_worker_builders: tuple[ShardBuilder, ShardBuilder] | None = None


def _start_worker(tokenizer: WordPieceTokenizer, configs: tuple[PreparationConfig, PreparationConfig]) -> None:
    global _worker_builders
    _worker_builders = (ShardBuilder(tokenizer, configs[0]), ShardBuilder(tokenizer, configs[1]))


def _build_in_worker(shard: _InputShard) -> tuple[bool, BuiltShard]:
    assert _worker_builders is not None
    return shard.held_out, _worker_builders[shard.held_out].build(shard.number, shard.documents)


def _build_all(
    shards: Iterator[_InputShard],
    tokenizer: WordPieceTokenizer,
    configs: tuple[PreparationConfig, PreparationConfig],
    num_workers: int,
) -> Iterator[tuple[bool, BuiltShard]]:
    """The shards built, in their order."""
    first = list(itertools.islice(shards, 2))
    if num_workers == 1 or len(first) < 2:  # processes cost more than they give for one shard
        builders = [ShardBuilder(tokenizer, config) for config in configs]
        for shard in itertools.chain(first, shards):
            yield shard.held_out, builders[shard.held_out].build(shard.number, shard.documents)
        return
    # Spawned, since TensorFlow's threads do not survive a fork. Results are taken in order, and reading waits for
    # them, so that memory does not grow with the corpus.
    with ProcessPoolExecutor(
        num_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(tokenizer, configs),
    ) as pool:
        waiting: collections.deque[Future] = collections.deque()
        try:
            for shard in itertools.chain(first, shards):
                waiting.append(pool.submit(_build_in_worker, shard))
                if len(waiting) > num_workers + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _file_sizes(patterns: str) -> int:
    import tensorflow as tf

    return sum(tf.io.gfile.stat(path).length for path in files.matching_files(patterns, "--input"))


def _define_flags() -> None:
    # Only when this module is launched: others import it, and launchers share names of flags.
    flags.DEFINE_string("input", None, "Text files: comma-separated globs.", required=True)
    flags.DEFINE_string("vocab_file", None, "The WordPiece vocabulary, one piece a line.", required=True)
    flags.DEFINE_string("output_dir", None, "The record folder to make.", required=True)
    flags.DEFINE_integer("max_seq_length", 128, "Pieces in a row, [CLS] and [SEP] included.")
    flags.DEFINE_bool("pack", False, "Put several sequences into a row.")
    flags.DEFINE_integer("max_sequences_per_row", DEFAULT_SEQUENCES_PER_ROW, "With --pack: how many at most.")
    flags.DEFINE_enum(
        "objective", "nsp", ["nsp", "mlm"], "nsp: next-sentence pairs; mlm: full sentences without pairs."
    )
    flags.DEFINE_enum(
        "sentences",
        "line",
        ["line", "split"],
        "line: the input has one sentence a line; split: split it into sentences.",
    )
    flags.DEFINE_bool("do_lower_case", True, "Whether the vocabulary is uncased.")
    flags.DEFINE_float("short_seq_prob", 0.1, "Share of documents that are cut into shorter sequences.")
    flags.DEFINE_integer("dupe_factor", 1, "Passes over the documents, each with other pairs.")
    flags.DEFINE_float(
        "holdout", 0.0, f"Share of documents whose records go to OUTPUT_DIR/{HELD_OUT_FOLDER} instead, for evaluation."
    )
    flags.DEFINE_integer("seed", 0, "Of every random choice.")
    flags.DEFINE_integer("num_workers", 0, "Processes; 0 for one a core. The records are the same.")
    flags.DEFINE_bool("overwrite", False, "Replace a complete record folder.")


def main(_: Sequence[str]) -> None:
    """Read the flags, write the records, print what they hold."""
    values = flags.FLAGS
    config = PreparationConfig(
        max_seq_length=values.max_seq_length,
        max_sequences_per_row=values.max_sequences_per_row if values.pack else 1,
        objective=values.objective,
        short_seq_prob=values.short_seq_prob,
        dupe_factor=values.dupe_factor,
        seed=values.seed,
    )
    manifest = create_pretraining_data(
        corpora.read_documents(values.input, "--input", values.sentences),
        WordPieceTokenizer(values.vocab_file, do_lower_case=values.do_lower_case),
        values.output_dir,
        config,
        holdout=values.holdout,
        num_workers=values.num_workers,
        overwrite=values.overwrite,
        input_bytes=_file_sizes(values.input),
    )
    print(f"{values.output_dir}: {manifest.statistics}")


if __name__ == "__main__":
    _define_flags()
    launching.run(main)
