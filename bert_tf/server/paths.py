"""The paths of TensorFlow Serving's REST interface (tensorflow/serving, model_servers/http_rest_api_util.cc).

`generate` and `explain` are this server's own.
"""

import dataclasses
import re
import urllib.parse

from bert_tf.server.errors import invalid

_CHOICE = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_ASKED = re.compile(rf"/v1/models/(?P<name>[^/:]+){_CHOICE}:(?P<verb>classify|regress|predict|generate|explain)", re.I)
_SHOWN = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_CHOICE}(?:/(?P<verb>metadata))?", re.I)


@dataclasses.dataclass(frozen=True)
class ModelPath:
    """The model, version and action that a path names.

    Attributes:
        name: the name of the model; never a path of files.
        version: the number of a version, or None.
        label: the label of a version, or None. Without either, the newest version is meant.
        verb: `classify`, `regress`, `predict`, `generate` or `explain`; or `metadata` or `status`.
    """

    name: str
    version: int | None
    label: str | None
    verb: str


def parse(method: str, raw_path: str) -> ModelPath:
    """Return what a path names.

    Args:
        method: `GET` or `POST`.
        raw_path: the path of the request, percent-encoded as it was sent.

    Raises:
        RequestError: there is no such path, it names no model, or the version is beyond int64.
    """
    found = (_ASKED if method == "POST" else _SHOWN).fullmatch(raw_path)
    if not found:
        raise invalid(f"Malformed request: {method} {raw_path[:200]}")
    if not found["name"]:
        raise invalid("Missing model name in request.")
    number = found["version"]
    if number is not None and (len(number) > 19 or int(number) >= 2**63):
        raise invalid(f"Failed to convert version: {number[:40]} to numeric.")
    return ModelPath(
        name=urllib.parse.unquote(found["name"]),
        version=None if number is None else int(number),
        label=None if found["label"] is None else urllib.parse.unquote(found["label"]),
        verb=(found["verb"] or "status").lower(),
    )
