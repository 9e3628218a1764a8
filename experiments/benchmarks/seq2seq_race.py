"""The parts of the benchmark of sequence to sequence: its pairs, both trainings, and the metrics of their texts."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bert_tf.configs import FinetuningConfig
from bert_tf.configs.training import DTYPE_POLICIES
from bert_tf.scoring.seq2seq import generation_scores
from bert_tf.utils import files
from data_pipelines.corpora.sentences import split_sentences
from data_pipelines.finetuning.labelled import read_examples
from experiments.benchmarks.kept_results import require_same_settings
from experiments.launch import load_config

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seq2seq_workers", "worker_transformers.py")
METRICS = ("rouge1", "rouge2", "rougeL", "bleu", "chrf")
_OTHERS = ("different_texts", "training_seconds", "generation_seconds")
OURS, PEER = "bert_tf", "transformers, EncoderDecoderModel"
BEAMS, LENGTH_PENALTY, NO_REPEAT_NGRAM, BATCH_SIZE = 4, 0.6, 3, 32


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a race, equal for both sides where no other is given.

    Attributes:
        config: the experiment: its name or its file.
        train: the file of training pairs, as `bert-tf finetune` reads it.
        test: the file of test pairs.
        weights: the Hugging Face folder of the weights from which both start.
        folder: the folder for pairs and runs.
        precision: `float32` or `bfloat16`.
        epochs: the number of this project's passes over the training pairs; the peer has as much time.
        learning_rate: this project's largest learning rate.
        peer_learning_rate: the peer's.
        max_seq_length: the number of tokens of a source and its target.
        max_target_length: the number of tokens of a target.
        test_pairs: the number of test pairs, from the first on; None for all.
        tokenizer: what BLEU and ROUGE count as words, one of `METRIC_TOKENIZERS`.
    """

    config: str
    train: str
    test: str
    weights: str
    folder: str
    precision: str
    epochs: int
    learning_rate: float
    peer_learning_rate: float
    max_seq_length: int
    max_target_length: int
    test_pairs: int | None
    tokenizer: str

    def path(self, name: str) -> str:
        """Return the path of a file in the folder."""
        return os.path.join(self.folder, name)

    def kept(self) -> dict[str, Any]:
        """Return what decides the metrics of a row, which are kept with it."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "folder"}


def check_settings(rows: Iterable[dict[str, Any]], settings: Settings, output: str | None) -> None:
    """Check that the rows of an earlier command were made with the same settings.

    Raises:
        ValueError: they were not. The message names the first setting that differs.
    """
    for row in rows:
        require_same_settings("output", output, row.get("settings", {}), settings.kept())


def write_pairs(settings: Settings) -> None:
    """Write `train.jsonl` and `test.jsonl`, with `source` and `target`, which both sides read.

    Raises:
        FileNotFoundError: a file of pairs is not there.
        ValueError: a file does not suit the task.
    """
    task: Any = load_config(settings.config, FinetuningConfig, []).task
    for name, path, limit in (("train", settings.train, None), ("test", settings.test, settings.test_pairs)):
        examples = read_examples(path, task).examples[:limit]
        rows = ({"source": example.text, "target": example.target} for example in examples)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        files.write_text(settings.path(f"{name}.jsonl"), lines)


def _test_pairs(settings: Settings) -> tuple[list[str], list[str]]:
    rows = [json.loads(line) for line in files.read_text(settings.path("test.jsonl")).splitlines()]
    return [row["source"] for row in rows], [row["target"] for row in rows]


def scores(name: str, texts: Sequence[str], settings: Settings) -> dict[str, Any]:
    """Return the metrics of a text for each test source, for which case does not count, and `different_texts`.

    A model that has learnt little may give the same text to all sources, which BLEU alone does not show.
    """
    _, targets = _test_pairs(settings)
    found = generation_scores(
        [[target] for target in targets], texts, METRICS, tokenizer=settings.tokenizer, lower_case=True
    )
    return {"name": name} | found | {"different_texts": len(set(texts)), "settings": settings.kept()}


def first_sentence(source: str) -> str:
    """Return the first sentence of a source."""
    return (split_sentences(source) or [source])[0]


def whole_source(source: str) -> str:
    """Return the source itself."""
    return source


BASELINES: dict[str, Callable[[str], str]] = {"first sentence": first_sentence, "the source": whole_source}
"""The rules that make a text of a source without a model, by name."""


def baselines(settings: Settings) -> list[dict[str, Any]]:
    """Return the metrics of each of the `BASELINES`."""
    sources, _ = _test_pairs(settings)
    return [scores(name, [rule(source) for source in sources], settings) for name, rule in BASELINES.items()]


def run_own(settings: Settings, seed: int) -> dict[str, Any]:
    """Train by `experiments.finetune`, generate by the predictor, and return the metrics and the seconds.

    Raises:
        OSError: the training failed; the message ends with what it said.
    """
    import bert_tf

    model_dir = settings.path(f"own_{seed}")
    chosen = {
        "task.max_seq_length": settings.max_seq_length,
        "task.max_target_length": settings.max_target_length,
        "train.batch_size": BATCH_SIZE,
        "train.learning_rate": settings.learning_rate,
        "train.precision": settings.precision,
        "train.seed": seed,
        "num_epochs": settings.epochs,
        "evals_per_epoch": 0,
        "keep_best": "false",
    }
    command = [sys.executable, "-P", "-m", "experiments.finetune", f"--config={settings.config}"]
    command += [f"--train_file={settings.path('train.jsonl')}", f"--eval_file={settings.path('test.jsonl')}"]
    command += [f"--init_checkpoint={settings.weights}", f"--model_dir={model_dir}"]
    command += [f"--set={name}={value}" for name, value in chosen.items()]
    begin = time.monotonic()
    _run(command, "experiments.finetune")
    training_seconds = time.monotonic() - begin
    sources, _ = _test_pairs(settings)
    model = bert_tf.load(model_dir, dtype=DTYPE_POLICIES[settings.precision])
    begin = time.monotonic()
    answers = model.generate(sources, beams=BEAMS, length_penalty=LENGTH_PENALTY, no_repeat_ngram=NO_REPEAT_NGRAM)
    return _row(OURS, seed, settings, [answer["generated"] for answer in answers]) | {
        "training_seconds": training_seconds,
        "generation_seconds": time.monotonic() - begin,
    }


def run_peer(settings: Settings, seed: int, python: str, *, seconds: float) -> dict[str, Any]:
    """Train the peer for so many seconds, and return what `run_own` returns, and its number of steps and last loss.

    Raises:
        OSError: the worker failed; the message ends with what it said.
    """
    task = {
        "train": settings.path("train.jsonl"),
        "test": settings.path("test.jsonl"),
        "weights": settings.weights,
        "precision": settings.precision,
        "seed": seed,
        "seconds": seconds,
        "learning_rate": settings.peer_learning_rate,
        "batch_size": BATCH_SIZE,
        "max_seq_length": settings.max_seq_length,
        "max_target_length": settings.max_target_length,
        "beams": BEAMS,
        "length_penalty": LENGTH_PENALTY,
        "no_repeat_ngram": NO_REPEAT_NGRAM,
    }
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = json.loads(_run([python, WORKER, json.dumps(task)], "the worker", environment).splitlines()[-1])
    texts = answer.pop("texts")
    return _row(PEER, seed, settings, texts) | answer


def _row(name: str, seed: int, settings: Settings, texts: list[str]) -> dict[str, Any]:
    kept = settings.path(f"{name.split(',')[0]}_{seed}.txt")
    files.write_text(kept, "".join(f"{text}\n" for text in texts))
    return scores(name, texts, settings) | {"seed": seed}


def _run(command: Sequence[str], name: str, environment: dict[str, str] | None = None) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if finished.returncode:
        raise OSError(f"{name} ended with code {finished.returncode}: {finished.stderr[-2000:]}")
    return finished.stdout


def describe(rows: Iterable[dict[str, Any]]) -> str:
    """Return the table of all metrics so far, in Markdown. ROUGE is in %, as BLEU and chrF are."""
    titles = ["", "seed", *METRICS, "different texts", "training, s", "generating, s"]
    lines = [f"| {' | '.join(titles)} |", "| --- " * len(titles) + "|"]
    for row in rows:
        metrics = [f"{row[name] * (100 if name.startswith('rouge') else 1):.1f}" for name in METRICS]
        others = [f"{row[name]:.0f}" if name in row else "" for name in _OTHERS]
        lines.append(f"| {' | '.join([row['name'], str(row.get('seed', '')), *metrics, *others])} |")
    return "\n".join(lines)
