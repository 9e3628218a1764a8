"""The models of a server by name, and the versions of each that answer.

```
folder/1/saved_model.pb  folder/2/saved_model.pb ...    the newest versions are loaded; without more, the newest alone
```
"""

import dataclasses
import os
import threading
from collections.abc import Collection, Mapping

from bert_tf.server.errors import NOT_FOUND, RequestError, invalid
from bert_tf.server.paths import ModelPath
from bert_tf.server.served_run import ServedRun
from bert_tf.server.served_version import SAVED_MODEL, ServedVersion, check_runtime
from bert_tf.serving.loading import export_versions

AVAILABLE, LOADING, UNLOADING, END = "AVAILABLE", "LOADING", "UNLOADING", "END"
"""The states of a version (tensorflow/serving, apis/get_model_status.proto)."""

_OK = "OK"


@dataclasses.dataclass
class VersionState:
    """The state of a version.

    Attributes:
        state: one of the states above.
        error_code: `OK`, or the name of an error code if the version could not be loaded.
        error_message: the error.
    """

    state: str
    error_code: str = _OK
    error_message: str = ""

    def to_json(self, number: int) -> dict[str, object]:
        """Return the JSON of a `ModelVersionStatus`."""
        status = {"error_code": self.error_code, "error_message": self.error_message}
        return {"version": str(number), "state": self.state, "status": status}


class ServedModel:
    """The versions of one model.

    Args:
        name: the name in paths.
        folder: the folder of an export's versions.
        labels: names of versions, such as `{"stable": 1}`.
        num_versions: the number of newest versions to hold; None for all.
        versions: the numbers of the only versions to hold; None for any.
        runtime: what computes the model, see `ServedVersion`.

    Attributes:
        run: the run beside the export, or None.

    Raises:
        ValueError: the folder holds no version of an export, or there is no such runtime.
    """

    def __init__(
        self,
        name: str,
        folder: str,
        labels: Mapping[str, int] | None = None,
        num_versions: int | None = 1,
        *,
        versions: Collection[int] | None = None,
        runtime: str = SAVED_MODEL,
    ) -> None:
        self.name = name
        self.folder = folder
        self.labels = dict(labels or {})
        self.num_versions = num_versions
        self.versions = versions
        self.runtime = runtime
        self.run: ServedRun | None = None
        self.loaded: dict[int, ServedVersion] = {}
        self.states: dict[int, VersionState] = {}
        self._lock = threading.Lock()
        check_runtime(runtime)
        if not export_versions(folder):
            raise ValueError(f"`models` must name folders of versions of exports. Received: {folder!r} for {name!r}")

    def load(self) -> None:
        """Load the newest versions, when the server starts.

        Raises:
            ValueError: none of the versions can be loaded.
        """
        self.refresh()
        if not self.loaded:
            reasons = "; ".join(f"{number}: {state.error_message}" for number, state in self.states.items())
            reasons = reasons or f"none of the versions {sorted(self.versions or ())} is there"
            raise ValueError(f"`models`: no version of {self.name!r} loads. Received: {self.folder!r} ({reasons})")

    def refresh(self) -> None:
        """Load new versions, then let go of those that are not among the newest. Another thread may answer meanwhile.

        A version that cannot be loaded is left out, so that an older one goes on to answer, until its folder is
        removed. If the folder holds no version that can be loaded, those that are loaded stay. Requests that have a
        version keep it until they are answered.

        Raises:
            OSError: the folder cannot be read.
        """
        with self._lock:
            folders = {int(name): os.path.join(self.folder, name) for name in export_versions(self.folder)}
            if self.versions is not None:
                folders = {number: folder for number, folder in folders.items() if number in self.versions}
            for number in self.states.keys() - folders.keys() - self.loaded.keys():
                del self.states[number]
            kept: set[int] = set()
            for number in sorted(folders, reverse=True):
                is_wanted = self.num_versions is None or len(kept) < self.num_versions
                if is_wanted and (number in self.loaded or self._load(number, folders[number])):
                    kept.add(number)
            for number in self.loaded.keys() - kept if kept else ():
                self.states[number] = VersionState(UNLOADING)
                self.loaded = {other: version for other, version in self.loaded.items() if other != number}
                self.states[number] = VersionState(END)

    def _load(self, number: int, folder: str) -> bool:
        """Load a version, or note why it cannot be loaded. Return whether it answers."""
        if self.states.get(number, VersionState(END)).error_code != _OK:
            return False
        self.states[number] = VersionState(LOADING)
        try:
            version = ServedVersion(folder, number, self.runtime)
            version.warm_up()
        except Exception as error:  # whatever a graph or a file raises, the other versions go on
            message = str(error).split("\n", 1)[0][:300]
            self.states[number] = VersionState(END, "INTERNAL", message or type(error).__name__)
            return False
        self.loaded = {**self.loaded, number: version}
        self.states[number] = VersionState(AVAILABLE)
        return True

    def number_of(self, path: ModelPath) -> int | None:
        """Return the version that a path asks for, or None for the newest.

        Raises:
            RequestError: no version has this label.
        """
        if path.label is None:
            return path.version
        if path.label not in self.labels:
            raise invalid(f"Unrecognized servable version label: {path.label[:80]}")
        return self.labels[path.label]


class ServedModels:
    """The models of a server.

    Args:
        models: the models.
    """

    def __init__(self, *models: ServedModel) -> None:
        self.by_name = {model.name: model for model in models}

    def version(self, path: ModelPath) -> ServedVersion:
        """Return the version that answers a request.

        Raises:
            RequestError: there is no such model, version or label.
        """
        model = self.by_name.get(path.name)
        number = path.version
        if model is not None:
            number = model.number_of(path)
            loaded = model.loaded  # another thread may put another dictionary in its place
            found = loaded.get(max(loaded, default=0) if number is None else number)
            if found is not None:
                return found
        name = path.name[:80]
        asked = f"Latest({name})" if number is None else f"Specific({name}, {number})"
        raise RequestError(NOT_FOUND, f"Servable not found for request: {asked}")

    def run(self, path: ModelPath) -> ServedRun:
        """Return the run beside the export of a model, which answers `generate` and `explain`.

        Raises:
            RequestError: there is no such model or version, or no run beside it.
        """
        self.version(path)
        run = self.by_name[path.name].run
        if run is None:
            raise invalid(f"'{path.verb}' needs the run beside the export, which the server was not given.")
        return run

    def status(self, path: ModelPath) -> dict[str, object]:
        """Return the JSON of a `GetModelStatusResponse`: the states of one version or of all, the newest first.

        Raises:
            RequestError: there is no such model, version or label.
        """
        model = self.by_name.get(path.name)
        if model is None:
            raise RequestError(NOT_FOUND, f"Could not find any versions of model {path.name[:80]}")
        number = model.number_of(path)
        states = model.states.copy()
        if number is not None and number not in states:
            raise RequestError(NOT_FOUND, f"Could not find version {number} of model {path.name}")
        shown = sorted(states, reverse=True) if number is None else [number]
        return {"model_version_status": [states[each].to_json(each) for each in shown]}

    def not_ready(self) -> list[str]:
        """Return the names of the models none of whose versions answers."""
        return [name for name, model in self.by_name.items() if not model.loaded]

    def newest(self) -> dict[str, int]:
        """Return the newest version of each model that answers."""
        return {name: max(model.loaded) for name, model in self.by_name.items() if model.loaded}

    def metadata(self, path: ModelPath) -> dict[str, object]:
        """Return the JSON of a `GetModelMetadataResponse`: the signatures of a version.

        Raises:
            RequestError: there is no such model, version or label.
        """
        version = self.version(path)
        signatures = {name: signature.described for name, signature in version.signatures.items()}
        return {
            "model_spec": {"name": path.name, "signature_name": "", "version": str(version.number)},
            "metadata": {"signature_def": {"signature_def": signatures}},
        }
