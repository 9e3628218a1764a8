"""The check with Google's compiler, at debug size: in the environment of `make tpu-check`, where that stands.

It is an environment of 3 GB, so that the tests do not make it: they run where `.venv-tpu` stands, as in CI, or where
TPU_CHECK_PYTHON names a Python that has the `tpu-check` extra.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PYTHON = os.environ.get("TPU_CHECK_PYTHON", str(REPOSITORY / ".venv-tpu" / "bin" / "python"))
KERNELS = os.environ.get("TPU_KERNELS_PYTHON", str(REPOSITORY / ".venv-tpu-kernels" / "bin" / "python"))
DEBUG = ["--config=experiments/configs/bert_tiny_debug.py", "--topology=v5e-4"]
# One narrow layer and few tokens: compiled in seconds.
SMALL = ["--set=model.vocab_size=512", "--set=model.max_position_embeddings=64", "--max_seq_length=64"]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not os.path.exists(PYTHON), reason="`make tpu-check` makes the environment of Google's compiler"
    ),
]


def _run(*arguments, python=PYTHON):
    environment = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "KERAS_BACKEND")}
    return subprocess.run(
        [python, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=1200, check=False
    )


def _report(output):
    """What stands behind each word at the start of a line."""
    return {line[:13].strip(): line[13:] for line in output.splitlines()}


def _check_report(output, route):
    report = _report(output)
    assert report["topology"] == "v5e-4: 4 x TPU v5 lite (v5e:2x2), 1 host"
    assert report["step"].startswith("bert_tiny_debug: 4 rows of 64 a device, 16 in all")
    assert report["lint"] == "nothing that a TPU should not see"
    assert re.match(rf"yes, in \d+ s \(.*route {route}, jax [\d.]+, libtpu [\d.]+\)", report["compiles"])
    used, usable = map(float, re.match(r"([\d.]+) of ([\d.]+) GiB a device", report["HBM"]).groups())
    assert 0 < used < 1
    assert usable == 15.75
    compiler, hand = map(float, re.match(r"([\d.e+]+) a step.* compiler, ([\d.e+]+) by hand", report["FLOPs"]).groups())
    # Element-wise work weighs much in so small a model; a product that was missed would halve the metric.
    assert hand < compiler < 3 * hand
    count = int(re.match(r"(\d+), each over all 4 replicas", report["all-reduce"])[1])
    assert 1 <= count <= 5


def test_the_step_compiles():
    result = _run("-m", "tpu_configs.check", *DEBUG, *SMALL)
    assert result.returncode == 0, result.stderr[-2000:]
    _check_report(result.stdout, "A")


WEIGHTS = 26  # of one layer and the heads; each comes back once
FUSED = ["--set=model.attention=fused", "--set=model.attention_dropout_rate=0"]
# One layer of the debug size with 30,522 embeddings, whose moments can be told from the rest.
LARGE_TABLE = [
    "--set=model.num_layers=1",
    "--set=model.hidden_size=128",
    "--max_seq_length=128",
    "--batch_per_device=2",
    "--set=train.precision=bfloat16",
]


@pytest.mark.parametrize(
    ("options", "described"),
    [
        ([], "plain attention, whole moments"),
        ([*FUSED, "--set=train.shard_optimizer=true"], "fused attention, sharded moments"),
    ],
)
def test_the_step_of_jax_compiles_for_a_tpu_that_tensorflow_cannot_reach(options, described):
    debug = ["--config=bert_tiny_debug", "--topology=v7x-8", "--engine=jax"]
    result = _run("-m", "tpu_configs.check", *debug, *LARGE_TABLE, *options)
    assert result.returncode == 0, result.stderr[-2000:]
    report = _report(result.stdout)
    assert report["topology"] == "v7x-8: 8 x TPU7x (tpu7x:2x2x1), 1 host"
    assert report["step"].startswith("bert_tiny_debug: 2 rows of 128 a device, 16 in all; bfloat16")
    assert report["step"].endswith(described)
    assert re.match(r"yes, in \d+ s \(jax [\d.]+, libtpu [\d.]+\)", report["compiles"])
    assert "lint" not in report
    weights = 30522 * 128 * 4 / 2**30
    arguments = float(re.search(r"arguments ([\d.]+)", report["HBM"])[1])
    # The weights are whole on each device, and two moments of each are whole, or an eighth.
    expected = weights * (1 + 2 / 8 if "sharded" in described else 3)
    assert arguments == pytest.approx(expected, rel=0.3)
    count, others = re.match(r"(\d+), each over all 8 replicas; (\d+) other", report["all-reduce"]).groups()
    assert 1 <= int(count) <= 8
    # Rows stay where they are. Weights come back from the devices that update them with their part of the moments.
    assert int(others) == 0 or "sharded" in described
    assert int(others) <= WEIGHTS


@pytest.mark.skipif(not os.path.exists(KERNELS), reason="`make tpu-check ROUTE=b` makes the environment")
def test_the_step_compiles_from_the_kernels_of_the_tpu():
    result = _run("-m", "tpu_configs.check", *DEBUG, *SMALL, "--route=b", f"--lowering_python={KERNELS}")
    assert result.returncode == 0, result.stderr[-2000:]
    _check_report(result.stdout, "B")


def test_a_model_that_is_too_large_is_refused():
    # The logits alone, of 20 predictions a row, are 80 GB.
    result = _run("-m", "tpu_configs.check", *DEBUG, "--max_seq_length=128", "--batch_per_device=32768")
    assert result.returncode == 2
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert re.match(r"error: the step does not fit on v5e-4: .*RESOURCE_EXHAUSTED", error)


# What `tests/tpu_configs/test_lowering.py` shows of TensorFlow's part, to the end: gradients that are not summed.
_LONE_REPLICA = """
from tpu_configs import checking, lowering, tensorflow_step, topologies
from bert_tf.configs import PretrainingConfig
from bert_tf.training.tensorflow_engine.distribution import Distribution
lowering.CompiledReplica.all_reduce = Distribution.all_reduce
from bert_tf.configs.experiment_files import load_config
config = load_config("experiments/configs/bert_tiny_debug.py", PretrainingConfig, ["model.vocab_size=512"])
checking.check(
    topologies.load("v5e-4"), "debug", config, rows=4, max_seq_length=64, compile_step=tensorflow_step.compile_step
)
"""


def test_gradients_that_are_not_summed_are_refused():
    result = _run("-c", _LONE_REPLICA)
    assert (
        "ValueError: the gradients must be summed over all 4 replicas. Received: all-reduces over none" in result.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--topology=v5e-4", "--set=train.batch_size=15"],
            "`train.batch_size` must be a multiple of the TPU's 4 devices",
        ),
        (["--topology=v9"], "--topology must be one of v2-8"),
        (["--topology=v5e-4", "--route=b", "--lowering_python=absent"], "--lowering_python must be a Python with"),
        (["--topology=v5e-4", "--max_seq_length=1024"], "at least the rows' length of 1024"),
    ],
)
def test_wrong_arguments(arguments, message):
    result = _run("-m", "tpu_configs.check", "--config=experiments/configs/bert_tiny_debug.py", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
