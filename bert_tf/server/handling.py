"""The answers to requests of TensorFlow Serving's REST interface, apart from HTTP, and what its two protocols share."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_tf.server import json_examples, json_tensors
from bert_tf.server.access_log import RequestRecord
from bert_tf.server.batching import Batcher
from bert_tf.server.errors import RequestError, invalid
from bert_tf.server.models import ServedModels
from bert_tf.server.options import ServerOptions
from bert_tf.server.paths import ModelPath
from bert_tf.server.served_version import ServedVersion, Signature
from bert_tf.utils import json_text

TOO_LARGE = 413

LARGE_BODY = 16_384
"""A body of this size is read by another thread: the event loop would stand still for a millisecond or more."""


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
            signature, inputs, in_rows = self.read(path, version, body)
        else:
            signature, inputs, in_rows = await asyncio.to_thread(self.read, path, version, body)
        outputs = await self.run(version, signature, inputs, record)
        if sum(array.size for array in outputs.values()) < LARGE_BODY // 4:
            return self.write(path, outputs, in_rows)
        return await asyncio.to_thread(self.write, path, outputs, in_rows)

    async def run(
        self, version: ServedVersion, signature: Signature, inputs: Mapping[str, np.ndarray], record: RequestRecord
    ) -> Mapping[str, np.ndarray]:
        """Return the outputs of a signature, and note the version and the number of texts in the record.

        Raises:
            RequestError: too many texts wait, or the model refuses the inputs.
        """
        record.version = version.number
        record.texts = max(map(_rows, inputs.values()), default=1)
        return await self.batcher.ask(version, signature, inputs)

    def read(
        self, path: ModelPath, version: ServedVersion, body: bytes
    ) -> tuple[Signature, Mapping[str, np.ndarray], bool]:
        """Return the signature and the inputs of a request, and whether they came in rows."""
        request = json_tensors.parse_object(body)
        signature = version.signature(json_tensors.signature_name(request))
        in_rows = False
        if path.verb == "predict":
            self.check_number(_length(request.get("instances")))
            inputs, in_rows = json_tensors.predict_inputs(request, signature.inputs)
        else:
            check_method(signature, path.verb)
            self.check_number(_length(request.get("examples")))
            inputs = {"inputs": json_examples.examples(request)}
            self.check_text(json_examples.longest_text(request))
            return signature, inputs, False
        self.check_sizes(inputs)
        return signature, inputs, in_rows

    def write(self, path: ModelPath, outputs: Mapping[str, np.ndarray], in_rows: bool) -> bytes:
        """Return the body of the answer that holds the outputs."""
        if path.verb == "predict":
            return json_tensors.predict_answer(outputs, in_rows)
        if path.verb == "classify":
            return json_examples.classify_answer(outputs)
        return json_examples.regress_answer(outputs)

    def check_number(self, rows: int) -> None:
        """Check the number of a request's texts. Raises a RequestError if it exceeds the limit."""
        if rows > self.options.max_texts:
            raise RequestError(
                TOO_LARGE, f"A request must hold at most {self.options.max_texts} texts. Received: {rows}"
            )

    def check_sizes(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Check the number of texts and their lengths.

        Raises:
            RequestError: they exceed the limits.
        """
        for array in inputs.values():
            # Each text of a list is a row of the model.
            self.check_number(array.size if array.dtype == object else _rows(array))
            if array.dtype == object:
                self.check_text(max(map(len, array.reshape(-1)), default=0))

    def check_text(self, longest: int) -> None:
        """Check the length of a request's longest text. Raises a RequestError if it exceeds the limit."""
        limit = self.options.max_characters
        if longest > limit:
            raise RequestError(TOO_LARGE, f"A text must hold at most {limit} bytes. Received: {longest}")


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0


def _rows(array: np.ndarray) -> int:
    return len(array) if array.ndim else 1


def check_method(signature: Signature, verb: str) -> None:
    """Check that a signature has the inputs and outputs of Classify or Regress.

    As in TensorFlow Serving, its method name does not matter.

    Raises:
        RequestError: it has others.
    """
    outputs = {"classify": {"classes", "scores"}, "regress": {"outputs"}}[verb]
    if signature.inputs.keys() != {"inputs"} or signature.inputs["inputs"].dtype != "DT_STRING":
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
