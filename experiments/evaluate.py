"""Evaluate a trained model: a pre-trained one on held-out records, a fine-tuned one on a labelled file.

```bash
bert-tf evaluate --model_dir run --eval_data records/heldout
bert-tf evaluate --model_dir classifier --eval_data dev.tsv
bert-tf evaluate --model_dir classifier --eval_data en=dev_en.tsv,de=dev_de.tsv
bert-tf evaluate --model_dir classifier --eval_data dev.tsv --slices behaviour
```

A run of several tasks has a file for each, `--eval_data sst2=dev.tsv,ner=dev.conll`, or `--task ner --eval_data ...`.
Several files with names give a table, such as one by language. `--slices` shows where the model errs: scores by length,
label and column, calibration, errors, and the answers that small changes of the texts change.
`--part test` evaluates a run that was made with `--split` on a part of its own file. `--generation_metrics rougeL,bleu`
scores the texts that a run of sequence to sequence generates.
"""

import os
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_tf.scoring.seq2seq import check_packages
from bert_tf.utils import files, json_text, launching
from bert_tf.utils.arguments import renamed


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("model_dir", None, "The folder of the run.", required=True)
    flags.DEFINE_string("eval_data", None, "A record folder, a labelled file, or several: NAME=FILE,NAME=FILE.")
    flags.DEFINE_string("task", None, "The name of the one task to evaluate, for a run of several.")
    flags.DEFINE_enum("part", None, ["train", "eval", "test"], "Evaluate on this part of the run's own split instead.")
    flags.DEFINE_bool("strict", False, "Whether to stop at an answer that is not found at its answer_start.")
    flags.DEFINE_list(
        "generation_metrics",
        None,
        "Metrics of generated texts, such as rougeL,bleu; by default those of the run.",
    )
    flags.DEFINE_integer("beams", None, "The number of hypotheses of that generation; by default that of the run.", 1)
    flags.DEFINE_string("slices", None, "A folder for a report of the model's behaviour, which is made instead.")
    flags.DEFINE_list("slice_columns", [], "With --slices, columns of --eval_data whose values make slices too.")
    flags.DEFINE_integer("batch_size", 128, "The number of rows to evaluate at a time.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags, evaluate, and print the metrics."""
    values = flags.FLAGS
    with renamed(metrics="generation_metrics"):
        check_packages(values.generation_metrics or ())  # in the first second
    if values.slices is not None:
        from experiments.behaviour import write_behaviour

        with renamed(folder="slices"):
            files.require_writable_folder(os.path.dirname(values.slices.rstrip("/")) or ".")
        report = write_behaviour(
            values.model_dir,
            values.eval_data,
            values.slices,
            part=values.part,
            columns=values.slice_columns,
            task=values.task,
        )
        print(report)
        return
    from experiments.evaluation import evaluate
    from experiments.evaluation_tables import named_files, table

    options: dict[str, Any] = {
        name: values[name].value for name in ("batch_size", "part", "strict", "generation_metrics", "beams", "task")
    }
    several = named_files(values.eval_data, values.model_dir, values.task)
    if several:
        found = {name: evaluate(values.model_dir, path, **options) for name, path in several.items()}
        print(json_text.dumps(found, indent=2))
        print("\n".join(table(found)))
    else:
        print(json_text.dumps(evaluate(values.model_dir, values.eval_data, **options), indent=2))
    launching.suggest(f"bert-tf export-saved-model --model_dir {values.model_dir}")


if __name__ == "__main__":
    launching.run(main, define_flags)
