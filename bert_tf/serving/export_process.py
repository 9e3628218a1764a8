"""The process that makes an export for another one, whose Keras computes with JAX (`tensorflow_process`)."""

import json
import sys
from typing import Any

import keras

from bert_tf.serving.export import export_saved_model
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.tensorflow_process import ERRORS, MARK


def main() -> None:
    """Read a request from standard input, export, and print the answer as the last line."""
    request: dict[str, Any] = json.load(sys.stdin)
    given: dict[str, Any] = request.pop("options")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    options = ExportOptions(**given)
    try:
        path = keras.saving.load_model(request.pop("model")) if "model" in request else request.pop("path")
        answer = {"version": export_saved_model(path, options=options, **request)}
    except tuple(ERRORS.values()) as error:
        kind = next(name for name, known in ERRORS.items() if isinstance(error, known))
        answer = {"error": kind, "message": str(error)}
    print(MARK + json.dumps(answer))


if __name__ == "__main__":
    main()
