"""The errors of requests: a status code of HTTP, a code of gRPC and a message, as TensorFlow Serving answers them."""

from typing import Any

BAD_REQUEST, NOT_FOUND, TOO_LARGE, CLIENT_CLOSED = 400, 404, 413, 499
INTERNAL, UNAVAILABLE, GATEWAY_TIMEOUT = 500, 503, 504

# The status code of each code of `tf.errors` (tensorflow/serving, model_servers/http_server.cc).
_STATUS_OF_CODE = {
    1: CLIENT_CLOSED,  # cancelled
    3: BAD_REQUEST,  # invalid argument
    4: GATEWAY_TIMEOUT,  # deadline exceeded
    5: NOT_FOUND,
    6: 409,  # already exists
    7: 403,  # permission denied
    8: 429,  # resource exhausted
    9: BAD_REQUEST,  # failed precondition
    10: 409,  # aborted
    11: BAD_REQUEST,  # out of range
    12: 501,  # unimplemented
    14: UNAVAILABLE,
    16: 401,  # unauthenticated
}

FAILED_PRECONDITION = 9

# The code of each status, the first of those that share one.
_CODE_OF_STATUS = {status: code for code, status in reversed(_STATUS_OF_CODE.items())} | {408: 4, TOO_LARGE: 3}
_INTERNAL_CODE = 13

_LONGEST_MESSAGE = 1000
"""Messages of models and of TensorFlow may quote whole texts, and gRPC bounds its headers."""


class RequestError(Exception):
    """An error that a client is told.

    Args:
        status: the status code of HTTP.
        message: a sentence for the client, whose first 1,000 characters are sent.
        retry_after: the number of seconds after which the client may try again, or None.
        code: the code of `tf.errors` and of gRPC; None for the one that the status stands for.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message[:_LONGEST_MESSAGE]
        self.retry_after = retry_after
        self.code = _CODE_OF_STATUS.get(status, _INTERNAL_CODE) if code is None else code

    def headers(self) -> dict[str, str]:
        """Return the headers that the error adds to its answer."""
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        if self.status == 408:
            headers["connection"] = "close"  # the rest of the request will not come
        return headers


def invalid(message: str) -> RequestError:
    """Return the error of a request that is not as it must be."""
    return RequestError(BAD_REQUEST, message)


def of_tensorflow(error: Any) -> RequestError:
    """Return the error for a `tf.errors.OpError` that a model raised."""
    # "Graph execution error:" and the operation precede the reason; its name in the graph follows.
    reason = str(error.message).split("\n\t [[", 1)[0].split("\n")[-1].strip()
    code = int(error.error_code)
    return RequestError(_STATUS_OF_CODE.get(code, INTERNAL), reason or type(error).__name__, code=code)


def shortened(value: object) -> str:
    """Return the beginning of a value's text, for a message."""
    # The text of a large value is not made: a list of a million numbers would take a second.
    if isinstance(value, list | dict) and len(value) > 20:
        return f"a{'n object' if isinstance(value, dict) else ' list'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
