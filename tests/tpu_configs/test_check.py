"""The check refuses what it cannot do in the first second, before TensorFlow or JAX are imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent

# An import of one of these would fail.
_WITHOUT_ENGINES = """
import sys
sys.modules |= dict.fromkeys(("tensorflow", "jax", "keras"))
from bert_tf.utils import launching
from tpu_configs import check
launching.run(check.main, check.define_flags)
"""


def _check(*arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT_ENGINES, *arguments],
        cwd=REPOSITORY,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--topology=v7x-8"], {}, "--engine must be jax on the topology v7x-8. Received: 'tensorflow'"),
        (["--topology=v6e-16"], {}, "--engine must be jax on the topology v6e-16. Received: 'tensorflow'"),
        (["--topology=v5e-8,v6e-8", "--engine=jax"], {}, "--topology must be one of v2-8"),
        (
            ["--topology=v5e-8", "--engine=jax", "--route=b"],
            {},
            "--route is a choice of TensorFlow's step, not of --engine=jax. Received: 'b'",
        ),
        (
            ["--topology=v5e-8", "--engine=jax", "--set=model.attention=fast"],
            {},
            "`attention` must be one of plain, fused. Received: 'fast'",
        ),
        (
            ["--topology=v5e-8", "--engine=jax"],
            {"KERAS_BACKEND": "tensorflow"},
            "--engine must be the backend that the environment names, KERAS_BACKEND=tensorflow",
        ),
    ],
)
def test_wrong_arguments(arguments, environment, message):
    result = _check(*arguments, **environment)
    assert result.returncode == 2, result.stderr
    (error,) = result.stderr.splitlines()
    assert message in error
