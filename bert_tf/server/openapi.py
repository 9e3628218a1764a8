"""The description of a server's interface, in the form of OpenAPI 3.1, shown at `/openapi.json`."""

from typing import Any

from bert_tf.server.options import ServerOptions

_VERSIONS = ("", "/versions/{version}", "/labels/{label}")

_ERRORS = {
    400: "The request is not as it must be, or the model refuses it.",
    401: "The request has none of the server's keys.",
    404: "There is no such model or version.",
    408: "The request did not arrive in time.",
    413: "The request, its number of texts, or a text is too large.",
    429: "Too many texts wait for the model.",
    503: "The server holds too many requests.",
    504: "The model did not answer in time.",
}

_VALUE: dict[str, Any] = {"description": 'A number, a text, true, false, {"b64": "..."} for bytes, or lists of these.'}
_SIGNATURE = {"type": "string", "description": "The signature to ask; serving_default by default."}
_FEATURES = {"type": "object", "additionalProperties": _VALUE}
_BODIES: dict[str, Any] = {
    "predict": {
        "type": "object",
        "properties": {
            "signature_name": _SIGNATURE,
            "instances": {"type": "array", "minItems": 1, "items": _VALUE, "description": "The inputs in rows."},
            "inputs": {**_VALUE, "description": "The inputs in columns: an object of lists, or the list of one input."},
        },
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    },
    "classify": {
        "type": "object",
        "properties": {
            "signature_name": _SIGNATURE,
            "context": {**_FEATURES, "description": "Features of all examples."},
            "examples": {"type": "array", "minItems": 1, "items": _FEATURES},
        },
        "required": ["examples"],
    },
    "generate": {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "stream": {"type": "boolean", "description": "Whether the answer is a stream of server-sent events."},
            "max_length": {"type": "integer", "minimum": 1},
            "no_repeat_ngram": {"type": "integer", "minimum": 0},
            "temperature": {"type": "number", "exclusiveMinimum": 0},
            "top_k": {"type": "integer", "minimum": 1},
            "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "seed": {"type": "integer"},
        },
        "required": ["text"],
    },
    "explain": {
        "type": "object",
        "properties": {
            **{name: {"type": "string"} for name in ("text", "text_pair", "question", "context")},
            "method": {
                "type": "string",
                "enum": ["gradient_x_input", "integrated_gradients", "occlusion", "attention_rollout"],
            },
            "target": {"type": ["string", "integer"]},
        },
    },
    "embeddings": {
        "type": "object",
        "properties": {
            "model": {"type": "string"},
            "input": {"oneOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]},
            "encoding_format": {"type": "string", "enum": ["float", "base64"]},
        },
        "required": ["input"],
    },
}
_BODIES["regress"] = _BODIES["classify"]


def _answer(*names: str) -> dict[str, Any]:
    """Return the schema of an object that has one of these members."""
    return {"type": "object", "properties": dict.fromkeys(names, _VALUE)}


_ANSWERS = {
    "status": _answer("model_version_status"),
    "metadata": _answer("model_spec", "metadata"),
    "predict": _answer("predictions", "outputs"),
    "classify": _answer("results"),
    "regress": _answer("results"),
    "generate": _answer("text"),
    "explain": _answer("explanations"),
    "embeddings": _answer("object", "model", "data"),
}


def description(options: ServerOptions, *, has_runs: bool = False) -> dict[str, Any]:
    """Return the description as values of JSON.

    Args:
        options: the settings of the server: whether it needs a key.
        has_runs: whether the server has the run beside an export, which generates and explains.
    """
    verbs = ["predict", "classify", "regress", *(("generate", "explain") if has_runs else ())]
    paths: dict[str, Any] = {}
    for choice in _VERSIONS:
        model = f"/v1/models/{{model}}{choice}"
        paths[model] = {"get": _operation("status", "Return the state of the versions.")}
        paths[f"{model}/metadata"] = {"get": _operation("metadata", "Return the signatures of a version.")}
        for verb in verbs:
            paths[f"{model}:{verb}"] = {"post": _operation(verb, f"Return the answer of {verb.capitalize()}.")}
        for path, item in paths.items():
            names = [name for name in ("model", "version", "label") if f"{{{name}}}" in path]
            item["parameters"] = [_parameter(name) for name in names]
    paths["/v1/embeddings"] = {"post": _operation("embeddings", "Return a vector for each text.")}
    for path, summary in {
        "/healthz": "Tell that the server runs.",
        "/readyz": "Tell that each model has a version that answers.",
        "/metrics": "Return the metrics in the text form of Prometheus.",
        "/openapi.json": "Return this description.",
    }.items():
        paths[path] = {"get": {"summary": summary, "responses": {"200": {"description": "The answer."}}}}
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "bert_tf", "version": "1", "description": "TensorFlow Serving's REST interface, and more."},
        "paths": paths,
        "components": {
            "schemas": {"Error": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}}
        },
    }
    if options.api_keys:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"key": []}]
    return found


def _operation(verb: str, summary: str) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "The answer.", "content": _content(_ANSWERS[verb])}}
    for status, meaning in _ERRORS.items():
        content = _content({"$ref": "#/components/schemas/Error"})
        responses[str(status)] = {"description": meaning, "content": content}
    operation = {"summary": summary, "responses": responses}
    if verb in _BODIES:
        operation["requestBody"] = {"required": True, "content": _content(_BODIES[verb])}
    return operation


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _parameter(name: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 0} if name == "version" else {"type": "string"}
    return {"name": name, "in": "path", "required": True, "schema": schema}
