"""Adapt published weights to a domain: its words become tokens, and pre-training goes on with its text.

```bash
bert-tf adapt --init_checkpoint run --corpus 'docs/*.txt' --output_dir adapted --num_new 20
```

The folder holds `run`, which every other command takes, and a report of the log-likelihood of a character on held-out
text, before and after. The same command continues an interrupted run.
"""

from collections.abc import Sequence

from absl import flags

from bert_tf.configs import PretrainingConfig
from bert_tf.utils import launching
from experiments import engine_flag, launch


def define_flags() -> None:
    """Define the flags of this command."""
    engine_flag.define_flag()
    flags.DEFINE_string("init_checkpoint", None, "A pre-trained run, or published weights.", required=True)
    flags.DEFINE_string("corpus", None, "Globs of the domain's text files, one sentence a line.", required=True)
    flags.DEFINE_string("output_dir", None, "The local folder for all files.", required=True)
    flags.DEFINE_string("replay", None, "Globs of general text files, of which a part is mixed in against forgetting.")
    flags.DEFINE_float("replay_share", 0.2, "The share of general text in the training text.")
    flags.DEFINE_integer("num_new", 0, "The number of the domain's words that become tokens.", lower_bound=0)
    flags.DEFINE_string("config", "adaptation", "The experiment of pre-training: its name or its file.")
    flags.DEFINE_multi_string("set", [], "Change a field of --config, such as train.num_steps=1000; may be repeated.")
    flags.DEFINE_integer("max_seq_length", 128, "The number of tokens in a row of the records.")
    flags.DEFINE_bool("dry_run", False, "Whether to print only which stages are complete.")


def main(_: Sequence[str]) -> None:
    """Read the flags, run the stages, and print the report."""
    engine_flag.choose_backend()
    from experiments.corpora.adaptation_run import AdaptationRun

    values = flags.FLAGS
    run = AdaptationRun(
        values.output_dir,
        launch.load_config(values.config, PretrainingConfig, values.set),
        values.init_checkpoint,
        values.corpus,
        replay=values.replay,
        replay_share=values.replay_share,
        num_new=values.num_new,
        max_seq_length=values.max_seq_length,
    )
    if values.dry_run:
        print("\n".join(run.plan()))
        return
    report = run.run()
    tokens = report.pop("tokens")
    print(f"\ntokens in the vocabulary    {tokens['before']:>9,} -> {tokens['after']:>9,}")
    for name, one in report.items():
        change = f"{-one['before']:>9.4f} -> {-one['after']:>9.4f}"
        print(f"nats a character, {name:<9} {change}  ({one['sentences']} sentences)")
    launching.suggest(
        f"bert-tf finetune --config classification --train_file train.tsv --init_checkpoint {run.path('run')} "
        "--model_dir classifier"
    )


if __name__ == "__main__":
    launching.run(main, define_flags)
