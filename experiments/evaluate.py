"""Evaluate a trained model: a pre-trained one on held-out records, a classifier on a labelled file.

```bash
python -m experiments.evaluate --model_dir run --eval_data records/heldout
python -m experiments.evaluate --model_dir run2 --eval_data dev.tsv
```
"""

import json
from collections.abc import Sequence

from absl import flags

from bert_tf import launching
from bert_tf.configs import FinetuningConfig, PretrainingConfig
from bert_tf.objectives import classification_objective, pretraining_objective
from bert_tf.training import model_dir
from bert_tf.training.distribution import Distribution
from bert_tf.training.loop import make_evaluation
from data_pipelines.finetuning.classification import LabelledFile
from data_pipelines.record_folder import RecordFolder


def evaluate(run_dir: str, eval_data: str, batch_size: int = 128) -> dict[str, float]:
    """Losses (nats) and metrics of a run's newest checkpoint over the whole of `eval_data`, on one device, in float32.

    Args:
        run_dir: the run's folder.
        eval_data: for a pre-trained model a record folder; for a classifier a file of labelled examples.
        batch_size: rows at a time. Masks are drawn batch by batch, so a pre-trained model's figures change a little
            with it.

    Raises:
        FileNotFoundError: a file or folder is missing or incomplete.
        ValueError: data and model do not agree.
    """
    model, description, tokenizer = model_dir.load_model(run_dir)
    if description.task == "pretraining":
        folder = RecordFolder(eval_data, "--eval_data", tokenizer)
        description.model.check_fits(tokenizer.vocab_size, folder.max_seq_length)
        masking = PretrainingConfig.from_dict(description.experiment).eval_masking
        data = folder.evaluation_dataset(masking, batch_size)
        return make_evaluation(model, pretraining_objective(), Distribution())(data)
    task = FinetuningConfig.from_dict(description.experiment).task
    rows = LabelledFile(eval_data, task, "--eval_data").encode(description.labels, tokenizer)
    data = rows.evaluation_dataset(batch_size)
    return make_evaluation(model, classification_objective(), Distribution())(data)


def main(_: Sequence[str]) -> None:
    """Read the flags, evaluate, print the figures."""
    values = flags.FLAGS
    print(json.dumps(evaluate(values.model_dir, values.eval_data, values.batch_size), indent=2))


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Folder of the run.", required=True)
    flags.DEFINE_string("eval_data", None, "Record folder, or labelled file (.tsv, .csv, .jsonl).", required=True)
    flags.DEFINE_integer("batch_size", 128, "Rows at a time.", lower_bound=1)
    launching.run(main)
