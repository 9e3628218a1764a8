r"""Write the TFRecords of a pre-training from text.

    python -m data_pipelines.create_pretraining_data --input 'docs/*.txt' --vocab_file vocab.txt \
        --output_dir records --max_seq_length 128

The records hold sequences before masking: masks are drawn when a batch is read (data_pipelines/input/masking.py), new
ones each epoch.

Documents are cut into input shards in their order (input_shards.py); one pure function turns each into record files, in
processes of this machine (local_runner.py) or in an Apache Beam pipeline (beam_runner.py); record_writer.py keeps a
journal of the finished ones, by which the same command goes on after an interruption.
"""

import contextlib
import os
from collections.abc import Iterable, Sequence

from absl import flags

from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import launching
from bert_tf.utils.arguments import renamed
from bert_tf.utils.progress import progress_bar
from data_pipelines.corpora import input_flags
from data_pipelines.corpora.documents import Document
from data_pipelines.records import beam_runner, local_runner
from data_pipelines.records.document_shards import ShardFunction, input_shards
from data_pipelines.records.manifest import HELD_OUT_FOLDER, Manifest, PreparationConfig, read_manifest
from data_pipelines.records.packing import DEFAULT_SEQUENCES_PER_ROW
from data_pipelines.records.writer import RecordFolderWriter, remove_records


def create_pretraining_data(
    documents: Iterable[Document],
    tokenizer: WordPieceTokenizer,
    output_dir: str,
    *,
    config: PreparationConfig,
    holdout: float = 0.0,
    num_workers: int = 1,
    overwrite: bool = False,
    input_bytes: int | None = None,
    runner: str = "local",
    beam_options: str = "",
) -> Manifest:
    """Write the record folder `output_dir`, and with `holdout` a second one, `output_dir/heldout`.

    The bytes depend on the documents, their order, the vocabulary, `config` and `holdout`, not on the number of
    workers. Memory holds a few input shards (2 to 32 MB of text each) for each worker, never the corpus. The
    manifests are written last, the training one after the held-out one.

    A run that was interrupted, at whatever moment, is continued by the same call: shards that it finished are
    kept (data_pipelines/records/writer.py says how they are known), the others built, and the bytes are in the end
    those of an uninterrupted run.

    Args:
        documents: each a list of sentences; read once.
        tokenizer: makes the tokens.
        output_dir: local or remote folder.
        config: sequence length, packing, objective, seed.
        holdout: share of documents held out, chosen by `documents.is_held_out`; one pass over them is made.
        num_workers: processes to build shards; 1 stays in this process, 0 takes one a core.
        overwrite: whether a complete record folder, or what an interrupted run with other settings left, may be
            replaced.
        input_bytes: size of the text, where it is known, for the progress bar.
        runner: `local` builds shards in processes of this machine, `beam` in an Apache Beam pipeline.
        beam_options: Beam's pipeline options in one string; `num_workers` is not used then.

    Returns:
        The manifest of the training records.

    Raises:
        ValueError: an argument is out of range; other records stand there; there are too few documents, or they
            give no record.
        OSError: a file cannot be written, or a worker process was killed.
    """
    if not 0.0 <= holdout < 1.0:
        raise ValueError(f"`holdout` must be at least 0 and less than 1. Received: {holdout}")
    if num_workers < 0:
        raise ValueError(f"`num_workers` must be at least 0. Received: {num_workers}")
    if runner not in ("local", "beam"):
        raise ValueError(f"`runner` must be local or beam. Received: {runner!r}")
    if beam_options and runner != "beam":
        raise ValueError(f"`beam_options` must be empty unless `runner` is beam. Received: {beam_options!r}")
    with renamed(options="beam_options"):
        pipeline = beam_runner.make_pipeline(beam_options) if runner == "beam" else None
    held_out_config = config.replace(dupe_factor=1)
    held_out_dir = os.path.join(output_dir, HELD_OUT_FOLDER)
    with renamed(folder="output_dir"):
        writer = held_out_writer = RecordFolderWriter(output_dir, config, tokenizer, overwrite=overwrite)
    if holdout:
        # The training manifest is written last: where it does not stand, held-out records are no complete run's.
        held_out_writer = RecordFolderWriter(held_out_dir, held_out_config, tokenizer, overwrite=True)
    else:
        remove_records(held_out_dir)  # of an earlier run, or it would pass for this one's

    shards = input_shards(documents, holdout, config.objective)
    function = ShardFunction(tokenizer, config, held_out_config)
    writers = (writer, held_out_writer)
    if pipeline is None:
        done = local_runner.run(shards, function, writers, num_workers)
    else:
        done = beam_runner.run(shards, function, writers, output_dir, pipeline)
    kept = 0
    with contextlib.closing(done), progress_bar(label="records", total=input_bytes, unit="B", unit_scale=True) as bar:
        for shard in done:
            if shard.kept:
                kept += 1
                bar.set_postfix_str(f"{kept} shards kept from an interrupted run", refresh=False)
            bar.update(shard.input_bytes)
    if holdout:
        held_out_writer.finish()
    manifest = writer.finish()
    # Only now: until the last manifest is written, this run can be interrupted itself.
    writer.remove_journal()
    held_out_writer.remove_journal()
    return manifest


def define_flags() -> None:
    """Define the flags of this command."""
    input_flags.define()
    flags.DEFINE_string("vocab_file", None, "The WordPiece vocabulary, one token a line.", required=True)
    flags.DEFINE_string("output_dir", None, "The record folder to make.", required=True)
    flags.DEFINE_integer("max_seq_length", 128, "Tokens in a row, [CLS] and [SEP] included.")
    flags.DEFINE_bool("pack", False, "Put several sequences into a row.")
    flags.DEFINE_integer("max_sequences_per_row", DEFAULT_SEQUENCES_PER_ROW, "With --pack: how many at most.")
    flags.DEFINE_enum(
        "objective", "nsp", ["nsp", "mlm"], "nsp: next-sentence pairs; mlm: full sentences without pairs."
    )
    flags.DEFINE_bool("do_lower_case", True, "Whether the vocabulary is uncased.")
    flags.DEFINE_float("short_seq_prob", 0.1, "Share of documents that are cut into shorter sequences.")
    flags.DEFINE_integer("dupe_factor", 1, "Passes over the documents, each with other pairs.")
    flags.DEFINE_float(
        "holdout", 0.0, f"Share of documents whose records go to OUTPUT_DIR/{HELD_OUT_FOLDER} instead, for evaluation."
    )
    flags.DEFINE_integer("num_workers", 0, "Processes; 0 for one a core. The records are the same.")
    flags.DEFINE_enum(
        "runner", "local", ["local", "beam"], "local: processes of this machine; beam: an Apache Beam pipeline."
    )
    flags.DEFINE_string("beam_options", "", "With --runner=beam: its pipeline options, in one string.")
    flags.DEFINE_bool(
        "overwrite", False, "Replace a complete record folder, or an interrupted run with other settings."
    )


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
    with renamed(documents="input"):
        manifest = create_pretraining_data(
            input_flags.read(values),
            WordPieceTokenizer(values.vocab_file, do_lower_case=values.do_lower_case),
            values.output_dir,
            config=config,
            holdout=values.holdout,
            num_workers=values.num_workers,
            overwrite=values.overwrite,
            runner=values.runner,
            beam_options=values.beam_options,
            input_bytes=input_flags.num_bytes(values),
        )
    print(f"{values.output_dir}: {manifest.statistics}")
    if values.holdout:
        held_out_dir = os.path.join(values.output_dir, HELD_OUT_FOLDER)
        print(f"{held_out_dir}: {read_manifest(held_out_dir).statistics}")
    launching.suggest(f"bert-tf pretrain --config bert_base --train_data {values.output_dir} --model_dir run")


if __name__ == "__main__":
    launching.run(main, define_flags)
