"""Processes that are killed during training and started again end like one that nothing interrupted."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from killed_runs import killed_runs
from small_records import make

from bert_tf.runs import checkpoints
from bert_tf.training.throughput import TIMING_METRICS
from data_pipelines.records.manifest import PreparationConfig

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = [
    "experiments.pretrain",
    f"--config={REPOSITORY}/experiments/configs/bert_tiny_debug.py",
    "--train_data=records",
    "--eval_data=records/heldout",
    "--model_dir=run",
    "--set=model.vocab_size=200",
    "--set=model.max_position_embeddings=64",
    "--set=train.jit_compile=false",
    "--set=train.batch_size=8",
    "--set=train.eval_batch_size=16",
    "--set=train.steps_per_loop=7",
    # The three do not meet: a line's steps lie on both sides of a checkpoint.
    "--set=train.checkpoint_every=4",
    "--set=train.log_every=6",
    "--set=train.eval_every=25",
]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    make(folder, PreparationConfig(max_seq_length=32), holdout=0.2)
    return folder


@pytest.fixture
def folder(records, tmp_path):
    """Return a folder with records."""
    (tmp_path / "records").symlink_to(records)
    return tmp_path


def _require_that_nothing_shows(folder, command, lives):
    """Require the last checkpoint and the log of a run that nothing interrupted."""
    shutil.move(folder / "run", folder / "disturbed")
    (life,) = killed_runs(command, folder, kills=0)
    assert (life.returncode, lives[-1].returncode) == (0, 0), (life.output, lives[-1].output)
    _require_same(folder / "disturbed", folder / "run")


def _tensors(run):
    import tensorflow as tf

    reader = tf.train.load_checkpoint(checkpoints.newest_checkpoint(str(run)).bundle)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _lines(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMING_METRICS} for line in lines]


def _require_same(run, other):
    import numpy as np

    assert _lines(run) == _lines(other)
    mine, theirs = _tensors(run), _tensors(other)
    assert mine.keys() == theirs.keys()
    assert len([name for name in mine if name.startswith("second_moment:")]) > 20
    for name, tensor in mine.items():
        assert np.array_equal(tensor, theirs[name]), name


@pytest.mark.long
@pytest.mark.parametrize(
    ("kills", "num_steps"), [(5, 240), pytest.param(20, 800, marks=pytest.mark.release)], ids=["5", "20"]
)
@pytest.mark.parametrize("engine", ["tensorflow", "jax"])
def test_killed_at_random_moments(folder, engine, kills, num_steps):
    command = [*COMMAND, f"--engine={engine}", f"--set=train.num_steps={num_steps}"]
    lives = killed_runs(command, folder, kills, most_seconds=0.2)
    assert len(lives) == kills + 1
    assert [life.returncode for life in lives[:-1]] == [-signal.SIGKILL] * kills, [life.output for life in lives]
    _require_that_nothing_shows(folder, command, lives)


@pytest.mark.long
@pytest.mark.parametrize("engine", ["tensorflow", "jax"])
def test_preempted(folder, engine):
    command = [*COMMAND, f"--engine={engine}", "--set=train.num_steps=200", "--preemption_exit_code=17"]
    lives = killed_runs(command, folder, 1, signal.SIGTERM)
    assert lives[0].returncode == 17, lives[0].output
    assert "stopped by SIGTERM at step" in lives[0].output
    assert "Traceback" not in lives[0].output
    _require_that_nothing_shows(folder, command, lives)


@pytest.mark.long
def test_the_other_engine_goes_on(folder):
    """A run that begins with one engine and goes on with the other ends as those of one engine, up to rounding."""
    import numpy as np

    command = [*COMMAND, "--set=train.num_steps=24", "--set=train.keep_checkpoints=9", "--set=train.ema_decay=0.9"]
    engines = ("tensorflow", "jax")

    def launch(engine):
        (life,) = killed_runs([*command, f"--engine={engine}"], folder, kills=0)
        assert life.returncode == 0, life.output
        return life.output

    for engine in engines:
        launch(engine)
        shutil.move(folder / "run", folder / engine)
    expected = _tensors(folder / "tensorflow")
    for before, after in (engines, engines[::-1]):
        shutil.copytree(folder / before, folder / "run")
        for checkpoint in checkpoints.complete_checkpoints(str(folder / "run")):
            if checkpoint.step > 12:
                shutil.rmtree(checkpoint.path)
        assert "through JAX" in launch(after) or after == "tensorflow"
        found = _tensors(folder / "run")
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert found[name].dtype == tensor.dtype, name
            np.testing.assert_allclose(found[name], tensor, atol=2e-5, err_msg=name)
        lines, whole = _lines(folder / "run"), _lines(folder / before)
        assert [line["step"] for line in lines] == [line["step"] for line in whole]
        assert [line for line in lines if line["step"] <= 12] == [line for line in whole if line["step"] <= 12]
        shutil.rmtree(folder / "run")
