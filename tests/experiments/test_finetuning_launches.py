"""Seeds, grids, splits and parts of one file, each launcher a process."""

import json
import shutil
from pathlib import Path

import pytest
from launch_many import launch_many
from small_model import write_run

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = f"--config={REPOSITORY}/experiments/configs/classification.py"
LABELS = ("land", "river", "road")
_SMALL = [
    "--set=train.jit_compile=false",
    "--set=train.precision=float32",
    "--set=task.max_seq_length=16",
    "--set=train.batch_size=8",
    "--set=train.eval_batch_size=8",
    "--set=num_epochs=1",
]
_START = ["experiments.finetune", CONFIG, "--train_file=all.tsv", "--init_checkpoint=run", *_SMALL]
_SWEEP = [
    *_START,
    "--split=60/20/20",
    "--model_dir=sweep",
    "--seeds=0,1",
    "--grid=train.learning_rate=1e-2,1e-3",
]
_ONE = "sweep/learning_rate=1e-2/seed-1"
COMMANDS = {
    "sweep": _SWEEP,
    "sweep again": _SWEEP,
    "eval": ["experiments.evaluate", f"--model_dir={_ONE}", "--part=eval"],
    "test": ["experiments.evaluate", f"--model_dir={_ONE}", "--part=test"],
    "train": ["experiments.evaluate", f"--model_dir={_ONE}", "--part=train"],
    "part and file": ["experiments.evaluate", f"--model_dir={_ONE}", "--part=test", "--eval_data=all.tsv"],
    "split and file": [*_START, "--split=80/20", "--eval_file=all.tsv", "--model_dir=bad"],
    "split of words": [*_START, "--split=most/rest", "--model_dir=bad"],
    "too small to split": [*_START, "--train_file=few.tsv", "--split=98/1/1", "--model_dir=bad"],
    "seed of words": [*_START, "--seeds=first", "--model_dir=bad"],
    "grid without values": [*_START, "--grid=train.learning_rate", "--model_dir=bad"],
    "grid of an unknown field": [*_START, "--grid=train.learning_rte=1,2", "--model_dir=bad"],
    "grid of a bad value": [*_START, "--grid=train.batch_size=8,some", "--model_dir=bad"],
    "part without split": ["experiments.evaluate", "--model_dir=plain", "--part=test"],
}
MESSAGES = {
    "part and file": ["--eval_data", "--part", "'all.tsv'", "'test'"],
    "split and file": ["--split", "--train_file", "'80/20'"],
    "split of words": ["--split", "80/10/10", "'most/rest'"],
    "too small to split": ["--split", "few.tsv", "'eval'", "98/1/1"],
    "seed of words": ["--seeds", "'first'"],
    "grid without values": ["--grid", "NAME=VALUE", "'train.learning_rate'"],
    "grid of an unknown field": ["unknown field `train.learning_rte`"],
    "grid of a bad value": ["`train.batch_size`", "'some'"],
    "part without split": ["--part", "--split", "'test'"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finetuning_launches")
    rows = [f"the {label} near boat {number}\t{label}\n" for number in range(10) for label in LABELS]
    (folder / "all.tsv").write_text("text\tlabel\n" + "".join(rows))
    (folder / "few.tsv").write_text("text\tlabel\nthe river\triver\nthe road\troad\n")
    write_run(folder / "run", "pretraining")
    write_run(folder / "plain", "classification")
    return folder


@pytest.fixture(scope="module")
def results(folder):
    return dict(zip(COMMANDS, launch_many(list(COMMANDS.values()), folder), strict=True))


def _metrics(result):
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout[result.stdout.index("{") :])


@pytest.mark.long
def test_each_point_of_the_grid_has_each_seed(results, folder):
    summary = _metrics(results["sweep"])
    assert json.loads((folder / "sweep" / "summary.json").read_text()) == summary
    points = {point["settings"]["train.learning_rate"]: point for point in summary["points"]}
    assert points.keys() == {"1e-2", "1e-3"}
    for point in points.values():
        values = point["values"]["accuracy"]
        assert point["seeds"] == [0, 1]
        assert len(values) == 2
        assert point["mean"]["accuracy"] == pytest.approx(sum(values) / 2)
        assert point["deviation"]["accuracy"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    lines = [json.loads(line) for line in (folder / "sweep" / "results.jsonl").read_text().splitlines()]
    assert [(line["settings"]["train.learning_rate"], line["seed"]) for line in lines] == [
        ("1e-2", 0),
        ("1e-2", 1),
        ("1e-3", 0),
        ("1e-3", 1),
    ]
    described = json.loads((folder / _ONE / "config.json").read_text())["experiment"]["train"]
    assert (described["learning_rate"], described["seed"]) == (1e-2, 1)


@pytest.mark.long
def test_a_finished_sweep_repeats_its_results(results):
    assert _metrics(results["sweep again"]) == _metrics(results["sweep"])


@pytest.mark.long
def test_parts_are_those_of_the_run(results, folder):
    run = json.loads((folder / _ONE / "scores.json").read_text())
    evaluated = {part: _metrics(results[part]) for part in ("train", "eval", "test")}
    for name, value in run["test"].items():
        assert evaluated["test"][name] == (pytest.approx(value, rel=1e-4) if isinstance(value, float) else value)
    assert evaluated["eval"]["confusion_matrix"] == run["confusion_matrix"]
    counts = {part: scores["confusion_matrix"]["counts"] for part, scores in evaluated.items()}
    # 30 rows, 10 a label: each label in the same shares in every part.
    assert {part: [sum(row) for row in rows] for part, rows in counts.items()} == {
        "train": [6, 6, 6],
        "eval": [2, 2, 2],
        "test": [2, 2, 2],
    }


@pytest.mark.long
@pytest.mark.parametrize("name", MESSAGES)
def test_bad_input_is_reported_in_one_line(results, name):
    result = results[name]
    assert result.returncode == 2
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for part in MESSAGES[name]:
        assert part in line


@pytest.mark.long
def test_a_run_that_is_missing_from_a_sweep_is_made_again(results, folder):
    before = _metrics(results["sweep"])
    shutil.rmtree(folder / _ONE)
    [result] = launch_many([_SWEEP], folder)
    assert _metrics(result) == before
