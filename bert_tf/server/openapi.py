"""The description of a server's interface, in the form of OpenAPI 3.1, shown at `/openapi.json`."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.server.embeddings import embedding_signature
from bert_tf.server.models import AVAILABLE, END, LOADING, UNLOADING, ServedModel
from bert_tf.server.openapi_requests import SCHEMAS, requests
from bert_tf.server.options import ServerOptions

_VERSIONS = ("", "/versions/{version}", "/labels/{label}")

_ERRORS = {
    400: "The request is not as it must be, or the model refuses it.",
    401: "The request has none of the server's keys.",
    404: "There is no such model or version.",
    408: "The request did not arrive in time.",
    413: "The request, its number of texts, or a text is too large.",
    429: "Too many texts wait for the model.",
    431: "The head of the request is too large.",
    500: "The server failed.",
    503: "The server holds too many requests.",
    504: "The model did not answer in time.",
}
_ALWAYS = (400, 401, 408, 431, 500, 503)
"""The errors of a request that asks no model."""

_JSON = "application/json"
_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}


def _object(required: Mapping[str, Any], **optional: Any) -> dict[str, Any]:
    """Return the schema of an object with these members."""
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


# Where a number is not finite, an answer holds NaN or Infinity, as in TensorFlow Serving, which JSON has not.
_NUMBER = {"type": "number"}
_STATUS = _object({"error_code": _TEXT, "error_message": _TEXT})
_STATE = {"type": "string", "enum": ["UNKNOWN", "START", LOADING, AVAILABLE, UNLOADING, END]}
_VERSION_STATUS = _object({"version": {"type": "string", "pattern": "^[0-9]+$"}, "state": _STATE, "status": _STATUS})
_SPEC = _object({"name": _TEXT, "signature_name": _TEXT, "version": {"type": "string", "pattern": "^[0-9]+$"}})
_INTEGER = {"type": "integer"}
_TOKEN = _object({"token": _TEXT, "text": _INTEGER, "start": _INTEGER, "end": _INTEGER, "attribution": _NUMBER})
_EXPLANATION = _object(
    {"target": _TEXT, "value": _NUMBER, "tokens": _list(_TOKEN), "texts": _list(_TEXT)}, attention=_OBJECT
)
_VECTOR = _object({"object": {"const": "embedding"}, "index": _INTEGER, "embedding": {"type": ["array", "string"]}})
_SIGNATURES = _object({"signature_def": _OBJECT})
_ANSWERS = {
    "status": _object({"model_version_status": _list(_VERSION_STATUS)}),
    "metadata": _object(
        {"model_spec": _SPEC, "metadata": _object({"signature_def": _object({"signature_def": _OBJECT})})}
    ),
    "predict": {"anyOf": [_object({"predictions": {"type": "array"}}), _object({"outputs": {}})]},
    "classify": _object({"results": _list(_list({"type": "array", "minItems": 2, "maxItems": 2}))}),
    "regress": _object({"results": _list(_NUMBER)}),
    "generate": _object({"text": _TEXT}),
    "explain": _object({"explanations": _list(_EXPLANATION)}),
    "embeddings": _object({"object": {"const": "list"}, "model": _TEXT, "data": _list(_VECTOR)}),
}


def description(options: ServerOptions, models: Mapping[str, ServedModel]) -> dict[str, Any]:
    """Return the description as values of JSON.

    Args:
        options: the settings of the server: its limits, and whether it needs a key.
        models: the models by name. A verb that none of them answers is left out.
    """
    able = _able(models)
    versions = [version for model in models.values() for version in model.loaded.values()]
    signatures = {name for version in versions for name, each in version.signatures.items() if each.inputs}
    runs = [model.run for model in models.values() if model.run]
    tasks = {
        "generate": sorted({task for run in runs for task, each in run.tasks.items() if each.generates}),
        "explain": sorted({task for run in runs for task, each in run.tasks.items() if each.explains}),
    }
    bodies = requests(options, sorted(signatures), list(models), able["embeddings"], tasks)
    paths: dict[str, Any] = {}
    for choice in _VERSIONS:
        model = f"/v1/models/{{model}}{choice}"
        paths[model] = {"get": _operation("status", "Return the state of the versions.")}
        paths[f"{model}/metadata"] = {"get": _operation("metadata", "Return the signatures of a version.")}
        for verb in ("predict", "classify", "regress", "generate", "explain"):
            if able[verb]:
                operation = _operation(verb, f"Return the answer of {verb.capitalize()}.", bodies[verb])
                paths[f"{model}:{verb}"] = {"post": operation}
    for path, item in paths.items():
        names = [name for name in ("model", "version", "label") if f"{{{name}}}" in path]
        item["parameters"] = [_parameter(name, models, able[path.rpartition("}:")[2]]) for name in names]
    if able["embeddings"]:
        operation = _operation("embeddings", "Return a vector for each text.", bodies["embeddings"])
        paths["/v1/embeddings"] = {"post": operation}
    ok = {_JSON: {"schema": _object({"status": {"const": "ok"}})}}
    for path, summary, content, errors in (
        ("/healthz", "Tell that the server runs.", ok, (408, 431, 500)),
        ("/readyz", "Tell that each model has a version that answers.", ok, (408, 431, 500, 503)),
        ("/metrics", "Return the metrics in the text form of Prometheus.", {"text/plain": {"schema": _TEXT}}, _ALWAYS),
        ("/openapi.json", "Return this description.", {_JSON: {"schema": _OBJECT}}, _ALWAYS),
    ):
        answer = {"200": {"description": "The answer.", "content": content}}
        paths[path] = {"get": {"summary": summary, "responses": answer | _errors(errors)}}
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "bert_tf", "version": "1", "description": "TensorFlow Serving's REST interface, and more."},
        "paths": paths,
        "components": {"schemas": {"Error": _object({"error": _TEXT}), **SCHEMAS}},
    }
    if options.api_keys:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"key": []}]
        for path in ("/healthz", "/readyz"):
            paths[path]["get"]["security"] = []
    return found


def _able(models: Mapping[str, ServedModel]) -> Mapping[str, list[str]]:
    """Return the names of the models that answer each verb; all of them for a verb that depends on no model."""
    found = {
        "generate": [name for name, model in models.items() if model.run and model.run.generates],
        "explain": [name for name, model in models.items() if model.run and model.run.explains],
        "embeddings": [
            name
            for name, model in models.items()
            if model.loaded and embedding_signature(model.loaded[max(model.loaded)])
        ],
    }
    return collections.defaultdict(lambda: list(models), found)


def _operation(verb: str, summary: str, body: Any = None) -> dict[str, Any]:
    content: dict[str, Any] = {_JSON: {"schema": _ANSWERS[verb]}}
    if verb == "generate":
        content["text/event-stream"] = {"schema": _object({"data": _TEXT}, event=_TEXT)}  # of each event
    responses = {"200": {"description": "The answer.", "content": content}} | _errors(_ERRORS)
    operation = {"summary": summary, "responses": responses}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
    return operation


def _errors(statuses: Any) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {str(one): {"description": _ERRORS[one], "content": {_JSON: {"schema": schema}}} for one in statuses}


def _parameter(name: str, models: Mapping[str, ServedModel], able: Sequence[str]) -> dict[str, Any]:
    labels = sorted({label for model in models.values() for label in model.labels})
    schemas: dict[str, dict[str, Any]] = {
        "model": {"type": "string", "enum": list(able)},
        "version": {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**63 - 1},
        "label": {"type": "string", "enum": labels} if labels else {"type": "string", "pattern": "^[^/:]+$"},
    }
    return {"name": name, "in": "path", "required": True, "schema": schemas[name]}
