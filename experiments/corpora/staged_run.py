"""A run of several stages in one folder, each of which is skipped when its files are complete."""

import os
import types
from collections.abc import Callable, Mapping
from typing import Any

from bert_tf.utils import files
from bert_tf.utils.arguments import renamed

SETTINGS_FILE = "settings.json"


class StagedRun:
    """A folder, what decides its files (`settings.json`), and its stages.

    Args:
        output_dir: the folder.
        settings: what a later call must agree with, as values of JSON.
        unnamed: the values, in a folder that an earlier version began, of settings that it did not name.

    Attributes:
        stages: name -> the file that shows that the stage is complete, and the function that makes it.

    Raises:
        ValueError: the folder was begun with other settings.
    """

    def __init__(
        self, output_dir: str, settings: Mapping[str, Any], unnamed: Mapping[str, Any] = types.MappingProxyType({})
    ) -> None:
        self.output_dir = output_dir
        self.stages: dict[str, tuple[str, Callable[[], None]]] = {}
        self._settings = dict(settings)
        path = self.path(SETTINGS_FILE)
        standing = dict(unnamed) | files.read_json(path) if files.exists(path) else self._settings
        if standing != self._settings:
            raise ValueError(
                f"`output_dir` must be a new folder, or one that was begun with the same settings ({standing}). "
                f"Received: {output_dir!r}, and {self._settings}"
            )

    def path(self, *parts: str) -> str:
        """Return a path in the folder."""
        return os.path.join(self.output_dir, *parts)

    def plan(self) -> list[str]:
        """Return a line for each stage that says whether its files are complete."""
        return [f"{name}: {'complete' if files.exists(path) else 'to do'}" for name, (path, _) in self.stages.items()]

    def run_stages(self) -> None:
        """Run the stages that are not complete.

        Raises:
            OSError: the folder cannot be written.
        """
        with renamed(folder="output_dir"):
            files.require_writable_folder(self.output_dir)
        files.write_json(self.path(SETTINGS_FILE), self._settings)
        for name, (path, write) in self.stages.items():
            print(f"\n== {name}{' (complete)' if files.exists(path) else ''}", flush=True)
            if not files.exists(path):
                write()
