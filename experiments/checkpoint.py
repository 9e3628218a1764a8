"""Make a pre-trained checkpoint from nothing: packages, corpus, vocabulary, records, pre-training (`make checkpoint`).

    python -m experiments.checkpoint --output_dir runs/checkpoint --set train.num_steps=6000

The same command continues an interrupted run, and skips the stages that are complete. --dry_run says which these are.
--corpus takes your own text instead of the documentation of packages.
"""

from collections.abc import Sequence

from absl import flags

from bert_tf.configs import PretrainingConfig
from bert_tf.utils import launching
from experiments import engine_flag, launch
from experiments.corpora import english
from experiments.corpora.checkpoint_run import CheckpointRun
from experiments.corpora.packages import read_sources


def define_flags() -> None:
    """Define the flags of this command."""
    engine_flag.define_flag()
    flags.DEFINE_string("output_dir", "runs/checkpoint", "The local folder for all files.")
    flags.DEFINE_string("config", "bert_mini_day", "The experiment of pre-training: its name or its file.")
    flags.DEFINE_multi_string("set", [], "Change a field of --config, such as train.num_steps=1000; may be repeated.")
    flags.DEFINE_integer("num_steps", None, "The number of updates; a tenth of them are the warm-up.", lower_bound=1)
    flags.DEFINE_string("corpus", None, "Globs of your own text files, one sentence a line, instead of packages.")
    flags.DEFINE_string("sources", None, "A table of packages to take instead of corpora/english_sources.tsv.")
    flags.DEFINE_integer("max_seq_length", 128, "The number of tokens in a row of the records.")
    flags.DEFINE_bool("pack", True, "Whether a row to train on holds several sequences, and so hardly any padding.")
    flags.DEFINE_bool("dry_run", False, "Whether to print only which stages are complete.")


def main(_: Sequence[str]) -> None:
    """Read the flags, run the stages, and print the metrics of the held-out documents."""
    engine_flag.choose_backend()
    values = flags.FLAGS
    steps = values.num_steps
    changes = [f"train.num_steps={steps}", f"train.warmup_steps={steps // 10}"] if steps else []
    run = CheckpointRun(
        values.output_dir,
        launch.load_config(values.config, PretrainingConfig, [*changes, *values.set]),
        sources=read_sources(values.sources or english.SOURCES),
        corpus=values.corpus,
        max_seq_length=values.max_seq_length,
        pack=values.pack,
    )
    if values.dry_run:
        print("\n".join(run.plan()))
        return
    metrics = run.run()
    print(f"\nmasked-LM loss, held-out documents     {metrics['masked_lm_loss']:.3f} nats")
    print(f"  a unigram model's loss               {metrics['unigram_entropy']:.3f} nats")
    print(f"masked-LM accuracy                     {metrics['masked_lm_accuracy']:.3f}")
    print(f"next-sentence accuracy                 {metrics['next_sentence_accuracy']:.3f}")
    launching.suggest(
        f"bert-tf finetune --config classification --train_file train.tsv --init_checkpoint {run.path('run')} "
        "--model_dir classifier"
    )


if __name__ == "__main__":
    launching.run(main, define_flags)
