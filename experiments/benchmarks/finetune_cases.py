"""The tasks of the fine-tuning benchmarks, whose public files the launcher and the workers read."""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_tf.configs import FinetuningConfig
from bert_tf.examples import ChoiceExample, QuestionExample, TaggedExample
from bert_tf.scoring.question_answering import question_answering_scores
from bert_tf.scoring.tag_schemes import scheme_of
from bert_tf.scoring.tagging import tagging_scores
from bert_tf.scoring.texts import classification_scores, regression_scores
from bert_tf.tasks import task_of
from bert_tf.utils import files
from data_pipelines.finetuning.labelled import read_examples
from data_pipelines.finetuning.splits import Split
from experiments.benchmarks.finetune_workers.protocol import Case
from experiments.launch import load_config

_SST2_SENTENCES = 8000
_XQUAD_FOLD = "80/20"


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A task on public files.

    Attributes:
        config: the name of a file in `experiments/configs`.
        train, eval: the paths of the files in the data folder. If they are the same file, its articles are divided.
        scores: the names of the reported scores, the main one first.
        num_epochs, learning_rate: the settings that all implementations share, like a batch of 32 rows.
        max_train_lines: the number of lines of the training file, without its header; None for all.
        changes: other changes to the experiment, as for `--set`.
    """

    config: str
    train: str
    eval: str
    scores: tuple[str, ...]
    num_epochs: int
    learning_rate: float = 1e-4
    max_train_lines: int | None = None
    changes: tuple[str, ...] = ()

    def settings(self) -> list[str]:
        """Return changes to the experiment, as for `--set`. The last weights are scored, as for the peer."""
        return [
            f"num_epochs={self.num_epochs}",
            f"train.learning_rate={self.learning_rate}",
            "train.batch_size=32",
            "evals_per_epoch=0",
            "keep_best=false",
            "optimizer.decay_schedule=linear_after_warmup",
            *self.changes,
        ]


BENCHMARKS = {
    "mrpc": Benchmark("mrpc.py", "mrpc/train.tsv", "mrpc/dev.tsv", ("f1", "accuracy"), 3),
    "wnut17": Benchmark("conll2003.py", "wnut17/train.conll", "wnut17/test.conll", ("f1",), 2),
    "xquad": Benchmark(
        "squad.py", "xquad/xquad.en.json", "xquad/xquad.en.json", ("f1", "exact_match"), 8, learning_rate=3e-4
    ),
    "choices": Benchmark(
        "multiple_choice.py",
        "xquad/xquad.en.json",
        "xquad/xquad.en.json",
        ("accuracy",),
        3,
        changes=("task.max_seq_length=96",),
    ),
    "stsb": Benchmark("stsb.py", "stsb/train.tsv", "stsb/dev.tsv", ("pearson", "spearman"), 3, learning_rate=5e-5),
    "sst2": Benchmark("sst2.py", "sst2/train.tsv", "sst2/dev.tsv", ("accuracy",), 1, max_train_lines=_SST2_SENTENCES),
}


def define_shared_flags() -> None:
    """Define `--data_dir`, `--weights`, `--venvs` and `--work_dir`."""
    flags.DEFINE_string("data_dir", None, "The folder with mrpc, sst2, wnut17 and xquad.", required=True)
    flags.DEFINE_string("weights", None, "The Hugging Face folder of the pre-trained encoder.", required=True)
    flags.DEFINE_string("venvs", None, "The folder of the peer's environment, which is made if missing.", required=True)
    flags.DEFINE_string("work_dir", None, "The folder for intermediate files.", required=True)


def config_path(benchmark: Benchmark) -> str:
    """Return the path of the experiment's file."""
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "configs", benchmark.config)


def prepare(name: str, data_dir: str, work_dir: str) -> tuple[str, str]:
    """Return the training and the evaluation file, which are public files or parts of them written to `work_dir`."""
    benchmark = BENCHMARKS[name]
    train, evaluation = (os.path.join(data_dir, path) for path in (benchmark.train, benchmark.eval))
    if benchmark.max_train_lines is not None:
        lines = files.read_text(train).splitlines()[: 1 + benchmark.max_train_lines]
        train = os.path.join(work_dir, f"{name}_train{os.path.splitext(train)[1]}")
        files.write_text(train, "\n".join(lines) + "\n")
    if benchmark.eval == benchmark.train:
        config = load_config(config_path(benchmark), FinetuningConfig, []).task
        parts = Split.parse(_XQUAD_FOLD).parts(read_examples(train, config))
        articles = files.read_json(train)["data"]
        for part, examples in parts.items():
            titles = {example.group for example in examples.examples}
            path = os.path.join(work_dir, f"{name}_{part}.json")
            files.write_text(path, json.dumps({"data": [a for a in articles if str(a["title"]) in titles]}) + "\n")
        train, evaluation = (os.path.join(work_dir, f"{name}_{part}.json") for part in ("train", "eval"))
    return train, evaluation


def make_case(name: str, train: str, evaluation: str, *, weights: str, work_dir: str, **changes: Any) -> Case:
    """Return the case of a benchmark for workers, and write its files to `work_dir`.

    Args:
        name: a key of `BENCHMARKS`.
        train: the training file that `prepare` returned.
        evaluation: the evaluation file that `prepare` returned.
        weights: a folder of Hugging Face.
        work_dir: the folder for the files.
        changes: other fields of the case.
    """
    benchmark = BENCHMARKS[name]
    config = load_config(config_path(benchmark), FinetuningConfig, benchmark.settings())
    task: Any = config.task
    paths = {}
    labels: tuple[str, ...] = ()
    for part, path in (("train", train), ("eval", evaluation)):
        examples = read_examples(path, task).examples
        labels = labels or task_of(task).label_names(examples)
        paths[part] = os.path.join(work_dir, f"{name}_{part}.jsonl")
        files.write_text(paths[part], "".join(json.dumps(_line(example)) + "\n" for example in examples))
    case = Case(
        name=name,
        kind=task.kind,
        train=paths["train"],
        eval=paths["eval"],
        labels=labels,
        weights=weights,
        num_epochs=benchmark.num_epochs,
        batch_size=config.train.batch_size,
        learning_rate=config.train.learning_rate,
        max_seq_length=task.max_seq_length,
    )
    return dataclasses.replace(case, **changes)


def finetuning_config(case: Case, settings: Sequence[str] = ()) -> FinetuningConfig:
    """Return this project's experiment for a case, with further changes `settings`, as for `--set`."""
    benchmark = BENCHMARKS[case.name]
    own = [f"num_epochs={case.num_epochs}", f"train.seed={case.seed}", f"train.precision={case.precision}"]
    return load_config(config_path(benchmark), FinetuningConfig, [*benchmark.settings(), *own, *settings])


def _line(example: Any) -> dict[str, Any]:
    if isinstance(example, QuestionExample):
        return {
            "id": example.question_id,
            "question": example.question,
            "context": example.context,
            "answers": example.answers,
        }
    if isinstance(example, ChoiceExample):
        return {"context": example.context, "choices": example.choices, "label": example.label}
    if isinstance(example, TaggedExample):
        return {"words": example.words, "tags": example.tags}
    return {"text": example.text, "text_pair": example.text_pair, "label": example.label}


def scores(case: Case, examples: list[dict[str, Any]], answers: list[dict[str, Any]]) -> dict[str, float]:
    """Return the scores of a worker's answers, by the functions that score this project's own."""
    if case.kind == "question_answering":
        truths = [[text for text, _ in example["answers"]] for example in examples]
        found = question_answering_scores(truths, [answer["answer"] for answer in answers])
    elif case.kind == "tagging":
        truth = [each["tags"] for each in examples]
        scheme = scheme_of({*case.labels, *(tag for tags in truth for tag in tags)})
        found = tagging_scores(truth, [each["tags"] for each in answers], scheme)
    elif case.kind == "multiple_choice":
        right = [answer["index"] == example["label"] for answer, example in zip(answers, examples, strict=True)]
        found = {"accuracy": sum(right) / len(right)}
    elif case.kind == "regression":
        numbers = [[each["label"] for each in lines] for lines in (examples, answers)]
        found = regression_scores(numbers[0], numbers[1])
    else:
        names = [[each["label"] for each in lines] for lines in (examples, answers)]
        found = classification_scores(names[0], names[1], case.labels)
    return {name: float(found[name]) for name in BENCHMARKS[case.name].scores}
