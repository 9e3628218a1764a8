"""The call of a function after the first import of a module, without importing the module itself."""

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def after_import(name: str, callback: Callable[[], None]) -> None:
    """Call `callback` at once if the module `name` is imported already, else as soon as its import has succeeded.

    A callback that fails does not break the import: its exception becomes a warning.

    Args:
        name: the name of a top-level module.
        callback: a function, called once; it may import the module.
    """
    if sys.modules.get(name) is None:
        sys.meta_path.insert(0, _Hook(name, callback))
    else:
        _call(name, callback)


def _call(name: str, callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception as error:
        warnings.warn(f"the call that follows the import of {name} failed: {error!r}", stacklevel=3)


class _Hook(MetaPathFinder):
    """A finder that adds the call to the loader that the other finders return for one module.

    It leaves `sys.meta_path` after the call. An import that fails makes no call, and may be tried again.
    """

    def __init__(self, name: str, callback: Callable[[], None]) -> None:
        self._name = name
        self._callback = callback

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self._name:
            return None
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            self._extend(spec.loader)
        return spec

    def _extend(self, loader: object) -> None:
        """Let `loader` make the call after it has executed the module.

        The loader keeps its type, since others read resources and sources through it. `setattr` changes this one
        object, and only until the module has been executed.
        """
        execute: Callable[[ModuleType], None] = loader.exec_module  # type: ignore[attr-defined]

        def execute_and_call(module: ModuleType) -> None:
            execute(module)
            if module.__name__ == self._name:  # a zip file has one loader for all its modules
                vars(loader).pop("exec_module", None)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                    _call(self._name, self._callback)

        loader.exec_module = execute_and_call  # type: ignore[attr-defined]
