"""The import of TensorFlow without the lines that it writes to standard error on every machine without a GPU.

Its C++ libraries log before anything can set their level: that CUDA does not start, which instructions the processor
has. Where no NVIDIA device exists, these lines say nothing to whoever launches a job. All other lines are kept.
"""

import importlib.abc
import importlib.machinery
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

_NVIDIA_DEVICE = "/dev/nvidiactl"
_NOISE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\)|I0000 |[EW]0000 .*(cuda|cuInit)|To enable the following"
)


def install() -> None:
    """Let the first import of TensorFlow in this process be quiet. Call it before anything imports TensorFlow."""
    if os.path.exists(_NVIDIA_DEVICE):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _QuietFinder())


class _QuietFinder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow once, and wraps its loader."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader)
        return spec


class _QuietLoader(importlib.abc.Loader):
    """Loads TensorFlow, and lets it look for devices, without the noise."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with without_noise():
            self._loader.exec_module(module)
            module.config.list_physical_devices()


@contextmanager
def without_noise() -> Iterator[None]:
    """Hold standard error back during the block, and write it out, without the known noise, after it.

    It works on the file descriptor, so that lines of C++ libraries are held back, too.
    """
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            held_back.seek(0)
            for line in held_back:
                if not _NOISE.match(line):
                    os.write(2, line)
