"""An export by TensorFlow in a process of its own, for a process whose Keras computes with JAX."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

import keras

from bert_tf.serving.options import ExportOptions
from bert_tf.utils import quiet_imports

MARK = "the export's result: "
"""The beginning of the process's last line, after which its answer follows as JSON."""

ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (FileNotFoundError, OSError, ImportError, ValueError)
}
"""The errors that the process reports, the more special ones first."""


def export_by_tensorflow(path: Any, export_dir: str | None, options: ExportOptions, **settings: str | None) -> str:
    """Export a model as `export_saved_model` does, in a process whose Keras computes with TensorFlow.

    Args:
        path: as there; a model is saved to a temporary file first.
        export_dir: as there.
        options: the options.
        **settings: the other arguments that are texts.

    Returns:
        The folder of the new version.

    Raises:
        FileNotFoundError, ValueError, ImportError, OSError: as `export_saved_model`.
    """
    with tempfile.TemporaryDirectory() as folder:
        request = {"export_dir": export_dir, "options": dataclasses.asdict(options), **settings}
        if isinstance(path, keras.Model):
            request["model"] = os.path.join(folder, "model.keras")
            path.save(request["model"])
        else:
            request["path"] = path
        with quiet_imports.without_noise():
            process = subprocess.run(
                [sys.executable, "-P", "-m", "bert_tf.serving.export_process"],
                input=json.dumps(request),
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "KERAS_BACKEND": "tensorflow"},
                check=False,
            )
    output, _, result = process.stdout.rpartition(MARK)
    sys.stdout.write(output)
    if not result:
        raise OSError(f"the process of the export ended with exit code {process.returncode}")
    answer = json.loads(result)
    if "error" in answer:
        raise ERRORS[answer["error"]](answer["message"])
    return answer["version"]
