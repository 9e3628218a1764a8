"""Tests of the names that `import bert_tf` gives and of the modules that it loads, in fresh processes."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from launch_many import run_program

import bert_tf

REPOSITORY = Path(__file__).resolve().parents[2]


def _run(*lines: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_import_loads_neither_keras_nor_a_backend():
    output = _run("import sys, bert_tf", "print(sorted({'keras', 'tensorflow', 'jax', 'numpy'} & set(sys.modules)))")
    assert output == "[]\n"


def test_every_public_name_exists_and_is_listed():
    for name in bert_tf.__all__:
        assert getattr(bert_tf, name).__name__ == name
    assert set(bert_tf.__all__) <= set(dir(bert_tf))
    with pytest.raises(AttributeError, match="module 'bert_tf' has no attribute 'BertDecoder'"):
        bert_tf.BertDecoder  # noqa: B018


def test_a_package_of_the_users_own_that_hides_the_trainings_is_named(tmp_path, monkeypatch):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    # An editable installation finds the modules of its packages wherever these packages are.
    finders = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
    monkeypatch.setattr(sys, "meta_path", finders)
    for module in [name for name in sys.modules if name.split(".")[0] == "experiments"]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(
        ImportError, match=r"bert_tf.finetune is in the package 'experiments' .* hides it: .*__init__.py"
    ):
        bert_tf.finetune  # noqa: B018


def test_type_checkers_see_the_names_where_they_are():
    tree = ast.parse(Path(bert_tf.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == bert_tf._HOMES
    assert sorted(seen) == sorted(bert_tf.__all__)


def test_all_modules_with_keras_classes_are_registered():
    decorated = {
        f"bert_tf.{folder}.{path.stem}"
        for folder in ("layers", "models", "objectives")
        for path in (REPOSITORY / "bert_tf" / folder).glob("*.py")
        if "@keras.saving.register_keras_serializable(" in path.read_text(encoding="utf-8")
    }
    assert decorated == set(bert_tf._KERAS_MODULES)


_LOAD = """
assert keras.saving.get_registered_object("bert_tf>BertEncoder").__module__ == "bert_tf.models.encoder"
print(keras.saving.load_model({path!r}).count_params())
assert not [finder for finder in sys.meta_path if "bert_tf" in type(finder).__module__]
"""


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    """A `.keras` file of a small classifier, and the number of its parameters."""
    config = bert_tf.BertConfig(
        vocab_size=20, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=8, max_position_embeddings=8
    )
    model = bert_tf.BertClassifier(config, num_classes=2)
    path = tmp_path_factory.mktemp("saved") / "classifier.keras"
    model.save(path)
    return str(path), model.count_params()


_A_MODEL_FIRST = "bert_tf, warnings; warnings.simplefilter('error', UserWarning); bert_tf.BertClassifier"


@pytest.mark.parametrize("first", [_A_MODEL_FIRST, "tensorflow"], ids=["a model", "tensorflow"])
def test_keras_loads_our_models_whichever_is_imported_first(saved_model, first):
    path, parameters = saved_model
    output = _run(f"import {first}", "import sys, bert_tf, keras", _LOAD.format(path=path))
    assert output.split()[-1] == str(parameters)


def test_keras_loads_our_models_when_it_was_imported_first(saved_model, tmp_path):
    path, parameters = saved_model
    result = run_program(f"import sys, bert_tf, keras\n{_LOAD.format(path=path)}", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == str(parameters)


def test_keras_loads_our_models_where_jax_computes_and_tensorflow_is_missing(saved_model):
    pytest.importorskip("jax")
    path, parameters = saved_model
    output = _run(
        "import sys",
        "sys.modules['tensorflow'] = None",
        "import bert_tf, keras",
        _LOAD.format(path=path),
        KERAS_BACKEND="jax",
    )
    assert output.split()[-1] == str(parameters)
