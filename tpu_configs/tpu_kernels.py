"""Route B of the TPU check: TensorFlow for TPU lowers the step with the TPU's own kernels, in another environment.

`tensorflow-tpu` and the `tpu-check` extra cannot share an environment, because they pin different versions of libtpu.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import tensorflow as tf

from bert_tf.configs import PretrainingConfig
from bert_tf.utils import files
from tpu_configs.compiler import ENVIRONMENT
from tpu_configs.lint import Finding
from tpu_configs.lowering import LoweredStep, Specs, Step, compiler_ir, traced
from tpu_configs.stateless import stateless

MODULE_FILE = "step.stablehlo"
NOTES_FILE = "step.json"


def lower_in_this_process(step: Step, specs: Specs) -> LoweredStep:
    """Return the step as StableHLO, lowered by the TPU's kernels in the `tensorflow-tpu` of this Python.

    Args:
        step: a function of a batch, which changes variables in place.
        specs: the names, shapes and dtypes of the batch.

    Raises:
        ValueError: a shape is not known, or an operation cannot be compiled. The message names it.
    """
    traced_function, findings = traced(step, specs)
    function, variables, aliases = stateless(traced_function.get_concrete_function(*specs.values()))
    compiled = tf.function(function, jit_compile=True, autograph=False)
    module = compiler_ir(compiled, [*specs.values(), *variables], "TPU")
    return LoweredStep(module, findings, f"tensorflow-tpu {tf.__version__}, route B", aliases)


def lower_by_tpu_kernels(
    config: PretrainingConfig,
    *,
    replicas: int,
    rows: int,
    max_seq_length: int,
    python: str,
    config_file: str,
    overrides: Sequence[str],
) -> LoweredStep:
    """Lower the step by route B, in a process of the environment that has `tensorflow-tpu`.

    Args:
        config: the experiment of `config_file` and `overrides`, which the other process reads again.
        replicas: the number of devices of the topology.
        rows: the number of rows that a device takes.
        max_seq_length: the number of tokens in a row.
        python: the path of that environment's Python.
        config_file: the experiment, by its name or as a file.
        overrides: changes to the experiment, as `--set` takes them.

    Raises:
        FileNotFoundError: there is no such Python.
        ValueError: the step cannot be lowered. The message is that of the other process.
    """
    if not files.exists(python):
        raise FileNotFoundError(
            "--lowering_python must be a Python with tensorflow-tpu, which `make tpu-check ROUTE=b` installs. "
            f"Received: {python!r}"
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [python, "-P", "-m", "tpu_configs.lower", f"--config={config_file}", f"--output_dir={folder}"]
        command += [f"--set={override}" for override in overrides]
        command += [f"--replicas={replicas}", f"--rows={rows}", f"--max_seq_length={max_seq_length}"]
        # TensorFlow passes the path of its libtpu on to child processes, but this one needs another libtpu.
        environment = {name: value for name, value in os.environ.items() if name != "TPU_LIBRARY_PATH"}
        environment["PYTHONPATH"] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        result = subprocess.run(command, env=environment | ENVIRONMENT, capture_output=True, text=True, check=False)
        if result.returncode:
            lines = [line for line in result.stderr.splitlines() if line.strip()] or ["no message"]
            raise ValueError(f"{python} could not lower the step: {lines[-1].removeprefix('error: ')}")
        sys.stderr.write("".join(line for line in result.stderr.splitlines(True) if line.startswith("warning")))
        return read(folder)


def write(folder: str, lowered: LoweredStep) -> None:
    """Write a lowered step for another process.

    Raises:
        OSError: the folder cannot be written to.
    """
    files.write_bytes(os.path.join(folder, MODULE_FILE), lowered.stablehlo)
    notes = {
        "findings": [vars(finding) for finding in lowered.findings],
        "versions": lowered.versions,
        "aliases": list(lowered.aliases.items()),
    }
    files.write_json(os.path.join(folder, NOTES_FILE), notes)


def read(folder: str) -> LoweredStep:
    """Return the lowered step that `write` wrote.

    Raises:
        FileNotFoundError: the folder does not hold one.
    """
    notes = files.read_json(os.path.join(folder, NOTES_FILE))
    findings = [Finding(**finding) for finding in notes["findings"]]
    module = files.read_bytes(os.path.join(folder, MODULE_FILE))
    return LoweredStep(module, findings, notes["versions"], dict(notes["aliases"]))
