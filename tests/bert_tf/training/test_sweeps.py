import json

import numpy as np
import pytest

from bert_tf.configs import ConfigError, FinetuningConfig
from bert_tf.training.sweeps import parse_grid, sweep


def test_grids():
    assert parse_grid(["train.learning_rate=5e-5, 3e-5", "num_epochs=2"]) == {
        "train.learning_rate": ["5e-5", "3e-5"],
        "num_epochs": ["2"],
    }
    for wrong in (["learning_rate"], ["a="], ["a=1", "a=2"]):
        with pytest.raises(ValueError, match="`grid` takes NAME=VALUE,VALUE"):
            parse_grid(wrong)


def test_values_of_a_grid_may_be_texts_or_values(tmp_path):
    def run(config, folder):
        made.append((config.train.learning_rate, config.task.labels, folder.removeprefix(str(tmp_path))))
        return {"accuracy": 1.0}

    made = []
    grid = {"train.learning_rate": [5e-5, "3e-5"], "task.labels": [("a", "b"), ()]}
    sweep(FinetuningConfig(), [0], grid, model_dir=str(tmp_path), run=run, score="accuracy")
    assert [found[:2] for found in made] == [(5e-5, ("a", "b")), (5e-5, ()), (3e-5, ("a", "b")), (3e-5, ())]
    assert made[0][2] == "/learning_rate=5e-05,labels=('a', 'b')/seed-0"


def test_every_point_with_every_seed(tmp_path):
    def run(config, folder):
        made.append((config.train.learning_rate, config.train.seed, folder.removeprefix(str(tmp_path) + "/")))
        score = config.train.learning_rate * 1e4 + config.train.seed / 10
        return {"accuracy": score, "confusion_matrix": {}, "test": {"accuracy": score + 1}}

    made = []
    grid = parse_grid(["train.learning_rate=2e-5,5e-5"])
    summary = sweep(FinetuningConfig(), [0, 1], grid, model_dir=str(tmp_path), run=run, score="accuracy")
    assert made == [
        (2e-5, 0, "learning_rate=2e-5/seed-0"),
        (2e-5, 1, "learning_rate=2e-5/seed-1"),
        (5e-5, 0, "learning_rate=5e-5/seed-0"),
        (5e-5, 1, "learning_rate=5e-5/seed-1"),
    ]
    best, other = summary["points"]
    assert best["settings"] == {"train.learning_rate": "5e-5"}
    assert best["values"]["accuracy"] == pytest.approx([0.5, 0.6])
    assert (best["mean"]["accuracy"], other["mean"]["test/accuracy"]) == (pytest.approx(0.55), pytest.approx(1.25))
    assert best["deviation"]["accuracy"] == pytest.approx(np.std([0.5, 0.6], ddof=1))
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(line["settings"]["train.learning_rate"], line["seed"]) for line in lines] == [
        ("2e-5", 0),
        ("2e-5", 1),
        ("5e-5", 0),
        ("5e-5", 1),
    ]
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    with pytest.raises(ConfigError, match=r"unknown field `train\.rate`"):
        sweep(FinetuningConfig(), [0], {"train.rate": ["1"]}, model_dir=str(tmp_path / "b"), run=run, score="accuracy")
    with pytest.raises(ValueError, match="`metric` must be one of accuracy"):
        sweep(FinetuningConfig(), [0], {}, model_dir=str(tmp_path / "c"), run=run, score="f1")
