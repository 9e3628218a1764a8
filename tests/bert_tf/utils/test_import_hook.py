import importlib
import inspect
import sys

import pytest

from bert_tf.utils.import_hook import after_import

NAME = "module_of_the_import_hook_test"


@pytest.fixture
def module_file(tmp_path, monkeypatch):
    """An importable module, which every test imports anew; the list of finders is restored afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", sys.meta_path.copy())
    path = tmp_path / f"{NAME}.py"
    path.write_text("import sys\nvalue = 3\n")
    yield path
    sys.modules.pop(NAME, None)


def _finders():
    return [type(finder).__name__ for finder in sys.meta_path]


def test_the_call_follows_the_whole_import(module_file):
    seen = []
    finders = _finders()
    after_import(NAME, lambda: seen.append(vars(sys.modules[NAME]).get("value")))
    assert (seen, NAME in sys.modules) == ([], False)
    module = importlib.import_module(NAME)
    assert seen == [3]
    assert _finders() == finders
    assert inspect.getsource(module) == module_file.read_text()
    importlib.reload(module)
    assert seen == [3]
    assert "exec_module" not in vars(module.__loader__)


def test_a_module_that_is_there_is_not_waited_for(module_file):
    importlib.import_module(NAME)
    finders = _finders()
    seen = []
    after_import(NAME, lambda: seen.append(1))
    assert (seen, _finders()) == ([1], finders)


def test_several_calls_may_wait_for_one_module(module_file):
    seen = []
    after_import(NAME, lambda: seen.append(1))
    after_import(NAME, lambda: seen.append(2))
    importlib.import_module(NAME)
    assert sorted(seen) == [1, 2]


def test_looking_for_the_module_is_no_import(module_file):
    seen = []
    after_import(NAME, lambda: seen.append(1))
    assert importlib.util.find_spec(NAME) is not None
    assert seen == []
    importlib.import_module(NAME)
    assert seen == [1]


def test_an_import_that_fails_can_be_repeated(module_file):
    good = module_file.read_text()
    module_file.write_text("raise RuntimeError('not yet')\n")
    seen = []
    after_import(NAME, lambda: seen.append(1))
    with pytest.raises(RuntimeError, match="not yet"):
        importlib.import_module(NAME)
    assert seen == []
    module_file.write_text(good + "# another size, so that the cached bytecode is not used\n")
    importlib.import_module(NAME)
    assert seen == [1]


def test_a_missing_module_is_still_missing(module_file):
    after_import("module_that_does_not_exist", lambda: None)
    with pytest.raises(ModuleNotFoundError, match="module_that_does_not_exist"):
        importlib.import_module("module_that_does_not_exist")


@pytest.mark.parametrize("loaded", [False, True])
def test_a_call_that_fails_is_a_warning(module_file, loaded):
    def fail():
        raise ValueError("of the call")

    def wait_and_import():
        after_import(NAME, fail)
        return importlib.import_module(NAME).value

    if loaded:
        importlib.import_module(NAME)
    with pytest.warns(UserWarning, match=rf"import of {NAME} failed: ValueError\('of the call'\)"):
        value = wait_and_import()
    assert value == 3
