"""The import of TensorFlow by a command: without needless lines on standard error, and without needless packages.

Its C++ libraries log before their level can be set, for example that CUDA does not start. On a machine without an
NVIDIA device, these lines do not help the user. All other lines are kept.

TensorFlow imports Keras, and both import scikit-learn, Matplotlib and JAX where they are installed, for functions that
no command calls. These take a third of the time until a command starts. They are left out, and can be imported later.
"""

import glob
import importlib.abc
import importlib.machinery
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from bert_tf.utils import keras_backend

_NVIDIA_DEVICE = "/dev/nvidiactl"
_TPU_DEVICES = ("/dev/accel*", "/dev/vfio/*")
_NOISE = (
    r"WARNING: All log messages before absl::InitializeLog\(\)"
    r"|I0000 |[EW]0000 .*(cuda|cuInit|computation_placer)|[-0-9]+ [0-9:.]+: E .*(cuda|cuInit)"
    r"|To enable the following instructions"
)
_SECONDS_FOR_THE_FILTER = 5
# Keras imports the first two for its wrappers and its pictures, and TensorFlow Lite imports the third to convert models
# of JAX. All three take the failure of the import for a package that is not installed.
_LEFT_OUT = ("sklearn", "matplotlib", "jax")
_FILTER = """
import re, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
noise = re.compile(sys.argv[1].encode())
for line in sys.stdin.buffer:
    if not noise.match(line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


def install() -> None:
    """Make the first import of TensorFlow in this process quiet and short. Call it before anything imports TensorFlow.

    In this process, `keras.wrappers` and the functions of `keras.visualization` then take scikit-learn and Matplotlib
    for not installed, so this is for commands, which do not use them.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _QuietFinder())


class _QuietFinder(importlib.abc.MetaPathFinder):
    """A finder that wraps the loader that other finders return for TensorFlow, until TensorFlow is imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "tensorflow":
            return None
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader, self)
        return spec


class _QuietLoader(importlib.abc.Loader):
    """A loader that imports TensorFlow, and lets it search for devices, without the noise."""

    def __init__(self, loader: importlib.abc.Loader, finder: _QuietFinder) -> None:
        self._loader = loader
        self._finder = finder

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._loader
        if os.path.exists(_NVIDIA_DEVICE):
            with _without_packages():
                self._loader.exec_module(module)
            return
        with without_noise():
            with _without_packages():
                self._loader.exec_module(module)
            # The search for a GPU writes a line too. On a TPU host, it could claim the TPU, which the engine must do.
            if not any(map(glob.glob, _TPU_DEVICES)):
                module.config.list_physical_devices()


@contextmanager
def _without_packages() -> Iterator[None]:
    """Let imports of the packages that are left out fail in the block, unless they are imported already."""
    names = [name for name in _LEFT_OUT if name not in sys.modules]
    if os.environ.get(keras_backend.VARIABLE) != "tensorflow" and "jax" in names:
        names.remove("jax")  # Keras may compute with it
    blocked: dict[str, Any] = dict.fromkeys(names)
    sys.modules.update(blocked)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


@contextmanager
def without_noise() -> Iterator[None]:
    """Remove the known noise from the lines that the block writes to standard error.

    The lines of C++ libraries go to the file descriptor, so the descriptor passes through a filter. The filter is
    another process, so that it still shows the last lines of a library that aborts this process.
    """
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    command = [sys.executable, "-I", "-S", "-c", _FILTER, _NOISE]
    noise_filter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=saved)
    assert noise_filter.stdin is not None
    os.dup2(noise_filter.stdin.fileno(), 2)
    noise_filter.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        # The filter ends with its input, which a process that the block started may still hold.
        with suppress(subprocess.TimeoutExpired):
            noise_filter.wait(_SECONDS_FOR_THE_FILTER)
