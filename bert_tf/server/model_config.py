"""TensorFlow Serving's model config file: the models of a server as text of protocol buffers.

```
model_config_list {
  config {
    name: "classifier"
    base_path: "/models/classifier"
    model_platform: "tensorflow"
    model_version_policy { latest { num_versions: 2 } }
    version_labels { key: "stable" value: 1 }
  }
}
```

The messages are those of `tensorflow_serving/config/model_server_config.proto`. `model_version_policy` may also be
`all { }`, or `specific { versions: 1 versions: 2 }`; without it, the newest version is served.
"""

import re
from typing import Any

from bert_tf.server.models import ServedModel
from bert_tf.server.options import is_name
from bert_tf.server.served_version import SAVED_MODEL
from bert_tf.utils import files

_PLATFORM = "tensorflow"


def read_model_config(path: str, runtime: str = SAVED_MODEL) -> list[ServedModel]:
    """Return the models of a file, not yet loaded.

    Args:
        path: the file.
        runtime: what computes the models, see `ServedVersion`.

    Raises:
        ImportError: the package `tensorflow-serving-api`, of the extra `grpc`, is not installed.
        FileNotFoundError: there is no such file.
        ValueError: the file is no such text, or a model has a setting that this server has not, or no versions.
    """
    try:
        from google.protobuf import text_format
        from tensorflow_serving.config import model_server_config_pb2
    except ImportError as error:
        raise ImportError(
            "a model config file needs tensorflow-serving-api, of TensorFlow's minor version: pip install --no-deps "
            f"tensorflow-serving-api ({error})"
        ) from error
    text = files.read_text(path)
    try:
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError as error:
        line, reason = error.GetLine(), re.sub(r"^\d+:\d+ : ", "", str(error))
        raise ValueError(f"{path}{'' if line is None else f', line {line}'}: {reason}") from None
    if config.WhichOneof("config") != "model_config_list" or not config.model_config_list.config:
        raise ValueError(f"{path}: must hold a model_config_list with at least one config")
    models: dict[str, ServedModel] = {}
    for number, each in enumerate(config.model_config_list.config, 1):
        try:
            if each.name in models:
                raise ValueError(f"`name` must differ from those before. Received: {each.name!r}")
            models[each.name] = _model(each, runtime)
        except ValueError as error:
            raise ValueError(f"{path}, config {number}: {error}") from None
    return list(models.values())


def _model(config: Any, runtime: str) -> ServedModel:
    if not is_name(config.name):
        raise ValueError(f"`name` must be a name without '/' and ':'. Received: {config.name!r}")
    if "://" not in config.base_path and not config.base_path.startswith("/"):
        raise ValueError(f"`base_path` must be an absolute path or a URI. Received: {config.base_path!r}")
    if config.model_platform not in ("", _PLATFORM):
        raise ValueError(f"`model_platform` must be {_PLATFORM}. Received: {config.model_platform!r}")
    unknown = {"logging_config": config.HasField("logging_config"), "model_type": config.model_type}
    for field, is_given in unknown.items():
        if is_given:
            raise ValueError(f"`{field}` must be left out, because this server has none. Received: {config.name!r}")
    for label, version in config.version_labels.items():
        if not is_name(label) or version < 0:
            raise ValueError(f"`version_labels` must map names to versions. Received: {label!r}: {version}")
    policy = config.model_version_policy
    choice = policy.WhichOneof("policy_choice") or "latest"
    num_versions, versions = None, None
    if choice == "latest":
        num_versions = policy.latest.num_versions or 1
    elif choice == "specific":
        versions = frozenset(policy.specific.versions)
        if not versions:
            raise ValueError(f"`specific` must name at least one of `versions`. Received: {config.name!r}")
    return ServedModel(
        config.name, config.base_path, dict(config.version_labels), num_versions, versions=versions, runtime=runtime
    )
