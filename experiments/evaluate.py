"""Evaluate a trained model: a pre-trained one on held-out records, a fine-tuned one on a labelled file.

```bash
bert-tf evaluate --model_dir run --eval_data records/heldout
bert-tf evaluate --model_dir classifier --eval_data dev.tsv
```

`--part test` evaluates a run that was made with `--split` on a part of its own file. `--generation_metrics rougeL,bleu`
scores the texts that a run of sequence to sequence generates.
"""

from collections.abc import Sequence

from absl import flags

from bert_tf.scoring.seq2seq import check_packages
from bert_tf.utils import json_text, launching
from bert_tf.utils.arguments import renamed


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("model_dir", None, "The folder of the run.", required=True)
    flags.DEFINE_string("eval_data", None, "A record folder, or a labelled file (.tsv, .csv, .jsonl, .conll, .json).")
    flags.DEFINE_enum("part", None, ["train", "eval", "test"], "Evaluate on this part of the run's own split instead.")
    flags.DEFINE_bool("strict", False, "Whether to stop at an answer that is not found at its answer_start.")
    flags.DEFINE_list(
        "generation_metrics",
        None,
        "Metrics of generated texts, such as rougeL,bleu; by default those of the run.",
    )
    flags.DEFINE_integer("beams", None, "The number of hypotheses of that generation; by default that of the run.", 1)
    flags.DEFINE_integer("batch_size", 128, "The number of rows to evaluate at a time.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags, evaluate, and print the metrics."""
    values = flags.FLAGS
    with renamed(metrics="generation_metrics"):
        check_packages(values.generation_metrics or ())  # in the first second
    from experiments.evaluation import evaluate

    metrics = evaluate(
        values.model_dir,
        values.eval_data,
        batch_size=values.batch_size,
        part=values.part,
        strict=values.strict,
        generation_metrics=values.generation_metrics,
        beams=values.beams,
    )
    print(json_text.dumps(metrics, indent=2))
    launching.suggest(f"bert-tf export-saved-model --model_dir {values.model_dir}")


if __name__ == "__main__":
    launching.run(main, define_flags)
