"""One version of an exported model, as a server holds it: its signatures, and what they return."""

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bert_tf.server.errors import invalid, of_tensorflow
from bert_tf.server.json_tensors import TensorInfo
from bert_tf.serving.loading import GRAPH_FILE
from bert_tf.utils import files

DEFAULT_SIGNATURE = "serving_default"

SAVED_MODEL = "saved_model"
"""The runtime of SavedModels: TensorFlow."""

_RUNTIME = re.compile(r"saved_model|onnx|litert(:\w+)?")


def check_runtime(runtime: str) -> None:
    """Check the name of a runtime.

    Raises:
        ValueError: there is no such runtime.
    """
    if not _RUNTIME.fullmatch(runtime):
        raise ValueError(f"`runtime` must be saved_model, onnx, litert or litert:QUANTIZATION. Received: {runtime!r}")


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature of a SavedModel.

    Attributes:
        name: its name.
        inputs: its inputs by name; none for one that cannot be asked.
        outputs: its outputs by name.
        described: the JSON of its `SignatureDef`.
    """

    name: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    described: Mapping[str, Any]

    @functools.cached_property
    def counts(self) -> Mapping[str, str] | None:
        """The outputs whose second axis grows with the longest row, each with the output that counts a row's items.

        None if requests cannot be answered together, each as if it were alone: an input or output has no first axis of
        any size, or an axis of an output depends on the other requests and no output of an export's name counts it.
        """
        inputs, outputs = ([info.shape for info in infos.values()] for infos in (self.inputs, self.outputs))
        if not inputs or not all(shape and shape[0] is None for shape in (*inputs, *outputs)):
            return None
        counts = {}
        for name, info in self.outputs.items():
            assert info.shape is not None
            if None in info.shape[1:]:
                known = ("num_spans",) if name.startswith("span_") else ("num_words", "num_masks")
                found = [count for count in known if count in self.outputs]
                if not found or None in info.shape[2:]:
                    return None
                counts[name] = found[0]
        return counts


class ServedVersion:
    """A loaded SavedModel, or a file for another runtime beside it.

    Args:
        folder: the folder of one version.
        number: the number of the version.
        runtime: `saved_model`, `litert`, `litert:int8` or `onnx`: what computes the model.

    Raises:
        ImportError: TensorFlow Text, whose operations the graph has, is not installed, or the runtime is not.
        OSError: the folder holds no SavedModel, or no file for the runtime.
        Exception: TensorFlow cannot load the graph.
    """

    def __init__(self, folder: str, number: int, runtime: str = SAVED_MODEL) -> None:
        self.number = number
        self._folder = folder
        self.signatures = _read_signatures(folder)
        self._functions: Mapping[str, Callable[..., Mapping[str, Any]]]
        if runtime == SAVED_MODEL:
            from bert_tf.serving.saved_model import load_graph

            self._graph = load_graph(folder)  # keeps the variables alive
            self._functions = self._graph.signatures
        else:
            from bert_tf.serving.runtimes import runtime_signatures

            self._functions = runtime_signatures(folder, runtime)
            self.signatures = {name: self.signatures[name] for name in self._functions if name in self.signatures}

    def signature(self, name: str) -> Signature:
        """Return a signature that can be asked.

        Args:
            name: its name, "" for the default one.

        Raises:
            RequestError: there is no such signature.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise invalid(f'Serving signature name: "{name[:80]}" not found in signature def')
        if not self.signatures[name].inputs:
            raise invalid(f"Failed to get input map for signature: {name}")
        return self.signatures[name]

    def warm_up(self) -> None:
        """Run the export's own warm-up requests, so that no user waits for what TensorFlow does once.

        Raises:
            ValueError: their file is damaged.
            RequestError: the graph refuses one of them.
        """
        from bert_tf.serving.warmup import read_requests

        for name, inputs in read_requests(self._folder):
            signature = self.signature(name)
            if signature.inputs.keys() != inputs.keys():
                raise ValueError(f"a warm-up request must have the inputs of {signature.name}: {sorted(inputs)}")
            self.run(signature.name, inputs)

    def run(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs of a signature. Threads may call this at the same time.

        Args:
            name: the name of the signature.
            inputs: its inputs by name, strings as objects of type `bytes`.

        Raises:
            RequestError: the inputs do not fit the signature, or the graph refuses them.
        """
        import tensorflow as tf

        tensors = {}
        for input_name, info in self.signatures[name].inputs.items():
            array = inputs[input_name]
            if info.shape is not None and not _fits(array.shape, info.shape):
                raise invalid(
                    f"Input '{input_name}' must have the shape {_shown(info.shape)}. Received: {_shown(array.shape)}"
                )
            tensors[input_name] = tf.constant(array, tf.dtypes.as_dtype(info.dtype.removeprefix("DT_").lower()))
        try:
            outputs = self._functions[name](**tensors)
            return {output: np.asarray(tensor.numpy(), _dtype(tensor)) for output, tensor in outputs.items()}
        except tf.errors.OpError as error:
            raise of_tensorflow(error) from None


def _dtype(tensor: Any) -> Any:
    return object if tensor.dtype.name == "string" else None  # a single string comes as `bytes`


def _fits(shape: tuple[int, ...], allowed: tuple[int | None, ...]) -> bool:
    return len(shape) == len(allowed) and all(most in (None, size) for size, most in zip(shape, allowed, strict=True))


def _shown(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"


def signature_json(proto: Any) -> dict[str, Any]:
    """Return the JSON of a `SignatureDef`, with the names that its fields have in the protocol."""
    from google.protobuf import json_format

    return json_format.MessageToDict(proto, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _read_signatures(folder: str) -> dict[str, Signature]:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        graph = saved_model_pb2.SavedModel.FromString(files.read_bytes(os.path.join(folder, GRAPH_FILE)))
    except DecodeError as error:
        raise OSError(f"{folder}: {GRAPH_FILE} is damaged ({error})") from None
    tagged = [meta for meta in graph.meta_graphs if "serve" in meta.meta_info_def.tags]
    if not tagged:
        raise OSError(f"{folder}: {GRAPH_FILE} has no graph with the tag 'serve'")
    return {
        name: Signature(
            name=name,
            inputs=_infos(proto.inputs),
            outputs=_infos(proto.outputs),
            described=signature_json(proto),
        )
        for name, proto in sorted(tagged[0].signature_def.items())
    }


def _infos(protos: Mapping[str, Any]) -> dict[str, TensorInfo]:
    from tensorflow.core.framework import types_pb2

    infos = {}
    for name, proto in sorted(protos.items()):
        sizes = tuple(None if dim.size < 0 else dim.size for dim in proto.tensor_shape.dim)
        shape = None if proto.tensor_shape.unknown_rank else sizes
        infos[name] = TensorInfo(types_pb2.DataType.Name(proto.dtype), shape)
    return infos
