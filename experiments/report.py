"""Draw runs as one page: curves, settings, grids, guesses at masks, and where models err.

```bash
bert-tf report --model_dir run --output report.html
bert-tf report --model_dir run,other_run --records records/heldout --output report.html
bert-tf report --model_dir classifier --eval_data dev.tsv --output report.html --png_dir pictures
```

The page needs no network. Several runs are drawn over each other; of a folder of `--seeds` or `--grid`, seeds are bands
and the grid is a heat map. `--png_dir` needs matplotlib (pip install 'bert_tf[plot]').
"""

from collections.abc import Sequence

from absl import flags

from bert_tf.utils import launching


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_list("model_dir", None, "Folders of runs, or of seeds and grids: run,other_run.", required=True)
    flags.DEFINE_string("output", None, "The page to write, such as report.html.", required=True)
    flags.DEFINE_string("eval_data", None, "Labelled examples, to show where the fine-tuned runs err.")
    flags.DEFINE_string("records", None, "Held-out records, to show what the pre-trained runs guess at masks.")
    flags.DEFINE_integer("num_rows", 8, "The number of rows of --records to show.", lower_bound=1)
    flags.DEFINE_bool("perturbations", True, "Whether --eval_data is answered again with small changes of the texts.")
    flags.DEFINE_string("png_dir", None, "A folder for the pictures as PNG files; needs matplotlib.")


def main(_: Sequence[str]) -> None:
    """Read the flags, and write the report."""
    from experiments.reports.writing import write_report

    values = flags.FLAGS
    notes = write_report(
        [path.strip() for path in values.model_dir],
        values.output,
        eval_data=values.eval_data,
        records=values.records,
        png_dir=values.png_dir,
        num_rows=values.num_rows,
        perturbations=values.perturbations,
    )
    print("\n".join([*notes, values.output]))


if __name__ == "__main__":
    launching.run(main, define_flags)
