"""The element-wise results that the backward pass computes again, where memory is small."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[3]

# Prints how many parts of a step's gradient are recomputed, for a device of each kind.
SCRIPT = """
import jax
from small_model import SMALL, random_pretraining_batch
from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.training.jax_engine.devices import Devices
from bert_tf.training.jax_engine.state import JaxState
from bert_tf.training.jax_engine.step import TrainStep

for platform in ("cpu", "gpu", "tpu"):
    devices = type("StandIn", (Devices,), {"platform": platform})()
    state = JaxState(BertPretrainer(SMALL), devices)
    step = TrainStep(state, pretraining_objective(), train=TrainConfig(), optimizer=OptimizerConfig(), devices=devices)
    traced = jax.make_jaxpr(step)(state.values(), step.fixed_values(), random_pretraining_batch())
    print(str(traced).count("prevent_cse"))
"""


def test_results_are_recomputed_on_accelerators_alone():
    pytest.importorskip("jax")
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
    on_cpu, on_gpu, on_tpu = map(int, result.stdout.split())
    assert on_cpu == 0
    # Each of the blocks has several such parts.
    assert on_gpu == on_tpu > 2
