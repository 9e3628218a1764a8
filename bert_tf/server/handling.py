"""The answers to requests of TensorFlow Serving's REST interface, apart from HTTP, and what its two protocols share."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bert_tf.server import json_examples, json_tensors
from bert_tf.server.access_log import RequestRecord
from bert_tf.server.batching import Batcher
from bert_tf.server.errors import TOO_LARGE, RequestError, invalid
from bert_tf.server.example_sizes import INPUT, feature_sizes
from bert_tf.server.models import ServedModels
from bert_tf.server.options import ServerOptions
from bert_tf.server.paths import ModelPath
from bert_tf.server.served_version import ServedVersion, Signature
from bert_tf.utils import json_text

LARGE_BODY = 16_384
"""A body of this size is read by another thread: the event loop would stand still for a millisecond or more."""


class Asked(NamedTuple):
    """The signature that a request asks for, and its inputs.

    Attributes:
        signature: the signature.
        inputs: its inputs by name.
        texts: the number of texts, those of the input that has the most.
        in_rows: whether the inputs came in rows.
    """

    signature: Signature
    inputs: Mapping[str, np.ndarray]
    texts: int
    in_rows: bool = False


class Handling:
    """Answers requests by the models of a server.

    Args:
        models: the models.
        batcher: what runs them.
        options: the settings, of which the limits count here.
    """

    def __init__(self, models: ServedModels, batcher: Batcher, options: ServerOptions) -> None:
        self.models = models
        self.batcher = batcher
        self.options = options

    def show(self, path: ModelPath) -> bytes:
        """Return the body of the answer to a GET request: the status or the metadata of a model.

        Raises:
            RequestError: there is no such model or version.
        """
        shown = self.models.metadata(path) if path.verb == "metadata" else self.models.status(path)
        return json_text.dumps(shown).encode()

    async def answer(self, path: ModelPath, body: bytes, record: RequestRecord) -> bytes:
        """Return the body of the answer to a POST request.

        Args:
            path: the model and the verb.
            body: the body of the request.
            record: what is known of the request; its version and its number of texts are noted in it.

        Raises:
            RequestError: the request is not as it must be, too large, or the model refuses it.
        """
        version = self.models.version(path)
        record.version = version.number
        if len(body) < LARGE_BODY:
            asked = self.read(path, version, body)
        else:
            asked = await asyncio.to_thread(self.read, path, version, body)
        outputs = await self.run(version, asked, record)
        if sum(array.size for array in outputs.values()) < LARGE_BODY // 4:
            return self.write(path, outputs, asked.in_rows)
        return await asyncio.to_thread(self.write, path, outputs, asked.in_rows)

    async def run(self, version: ServedVersion, asked: Asked, record: RequestRecord) -> Mapping[str, np.ndarray]:
        """Return the outputs of a signature, and note the version and the number of texts in the record.

        Raises:
            RequestError: too many texts wait, or the model refuses the inputs.
        """
        record.version, record.texts = version.number, asked.texts
        return await self.batcher.ask(version, asked.signature, asked.inputs, asked.texts)

    def read(self, path: ModelPath, version: ServedVersion, body: bytes) -> Asked:
        """Return what a request of JSON asks."""
        request = json_tensors.parse_object(body)
        signature = version.signature(json_tensors.signature_name(request))
        in_rows = False
        if path.verb == "predict":
            self.check_number(_length(request.get("instances")), "instances")
            inputs, in_rows = json_tensors.predict_inputs(request, signature.inputs)
        else:
            check_method(signature, path.verb)
            self.check_number(_length(request.get("examples")), "examples")
            inputs = {INPUT: json_examples.examples(request, self.options.max_request_bytes)}
        return Asked(signature, inputs, self.count_texts(signature, inputs), in_rows)

    def write(self, path: ModelPath, outputs: Mapping[str, np.ndarray], in_rows: bool) -> bytes:
        """Return the body of the answer that holds the outputs."""
        if path.verb == "predict":
            return json_tensors.predict_answer(outputs, in_rows)
        if path.verb == "classify":
            return json_examples.classify_answer(outputs)
        return json_examples.regress_answer(outputs)

    def check_number(self, texts: int, name: str) -> None:
        """Check the number of a request's texts.

        Args:
            texts: the number.
            name: the input, feature or member of JSON that has so many.

        Raises:
            RequestError: it exceeds the limit.
        """
        limit = self.options.max_texts
        if texts > limit:
            message = f"A request must hold at most {limit} texts. Received: {texts} in '{name[:80]}'"
            raise RequestError(TOO_LARGE, message)

    def count_texts(self, signature: Signature, inputs: Mapping[str, np.ndarray]) -> int:
        """Return the number of a request's texts, those of the input or feature that has the most.

        Each text of a list is a text of its own, and so is each that fills a shorter list up.

        Raises:
            RequestError: the number, or the length of a text, exceeds the limit.
        """
        if _takes_examples(signature):
            sizes = {name: tuple(size) for name, size in feature_sizes(inputs[INPUT]).items()}
        else:
            sizes = {name: _size(array) for name, array in inputs.items()}
        for name, (texts, longest) in sizes.items():
            self.check_number(texts, name)
            self.check_text(longest, name)
        return max(1, *(texts for texts, _ in sizes.values()))

    def check_text(self, longest: int, name: str) -> None:
        """Check the length of a request's longest text. Arguments and errors are those of `check_number`."""
        limit = self.options.max_characters
        if longest > limit:
            message = f"A text must hold at most {limit} bytes. Received: {longest} in '{name[:80]}'"
            raise RequestError(TOO_LARGE, message)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0


def _size(array: np.ndarray) -> tuple[int, int]:
    """Return the number of texts of an input, the rows of one of numbers; and the length of the longest."""
    if array.dtype == object:
        return array.size, max(map(len, array.reshape(-1)), default=0)
    return len(array) if array.ndim else 1, 0


def _takes_examples(signature: Signature) -> bool:
    return signature.inputs.keys() == {INPUT} and signature.inputs[INPUT].dtype == "DT_STRING"


def check_method(signature: Signature, verb: str) -> None:
    """Check that a signature has the inputs and outputs of Classify or Regress.

    As in TensorFlow Serving, its method name does not matter.

    Raises:
        RequestError: it has others.
    """
    outputs = {"classify": {"classes", "scores"}, "regress": {"outputs"}}[verb]
    if not _takes_examples(signature):
        raise invalid(
            f"Signature '{signature.name}' must have one input, 'inputs', for {verb} requests. Received: "
            f"{', '.join(sorted(signature.inputs))}"
        )
    if not signature.outputs or not signature.outputs.keys() <= outputs:
        raise invalid(
            f"Signature '{signature.name}' must have the outputs {' and '.join(sorted(outputs))} for {verb} requests. "
            f"Received: {', '.join(sorted(signature.outputs))}"
        )
    for name, info in signature.outputs.items():
        axes = 1 if verb == "regress" else 2
        if info.shape is not None and len(info.shape) not in (axes, 2):
            raise invalid(f"Output '{name}' of signature '{signature.name}' must have {axes} axes for {verb} requests.")
