"""Pre-train BERT on a record folder.

```bash
bert-tf pretrain --config bert_base --train_data records --model_dir run
```
"""

from collections.abc import Sequence

from absl import flags

from bert_tf.configs import PretrainingConfig
from bert_tf.utils import json_text, launching
from experiments import engine_flag, launch


def define_flags() -> None:
    """Define the flags of this command."""
    launch.define_training_flags("bert_base")
    flags.DEFINE_list(
        "train_data",
        None,
        "The record folder; for an experiment with phases one for each, such as records128,records512.",
        required=True,
    )
    flags.DEFINE_list("eval_data", [], "The record folders of held-out documents to evaluate on.")
    flags.DEFINE_bool("skip_corrupt", False, "Read all records first, and train without those that cannot be used.")
    flags.DEFINE_string(
        "init_checkpoint",
        None,
        "The weights to start from: a run, or weights of Hugging Face, Google or KerasHub by folder or name.",
    )
    flags.DEFINE_bool("allow_random_heads", False, "Start heads that --init_checkpoint lacks from random weights.")


def main(_: Sequence[str]) -> None:
    """Read the flags, pre-train, and print the metrics."""
    engine_flag.choose_backend()
    from bert_tf.training.phases import phases_of
    from bert_tf.training.pretraining import pretrain
    from experiments.pretraining import open_records
    from tpu_configs import preflight

    values = flags.FLAGS
    config = launch.config_from_flags(PretrainingConfig)
    if tpu := launch.tpu_from_flags():
        paths = {"--model_dir": values.model_dir, "--init_checkpoint": values.init_checkpoint}
        preflight.check_pretraining(
            tpu,
            values.topology,
            config,
            train_data=values.train_data,
            eval_data=values.eval_data,
            paths=paths,
            skip_corrupt=values.skip_corrupt,
        )
    engine = launch.engine_from_flags([phase.train for phase in phases_of(config)])
    train_records, eval_records = open_records(values.train_data, values.eval_data, skip_corrupt=values.skip_corrupt)
    metrics = pretrain(
        config,
        train_records,
        eval_records,
        run_dir=values.model_dir,
        engine=engine,
        init_checkpoint=values.init_checkpoint,
        allow_random_heads=values.allow_random_heads,
    )
    print(json_text.dumps(metrics, indent=2))
    launching.suggest(
        f"bert-tf finetune --config classification --train_file train.tsv --init_checkpoint {values.model_dir} "
        "--model_dir classifier"
    )


if __name__ == "__main__":
    launching.run(main, define_flags)
