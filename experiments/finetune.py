"""Fine-tune a pre-trained BERT on labelled texts or pairs of texts.

```bash
python -m experiments.finetune --config experiments/configs/classification.py --train_file train.tsv \
    --eval_file dev.tsv --init_checkpoint run --model_dir run2
```
"""

import json
from collections.abc import Sequence
from functools import partial

import keras
from absl import flags

from bert_tf import launching, losses, metrics
from bert_tf.configs import FinetuningConfig
from bert_tf.models.weights import named_weights
from bert_tf.tokenization import WordPieceTokenizer
from bert_tf.training import checkpoints, model_dir
from bert_tf.training.distribution import Distribution
from bert_tf.training.loop import train_and_evaluate
from bert_tf.training.step import DTYPE_POLICIES, TrainState
from data_pipelines.finetuning import classification
from experiments import launch


def finetune(
    config: FinetuningConfig,
    train_file: str,
    eval_file: str | None,
    run_dir: str,
    distribution: Distribution,
    init_checkpoint: str | None = None,
    vocab_file: str | None = None,
    do_lower_case: bool = True,
) -> dict[str, float]:
    """Fine-tune, or go on fine-tuning, in `run_dir`.

    Args:
        config: the experiment.
        train_file: labelled examples, `.tsv`, `.csv` or `.jsonl` with a header.
        eval_file: the same, to evaluate on; None for no evaluation.
        run_dir: the run's folder.
        distribution: where it runs.
        init_checkpoint: folder of the run whose encoder, vocabulary and casing to take; None starts from random weights
            of `config.model`, as a control.
        vocab_file: the vocabulary for a start from random weights.
        do_lower_case: its casing.

    Returns:
        Loss and accuracy on `eval_file`, or, without it, on the last steps.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ValueError: a file, label, size or experiment is wrong; the message says which.
    """
    if (init_checkpoint is None) == (vocab_file is None):
        raise ValueError(
            "one of --init_checkpoint (pre-trained weights) and --vocab_file (random weights) must be given. "
            f"Received: {init_checkpoint!r} and {vocab_file!r}"
        )
    task, train = config.task, config.train
    start_from, encoder_config = None, config.model
    if init_checkpoint is not None:
        pretrained, tokenizer = model_dir.read(init_checkpoint, "--init_checkpoint")
        start_from, encoder_config = checkpoints.require_newest(init_checkpoint, "--init_checkpoint"), pretrained.model
    else:
        tokenizer = WordPieceTokenizer(str(vocab_file), do_lower_case=do_lower_case)
    if task.encoder_dropout_rate is not None:
        rate = task.encoder_dropout_rate
        encoder_config = encoder_config.replace(dropout_rate=rate, attention_dropout_rate=rate)
    encoder_config.check_fits(tokenizer.vocab_size, task.max_seq_length)

    examples = classification.read_examples(train_file, task, "--train_file")
    labels = classification.label_names(examples)
    train_arrays = classification.encode_examples(examples, labels, tokenizer, task)
    eval_data = None
    if eval_file is not None:
        eval_examples = classification.read_examples(eval_file, task, "--eval_file")
        eval_arrays = classification.encode_examples(eval_examples, labels, tokenizer, task)
        eval_data = partial(classification.evaluation_dataset, eval_arrays, train.eval_batch_size)
    description = model_dir.RunDescription(
        task="classification",
        model=encoder_config,
        do_lower_case=tokenizer.do_lower_case,
        vocab_hash=tokenizer.vocab_hash,
        max_seq_length=task.max_seq_length,
        labels=tuple(labels),
        experiment=config.to_dict(),
        data={"train_file": train_file, "eval_file": eval_file, "init_checkpoint": init_checkpoint},
    )
    model_dir.claim(run_dir, description, tokenizer)

    keras.utils.set_random_seed(train.seed)
    with distribution.scope():
        state = TrainState(model_dir.make_model(description, DTYPE_POLICIES[train.precision]), train.precision)

    def initialize(state: TrainState) -> None:
        if start_from is not None:
            weights = named_weights(state.model)
            checkpoints.restore(start_from, {n: w for n, w in weights.items() if n.startswith("encoder/")})

    return train_and_evaluate(
        state,
        losses.classification_losses,
        metrics.classification_metrics,
        lambda step: classification.training_dataset(train_arrays, train.batch_size, train.seed, step),
        eval_data,
        run_dir,
        train,
        config.optimizer,
        distribution,
        initialize,
        label="fine-tuning",
    )


def main(_: Sequence[str]) -> None:
    """Read the flags, fine-tune, print the figures."""
    values = flags.FLAGS
    config = launch.load_config(values.config, FinetuningConfig, values.set)
    figures = finetune(
        config,
        values.train_file,
        values.eval_file,
        values.model_dir,
        launch.distribution_from_flags(),
        values.init_checkpoint,
        values.vocab_file,
        values.do_lower_case,
    )
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    launch.define_training_flags("experiments/configs/classification.py")
    flags.DEFINE_string("train_file", None, "Labelled examples: .tsv, .csv or .jsonl with a header.", required=True)
    flags.DEFINE_string("eval_file", None, "The same, to evaluate on.")
    flags.DEFINE_string("init_checkpoint", None, "Folder of the run whose encoder to start from.")
    flags.DEFINE_string("vocab_file", None, "Vocabulary, for a start from random weights.")
    flags.DEFINE_bool("do_lower_case", True, "With --vocab_file: whether it is uncased.")
    launching.run(main)
