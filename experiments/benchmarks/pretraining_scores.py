"""The scores of fine-tuning from the models that the pre-training benchmark saved, and from random weights.

    python -m experiments.benchmarks.pretraining_scores --work_dir /tmp/pretraining --data_dir data \
        --output scores.jsonl

Each model is fine-tuned by this project, with the settings and files of `finetune_results`, so that only the weights it
starts from differ. With `--learning_rates`, each start has the rate that is best for it on a tenth of the training
examples, which is set apart with the first seed. Each score is appended to `--output` at once, and a command that is
started again makes only the missing ones. README.md in this folder gives the results.
"""

import itertools
import json
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.launching import run, whole_numbers
from experiments.benchmarks.finetune_cases import BENCHMARKS, prepare
from experiments.benchmarks.finetune_results import RANDOM, random_encoder, run_ours
from experiments.benchmarks.finetune_workers.protocol import read_lines
from experiments.benchmarks.kept_results import require_same_settings
from experiments.benchmarks.pretraining_race import RESULTS_FILE, model_folder, saved_steps

TASKS = ("sst2", "mrpc", "wnut17")


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("work_dir", None, "The folder of the pre-training benchmark.", required=True)
    flags.DEFINE_string("data_dir", None, "The folder with mrpc, sst2 and wnut17.", required=True)
    flags.DEFINE_string("output", None, "The file of JSON lines, one for each finished run.", required=True)
    flags.DEFINE_list("tasks", list(TASKS), "The tasks to run, in this order.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "The seeds of fine-tuning.")
    flags.DEFINE_enum("precision", "bfloat16", ["float32", "bfloat16"], "The precision of fine-tuning.")
    flags.DEFINE_list(
        "learning_rates", [], "The learning rates to choose from; those of `finetune_results` by default."
    )
    flags.DEFINE_multi_string("set", [], "A further setting of each fine-tuning, name=value; may be repeated.")
    flags.DEFINE_multi_string("only", [], "Part of the name of the models to use; may be repeated; all by default.")


def starts(work_dir: str, only: Sequence[str]) -> dict[str, list[str]]:
    """Return the launcher's arguments for each model of the complete trainings, and for random weights of these sizes.

    Args:
        work_dir: the folder of the pre-training benchmark.
        only: parts of the names of the models; nothing for all.

    Raises:
        ValueError: the folder has no complete training, or none of these names.
    """
    path = os.path.join(work_dir, RESULTS_FILE)
    trainings = files.read_json(path)["trainings"] if files.exists(path) else []
    if not trainings:
        raise ValueError(
            f"--work_dir must be a folder with complete trainings in {RESULTS_FILE}. Received: {work_dir!r}"
        )
    found = {}
    for training in trainings:
        label = training["label"]
        for step in saved_steps(training["points"]):
            folder = model_folder(work_dir, label, step)
            found[f"{label}, step {step}"] = [f"--init_checkpoint={folder}"]
            if label.startswith("bert_tf"):
                found.setdefault(RANDOM, random_encoder(folder))
    chosen = {name: start for name, start in found.items() if not only or any(part in name for part in only)}
    if not chosen:
        raise ValueError(f"--only must be part of a name: {'; '.join(found)}. Received: {', '.join(only)}")
    return chosen


class Scores:
    """The scores of fine-tuning, of which each is made once.

    Args:
        output: the file of the scores that are there.
        work_dir: the folder for intermediate files.
        data_dir: the folder with the data of the tasks.
        learning_rates: what a rate is chosen from; nothing for the rate of the task's experiment.
        settings: what decides all scores: `precision` and `changes`.

    Raises:
        ValueError: the file holds scores of other settings, or a learning rate is not a number above 0.
    """

    def __init__(
        self, output: str, work_dir: str, data_dir: str, *, learning_rates: Sequence[str], settings: Mapping[str, Any]
    ) -> None:
        self._output, self._work_dir, self._data_dir = output, work_dir, data_dir
        self._rates, self._settings = learning_rates, dict(settings)
        if not all(_is_rate(rate) for rate in learning_rates):
            raise ValueError(
                f"--learning_rates must be numbers above 0, such as 1e-4,3e-4. Received: {','.join(learning_rates)!r}"
            )
        self.lines = read_lines(output) if files.exists(output) else []
        for line in self.lines:
            if "apart" not in line:
                raise ValueError(f"--output must be new: an earlier version made these results. Received: {output!r}")
            require_same_settings("output", output, line, self._settings)

    def make(self, model: str, start: list[str], task: str, seed: int, first_seed: int) -> None:
        """Fine-tune a start for a task, with the rate that was chosen with `first_seed`."""
        if not self._rates:
            self._make(model, start, task, seed, None, apart=False)
            return
        score = BENCHMARKS[task].scores[0]
        apart = {rate: self._make(model, start, task, first_seed, rate, apart=True)[score] for rate in self._rates}
        self._make(model, start, task, seed, max(apart, key=lambda rate: apart[rate]), apart=False)

    def _make(
        self, model: str, start: list[str], task: str, seed: int, rate: str | None, *, apart: bool
    ) -> Mapping[str, Any]:
        """Return the scores, on a tenth of the training examples if `apart`."""
        key = {"model": model, "task": task, "seed": seed, "learning_rate": rate, "apart": apart}
        for line in self.lines:
            if key.items() <= line.items():
                return line
        train, evaluation = prepare(task, self._data_dir, self._work_dir)
        found = run_ours(
            task,
            train,
            None if apart else evaluation,
            start=start,
            seed=seed,
            precision=self._settings["precision"],
            folder=os.path.join(self._work_dir, "finetuned"),
            changes=[*self._settings["changes"], *([f"train.learning_rate={rate}"] if rate else [])],
        )
        self.lines.append(key | self._settings | found)
        print(json.dumps(self.lines[-1]), flush=True)
        files.write_text(self._output, "".join(json.dumps(line) + "\n" for line in self.lines))
        return self.lines[-1]


def _is_rate(text: str) -> bool:
    try:
        return 0.0 < float(text) < float("inf")
    except ValueError:
        return False


def describe(lines: Sequence[Mapping[str, Any]], tasks: Sequence[str]) -> str:
    """Return the main scores as a Markdown table: mean and deviation (of the sample) over the seeds, times 100.

    Scores on examples that were set apart for the choice of a rate are not in it.
    """
    names = list(dict.fromkeys(line["model"] for line in lines))
    scores = {task: BENCHMARKS[task].scores[0] for task in tasks}
    table = ["| starts from | " + " | ".join(f"{task}, {score}" for task, score in scores.items()) + " |"]
    table.append("| --- " * (1 + len(scores)) + "|")
    for name in names:
        cells = [name]
        for task, score in scores.items():
            found = [line for line in lines if (line["model"], line["task"], line["apart"]) == (name, task, False)]
            values = [100 * line[score] for line in found]
            deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.fmean(values):.1f}{deviation}" if values else "not run")
        table.append(f"| {' | '.join(cells)} |")
    return "\n".join(table)


def main(_: Sequence[str]) -> None:
    """Make the scores that `--output` lacks, seed by seed, and print the table."""
    values = flags.FLAGS
    unknown = sorted(set(values.tasks) - set(BENCHMARKS))
    if unknown:
        raise ValueError(f"--tasks must be some of {', '.join(BENCHMARKS)}. Received: {', '.join(unknown)}")
    seeds = whole_numbers(values.seeds, "seeds")
    models = starts(values.work_dir, values.only)
    scores = Scores(
        values.output,
        values.work_dir,
        values.data_dir,
        learning_rates=values.learning_rates,
        settings={"precision": values.precision, "changes": values.set},
    )
    for seed, task, model in itertools.product(seeds, values.tasks, models):
        scores.make(model, models[model], task, seed, seeds[0])
    print(describe(scores.lines, values.tasks))


if __name__ == "__main__":
    run(main, define_flags)
