"""The order of the packages, read from the imports of their sources."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from launch_many import run_program

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("bert_tf", "data_pipelines", "experiments", "tpu_configs")

# The order of rooms, highest first: a file imports from its own room and from lower lines. Rooms of one line do not
# import each other. What is nested deeper (training/tensorflow_engine) has lines of its own, below.
ORDER = """
experiments
tpu_configs
data_pipelines.create_vocab data_pipelines.create_pretraining_data data_pipelines.convert_records
data_pipelines.verify_records
data_pipelines.input data_pipelines.vocabulary_extension data_pipelines.hard_negatives data_pipelines.trec
data_pipelines.records data_pipelines.finetuning data_pipelines.vocabulary data_pipelines.beam_word_counts
data_pipelines.word_counts
data_pipelines.corpora data_pipelines.alphabet data_pipelines.vocabulary_fit data_pipelines.nbest_lists
bert_tf.raw_text bert_tf.server
bert_tf.serving
bert_tf.training
bert_tf.conversion
bert_tf.runs
bert_tf.tasks
bert_tf.models bert_tf.scoring bert_tf.optimization
bert_tf.objectives
bert_tf.layers
bert_tf.preprocessing
bert_tf.fusion bert_tf.configs bert_tf.tokenization
bert_tf.features bert_tf.examples
bert_tf.utils
"""
LEVELS = {room: -level for level, line in enumerate(ORDER.strip().splitlines()) for room in line.split()}
PACKAGE_ORDER = ("bert_tf", "data_pipelines", "tpu_configs", "experiments")
# What data_pipelines may know of bert_tf: text and tokens, no models.
FOR_DATA = {f"bert_tf.{room}" for room in ("configs", "features", "examples", "tokenization", "utils")}
# Both engines run the first of these, and a machine without TensorFlow imports them all; no function in them needs it.
WITHOUT_TENSORFLOW = {
    f"bert_tf.{room}" for room in ("layers", "models", "objectives", "optimization", "fusion", "tasks")
}
WITHOUT_TENSORFLOW |= {f"bert_tf.{room}" for room in ("configs", "features", "examples", "tokenization", "scoring")}
WITHOUT_TENSORFLOW |= {"bert_tf.conversion", "bert_tf.training.jax_engine"}

# The public names that `bert_tf` finds by name, when they are used; type checkers alone see these imports.
FOUND_BY_NAME = {
    "bert_tf/__init__.py": {"experiments.python.finetune.finetune", "experiments.python.pretrain.pretrain"}
}
PRIVATE = ("keras.src", "tensorflow.python")
STRATEGY_HOME = "bert_tf/training/tensorflow_engine/distribution.py"
# Files that may use Python's own file functions, and why. All others use bert_tf.utils.files, which reaches gs:// too.
LOCAL_FILES = {
    "bert_tf/utils/file_systems.py": "the local half of bert_tf.utils.files, which needs no TensorFlow",
    "bert_tf/utils/launching.py": "the null device stands in for a standard output that is gone",
    "bert_tf/runs/run_lock.py": "flock, which object stores do not have; these get a lease",
    "experiments/benchmarks/step_workers/protocol.py": "/proc; and peers' environments need not hold TensorFlow",
}
# The one file that calls a higher room, when its methods are called: people look for them on the model. It also names
# the type of an index.
CALLS_UPWARD = {"bert_tf/models/text_model.py": ("bert_tf.raw_text", "bert_tf.serving.index")}
FLAG_CALL = re.compile(r"(^|\.)(DEFINE\w*|mark_\w+|register_\w*validator|(multi_flags_)?validator)$")
LOCAL_FILE_CALLS = {"open", "io.open", "os.open", "gzip.open", "bz2.open", "lzma.open", "codecs.open", "tokenize.open"}


def _sources(*packages: str) -> list[str]:
    return sorted(
        str(path.relative_to(REPOSITORY)) for package in packages for path in (REPOSITORY / package).rglob("*.py")
    )


@functools.cache
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


def room_of(module: str) -> str | None:
    """The longest name in ORDER that `module` is, or lies in; None for other packages and for `bert_tf` itself."""
    parts = module.split(".")
    starts = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next((start for start in starts if start in LEVELS), None)


def order_violations(source: str, tree: ast.Module) -> list[str]:
    """The imports in `source` that go against the order."""
    own_module = ".".join(_module_parts(source))
    own = room_of(own_module)
    found = []
    for name in imported_modules(tree, source):
        room = room_of(name)
        allowed = True
        if room is not None and own is not None:
            allowed = room == own or LEVELS[room] < LEVELS[own]
        if name in FOUND_BY_NAME.get(source, ()):
            continue
        package, own_package = name.split(".")[0], own_module.split(".")[0]
        if package in PACKAGE_ORDER and PACKAGE_ORDER.index(package) > PACKAGE_ORDER.index(own_package):
            allowed = False
        if own_package == "data_pipelines" and package == "bert_tf":
            allowed = room in FOR_DATA
        if name.split(".")[0] in {"tensorflow", "tensorflow_text"} and _runs_without_tensorflow(own_module):
            allowed = False
        if not allowed and not _calls_upward(source, name):
            found.append(f"{source}: {name}")
    return found


def _runs_without_tensorflow(module: str) -> bool:
    return f"{module}.".startswith(tuple(f"{room}." for room in WITHOUT_TENSORFLOW))


def _calls_upward(source: str, name: str) -> bool:
    return source in CALLS_UPWARD and name.startswith(CALLS_UPWARD[source])


def import_graph() -> dict[str, set[str]]:
    """The files of the packages, by module, and the files that each imports."""
    sources = {".".join(_module_parts(source)): source for source in _sources(*PACKAGES)}

    def files_of(name: str) -> Iterator[str]:
        module = name if name in sources else name.rpartition(".")[0]
        if module in sources:
            yield module

    return {
        module: {
            file
            for name in imported_modules(_tree(source), source)
            if not _calls_upward(source, name)
            for file in files_of(name)
        }
        - {module}
        for module, source in sources.items()
    }


def circles(graph: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """The groups of files of which each reaches the others by imports."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for module in graph.get(waiting.pop(), set()) - seen:
                seen.add(module)
                waiting.append(module)
        return seen

    reach = {module: reached(module) for module in graph}
    groups = {tuple(sorted(other for other in reach[module] if module in reach[other])) for module in graph}
    return sorted(group for group in groups if group)


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


def flags_at_import(source: str, tree: ast.Module) -> list[str]:
    """The calls of absl's flags that run when the module is imported or launched: two modules clash in one process."""
    inside = {
        call
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for statement in (function.body if isinstance(function.body, list) else [function.body])
        for call in ast.walk(statement)
    }
    return [
        f"{source}, line {node.lineno}: {dotted_name(node.func)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node not in inside and FLAG_CALL.search(dotted_name(node.func))
    ]


def test_import_order():
    assert [found for source in _sources(*PACKAGES) for found in order_violations(source, _tree(source))] == []


def test_no_two_files_import_each_other():
    assert circles(import_graph()) == []


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"d"}}
    assert circles(graph) == [("a", "b", "c")]


# The host loop sees the protocol of engines alone; and what may know TensorFlow beside the engine, and why.
ENGINE_ROOMS = ("bert_tf.training.tensorflow_engine", "bert_tf.training.jax_engine")
MAY_CHOOSE_THE_ENGINE = {"bert_tf/training/choose_engine.py"}
MAY_USE_TENSORFLOW = {
    "bert_tf/training/encoded_batches.py": "tf.data makes the batches of every engine",
    "bert_tf/training/choose_engine.py": "GPUs are hidden from TensorFlow before JAX takes them",
}


def engine_uses(source: str, tree: ast.Module) -> list[str]:
    """The imports of TensorFlow, or of its engine, in a file that sees the protocol alone."""
    names = list(imported_modules(tree, source))
    of_engine = [name for name in names if name.startswith(ENGINE_ROOMS) and source not in MAY_CHOOSE_THE_ENGINE]
    of_tensorflow = [name for name in names if name.split(".")[0] == "tensorflow" and source not in MAY_USE_TENSORFLOW]
    return [f"{source}: {name}" for name in (*of_engine, *of_tensorflow)]


def test_the_host_loop_sees_the_protocol_alone():
    training = [source for source in _sources("bert_tf") if Path(source).parent == Path("bert_tf/training")]
    launchers = ["experiments/launch.py", *(f"experiments/{name}.py" for name in ("pretrain", "finetune", "evaluate"))]
    assert len(training) > 5
    assert [found for source in (*training, *launchers) for found in engine_uses(source, _tree(source))] == []


def test_no_private_imports():
    sources = _sources(*PACKAGES, "tests")
    assert [found for source in sources for found in private_uses(source, _tree(source))] == []


def test_only_one_module_builds_strategies():
    sources = [source for source in _sources(*PACKAGES) if source != STRATEGY_HOME]
    assert [found for source in sources for found in strategies_built(source, _tree(source))] == []


def test_files_are_opened_by_one_module():
    sources = [source for source in _sources(*PACKAGES) if source not in LOCAL_FILES]
    assert [found for source in sources for found in local_file_calls(source, _tree(source))] == []


def test_no_module_defines_flags_when_it_is_imported():
    assert [found for source in _sources(*PACKAGES) for found in flags_at_import(source, _tree(source))] == []


def test_exceptions_are_still_needed():
    assert [source for source in LOCAL_FILES if not local_file_calls(source, _tree(source))] == []
    for source, rooms in CALLS_UPWARD.items():
        at_once = [ast.unparse(node) for node in _tree(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
        for room in rooms:
            assert not any(room in line for line in at_once)
            assert any(name.startswith(room) for name in imported_modules(_tree(source), source))


@pytest.mark.parametrize(
    ("check", "source", "code"),
    [
        (order_violations, "bert_tf/layers/a.py", "import tensorflow as tf"),
        (order_violations, "bert_tf/models/a.py", "def f():\n    from tensorflow import io"),
        (order_violations, "bert_tf/conversion/a.py", "def f():\n    import tensorflow"),
        (order_violations, "bert_tf/training/jax_engine/a.py", "import tensorflow as tf"),
        (order_violations, "bert_tf/layers/a.py", "from bert_tf.models import encoder"),
        (order_violations, "bert_tf/layers/a.py", "from ..models import encoder"),
        (order_violations, "bert_tf/layers/a.py", "from bert_tf import models"),
        (order_violations, "bert_tf/fusion.py", "from bert_tf.layers.heads import Head"),
        (order_violations, "bert_tf/training/a.py", "from data_pipelines import masking"),
        (order_violations, "data_pipelines/a.py", "from bert_tf.models.encoder import Encoder"),
        (order_violations, "data_pipelines/a.py", "import bert_tf"),
        (order_violations, "data_pipelines/a.py", "import experiments.pretrain"),
        (engine_uses, "bert_tf/training/a.py", "import tensorflow as tf"),
        (engine_uses, "bert_tf/training/a.py", "from bert_tf.training.tensorflow_engine.step import TrainStep"),
        (private_uses, "bert_tf/a.py", "from keras.src import ops"),
        (private_uses, "bert_tf/a.py", "import tensorflow as tf\ntf.python.ops"),
        (private_uses, "bert_tf/a.py", "from tensorflow.python.ops import array_ops"),
        (strategies_built, "bert_tf/a.py", "s = tf.distribute.MirroredStrategy()"),
        (strategies_built, "bert_tf/a.py", "s = tf.distribute.experimental.TPUStrategy(r)"),
        (strategies_built, "bert_tf/a.py", "from tensorflow.distribute import TPUStrategy"),
        (local_file_calls, "bert_tf/a.py", "with open('a') as f: pass"),
        (local_file_calls, "bert_tf/a.py", "import gzip\ngzip.open('a')"),
        (flags_at_import, "experiments/a.py", "ROUNDS = flags.DEFINE_integer('rounds', 3, '')"),
        (flags_at_import, "experiments/a.py", "from absl.flags import DEFINE_bool\nDEFINE_bool('a', True, '')"),
        (flags_at_import, "experiments/a.py", "if __name__ == '__main__':\n    flags.DEFINE_bool('a', True, '')"),
        (flags_at_import, "experiments/a.py", "flags.mark_flag_as_required('a')"),
        (flags_at_import, "experiments/a.py", "@flags.validator('a')\ndef f(a): return a > 0"),
    ],
)
def test_violations_are_found(check, source, code):
    assert check(source, ast.parse(code)) != []


@pytest.mark.parametrize(
    ("check", "source", "code"),
    [
        (order_violations, "bert_tf/models/a.py", "import keras\nfrom bert_tf.layers import heads\nfrom . import b"),
        (
            order_violations,
            "data_pipelines/a.py",
            "import tensorflow\nfrom bert_tf.utils import files\nfrom bert_tf import features",
        ),
        (order_violations, "experiments/a.py", "from bert_tf import training\nfrom data_pipelines import corpora"),
        (private_uses, "bert_tf/a.py", "import keras\nkeras.ops.add\nimport tensorflow as tf\ntf.io.gfile"),
        (strategies_built, "bert_tf/a.py", "def f(strategy: tf.distribute.Strategy): strategy.run(g)"),
        (local_file_calls, "bert_tf/a.py", "files.read_text('a')"),
        (flags_at_import, "bert_tf/a.py", "def define_flags():\n    flags.DEFINE_bool('a', True, '')"),
    ],
)
def test_allowed_code_is_not_reported(check, source, code):
    assert check(source, ast.parse(code)) == []


def test_every_folder_has_a_level_in_the_order():
    rooms = {".".join(_module_parts(source)[:2]) for source in _sources("bert_tf", "data_pipelines")}
    assert {room for room in rooms if room_of(room) is None} == {"bert_tf", "data_pipelines"}
    assert {room for room in LEVELS if "." in room} <= rooms


_IMPORT_ALL = """
import importlib, sys

EXTRAS = {"tensorflow_text", "keras_hub", "keras_nlp", "tensorflow_datasets", "huggingface_hub", "apache_beam"}
EXTRAS |= {"rouge_score", "sacrebleu", "polib", "starlette", "uvicorn", "prometheus_client", "onnx"}
EXTRAS |= {"onnxruntime"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

for name in [name for name in sys.modules if name.split(".")[0] in EXTRAS]:
    del sys.modules[name]
sys.meta_path.insert(0, Blocker())
for module in sys.argv[1:]:
    importlib.import_module(module)
print(len(sys.argv) - 1)
"""


def test_every_module_imports_without_the_extras(tmp_path):
    modules = [".".join(_module_parts(source)) for source in _sources("bert_tf", "data_pipelines")]
    result = run_program(_IMPORT_ALL, *modules, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == str(len(modules))
