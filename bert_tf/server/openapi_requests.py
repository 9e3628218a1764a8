"""The bodies of requests in the description of a server's interface, as JSON Schema."""

from collections.abc import Sequence
from typing import Any


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


SCHEMAS: dict[str, Any] = {
    "Bytes": {
        "description": "Any bytes, in base64.",
        "type": "object",
        "properties": {"b64": {"type": "string"}},
        "required": ["b64"],
        "additionalProperties": False,
    },
    "Leaf": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, _ref("Bytes")]},
    "Value": {
        "description": "A value or lists of values, as many levels as the metadata of the model says.",
        "anyOf": [_ref("Leaf"), {"type": "array", "items": _ref("Value")}],
    },
    "Values": {
        "description": "A value for each input by its name.",
        "type": "object",
        "additionalProperties": _ref("Value"),
    },
    "Features": {
        "description": "The features of an example by their names.",
        "type": "object",
        "additionalProperties": {"anyOf": [_ref("Leaf"), {"type": "array", "items": _ref("Leaf")}]},
    },
}
"""The schemas that others name."""

_ROWS = {
    "type": "array",
    "minItems": 1,
    "items": {"anyOf": [_ref("Value"), _ref("Values")]},
    "description": "The inputs in rows: objects, or the values of one input.",
}
_COLUMNS = {
    "anyOf": [_ref("Value"), _ref("Values")],
    "description": "The inputs in columns: an object of lists, or the list of one input.",
}


def requests(models: Sequence[str], signatures: Sequence[str]) -> dict[str, Any]:
    """Return the schema of the body for each verb.

    Args:
        models: the names of the server's models.
        signatures: the names of their signatures.
    """
    text = {"type": "string"}
    task = {"type": "string", "description": "A task of a model for several; left out for the only one that is able."}
    signature = {
        "type": "string",
        "enum": list(signatures),
        "description": "The signature to ask; serving_default by default.",
    }
    examples = {
        "type": "object",
        "properties": {
            "signature_name": signature,
            "context": {**_ref("Features"), "description": "Features of all examples."},
            "examples": {"type": "array", "minItems": 1, "items": _ref("Features")},
        },
        "required": ["examples"],
    }
    return {
        # A request in rows has no columns, and the other way round.
        "predict": {"anyOf": [_predict(signature, "instances", _ROWS), _predict(signature, "inputs", _COLUMNS)]},
        "classify": examples,
        "regress": examples,
        "generate": {
            "type": "object",
            "properties": {
                "text": text,
                "task": task,
                "stream": {"type": "boolean", "description": "Whether the answer is a stream of server-sent events."},
                "max_length": {"type": "integer", "minimum": 1},
                "no_repeat_ngram": {"type": "integer", "minimum": 0},
                "temperature": {"type": "number", "exclusiveMinimum": 0},
                "top_k": {"type": "integer", "minimum": 1},
                "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                "seed": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
            },
            "required": ["text"],
            "additionalProperties": False,
        },
        "explain": {
            "type": "object",
            "properties": {
                **dict.fromkeys(("text", "text_pair", "question", "context"), text),
                "task": task,
                "method": {
                    "type": "string",
                    "enum": ["gradient_x_input", "integrated_gradients", "occlusion", "attention_rollout"],
                },
                "target": {"type": ["string", "integer"]},
                "baseline": {"type": "string", "enum": ["mask", "pad"]},
                "attention": {"type": "boolean", "description": "Whether the answer has the attention."},
            },
            "anyOf": [{"required": ["text"]}, {"required": ["question", "context"]}],
            "additionalProperties": False,
        },
        "embeddings": {
            "type": "object",
            "properties": {
                "model": {"type": "string", "enum": list(models)},
                "input": {"anyOf": [text, {"type": "array", "minItems": 1, "items": text}]},
                "encoding_format": {"type": "string", "enum": ["float", "base64"]},
            },
            "required": ["input"],
        },
    }


def _predict(signature: dict[str, Any], name: str, schema: dict[str, Any]) -> dict[str, Any]:
    other = {"instances": "inputs", "inputs": "instances"}[name]
    properties = {"signature_name": signature, name: schema}
    return {"type": "object", "properties": properties, "required": [name], "not": {"required": [other]}}
