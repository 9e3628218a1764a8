"""Pre-train BERT on a record folder.

```bash
python -m experiments.pretrain --config experiments/configs/bert_base.py --train_data records --model_dir run
```
"""

import json
from collections.abc import Sequence
from functools import partial

import keras
from absl import flags

from bert_tf import launching, losses, metrics
from bert_tf.configs import PretrainingConfig
from bert_tf.models.weights import named_weights
from bert_tf.training import checkpoints, model_dir
from bert_tf.training.distribution import Distribution
from bert_tf.training.loop import train_and_evaluate
from bert_tf.training.step import DTYPE_POLICIES, TrainState
from data_pipelines import input_pipeline, records
from experiments import launch


def pretrain(
    config: PretrainingConfig,
    train_data: str,
    eval_data: str | None,
    run_dir: str,
    distribution: Distribution,
    init_checkpoint: str | None = None,
) -> dict[str, float]:
    """Pre-train, or go on pre-training, in `run_dir`.

    Args:
        config: the experiment.
        train_data: record folder.
        eval_data: record folder of held-out documents; None for no evaluation.
        run_dir: the run's folder.
        distribution: where it runs.
        init_checkpoint: folder of another run whose weights to start from.

    Returns:
        Losses and metrics on `eval_data`, or, without it, on the last steps.

    Raises:
        FileNotFoundError: a folder is missing or incomplete.
        ValueError: vocabulary, lengths, sizes or experiment do not agree; the message says which.
    """
    manifest = records.read_manifest(train_data, "--train_data")
    tokenizer = records.read_vocabulary(train_data, manifest, "--train_data")
    data = {"train_data": manifest.identity()}
    if eval_data is not None:
        eval_manifest = records.read_manifest(eval_data, "--eval_data")
        records.check_vocabulary(eval_manifest, tokenizer, "--eval_data")
        data["eval_data"] = eval_manifest.identity()
    config.model.check_fits(tokenizer.vocab_size, manifest.max_seq_length)
    description = model_dir.RunDescription(
        task="pretraining",
        model=config.model,
        do_lower_case=tokenizer.do_lower_case,
        vocab_hash=tokenizer.vocab_hash,
        max_seq_length=manifest.max_seq_length,
        labels=(),
        experiment=config.to_dict(),
        data=data,
    )
    start_from = checkpoints.require_newest(init_checkpoint, "--init_checkpoint") if init_checkpoint else None
    model_dir.claim(run_dir, description, tokenizer)

    train = config.train
    unigram = metrics.log_unigram(records.read_piece_counts(train_data), tokenizer.special_ids, config.model.vocab_size)
    keras.utils.set_random_seed(train.seed)
    with distribution.scope():
        model = model_dir.make_model(description, DTYPE_POLICIES[train.precision])
        state = TrainState(model, train.precision)

    def initialize(state: TrainState) -> None:
        if start_from is not None:
            checkpoints.restore(start_from, named_weights(state.model))
        elif config.model.output_bias_from_unigram:
            state.model.masked_lm.output_bias.assign(unigram)

    return train_and_evaluate(
        state,
        losses.pretraining_losses,
        partial(metrics.pretraining_metrics, log_unigram=unigram),
        lambda step: input_pipeline.training_dataset(train_data, config.masking, train.batch_size, train.seed, step),
        eval_data and partial(input_pipeline.evaluation_dataset, eval_data, config.masking, train.eval_batch_size),
        run_dir,
        train,
        config.optimizer,
        distribution,
        initialize,
        label="pre-training",
    )


def main(_: Sequence[str]) -> None:
    """Read the flags, pre-train, print the figures."""
    values = flags.FLAGS
    config = launch.load_config(values.config, PretrainingConfig, values.set)
    distribution = launch.distribution_from_flags()
    figures = pretrain(
        config, values.train_data, values.eval_data, values.model_dir, distribution, values.init_checkpoint
    )
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    launch.define_training_flags("experiments/configs/bert_base.py")
    flags.DEFINE_string("train_data", None, "Record folder.", required=True)
    flags.DEFINE_string("eval_data", None, "Record folder of held-out documents.")
    flags.DEFINE_string("init_checkpoint", None, "Folder of a run whose weights to start from.")
    launching.run(main)
