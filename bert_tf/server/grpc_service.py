"""The PredictionService and the ModelService of TensorFlow Serving's gRPC interface.

They answer by what answers HTTP: the same models, batches, limits, keys and metrics. gRPC and the package
`tensorflow-serving-api`, of the extra `grpc`, are imported by the functions that need them.
"""

import asyncio
import contextlib
import math
import socket
import types
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any

from bert_tf.server import grpc_messages as messages
from bert_tf.server.access_log import RequestRecord
from bert_tf.server.connections import listening
from bert_tf.server.errors import GATEWAY_TIMEOUT, INTERNAL, RequestError, invalid
from bert_tf.server.example_sizes import INPUT
from bert_tf.server.gate import Admission
from bert_tf.server.grpc_installed import check_installed
from bert_tf.server.handling import LARGE_BODY, Asked, Handling, check_method
from bert_tf.server.options import ServerOptions
from bert_tf.server.served_version import ServedVersion, Signature
from bert_tf.server.tls import Tls

_VERB_OF_METHOD = {"tensorflow/serving/classify": "classify", "tensorflow/serving/regress": "regress"}
_OK = 200

_RPCS_OF_REQUEST = 2
"""The number of requests that may arrive or be answered, for each of those that are held."""

_TIMEOUTS_OF_GRACE = 1.9

Answer = Callable[[Any, RequestRecord], Awaitable[Any]]


class GrpcService:
    """The services at an address, which is held from the beginning on.

    Args:
        handling: what answers requests.
        options: the settings.
        admission: what admits requests.
        host: the address to listen at.
        port: the port, 0 for any free one.
        tls: the certificate, or None.

    Attributes:
        url: the address.

    Raises:
        ImportError: what gRPC needs is not installed.
        OSError: the address is in use or is none of this machine.
    """

    def __init__(
        self, handling: Handling, options: ServerOptions, admission: Admission, *, host: str, port: int, tls: Tls | None
    ) -> None:
        check_installed()
        self._handling = handling
        self._options = options
        self._admission = admission
        self._tls = tls
        self._reserved = _reserved(host, port)
        shown = f"[{host}]" if ":" in host else host
        self._address = f"{shown}:{self._reserved.getsockname()[1]}"
        self.url = f"grpc{'s' if tls else ''}://{self._address}"
        self._server: Any = None

    async def start(self) -> None:
        """Begin to answer, in the running event loop."""
        import grpc
        from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

        self._server = grpc.aio.server(
            options=channel_options(self._options),
            # Requests that have not arrived yet are not held, and would otherwise not be counted.
            maximum_concurrent_rpcs=_RPCS_OF_REQUEST * self._options.max_requests,
        )
        prediction = types.SimpleNamespace(
            Predict=self._method("Predict", self._predict),
            Classify=self._method("Classify", self._classify),
            Regress=self._method("Regress", self._regress),
            MultiInference=self._method("MultiInference", self._multi_inference),
            GetModelMetadata=self._method("GetModelMetadata", self._metadata),
        )
        model = types.SimpleNamespace(
            GetModelStatus=self._method("GetModelStatus", self._status, "ModelService"),
            HandleReloadConfigRequest=self._method("HandleReloadConfigRequest", self._reload, "ModelService"),
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, self._server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(model, self._server)
        if self._tls is None:
            self._server.add_insecure_port(self._address)
        else:
            pairs = [(self._tls.key, self._tls.certificate)]
            self._server.add_secure_port(self._address, grpc.ssl_server_credentials(pairs))
        await self._server.start()

    async def stop(self) -> None:
        """Refuse new requests, and return when those that have arrived are answered."""
        if self._server is not None:
            await self._server.stop(self._options.timeout + 1)
        self._reserved.close()

    def _method(self, name: str, answer: Answer, service: str = "PredictionService") -> Callable[..., Awaitable[Any]]:
        """Return what gRPC calls for a method."""
        import grpc

        codes = {code.value[0]: code for code in grpc.StatusCode}

        async def called(request: Any, context: Any) -> Any:
            record = RequestRecord(
                "GRPC", f"/tensorflow.serving.{service}/{name}", _client(context.peer()), bytes=request.ByteSize()
            )
            holding = contextlib.ExitStack()
            holding.enter_context(self._admission.holding(record))
            context.add_done_callback(lambda _: holding.close())  # when the client has the whole answer, or has gone
            try:
                response = await self._answer(answer, request, context, record)
                record.status = _OK
            except RequestError as error:
                record.status = error.status
                after = () if error.retry_after is None else (("retry-after", str(error.retry_after)),)
                message = error.message.encode(errors="replace").decode()
                await context.abort(codes[error.code], message, after)
            return response

        return called

    async def _answer(self, answer: Answer, request: Any, context: Any, record: RequestRecord) -> Any:
        headers = {name.encode(): _bytes(value) for name, value in context.invocation_metadata() or ()}
        error = self._admission.error(headers)
        if error is not None:
            raise error
        timeout = self._options.timeout
        try:
            async with asyncio.timeout(timeout):
                return await answer(request, record)
        except TimeoutError:
            raise RequestError(GATEWAY_TIMEOUT, f"The model did not answer within {timeout:g} s.") from None
        except RequestError:
            raise
        except Exception as error:
            raise RequestError(INTERNAL, f"Internal error: {type(error).__name__}") from error

    async def _predict(self, request: Any, record: RequestRecord) -> Any:
        version = self._version(request, "predict", record)
        signature = messages.predict_signature(version, request.model_spec.signature_name)
        asked = await _maybe_in_thread(record.bytes >= LARGE_BODY, self._read_predict, request, signature)
        outputs = await self._handling.run(version, asked, record)
        shown = {name: outputs[name] for name in request.output_filter or outputs}
        large = sum(array.size for array in shown.values()) >= LARGE_BODY // 4
        path = messages.path_of(request, "predict")
        return await _maybe_in_thread(large, messages.predict_response, path, version.number, signature.name, shown)

    def _read_predict(self, request: Any, signature: Signature) -> Asked:
        most = self._options.max_request_bytes
        inputs = messages.predict_inputs(request, signature, most, self._handling.check_number)
        return Asked(signature, inputs, self._handling.count_texts(signature, inputs))

    def _read_examples(self, given: Any, signature: Signature) -> Asked:
        most = self._options.max_request_bytes
        inputs = {INPUT: messages.examples(given, most, self._handling.check_number)}
        return Asked(signature, inputs, self._handling.count_texts(signature, inputs))

    async def _classify(self, request: Any, record: RequestRecord) -> Any:
        from tensorflow_serving.apis import classification_pb2

        response = classification_pb2.ClassificationResponse()
        outputs = await self._on_examples(request, "classify", request.input, record, response.model_spec)
        messages.write_classifications(response.result, outputs)
        return response

    async def _regress(self, request: Any, record: RequestRecord) -> Any:
        from tensorflow_serving.apis import regression_pb2

        response = regression_pb2.RegressionResponse()
        outputs = await self._on_examples(request, "regress", request.input, record, response.model_spec)
        messages.write_regressions(response.result, outputs)
        return response

    async def _multi_inference(self, request: Any, record: RequestRecord) -> Any:
        from tensorflow_serving.apis import inference_pb2

        tasks = request.tasks
        if not tasks:
            raise invalid("MultiInferenceRequest must hold at least one task")
        if len({task.model_spec.name for task in tasks}) > 1:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        names = set[str]()
        for task in tasks:
            if task.model_spec.signature_name in names:
                raise invalid(f"Duplicate evaluation of signature: {task.model_spec.signature_name[:80]}")
            names.add(task.model_spec.signature_name)
        for task in tasks:
            if task.method_name not in _VERB_OF_METHOD:
                raise RequestError(501, f"Unsupported signature method_name: {task.method_name[:80]}")
        response = inference_pb2.MultiInferenceResponse()
        for task in tasks:
            verb = _VERB_OF_METHOD[task.method_name]
            result = response.results.add()
            outputs = await self._on_examples(task, verb, request.input, record, result.model_spec)
            if verb == "classify":
                messages.write_classifications(result.classification_result, outputs)
            else:
                messages.write_regressions(result.regression_result, outputs)
        record.verb = "multi_inference"
        return response

    async def _on_examples(self, asked: Any, verb: str, given: Any, record: RequestRecord, spec: Any) -> Any:
        """Return the outputs for examples, and write what answered into the `model_spec` of the response."""
        version = self._version(asked, verb, record)
        signature: Signature = messages.example_signature(version, asked.model_spec.signature_name)
        check_method(signature, verb)
        read = await _maybe_in_thread(record.bytes >= LARGE_BODY, self._read_examples, given, signature)
        outputs = await self._handling.run(version, read, record)
        messages.write_spec(spec, asked.model_spec.name, version.number, asked.model_spec.signature_name)
        return outputs

    async def _metadata(self, request: Any, record: RequestRecord) -> Any:
        messages.check_metadata_fields(request.metadata_field)
        version = self._version(request, "metadata", record)
        return messages.metadata_response(messages.path_of(request, "metadata"), version)

    async def _status(self, request: Any, record: RequestRecord) -> Any:
        path = messages.path_of(request, "status")
        self._note(path.name, "status", record)
        return messages.status_response(self._handling.models.status(path))

    async def _reload(self, request: Any, record: RequestRecord) -> Any:
        record.verb = "reload"
        raise RequestError(501, "The models of this server are chosen when it starts.")

    def _version(self, request: Any, verb: str, record: RequestRecord) -> ServedVersion:
        path = messages.path_of(request, verb)
        self._note(path.name, verb, record)
        version = self._handling.models.version(path)
        record.version = version.number
        return version

    def _note(self, name: str, verb: str, record: RequestRecord) -> None:
        record.verb, record.model = verb, name if name in self._handling.models.by_name else ""


def channel_options(options: ServerOptions) -> list[tuple[str, int]]:
    """Return the settings of connections.

    gRPC has no limit for the time in which a client sends its request or reads its answer. So a connection takes no
    new requests after a time-out (gRPC adds up to 10 % at random), which clients follow by opening another one; and its
    requests end after three time-outs in all. TCP ends one whose client does not read at all.
    """
    timeout = 1000 * options.timeout
    return [
        ("grpc.max_receive_message_length", options.max_request_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", options.max_requests),
        ("grpc.max_connection_age_ms", math.ceil(timeout)),
        ("grpc.max_connection_age_grace_ms", math.ceil(_TIMEOUTS_OF_GRACE * timeout)),
        ("grpc.keepalive_time_ms", math.ceil(timeout)),
        ("grpc.keepalive_timeout_ms", math.ceil(timeout)),
    ]


async def _maybe_in_thread(large: bool, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns. Another thread runs it for a large message, so that the event loop goes on."""
    return await asyncio.to_thread(function, *arguments) if large else function(*arguments)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _client(peer: str) -> str:
    """Return the address of a peer such as `ipv4:127.0.0.1:5123` or `ipv6:%5B::1%5D:5123`."""
    kind, _, address = urllib.parse.unquote(peer).partition(":")
    return address.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else kind


def _reserved(host: str, port: int) -> socket.socket:
    """Return a socket that holds an address until gRPC, whose sockets share theirs, listens at it.

    Raises:
        OSError: the address is in use or is none of this machine.
    """
    # Sockets that share would not notice another server that shares, too.
    with listening(host, port, "grpc_port") as probe:
        family, address = probe.family, probe.getsockname()
    holder = socket.socket(family, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(address)
    return holder
