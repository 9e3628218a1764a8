"""The bodies of requests in the description of a server's interface, as JSON Schema."""

from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.server.options import ServerOptions


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


# With or without padding.
_BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}(==)?|[A-Za-z0-9+/]{3}=?)?$"

SCHEMAS: dict[str, Any] = {
    "Bytes": {
        "description": "Any bytes, in base64.",
        "type": "object",
        "properties": {"b64": {"type": "string", "contentEncoding": "base64", "pattern": _BASE64}},
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

_COLUMNS = {
    "anyOf": [_ref("Value"), _ref("Values")],
    "description": "The inputs in columns: an object of lists, or the list of one input.",
}


def requests(
    options: ServerOptions,
    signatures: Sequence[str],
    models: Sequence[str],
    embedding: Sequence[str],
    tasks: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return the schema of the body for each verb.

    Args:
        options: the settings of the server, whose limits count here.
        signatures: the names of the signatures that can be asked.
        models: the names of all models.
        embedding: the names of those that embed.
        tasks: for `generate` and `explain`, the names of the tasks of models for several that answer it.
    """
    # The limit is one of bytes, of which a character has one or more.
    text = {"type": "string", "maxLength": options.max_characters}
    many = {"minItems": 1, "maxItems": options.max_texts}
    about = "A task of a model for several; left out for the only one that is able."
    task = {verb: {"task": {"enum": list(each), "description": about}} for verb, each in tasks.items() if each}
    signature = {
        "type": "string",
        "enum": ["", *signatures],
        "description": "The signature to ask; serving_default by default, and for an empty string.",
    }
    examples = {
        "type": "object",
        "properties": {
            "signature_name": signature,
            "context": {**_ref("Features"), "description": "Features of all examples."},
            "examples": {"type": "array", **many, "items": _ref("Features")},
        },
        "required": ["examples"],
    }
    rows = {
        "type": "array",
        **many,
        "items": {"anyOf": [_ref("Value"), _ref("Values")]},
        "description": "The inputs in rows: objects, or the values of one input.",
    }
    return {
        # A request in rows has no columns, and the other way round.
        "predict": {"anyOf": [_predict(signature, "instances", rows), _predict(signature, "inputs", _COLUMNS)]},
        "classify": examples,
        "regress": examples,
        "generate": {
            "type": "object",
            "properties": {
                "text": {**text, "pattern": r"\S"},
                **task.get("generate", {}),
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
                **task.get("explain", {}),
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
                "model": {"type": "string", "enum": list(embedding)},
                "input": {"anyOf": [text, {"type": "array", **many, "items": text}]},
                "encoding_format": {"type": "string", "enum": ["float", "base64"]},
                "dimensions": {"type": "null", "description": "Vectors have one size."},
            },
            "required": ["input", "model"] if len(models) > 1 else ["input"],
        },
    }


def _predict(signature: dict[str, Any], name: str, schema: dict[str, Any]) -> dict[str, Any]:
    other = {"instances": "inputs", "inputs": "instances"}[name]
    properties = {"signature_name": signature, name: schema}
    return {"type": "object", "properties": properties, "required": [name], "not": {"required": [other]}}
