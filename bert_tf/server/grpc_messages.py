"""The messages of TensorFlow Serving's gRPC interface (`tensorflow_serving/apis/*.proto`), and what they mean.

TensorFlow and the package `tensorflow-serving-api` are imported by the functions that need them. The conditions of
errors and their messages are those of `servables/tensorflow/*.cc` of tensorflow/serving.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bert_tf.server.errors import BAD_REQUEST, FAILED_PRECONDITION, RequestError, invalid
from bert_tf.server.example_sizes import check_context
from bert_tf.server.paths import ModelPath
from bert_tf.server.served_version import DEFAULT_SIGNATURE, ServedVersion, Signature

SIGNATURE_DEF = "signature_def"

# The field of a TensorProto that holds the values of each type (tensorflow/core/framework/tensor.proto).
_VALUES = {
    "DT_FLOAT": "float_val",
    "DT_DOUBLE": "double_val",
    "DT_INT64": "int64_val",
    "DT_UINT32": "uint32_val",
    "DT_UINT64": "uint64_val",
    "DT_BOOL": "bool_val",
    "DT_STRING": "string_val",
    **dict.fromkeys(("DT_INT32", "DT_INT16", "DT_INT8", "DT_UINT16", "DT_UINT8"), "int_val"),
}


def path_of(request: Any, verb: str) -> ModelPath:
    """Return the model and version that a message with a `model_spec` names.

    Raises:
        RequestError: it has none.
    """
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    choice = spec.WhichOneof("version_choice")
    return ModelPath(
        name=spec.name,
        version=spec.version.value if choice == "version" else None,
        label=spec.version_label if choice == "version_label" else None,
        verb=verb,
    )


def predict_signature(version: ServedVersion, name: str) -> Signature:
    """Return the signature of a Predict request.

    Raises:
        RequestError: there is no such signature, or it has no inputs.
    """
    name = name or DEFAULT_SIGNATURE
    if name not in version.signatures:
        message = f'Serving signature key "{name[:80]}" not found.'
        raise RequestError(BAD_REQUEST, message, code=FAILED_PRECONDITION)
    return version.signature(name)


def example_signature(version: ServedVersion, name: str) -> Signature:
    """Return the signature of a Classify or Regress request.

    Raises:
        RequestError: there is no such signature, or it has no inputs.
    """
    if (name or DEFAULT_SIGNATURE) not in version.signatures:
        raise invalid(f"No signature was found with the name: {(name or DEFAULT_SIGNATURE)[:80]}")
    return version.signature(name)


CheckNumber = Callable[[int, str], None]
"""Raises a RequestError for too large a number of texts, given with the name of what has so many."""


def predict_inputs(
    request: Any, signature: Signature, max_values: int, check_number: CheckNumber
) -> dict[str, np.ndarray]:
    """Return the inputs of a PredictRequest, strings as objects of type `bytes`.

    Args:
        request: the message.
        signature: its signature.
        max_values: the largest number of values in an input: a few bytes can stand for any number of equal values.
        check_number: checks the number of strings, for the same reason.

    Raises:
        RequestError: the inputs are not those of the signature, or an input or the filter is not as it must be.
    """
    given, needed = set(request.inputs), set(signature.inputs)
    if len(given) != len(needed):
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(needed)} len({_set(given)}) != "
            f"len({_set(needed)}). Sent extra: {_set(given - needed)}. Missing but required: {_set(needed - given)}."
        )
    for name in sorted(given - needed):
        raise invalid(
            f"input tensor alias not found in signature: {name[:80]}. Inputs expected to be in the set {_set(needed)}."
        )
    for number, name in enumerate(request.output_filter):
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name[:80]} Outputs expected to be in the set "
                f"{_set(signature.outputs)}."
            )
        if name in request.output_filter[:number]:
            raise invalid(f"duplicate output tensor alias: {name}")
    return {
        name: _array(request.inputs[name], name, info.dtype, max_values, check_number)
        for name, info in signature.inputs.items()
    }


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(name[:80] for name in sorted(names)[:20]) + "}"


def _array(proto: Any, name: str, dtype: str, max_values: int, check_number: CheckNumber) -> np.ndarray:
    """Return the array of a TensorProto that must have the type `dtype`."""
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2

    names = types_pb2.DataType.DESCRIPTOR.values_by_number
    given = names[proto.dtype].name if proto.dtype in names else str(proto.dtype)
    if given != dtype:
        raise invalid(f"input tensor alias {name}: expects {dtype} but {given} is provided")

    def parsing_error(reason: str) -> Exception:
        return invalid(f"tensor parsing error: {name}: {reason}")

    if proto.tensor_shape.unknown_rank or min((dim.size for dim in proto.tensor_shape.dim), default=0) < 0:
        raise parsing_error("the size of each axis must be known and at least 0")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    size = math.prod(shape)
    if dtype == "DT_STRING":  # NumPy would take an empty string for one of characters
        check_number(size, name)
        values, missing = list(proto.string_val), size - len(proto.string_val)
        if missing < 0:
            raise parsing_error(f"its shape has room for {size} values. Received: {len(values)}")
        if proto.tensor_content:
            raise parsing_error("strings must be in `string_val`. Received: `tensor_content`")
        array = np.empty(size, object)
        array[:] = values + [values[-1] if values else b""] * missing
        return array.reshape(shape)
    if size > max_values:
        raise parsing_error(f"an input must hold at most {max_values} values. Received: {size}")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, OverflowError):
        raise parsing_error(f"it must hold the {size} values of its shape") from None


def predict_response(path: ModelPath, version: int, signature: str, outputs: Mapping[str, np.ndarray]) -> Any:
    """Return a PredictResponse."""
    from tensorflow_serving.apis import predict_pb2

    response = predict_pb2.PredictResponse()
    write_spec(response.model_spec, path.name, version, signature)
    for name, array in outputs.items():
        write_tensor(response.outputs[name], array)
    return response


def write_spec(spec: Any, name: str, version: int, signature: str = "") -> None:
    """Write the `model_spec` of an answer: the model, the version that answered, and the signature."""
    spec.name, spec.signature_name, spec.version.value = name, signature, version


def write_tensor(proto: Any, array: np.ndarray) -> None:
    """Write a TensorProto, as TensorFlow Serving does: values in the field of their type, those of others as bytes.

    Args:
        proto: the message.
        array: the values, strings as objects of type `bytes`.
    """
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2

    dtype = tf.string if array.dtype == object else tf.dtypes.as_dtype(array.dtype)
    proto.dtype = dtype.as_datatype_enum
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    field = _VALUES.get(types_pb2.DataType.Name(proto.dtype))
    if field is None:  # half precision among them
        proto.tensor_content = array.tobytes()
    else:
        getattr(proto, field).extend(array.reshape(-1).tolist())


def examples(given: Any, max_bytes: int, check_number: CheckNumber) -> np.ndarray:
    """Return the serialized `tf.train.Example`s of an `Input`, bytes [B].

    The features of a context are those of every example.

    Args:
        given: the message.
        max_bytes: the largest number of bytes of a request that repeats the context for each example.
        check_number: checks the number of examples, before each of them is given the features of the context.

    Raises:
        RequestError: there are no examples or too many, or the context is too large.
    """
    import tensorflow as tf

    context, found = tf.train.Example(), given.example_list.examples
    if given.WhichOneof("kind") == "example_list_with_context":
        context, found = given.example_list_with_context.context, given.example_list_with_context.examples
    if not found:
        raise invalid("Input is empty.")
    check_number(len(found), "examples")
    check_context(context.features.ByteSize(), len(found), max_bytes)
    protos = np.empty(len(found), object)
    for index, example in enumerate(found):
        merged = tf.train.Example()
        merged.MergeFrom(context)
        merged.MergeFrom(example)
        protos[index] = merged.SerializeToString()
    return protos


def write_classifications(result: Any, outputs: Mapping[str, np.ndarray]) -> None:
    """Write a ClassificationResult.

    Args:
        result: the message.
        outputs: `classes`, bytes [B, C], and `scores`, float32 [B, C], or one of them.
    """
    classes, scores = outputs.get("classes"), outputs.get("scores")
    array = scores if scores is not None else classes
    assert array is not None
    labels = np.full(array.shape, b"", object) if classes is None else classes
    numbers = np.zeros(array.shape, np.float32) if scores is None else scores
    for names, values in zip(labels, numbers, strict=True):
        classifications = result.classifications.add()
        for name, value in zip(names, values, strict=True):
            classifications.classes.add(label=name.decode(errors="replace"), score=value)


def write_regressions(result: Any, outputs: Mapping[str, np.ndarray]) -> None:
    """Write a RegressionResult.

    Args:
        result: the message.
        outputs: `outputs`, float32 [B] or [B, 1].
    """
    for value in outputs["outputs"].reshape(-1).tolist():
        result.regressions.add().value = value


def check_metadata_fields(fields: Sequence[str]) -> None:
    """Check what a GetModelMetadataRequest asks for. Raises a RequestError if it is not the signatures."""
    if not fields:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in fields:
        if field != SIGNATURE_DEF:
            raise invalid(f"Metadata field {field[:80]} is not supported")


def metadata_response(path: ModelPath, version: ServedVersion) -> Any:
    """Return a GetModelMetadataResponse with the signatures of a version."""
    from google.protobuf import json_format
    from tensorflow_serving.apis import get_model_metadata_pb2

    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in version.signatures.items():
        json_format.ParseDict(dict(signature.described), signatures.signature_def[name])
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    write_spec(response.model_spec, path.name, version.number)
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response


def status_response(status: Mapping[str, object]) -> Any:
    """Return a GetModelStatusResponse from its JSON."""
    from google.protobuf import json_format
    from tensorflow_serving.apis import get_model_status_pb2

    return json_format.ParseDict(dict(status), get_model_status_pb2.GetModelStatusResponse())
