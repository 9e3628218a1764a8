"""Programs run in a process of their own that finds some packages not installed, and nor do its children."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = str(Path(__file__).resolve().parent)
TENSORFLOW = ("tensorflow", "tensorflow_text", "tensorflow_datasets")

_OWN = ("bert_tf", "data_pipelines", "experiments", "tpu_configs")


def packages_beside(*kept):
    """Return the names of all installed packages but these distributions, what they require, and this project's own."""
    needed: set[str] = set()
    waiting = list(kept)
    while waiting:
        name = _normalized(waiting.pop())
        if name not in needed:
            needed.add(name)
            required = importlib.metadata.requires(name) or []
            # "; extra == ..." marks what only an extra needs, and other markers what another platform may need.
            waiting += [re.match(r"[\w.-]+", line)[0] for line in required if ";" not in line]
    found = importlib.metadata.packages_distributions()
    beside = [name for name, owners in found.items() if needed.isdisjoint(map(_normalized, owners))]
    # Names with an underscore in front are parts of packages, or belong to the start of Python.
    return tuple(name for name in beside if name.isidentifier() and name[0] != "_" and name not in _OWN)


def _normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def run_without(packages, folder, program, **environment):
    """Run a program with `folder` as its argument, where the packages are missing; return what it prints."""
    for name in packages:
        (folder / "missing" / name).mkdir(parents=True)
        refusal = f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')\n"
        (folder / "missing" / name / "__init__.py").write_text(refusal)
    path = os.pathsep.join([str(folder / "missing"), os.environ["PYTHONPATH"], TESTS])
    (folder / "program.py").write_text(program)
    result = subprocess.run(
        [sys.executable, str(folder / "program.py"), str(folder)],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
