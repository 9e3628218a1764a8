"""Trainings through JAX equal those through TensorFlow, step by step, with dropout, on any number of devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import engine_runs
import numpy as np
import pytest

from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine

TESTS = Path(__file__).resolve().parents[3]
GOLDEN = TESTS / "golden"


def run_jax(script, *arguments):
    """Run a script in a process whose Keras computes with JAX on a CPU."""
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], str(TESTS)])
    subprocess.run([sys.executable, str(script), *map(str, arguments)], env=environment, check=True, timeout=600)


def trained(folder, *runs):
    """Return what the runs found, each by name."""
    run_jax(TESTS / "engine_runs.py", folder / "out.npz", *runs)
    arrays = dict(np.load(folder / "out.npz"))
    return {
        run: {name.removeprefix(f"{run}/"): array for name, array in arrays.items() if name.startswith(f"{run}/")}
        for run in runs
    }


# A loss of differences between scores has no gradient there, and Adam enlarges what rounding leaves of it.
UNDETERMINED = "reranking/dense/bias"


def require_equal(found, expected, tolerance):
    assert list(found) == list(expected), "the names, and their order in the log"
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        if UNDETERMINED in name:
            continue
        np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("case", ["packed", pytest.param("mixed", marks=pytest.mark.long)])
def test_packed_rows_equal_tensorflow(case, tmp_path):
    expected = engine_runs.train(TensorFlowEngine(), case)
    losses = expected["metric/masked_lm_loss"]
    assert np.ptp(losses[:, 0] / losses[:, 1]) > 0.05, "the losses differ by far more than the tolerance"
    require_equal(trained(tmp_path, f"{case}:1")[f"{case}:1"], expected, 1e-5)


@pytest.mark.long
def test_two_devices_that_accumulate_and_share_the_moments(tmp_path):
    one, two = trained(tmp_path, "packed:1", "packed:2:gradient_accumulation_steps=2:shard_optimizer=True").values()
    require_equal(two, one, 1e-5)


@pytest.mark.long
def test_several_tasks_equal_tensorflow(tmp_path):
    expected = engine_runs.train(TensorFlowEngine(), "multi_task")
    require_equal(trained(tmp_path, "multi_task:1")["multi_task:1"], expected, 5e-5)


@pytest.mark.long
def test_any_number_of_devices(tmp_path):
    compared = ("retrieval", "reranking")  # by losses that compare rows
    cases = [f"{case}:{count}" for case in compared for count in (1, 4)]
    runs = trained(tmp_path, *(f"packed:{count}" for count in (1, 2, 4, 8)), *cases)
    for count in (2, 4, 8):
        require_equal(runs[f"packed:{count}"], runs["packed:1"], 5e-5)
    for case in compared:
        require_equal(runs[f"{case}:4"], runs[f"{case}:1"], 5e-5)


@pytest.mark.long
def test_unpacked_rows_and_every_task_equal_tensorflow(tmp_path):
    runs = trained(tmp_path, *(f"{case}:1" for case in ("unpacked", *engine_runs.TASKS)))
    for case in ("unpacked", *engine_runs.TASKS):
        require_equal(runs[f"{case}:1"], engine_runs.train(TensorFlowEngine(), case), 5e-5)


@pytest.mark.long
def test_a_student_beside_its_teacher_equals_tensorflow(tmp_path):
    one, two = trained(tmp_path, "distilled:1", "distilled:2:gradient_accumulation_steps=2").values()
    assert not any("teacher" in name for name in one)
    require_equal(one, engine_runs.train(TensorFlowEngine(), "distilled"), 5e-5)
    require_equal(two, one, 5e-5)


@pytest.mark.long
def test_settings_equal_tensorflow(tmp_path):
    changes = ("precision='float16'", "frozen=('encoder/embeddings',)", "skip_nonfinite=2")
    runs = trained(tmp_path, *(f"packed:1:{change}" for change in changes))
    for change in changes:
        name, value = change.split("=")
        settings = engine_runs.TRAIN.replace(**{name: eval(value)})
        tolerance = 5e-3 if name == "precision" else 1e-5
        require_equal(runs[f"packed:1:{change}"], engine_runs.train(TensorFlowEngine(), "packed", settings), tolerance)


@pytest.mark.long
@pytest.mark.parametrize("optimizer", ["lamb", "muon"])
def test_rules_of_whole_matrices_equal_tensorflow_on_any_number_of_devices(optimizer, tmp_path):
    one, two = (f"packed:1:optimizer={optimizer}", f"packed:2:optimizer={optimizer}:shard_optimizer=True")
    runs = trained(tmp_path, one, two)
    require_equal(runs[one], engine_runs.train(TensorFlowEngine(), "packed", optimizer=optimizer), 5e-5)
    require_equal(runs[two], runs[one], 5e-5)


def test_golden_loss_curve(tmp_path):
    """The curve is that of the TensorFlow engine; 50 steps through JAX stay within 1e-3, the first 10 within 1e-5."""
    expected = json.loads((GOLDEN / "loss_curve.json").read_text(encoding="utf-8"))
    run_jax(GOLDEN / "jax_loss_curve.py", tmp_path / "curve.json")
    found = json.loads((tmp_path / "curve.json").read_text(encoding="utf-8"))
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(expected, 50)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-3, rtol=1e-3, err_msg=name)
        np.testing.assert_allclose(found[name][:10], values[:10], atol=1e-5, err_msg=name)
