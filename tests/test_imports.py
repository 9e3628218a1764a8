"""The order of the packages, read from the imports of their sources."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("bert_tf", "data_pipelines", "experiments", "tpu_configs")

# What data_pipelines may know of bert_tf: text and tokens, no models.
FOR_DATA = {"configs", "task_configs", "examples", "features", "tokenization", "files", "decompression", "progress"}
FOR_DATA |= {"launching"}
# Inside bert_tf, a module imports from its own level or a lower one. Modules that stand in none of these folders
# are level 0; the package's own __init__ offers names from every level.
LEVELS = {"scoring": 0, "layers": 1, "models": 2, "tasks": 3, "training": 3, "conversion": 3, "serving": 3}

PRIVATE = ("keras.src", "tensorflow.python")
STRATEGY_HOME = "bert_tf/training/tensorflow_engine/distribution.py"
# Files that may use Python's own file functions, and why. All others use bert_tf.utils.files, which reaches gs:// too.
LOCAL_FILES = {
    "bert_tf/utils/launching.py": "the null device stands in for a standard output that is gone",
    "bert_tf/runs/run_lock.py": "flock, which object stores do not have; these get a lease",
    "experiments/benchmarks/step_workers/protocol.py": "/proc; and peers' environments need not hold TensorFlow",
}
LOCAL_FILE_CALLS = {"open", "io.open", "os.open", "gzip.open", "bz2.open", "lzma.open", "codecs.open", "tokenize.open"}


def _sources(*packages: str) -> list[str]:
    return sorted(
        str(path.relative_to(REPOSITORY)) for package in packages for path in (REPOSITORY / package).rglob("*.py")
    )


def _tree(source: str) -> ast.Module:
    return ast.parse((REPOSITORY / source).read_text(encoding="utf-8"), source)


def _module_parts(source: str) -> list[str]:
    parts = list(Path(source).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def imported_modules(tree: ast.Module, source: str) -> Iterator[str]:
    """Dotted names of all that is imported, inside functions too; `from a import b` gives `a.b`."""
    package = list(Path(source).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def dotted_name(node: ast.AST) -> str:
    """`tf.distribute.MirroredStrategy` for such a chain of attributes, "" for other expressions."""
    if isinstance(node, ast.Attribute):
        start = dotted_name(node.value)
        return f"{start}.{node.attr}" if start else ""
    return node.id if isinstance(node, ast.Name) else ""


def order_violations(source: str, tree: ast.Module) -> list[str]:
    """The imports in `source` that go against the order."""
    own = _module_parts(source)
    found = []
    for name in imported_modules(tree, source):
        top, *rest = name.split(".")
        allowed = True
        if own[0] == "bert_tf":
            allowed = top not in {"data_pipelines", "experiments", "tpu_configs"}
            if top == "bert_tf" and len(own) > 1 and rest:
                allowed = LEVELS.get(rest[0], 0) <= LEVELS.get(own[1], 0)
            if len(own) > 1 and own[1] in {"layers", "models"} and top in {"tensorflow", "tensorflow_text"}:
                allowed = False
        elif own[0] == "data_pipelines":
            allowed = top not in {"experiments", "tpu_configs"}
            if top == "bert_tf":
                allowed = bool(rest) and rest[0] in FOR_DATA
        if not allowed:
            found.append(f"{source}: {name}")
    return found


def private_uses(source: str, tree: ast.Module) -> list[str]:
    names = [*imported_modules(tree, source), *filter(None, map(dotted_name, ast.walk(tree)))]
    names = [name.replace("tf.", "tensorflow.", 1) if name.startswith("tf.") else name for name in names]
    return [f"{source}: {name}" for name in names if f"{name}.".startswith(tuple(f"{start}." for start in PRIVATE))]


def strategies_built(source: str, tree: ast.Module) -> list[str]:
    calls = [dotted_name(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [name for name in imported_modules(tree, source) if "distribute" in name]
    return [
        f"{source}: {name}"
        for name in [*calls, *names]
        if name.endswith("Strategy") and ("distribute" in name or name[0].isupper())
    ]


def local_file_calls(source: str, tree: ast.Module) -> list[str]:
    return [
        f"{source}, line {node.lineno}: {dotted_name(node.func)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted_name(node.func) in LOCAL_FILE_CALLS
    ]


def test_import_order():
    assert [found for source in _sources(*PACKAGES) for found in order_violations(source, _tree(source))] == []


def test_no_private_imports():
    sources = _sources(*PACKAGES, "tests")
    assert [found for source in sources for found in private_uses(source, _tree(source))] == []


def test_only_one_module_builds_strategies():
    sources = [source for source in _sources(*PACKAGES) if source != STRATEGY_HOME]
    assert [found for source in sources for found in strategies_built(source, _tree(source))] == []


def test_files_are_opened_through_gfile():
    sources = [source for source in _sources(*PACKAGES) if source not in LOCAL_FILES]
    assert [found for source in sources for found in local_file_calls(source, _tree(source))] == []


def test_exceptions_are_still_needed():
    assert [source for source in LOCAL_FILES if not local_file_calls(source, _tree(source))] == []


@pytest.mark.parametrize(
    ("check", "source", "code"),
    [
        (order_violations, "bert_tf/layers/a.py", "import tensorflow as tf"),
        (order_violations, "bert_tf/models/a.py", "def f():\n    from tensorflow import io"),
        (order_violations, "bert_tf/layers/a.py", "from bert_tf.models import encoder"),
        (order_violations, "bert_tf/layers/a.py", "from ..models import encoder"),
        (order_violations, "bert_tf/layers/a.py", "from bert_tf import models"),
        (order_violations, "bert_tf/objectives/losses.py", "from bert_tf.layers.heads import Head"),
        (order_violations, "bert_tf/training/a.py", "from data_pipelines import masking"),
        (order_violations, "data_pipelines/a.py", "from bert_tf.models.encoder import Encoder"),
        (order_violations, "data_pipelines/a.py", "import bert_tf"),
        (order_violations, "data_pipelines/a.py", "import experiments.pretrain"),
        (private_uses, "bert_tf/a.py", "from keras.src import ops"),
        (private_uses, "bert_tf/a.py", "import tensorflow as tf\ntf.python.ops"),
        (private_uses, "bert_tf/a.py", "from tensorflow.python.ops import array_ops"),
        (strategies_built, "bert_tf/a.py", "s = tf.distribute.MirroredStrategy()"),
        (strategies_built, "bert_tf/a.py", "s = tf.distribute.experimental.TPUStrategy(r)"),
        (strategies_built, "bert_tf/a.py", "from tensorflow.distribute import TPUStrategy"),
        (local_file_calls, "bert_tf/a.py", "with open('a') as f: pass"),
        (local_file_calls, "bert_tf/a.py", "import gzip\ngzip.open('a')"),
    ],
)
def test_violations_are_found(check, source, code):
    assert check(source, ast.parse(code)) != []


@pytest.mark.parametrize(
    ("check", "source", "code"),
    [
        (order_violations, "bert_tf/models/a.py", "import keras\nfrom bert_tf.layers import heads\nfrom . import b"),
        (order_violations, "data_pipelines/a.py", "import tensorflow\nfrom bert_tf import files, features"),
        (order_violations, "experiments/a.py", "from bert_tf import training\nfrom data_pipelines import corpora"),
        (private_uses, "bert_tf/a.py", "import keras\nkeras.ops.add\nimport tensorflow as tf\ntf.io.gfile"),
        (strategies_built, "bert_tf/a.py", "def f(strategy: tf.distribute.Strategy): strategy.run(g)"),
        (local_file_calls, "bert_tf/a.py", "files.read_text('a')"),
    ],
)
def test_what_is_allowed_is_not_reported(check, source, code):
    assert check(source, ast.parse(code)) == []


def test_levels_are_folders_of_the_library():
    folders = {path.name for path in (REPOSITORY / "bert_tf").iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders <= set(LEVELS), "a new folder of bert_tf needs a place in the order of imports"


_IMPORT_ALL = """
import importlib, sys
from absl import flags

EXTRAS = {"tensorflow_text", "keras_hub", "keras_nlp", "tensorflow_datasets", "huggingface_hub", "apache_beam"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
own = set(flags.FLAGS)
for module in sys.argv[1:]:
    importlib.import_module(module)
    for name in set(flags.FLAGS) - own:  # launchers name their flags alike, and a process runs one of them
        delattr(flags.FLAGS, name)
print(len(sys.argv) - 1)
"""


def test_every_module_imports_without_the_extras():
    modules = [".".join(_module_parts(source)) for source in _sources("bert_tf", "data_pipelines")]
    result = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, *modules],
        cwd=REPOSITORY,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == str(len(modules))
