"""CONTRIBUTING.md's "Add a task", walked through on a copy of the sources: grades in order (1 to 4 stars) from a file.

What is written here, and the places that name it, are all that the launchers need.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_model import write_vocab

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bert_tf", "data_pipelines", "experiments", "tpu_configs")

HEAD = '''
"""BERT for grades: one dense layer tells for each grade but the last whether the text deserves more."""

import keras

from bert_tf.layers.base import seed_part
from bert_tf.models.base import BertModel
from bert_tf.models.encoder import BertEncoder


@keras.saving.register_keras_serializable(package="bert_tf")
class BertGrader(BertModel):
    def __init__(self, config, num_grades, **kwargs):
        super().__init__(config, **kwargs)
        self.num_grades = num_grades
        self.encoder = BertEncoder(self.config, dtype=self.dtype_policy, name="encoder")
        self.grading = self.make_head("grading", num_grades - 1)
        self.build(self.input_shapes())

    def call(self, inputs, training=False, seed=None):
        return self.outputs_of(self.encoder(inputs, training=training, seed=seed), inputs, training, seed)

    def outputs_of(self, encoded, inputs, training=False, seed=None):
        head_seed = seed_part(seed, self.config.num_layers + 1)
        return self.grading(encoded["pooled_output"], training=training, seed=head_seed)
'''

READER = '''
"""Lines of a grade, a tab and a text."""

from bert_tf.utils import files
from bert_tf.examples import TextExample


def read_graded(path, config, *, labelled, strict):
    examples = []
    for number, line in enumerate(files.iterate_lines(path), 1):
        grade, _, text = line.partition("\\t")
        if not labelled:
            grade, text = "1", line
        if grade not in map(str, range(1, config.num_grades + 1)):
            rule = f"must start with a grade from 1 to {config.num_grades} and a tab"
            raise ValueError(f"{path}, line {number}: {rule}. Received: {line!r}")
        examples.append(TextExample(text, label=int(grade) if labelled else None, source=f"{path}, line {number}"))
    return examples
'''

TASK = '''
"""Grades in order (Frank and Hall 2001, "A simple approach to ordinal classification")."""

import numpy as np

from bert_tf.objectives.objective import multi_label_objective
from bert_tf.models.grader import BertGrader
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.base import Task


class Grading(Task):
    kind = "grading"
    heads = ("encoder/pooler", "grading")

    @classmethod
    def model_class(cls):
        return BertGrader

    def label_names(self, examples):
        return ()

    def encode(self, examples, labels, tokenizer, *, training=False):
        config = self.config
        rows = [tokenizer.encode_pair(example.text, None, config.max_seq_length) for example in examples]
        grades = np.array([example.label or 0 for example in examples])
        values = {
            "label_targets": (grades[:, None] > np.arange(1, config.num_grades)).astype(np.float32),
            "label_weights": (grades > 0).astype(np.float32),
        }
        ids, segments = zip(*rows)
        return EncodedExamples.from_lists(
            ids, segments, pad_id=tokenizer.pad_id, max_seq_length=config.max_seq_length, example_features=values
        )

    def make_model(self, encoder, labels, dtype="float32"):
        return BertGrader(encoder, self.config.num_grades, dtype=dtype)

    def objective(self, training):
        return multi_label_objective()

    def answers(self, examples, rows, outputs, *, labels):
        return [{"grade": 1 + int((output > 0).sum())} for output in outputs]

    def scores(self, examples, answers, labels):
        errors = [abs(answer["grade"] - example.label) for answer, example in zip(answers, examples, strict=True)]
        return {"accuracy": errors.count(0) / len(errors), "mean_absolute_error": sum(errors) / len(errors)}

    def main_score(self, labels):
        return "accuracy"
'''

SETTINGS = """
import dataclasses

from bert_tf.configs.tasks.base import TaskConfig


@dataclasses.dataclass(frozen=True)
class GradingConfig(TaskConfig):
    kind: str = "grading"
    num_grades: int = 5
"""

EXPERIMENT = """
from bert_tf.configs import BertConfig, FinetuningConfig, TrainConfig
from bert_tf.configs.tasks import GradingConfig


def get_config():
    model = BertConfig(
        vocab_size={vocab_size}, hidden_size=32, num_layers=1, num_heads=2, intermediate_size=64,
        max_position_embeddings=24, dropout_rate=0.0, attention_dropout_rate=0.0,
    )
    train = TrainConfig(
        batch_size=8, learning_rate=5e-3, eval_batch_size=8, log_every=0, precision="float32", jit_compile=False
    )
    return FinetuningConfig(
        model=model, task=GradingConfig(max_seq_length=16, num_grades=4), train=train, num_epochs=60, evals_per_epoch=0
    )
"""

NEW_FILES = {
    "bert_tf/configs/tasks/grading.py": SETTINGS,
    "bert_tf/models/grader.py": HEAD,
    "data_pipelines/finetuning/grades.py": READER,
    "bert_tf/tasks/grading.py": TASK,
}
# Each line that names the new task, and what it is put in front of.
NAMED = {
    "bert_tf/configs/tasks/__init__.py": [
        ("from bert_tf.configs.tasks.question", "from bert_tf.configs.tasks.grading import GradingConfig\n"),
        ("    ClassificationConfig", "    GradingConfig\n    |"),
    ],
    "bert_tf/tasks/__init__.py": [
        ("from bert_tf.tasks.question_answering", "from bert_tf.tasks.grading import Grading\n"),
        ("        Classification,", "        Grading,\n"),
    ],
    "data_pipelines/finetuning/labelled.py": [
        ("from data_pipelines.finetuning.question", "from data_pipelines.finetuning.grades import read_graded\n"),
        ('    "classification": ', '    "grading": read_graded,\n'),
    ],
}
WORDS = {"1": "miller", "2": "boat", "3": "river", "4": "road"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "benchmarks"))
    for path, text in NEW_FILES.items():
        (folder / path).write_text(text.lstrip(), encoding="utf-8")
    for path, changes in NAMED.items():
        text = (folder / path).read_text(encoding="utf-8")
        for place, new in changes:
            assert text.count(f"\n{place}") == 1, f"{path}: {place!r}"
            text = text.replace(f"\n{place}", f"\n{new}{place}")
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def _launch(sources, command, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(sources), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.run(
        [sys.executable, "-m", f"experiments.{command}", *arguments],
        cwd=sources,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_task_touches_few_files():
    new = ["bert_tf/configs/tasks/grading.py", "bert_tf/models/grader.py", "bert_tf/tasks/grading.py"]
    lists = ["bert_tf/configs/tasks/__init__.py", "bert_tf/tasks/__init__.py", "data_pipelines/finetuning/labelled.py"]
    assert sorted(NEW_FILES) == [*new, "data_pipelines/finetuning/grades.py"], "settings, a head, the task and a reader"
    assert sorted(NAMED) == lists, "its name among the settings, the tasks and the readers"


def test_contributing_names_every_file_that_the_task_is_named_in():
    steps = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Add a task")[1].split("\n## ")[0]
    assert not [path for path in NAMED if f"`{path}`" not in steps]


@pytest.mark.long
def test_a_reader_and_a_head_are_a_task_of_the_launchers(tmp_path, sources):
    vocab = write_vocab(tmp_path / "vocab.txt")
    vocab_size = len(Path(vocab).read_text(encoding="utf-8").splitlines())
    (tmp_path / "grades.py").write_text(EXPERIMENT.format(vocab_size=vocab_size), encoding="utf-8")
    graded = tmp_path / "train.tsv"
    graded.write_text("".join(f"{grade}\tthe {word}\n" for grade, word in WORDS.items()) * 8, encoding="utf-8")
    run = str(tmp_path / "run")
    trained = _launch(
        sources,
        "finetune",
        f"--config={tmp_path / 'grades.py'}",
        f"--train_file={graded}",
        f"--eval_file={graded}",
        f"--vocab_file={vocab}",
        f"--model_dir={run}",
    )
    assert trained.returncode == 0, trained.stderr[-2000:]
    metrics = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert metrics["accuracy"] == 1.0, "a word tells the grade"

    evaluated = _launch(sources, "evaluate", f"--model_dir={run}", f"--eval_data={graded}")
    assert evaluated.returncode == 0, evaluated.stderr[-2000:]
    assert '"mean_absolute_error": 0' in evaluated.stdout

    output = tmp_path / "predictions.jsonl"
    texts = tmp_path / "texts.txt"
    texts.write_text("the road\nthe miller\n", encoding="utf-8")
    predicted = _launch(sources, "predict", f"--model_dir={run}", f"--input={texts}", f"--output={output}")
    assert predicted.returncode == 0, predicted.stderr[-2000:]
    answers = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert answers == [{"text": "the road", "grade": 4}, {"text": "the miller", "grade": 1}]

    wrong = tmp_path / "wrong.tsv"
    wrong.write_text("9\tthe road\n", encoding="utf-8")
    refused = _launch(sources, "evaluate", f"--model_dir={run}", f"--eval_data={wrong}")
    assert refused.returncode
    assert "line 1: must start with a grade from 1 to 4" in refused.stderr
