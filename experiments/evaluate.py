"""Evaluate a trained model: a pre-trained one on held-out records, a fine-tuned one on a labelled file.

```bash
python -m experiments.evaluate --model_dir run --eval_data records/heldout
python -m experiments.evaluate --model_dir run2 --eval_data dev.tsv
```

A run that was made with `--split` is evaluated on a part of its own file: `--part test`.
"""

import json
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_tf.configs import FinetuningConfig, PretrainingConfig
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.runs import folder as run_folder
from bert_tf.tasks import task_of
from bert_tf.training.choose_engine import make_engine
from bert_tf.training.finetuning import score
from bert_tf.utils import launching
from data_pipelines.finetuning.labelled import read_examples, read_part
from data_pipelines.input.record_folder import RecordFolder


def evaluate(
    run_dir: str, eval_data: str | None, batch_size: int = 128, part: str | None = None, strict: bool = False
) -> dict[str, Any]:
    """Losses (nats) and metrics of a run's result over the whole of `eval_data`, on one device, in float32.

    Args:
        run_dir: the run's folder.
        eval_data: for a pre-trained model a record folder; for a fine-tuned one a file of labelled examples.
        batch_size: rows at a time. Masks are drawn batch by batch, so a pre-trained model's figures change a little
            with it.
        part: instead, for a run made with a split: `train`, `eval` or `test`, the part of its file.
        strict: whether an answer that does not stand at its answer_start is an error.

    Raises:
        FileNotFoundError: a file or folder is missing or incomplete.
        ValueError: data and model do not agree.
    """
    if (eval_data is None) == (part is None):
        raise ValueError(f"one of --eval_data and --part must be given. Received: {eval_data!r} and {part!r}")
    model, description, tokenizer = run_folder.load_model(run_dir)
    if description.task == "pretraining":
        if eval_data is None:
            raise ValueError(f"--part needs a run made with --split. Received: {run_dir!r}, which was pre-trained")
        folder = RecordFolder(eval_data, "--eval_data", tokenizer)
        description.model.check_fits(tokenizer.vocab_size, folder.max_seq_length)
        masking = PretrainingConfig.from_dict(description.experiment).eval_masking
        data = folder.evaluation_dataset(masking, batch_size)
        with folder.naming_bad_records():
            return make_engine(strategy="one_device").make_evaluation(model, pretraining_objective())(data)
    config = FinetuningConfig.from_dict(description.experiment).task
    if eval_data is not None:
        examples = read_examples(eval_data, config, "--eval_data", strict=strict)
    else:
        examples = read_part(config, description.data, str(part))
    return score(
        model, task_of(config), examples, description.labels, tokenizer, make_engine(strategy="one_device"), batch_size
    )


def main(_: Sequence[str]) -> None:
    """Read the flags, evaluate, print the figures."""
    values = flags.FLAGS
    figures = evaluate(values.model_dir, values.eval_data, values.batch_size, values.part, values.strict)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Folder of the run.", required=True)
    flags.DEFINE_string("eval_data", None, "Record folder, or labelled file (.tsv, .csv, .jsonl, .conll, .json).")
    flags.DEFINE_enum("part", None, ["train", "eval", "test"], "Instead: this part of what the run split.")
    flags.DEFINE_bool("strict", False, "Whether an answer that does not stand at its answer_start is an error.")
    flags.DEFINE_integer("batch_size", 128, "Rows at a time.", lower_bound=1)
    launching.run(main)
