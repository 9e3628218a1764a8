"""The published weights that `make test` installs, from tests/packages.txt."""

import importlib.util
import sys
from pathlib import Path

import pytest


def published_folder(package: str, *inside: str) -> str:
    """Return a folder of a package of weights, or skip the test."""
    spec = importlib.util.find_spec(package)
    folders = [Path(sys.prefix, "test-packages", package)]
    if spec is not None and spec.origin is not None:
        folders.append(Path(spec.origin).parent)
    for folder in folders:
        if folder.joinpath(*inside).exists():
            return str(folder.joinpath(*inside))
    pytest.skip(f"{package} is not installed: pip install --no-deps -r tests/packages.txt")
