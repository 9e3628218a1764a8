"""A client's requests over gRPC."""

import ssl
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bert_tf.server import grpc_messages as messages
from bert_tf.server import paths
from bert_tf.server.grpc_installed import check_installed
from bert_tf.server.served_version import signature_json
from bert_tf.server.transport import BusyError, Transport

_PORT = 8500

_MAX_BACKOFF = 1000
"""The most milliseconds until gRPC looks again for a server that was away; its own 2 minutes outlast a restart."""

# TensorFlow Serving's own server does not say when to ask again (`batching_util.cc`, `shared_batch_scheduler.h`), nor
# does gRPC beyond its number of requests.
_FULL = ("batch scheduling queue", "Concurrent RPC limit exceeded")
_LATE = ("DEADLINE_EXCEEDED", "Deadline Exceeded")
_TOO_LARGE = "larger than max"


class GrpcTransport(Transport):
    """A model behind an address of gRPC. Arguments as in `Transport`.

    Raises:
        ImportError: what gRPC needs is not installed.
    """

    def __init__(self, url: str, **settings: Any) -> None:
        check_installed()
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        super().__init__(url, **settings)
        address = urllib.parse.urlsplit(url)
        self._path = paths.parse("GET", address.path)
        host = address.netloc if address.port else f"{address.netloc}:{_PORT}"
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        options += [(f"grpc.{name}_reconnect_backoff_ms", _MAX_BACKOFF) for name in ("initial", "min", "max")]
        if address.scheme == "grpcs":
            channel = grpc.secure_channel(host, grpc.ssl_channel_credentials(_trusted(self.tls)), options)
        else:
            channel = grpc.insecure_channel(host, options)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def signatures(self) -> dict[str, Any]:
        """Return the signatures of the model by name, as `SignatureDef`s in JSON."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=[messages.SIGNATURE_DEF])
        answer = self._send(self._stub.GetModelMetadata, request)
        found = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata[messages.SIGNATURE_DEF].Unpack(found)
        return {name: signature_json(proto) for name, proto in found.signature_def.items()}

    def classes(self, signature: str, example: Mapping[str, str]) -> list[str]:
        """Return the names of the classes that Classify gives an example."""
        from tensorflow_serving.apis import classification_pb2

        request = classification_pb2.ClassificationRequest()
        request.model_spec.signature_name = signature
        features = request.input.example_list.examples.add().features
        for name, text in example.items():
            features.feature[name].bytes_list.value.append(text.encode())
        answer = self._send(self._stub.Classify, request)
        return [each.label for each in answer.result.classifications[0].classes]

    def predict(
        self, signature: str, columns: Mapping[str, Sequence[Any]], described: Mapping[str, Any]
    ) -> dict[str, list[Any]]:
        """Return the outputs of a signature by name. Arguments as in `Transport.predict`."""
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = signature
        for name, values in columns.items():
            messages.write_tensor(request.inputs[name], _array(values, described["inputs"][name]["dtype"]))
        return {name: _list(proto) for name, proto in self._send(self._stub.Predict, request).outputs.items()}

    def _send(self, method: Callable[..., Any], request: Any) -> Any:
        """Return the answer of a method of the service."""
        spec = request.model_spec
        spec.name = self._path.name
        if self._path.version is not None:
            spec.version.value = self._path.version
        elif self._path.label is not None:
            spec.version_label = self._path.label
        return self._retried(lambda: self._sent(method, request))

    def _sent(self, method: Callable[..., Any], request: Any) -> Any:
        import grpc

        try:
            return method(request, timeout=self.timeout, metadata=tuple(self.headers.items()))
        except grpc.RpcError as error:
            code, details = error.code().name, error.details() or ""
            if (code, details) == _LATE:
                raise OSError(f"{self.url}: {self.late}") from None
            found = _exception("INVALID_ARGUMENT" if _TOO_LARGE in details else code, f"{self.url}: {details or code}")
            after = str(dict(error.trailing_metadata() or ()).get("retry-after", ""))
            if after or any(full in details for full in _FULL):
                raise BusyError(found, int(after) if after.isdecimal() else 1) from None
            raise found from None


def _trusted(tls: ssl.SSLContext | None) -> bytes | None:
    """Return the certificates that settings trust, in PEM; None for those of gRPC."""
    if tls is None:
        return None
    return "".join(ssl.DER_cert_to_PEM_cert(each) for each in tls.get_ca_certs(binary_form=True)).encode() or None


def _array(values: Sequence[Any], dtype: str) -> np.ndarray:
    if dtype != "DT_STRING":
        return np.array(values, dtype.removeprefix("DT_").lower())
    shape = (len(values),) if isinstance(values[0], str) else (len(values), len(values[0]))
    texts = values if len(shape) == 1 else [text for row in values for text in row]
    array = np.empty(len(texts), object)
    array[:] = [text.encode() for text in texts]
    return array.reshape(shape)


def _list(proto: Any) -> list[Any]:
    """Return the values of an output in lists, strings as text."""
    import tensorflow as tf

    array = tf.make_ndarray(proto)
    if array.dtype == object:
        texts = np.empty(array.size, object)
        texts[:] = [value.decode(errors="replace") for value in proto.string_val]
        array = texts.reshape(array.shape)
    return array.tolist()


def _exception(code: str, message: str) -> Exception:
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return PermissionError(message)
    if code == "NOT_FOUND":
        return FileNotFoundError(message)
    invalid = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE")
    return ValueError(message) if code in invalid else OSError(message)
