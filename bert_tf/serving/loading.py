"""The loading of models from runs, exports and published weights.

Each is loaded as a function of the encoder's inputs, a description as a run writes it, and a tokenizer. TensorFlow and
Keras are imported for what needs them only: `.tflite` and `.onnx` files are read without.
"""

import importlib.util
import os
from typing import Any

from bert_tf.configs.training import DTYPE_POLICIES
from bert_tf.conversion.heads import check_same_task
from bert_tf.runs import folder as run_folder
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving.exported import ArrayModel
from bert_tf.serving.litert import LiteModel
from bert_tf.serving.members import chosen_task, served_member
from bert_tf.serving.onnx_model import OnnxModel
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from bert_tf.utils.folder_contents import subfolders

GRAPH_FILE = "saved_model.pb"
_LITE_SUFFIX, _ONNX_SUFFIX = ".tflite", ".onnx"


def read_model(
    path: str, task: str | None = None, dtype: str = "float32"
) -> tuple[Any, ModelDescription, WordPieceTokenizer]:
    """Return the model at `path` with its description and its tokenizer.

    Args:
        path: a run's folder; the folder of an export's version, or of several versions (the newest is taken); a
            `.tflite` file of any length or a `.onnx` file in it; or any published weights that
            `conversion.loading.read_pretrained` takes, or a folder of Sentence Transformers.
        task: the task of the model, a key of `tasks.MODEL_KINDS`, which decides what the head of published weights is
            for where they do not say; or the name of one task of a model for several; None for what is found at `path`.
        dtype: the Keras dtype policy of a Keras model, a value of `configs.training.DTYPE_POLICIES`.

    Returns:
        The model, to be called in the same way as `BertEncoder`; the description, whose task is that of the run,
        `pretraining` or `encoder`; and the tokenizer. A run of retrieval and a folder of Sentence Transformers become
        an encoder. Its `description.embedding` says how texts become vectors.

    Raises:
        FileNotFoundError: nothing has this name, or there is no complete checkpoint.
        ValueError: files are damaged, weights are missing, the model is not a BERT, it is for another task than `task`,
            the `.tflite` file has a fixed length, `dtype` is unknown, or it is not `float32` for an export.
        ImportError: what the path needs is not installed: `ai-edge-litert` for a `.tflite` file, `onnxruntime` for a
            `.onnx` file, TensorFlow for all else, and TensorFlow Text for an export.
    """
    path = os.fspath(path).rstrip("/") or path
    policies = DTYPE_POLICIES.values()
    if dtype not in policies:
        raise ValueError(f"`dtype` must be one of {', '.join(policies)}. Received: {dtype!r}")
    if path.endswith((_LITE_SUFFIX, _ONNX_SUFFIX)):
        if not files.exists(path):
            raise FileNotFoundError(f"`path`: no such file. Received: {path!r}")
        _require_float32(dtype, path)
        description, tokenizer = _read_assets(os.path.dirname(os.path.dirname(path)), path)
        check_same_task(task, description.task, path)
        return _read_file(path, description.task), description, tokenizer
    if not _is_installed("tensorflow"):
        raise ImportError(
            "`path`: everything but .tflite and .onnx files needs TensorFlow, which is not installed (pip install "
            f"'bert_tf[cpu,text]'). Received: {path!r}"
        )
    version = _newest_version(path)
    if version is not None:
        _require_float32(dtype, path)
        description, tokenizer = _read_assets(version, path)
        chosen = chosen_task(description, task, path)
        from bert_tf.serving.saved_model import exported_model

        model = exported_model(version, description)
        if chosen is not None:
            model, description = served_member(model, description, chosen)
        return model, description, tokenizer
    from bert_tf.serving.trained import read_trained

    return read_trained(path, task, dtype)


def _require_float32(dtype: str, path: str) -> None:
    if dtype != "float32":
        raise ValueError(
            f"`dtype` must be float32 for an export, which computes as it was made. Received: {dtype!r}, {path!r}"
        )


def _read_file(path: str, task: str) -> ArrayModel:
    """Return the model in a file of an export."""
    if path.endswith(_ONNX_SUFFIX):
        return OnnxModel(path, task)
    model = LiteModel(path, task)
    if model.length is not None:
        raise ValueError(
            "`path` must name the file for any length, which uses the files of fixed lengths beside it. "
            f"Received: {path!r}, of {model.length} tokens"
        )
    return model


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # Python's word for a package whose import is refused (None in sys.modules)
        return False


def _newest_version(path: str) -> str | None:
    """Return the folder of the newest SavedModel: `path` itself or the highest number in it; None if there is none."""
    if files.exists(os.path.join(path, GRAPH_FILE)):
        return path
    versions = export_versions(path)
    return os.path.join(path, versions[-1]) if versions else None


def export_versions(path: str) -> list[str]:
    """Return the names of the versions in an export's folder, which are numbers, in ascending order.

    Raises:
        OSError: the folder cannot be read.
    """
    numbers = [name for name in subfolders(path) if name.isdecimal()]
    return sorted((name for name in numbers if files.exists(os.path.join(path, name, GRAPH_FILE))), key=int)


def _read_assets(version: str, path: str) -> tuple[ModelDescription, WordPieceTokenizer]:
    """Return the description and the tokenizer of an exported version. Errors name the caller's `path`."""
    file = os.path.join(version, "assets", run_folder.CONFIG_FILE)
    if not files.exists(file):
        raise FileNotFoundError(f"`path`: an export must hold assets/{run_folder.CONFIG_FILE}. Received: {path!r}")
    values = files.read_json(file)
    if isinstance(values, dict) and "embedding" not in values:
        raise ValueError(
            f"`path`: an earlier version of this package wrote the export. Export the model again. Received: {path!r}"
        )
    description = ModelDescription.from_dict(values)
    vocab_file = os.path.join(version, "assets", run_folder.VOCAB_FILE)
    return description, WordPieceTokenizer(vocab_file, description.do_lower_case, description.tokenizer_options)
