"""The stubs of TensorFlow Serving's gRPC interface, and requests in the text form of their messages."""

import pytest
import tensorflow as tf
from small_server import TIMEOUT

grpc = pytest.importorskip("grpc")
apis = pytest.importorskip("tensorflow_serving.apis")
pytest.importorskip("tensorflow_text")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from google.protobuf import text_format  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

SPEC = 'model_spec { name: "graph" }'


class Services:
    """The stubs of both services at an address."""

    def __init__(self, url):
        self.channel = grpc.insecure_channel(url.removeprefix("grpc://"))
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)


def message(kind, text=SPEC):
    return text_format.Parse(text, kind())


def predict(message_text=SPEC, /, **inputs):
    request = message(predict_pb2.PredictRequest, message_text)
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def error_of(method, request):
    with pytest.raises(grpc.RpcError) as found:
        method(request, timeout=TIMEOUT)
    return found.value.code().name, found.value.details()
