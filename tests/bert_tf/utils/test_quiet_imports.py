"""The filter of standard error, in processes of their own, and with a package that stands in for TensorFlow."""

import os
import subprocess
import sys

import pytest

_TENSORFLOW = """
import os, sys
os.write(2, b'''WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1 port.cc:153] oneDNN custom operations are on.
E0000 00:00:1 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit
2026-01-01 00:00:00.123456: E external/xla/cuda/cuda_platform.cc:51] failed call to cuInit: UNKNOWN ERROR (303)
To enable the following instructions: AVX2, rebuild TensorFlow.
E0000 00:00:1 file_system.cc:1] the disk is full
W0000 a line without an end''')

class config:
    def list_physical_devices():
        os.write(2, b'''
E0000 00:00:1 cuda_platform.cc:52] failed call to cuInit
a line of the devices
''')
"""
_KEPT = ["E0000 00:00:1 file_system.cc:1] the disk is full", "W0000 a line without an end", "a line of the devices"]


@pytest.fixture
def run(tmp_path):
    """Run Python lines where `tensorflow` is a noisy stand-in; return what is written to standard error."""
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(_TENSORFLOW)

    def run_lines(*lines, code=0):
        path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
        result = subprocess.run(
            [sys.executable, "-c", "\n".join(lines)],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == code, result.stderr
        return result.stderr.splitlines()

    return run_lines


_INSTALL = "from bert_tf.utils import quiet_imports; quiet_imports._NVIDIA_DEVICE = '/none'; quiet_imports.install()"


def test_known_noise_is_left_out_and_all_else_is_kept(run):
    assert len(run("import tensorflow")) > len(_KEPT)
    assert run(_INSTALL, "import tensorflow") == _KEPT


def test_output_after_the_import_is_not_filtered(run):
    assert run(_INSTALL, "import os, tensorflow, sys", "os.write(2, b'I0000 later')")[-1] == "I0000 later"


def test_looking_for_the_package_does_not_end_the_wait(run):
    lines = [_INSTALL, "import importlib.util", "importlib.util.find_spec('tensorflow')", "import tensorflow, sys"]
    assert run(*lines, "assert not [f for f in sys.meta_path if 'quiet' in type(f).__module__]") == _KEPT


def test_the_last_words_of_a_library_that_aborts_are_shown(run, tmp_path):
    with (tmp_path / "tensorflow" / "__init__.py").open("a") as file:
        file.write("os.write(2, b'F0000 no AVX instructions'); os.abort()\n")
    assert run(_INSTALL, "import tensorflow", code=-6)[-1].endswith("F0000 no AVX instructions")


def test_machines_with_a_gpu_show_every_line(run, tmp_path):
    (tmp_path / "gpu").touch()
    install = _INSTALL.replace("/none", str(tmp_path / "gpu"))
    assert len(run(install, "import tensorflow")) > len(_KEPT)


@pytest.mark.parametrize("gpu", [False, True])
def test_packages_for_other_uses_are_left_out_until_later(run, tmp_path, gpu):
    with (tmp_path / "tensorflow" / "__init__.py").open("a") as file:
        file.write("for name in ('sklearn', 'matplotlib', 'jax'):\n    try:\n        __import__(name)\n")
        file.write("    except ImportError:\n        print('\\nwithout', name, file=sys.stderr, flush=True)\n")
    for name in ("sklearn", "matplotlib", "jax"):
        (tmp_path / f"{name}.py").touch()
    if gpu:
        (tmp_path / "gpu").touch()
    install = _INSTALL.replace("/none", str(tmp_path / "gpu"))
    later = "import tensorflow, sklearn, matplotlib, jax"

    def left_out(*lines, backend="tensorflow"):
        choose = f"import os, sys; os.environ['KERAS_BACKEND'] = {backend!r}"
        return [line.split()[1] for line in run(choose, *lines) if line.startswith("without")]

    assert left_out(later) == []
    assert left_out(install, later) == ["sklearn", "matplotlib", "jax"]
    assert left_out(install, later, backend="jax") == ["sklearn", "matplotlib"]
    assert left_out(install, "import sklearn, jax", later) == ["matplotlib"]


def test_the_real_tensorflow_is_imported_in_silence_and_without_them():
    absent = "assert not {'sklearn', 'matplotlib', 'jax'} & sys.modules.keys()"
    lines = [_INSTALL, "import sys, tensorflow as tf", "tf.constant(1)", absent, "import sklearn.metrics"]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", "\n".join(lines)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, "")
