"""Fine-tune and evaluate on the tasks of GLUE by name, and write the predictions that its site takes.

```sh
bert-tf glue --data glue_data --init_checkpoint bert-base-uncased --output_dir glue
```

`glue_data` is the folder of GLUE's own files (CoLA, SST-2, ... and diagnostic). Each task is trained at every point of
the paper's grid (three learning rates, two batch sizes, 3 epochs), and the best run on the development set predicts the
test set. The same command continues where it was stopped; a finished task is not trained again. It writes
`submission.zip` and prints the scores on the development sets.
"""

from collections.abc import Sequence

from absl import flags

from bert_tf.utils import launching
from experiments import engine_flag

_GRID = ["train.learning_rate=5e-5,3e-5,2e-5", "train.batch_size=16,32"]


def define_flags() -> None:
    """Define the flags of this command."""
    engine_flag.define_flag()
    flags.DEFINE_string(
        "data", None, "The folder of GLUE's files, with CoLA, SST-2, ... and diagnostic.", required=True
    )
    flags.DEFINE_string("init_checkpoint", None, "The model to start from: a run, or published weights.", required=True)
    flags.DEFINE_string("output_dir", None, "The folder of all runs; interrupted ones are continued.", required=True)
    flags.DEFINE_list("tasks", [], "The tasks, such as sst2,mrpc; all nine and the diagnostic set by default.")
    flags.DEFINE_list("seeds", ["0"], "Run once for each of these seeds, such as 0,1,2.")
    flags.DEFINE_multi_string(
        "grid", _GRID, "Run once for each value of a field; may be repeated, or empty for no grid."
    )
    flags.DEFINE_multi_string("set", [], "Change a field of every experiment, such as num_epochs=2; may be repeated.")


def main(_: Sequence[str]) -> None:
    """Read the flags, check all files, run the tasks, and print the table."""
    engine_flag.choose_backend()
    from bert_tf.training.sweeps import parse_grid
    from experiments.devices import start_engine
    from experiments.suites.glue_run import SUBMISSION, GlueRun, table
    from experiments.suites.glue_tasks import TASKS

    values = flags.FLAGS
    for name in values.tasks:
        if name not in TASKS:
            raise ValueError(f"--tasks must be some of {', '.join(TASKS)}. Received: {name!r}")
    run = GlueRun(
        values.data,
        values.output_dir,
        [TASKS[name] for name in dict.fromkeys(values.tasks or TASKS)],
        values.init_checkpoint,
        launching.whole_numbers(values.seeds or ["0"], "seeds"),
        parse_grid([text for text in values.grid if text]),
        values.set,
    )
    run.check()
    summary = run.run(start_engine([task.config(run.overrides).train for task in run.tasks]))
    print(table(summary))
    print(f"\n{values.output_dir}/{SUBMISSION}")
    if summary["missing"]:
        print(f"The site wants {', '.join(summary['missing'])} too, which need the other tasks.")


if __name__ == "__main__":
    launching.run(main, define_flags)
