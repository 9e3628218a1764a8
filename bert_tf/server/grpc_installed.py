"""The check that what gRPC needs is installed."""


def check_installed() -> None:
    """Check that gRPC and the messages of TensorFlow Serving are installed.

    Raises:
        ImportError: they are not.
    """
    try:
        import grpc  # noqa: F401
        from tensorflow_serving.apis import prediction_service_pb2_grpc  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "gRPC needs tensorflow-serving-api, of TensorFlow's minor version: pip install --no-deps "
            f"tensorflow-serving-api ({error})"
        ) from error
