r"""Write TFRecords for pre-training from text.

    bert-tf create-pretraining-data --input 'docs/*.txt' --vocab_file vocab.txt \
        --output_dir records --max_seq_length 128

The records hold unmasked sequences. Masks are drawn when a batch is read (data_pipelines/input/masking.py), so each
epoch has new ones.

Documents are cut into input shards in their order (records/document_shards.py). One pure function turns each shard into
record files, in processes of this machine (records/local_runner.py) or in an Apache Beam pipeline
(records/beam_runner.py). A journal of finished shards (records/writer.py) lets the same command continue after an
interruption.
"""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence

from absl import flags

from bert_tf.tokenization import command_line
from bert_tf.tokenization.reachability import vocabulary_warnings
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import launching
from bert_tf.utils.arguments import renamed
from bert_tf.utils.progress import progress_bar
from data_pipelines.corpora import beam_stages, input_flags
from data_pipelines.corpora.documents import Document
from data_pipelines.records import beam_runner, local_runner
from data_pipelines.records.advice import advice
from data_pipelines.records.document_shards import ShardFunction, input_shards
from data_pipelines.records.manifest import HELD_OUT_FOLDER, OBJECTIVES, Manifest, PreparationConfig, read_manifest
from data_pipelines.records.packing import DEFAULT_SEQUENCES_PER_ROW
from data_pipelines.records.segmentation import NO_SEGMENTER, SEGMENTERS, Segmenter, installed
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
    segmenter: Segmenter | str | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> Manifest:
    """Write the record folder `output_dir` and, with `holdout`, a second one, `output_dir/heldout`.

    The written bytes depend on the documents, their order, the vocabulary, `config` and `holdout`, and not on the
    number of workers. Memory holds a few input shards (2 to 32 MB of text each) for each worker, never the corpus. The
    manifests are written last, and the training manifest after the held-out one.

    The same call continues an interrupted run. It keeps the finished shards (data_pipelines/records/writer.py explains
    how it recognises them) and builds the others, and the bytes are those of an uninterrupted run.

    Args:
        documents: the documents, each a list of sentences, which are read once. The workers of the runner `beam` read
            a `corpus.Corpus`; this process reads, and stages for them, any other iterable.
        tokenizer: the tokenizer of the vocabulary.
        output_dir: the folder to write, local or remote.
        config: the sequence length, packing, objective and seed.
        holdout: the share of documents that `documents.is_held_out` holds out. The held-out records make one pass over
            the documents, whatever `config.dupe_factor` says.
        num_workers: the number of processes that build shards; 1 for this process alone, 0 for one a core.
        overwrite: whether a complete record folder, or what an interrupted run with other settings left, may be
            replaced.
        input_bytes: the size of the text, for the progress bar; None if it is not known.
        runner: `local` builds shards in processes of this machine, `beam` in an Apache Beam pipeline.
        beam_options: Beam's pipeline options in one string. The runner `beam` ignores `num_workers`.
        segmenter: the segmenter that finds words in text without spaces, or the name of an installed one
            (`segmentation.SEGMENTERS`). The records then say which tokens continue a word, for `masking.strategy`
            whole_word, ngram and span; their tokens stay the same. None for none.
        warn: the function that receives warnings about lost text, random pairs and unknown tokens (`advice`).

    Returns:
        The manifest of the training records.

    Raises:
        ValueError: an argument is out of range, `output_dir` holds other records, the segmenter is not installed, there
            are too few documents, or they give no record.
        OSError: a file cannot be written, or a worker process was killed.
    """
    if not 0.0 <= holdout < 1.0:
        raise ValueError(f"`holdout` must be at least 0 and less than 1. Received: {holdout}")
    if num_workers < 0:
        raise ValueError(f"`num_workers` must be at least 0. Received: {num_workers}")
    if isinstance(segmenter, str):
        segmenter = installed(segmenter)
    pipeline = beam_stages.pipeline_of(runner, beam_options)
    for contradiction in vocabulary_warnings(tokenizer):
        warn(contradiction)
    held_out_config = config.replace(dupe_factor=1)
    held_out_dir = os.path.join(output_dir, HELD_OUT_FOLDER)
    with renamed(folder="output_dir"):
        writer = RecordFolderWriter(output_dir, config, tokenizer, overwrite=overwrite, segmenter=segmenter)
    held_out_writer = writer
    if holdout:
        # The training manifest is written last: without it, the held-out records do not belong to a complete run.
        held_out_writer = RecordFolderWriter(
            held_out_dir, held_out_config, tokenizer, overwrite=True, segmenter=segmenter
        )
    else:
        remove_records(held_out_dir)  # an earlier run's records would pass for those of this run

    function = ShardFunction(tokenizer, config, held_out_config, segmenter)
    writers = (writer, held_out_writer)
    if pipeline is None:
        shards = input_shards(documents, holdout, config.objective)
        done = local_runner.run(shards, function, writers=writers, num_workers=num_workers)
    else:
        done = beam_runner.run(
            documents,
            function,
            holdout=holdout,
            objective=config.objective,
            writers=writers,
            output_dir=output_dir,
            pipeline=pipeline,
        )
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
    for sentence in advice(manifest.statistics, config):
        warn(sentence)
    # The journal goes last, because this run can be interrupted until the last manifest is written.
    writer.remove_journal()
    held_out_writer.remove_journal()
    return manifest


def define_flags() -> None:
    """Define the flags of this command."""
    input_flags.define()
    flags.DEFINE_string(
        "vocab_file",
        None,
        "The WordPiece vocabulary, with one token on each line, or a published tokenizer's folder.",
        required=True,
    )
    flags.DEFINE_string("output_dir", None, "The record folder to write.", required=True)
    flags.DEFINE_integer("max_seq_length", 128, "The largest number of tokens in a row, [CLS] and [SEP] included.")
    flags.DEFINE_bool("pack", False, "Whether to put several sequences into a row.")
    flags.DEFINE_integer(
        "max_sequences_per_row", DEFAULT_SEQUENCES_PER_ROW, "With --pack, the largest number of sequences in a row."
    )
    flags.DEFINE_enum(
        "objective",
        "nsp",
        OBJECTIVES,
        "The kind of sequences. nsp: next-sentence pairs; sop: segments in order or swapped; mlm: full sentences.",
    )
    command_line.define_flags()
    flags.DEFINE_enum(
        "segmenter",
        NO_SEGMENTER,
        [NO_SEGMENTER, *SEGMENTERS],
        "The segmenter whose words masks may fall on. jieba, rjieba: Chinese; sudachipy: Japanese; pythainlp: Thai.",
    )
    flags.DEFINE_float("short_seq_prob", 0.1, "The share of documents that are cut into shorter sequences.")
    flags.DEFINE_integer("dupe_factor", 1, "The number of passes over the documents, each of which draws other pairs.")
    flags.DEFINE_float(
        "holdout",
        0.0,
        f"The share of documents that are held out for evaluation; their records go to OUTPUT_DIR/{HELD_OUT_FOLDER}.",
    )
    flags.DEFINE_integer("num_workers", 0, "The number of processes; 0 for one a core. It does not change the records.")
    beam_stages.define_flags()
    flags.DEFINE_bool(
        "overwrite",
        False,
        "Whether a complete record folder, or an interrupted run with other settings, may be replaced.",
    )


def main(_: Sequence[str]) -> None:
    """Read the flags, write the records and print their statistics."""
    values = flags.FLAGS
    config = PreparationConfig(
        max_seq_length=values.max_seq_length,
        max_sequences_per_row=values.max_sequences_per_row if values.pack else 1,
        objective=values.objective,
        short_seq_prob=values.short_seq_prob,
        dupe_factor=values.dupe_factor,
        seed=values.seed,
        deduplicate=values.deduplicate,
    )
    with renamed(documents="input"):
        manifest = create_pretraining_data(
            input_flags.read(values),
            command_line.tokenizer_from_flags(values),
            values.output_dir,
            config=config,
            holdout=values.holdout,
            num_workers=values.num_workers,
            overwrite=values.overwrite,
            runner=values.runner,
            beam_options=values.beam_options,
            segmenter=None if values.segmenter == NO_SEGMENTER else values.segmenter,
            warn=launching.warn,
            input_bytes=input_flags.num_bytes(values),
        )
    print(f"{values.output_dir}: {manifest.statistics}")
    if values.holdout:
        held_out_dir = os.path.join(values.output_dir, HELD_OUT_FOLDER)
        print(f"{held_out_dir}: {read_manifest(held_out_dir).statistics}")
    launching.suggest(f"bert-tf pretrain --config bert_base --train_data {values.output_dir} --model_dir run")


if __name__ == "__main__":
    launching.run(main, define_flags)
