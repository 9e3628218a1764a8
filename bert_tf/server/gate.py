"""The gate of a server: what every request passes before it is answered, and what is noted when it has ended."""

import asyncio
import contextlib
import hmac
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any

from bert_tf.server.access_log import AccessLog, RequestRecord
from bert_tf.server.errors import UNAVAILABLE, RequestError
from bert_tf.server.metrics import Metrics
from bert_tf.server.options import ServerOptions

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

RECORD = "bert_tf.record"
"""The key of a request's record in its scope."""

OPEN_PATHS = ("/", "/healthz", "/readyz")
"""The paths that need no key and are answered however many requests the server holds."""


class Held:
    """The number of requests that a server holds."""

    number = 0


class Admission:
    """Refuses requests without a key or beyond the limit, whatever their protocol, and notes those that have ended.

    Args:
        options: the settings.
        held: the number of requests that the server holds, which is kept here.
        metrics: counts the requests.
        log: the access log.

    Attributes:
        metrics: the metrics.
    """

    def __init__(self, options: ServerOptions, held: Held, metrics: Metrics, log: AccessLog) -> None:
        self.metrics = metrics
        self._held = held
        self._log = log
        self._max_requests = options.max_requests
        self._keys = [key.encode() for key in options.api_keys]

    @contextlib.contextmanager
    def holding(self, record: RequestRecord) -> Iterator[None]:
        """Hold a request while the block runs, and note it, with its status, when it has ended."""
        started = time.monotonic()
        self._held.number += 1
        try:
            yield
        finally:
            self._held.number -= 1
            record.seconds = time.monotonic() - started
            self.metrics.request(record)
            self._log.write(record)

    def error(self, headers: Mapping[bytes, bytes]) -> RequestError | None:
        """Return the error of a request that has none of the keys or is one too many, or None.

        Args:
            headers: its headers, names in lower case.
        """
        if self._keys and not self._has_key(headers):
            return RequestError(401, "A key is needed: Authorization: Bearer KEY.")
        if self._held.number > self._max_requests:
            message = f"The server holds {self._max_requests} requests, the most it may. Try again later."
            return RequestError(UNAVAILABLE, message, retry_after=1)
        return None

    def _has_key(self, headers: Mapping[bytes, bytes]) -> bool:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        given = given.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        # All keys are compared, so that the time does not tell which one was near.
        return sum(hmac.compare_digest(given, key) for key in self._keys) > 0


class Gate:
    """Middleware that admits requests of HTTP, and bounds their time.

    Args:
        app: the application behind it.
        options: the settings.
        admission: what admits requests.
        refused: returns the application that answers an error.
    """

    def __init__(
        self, app: Any, options: ServerOptions, admission: Admission, refused: Callable[[RequestError], Any]
    ) -> None:
        self._app = app
        self._options = options
        self._admission = admission
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as the interface ASGI says."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = (scope.get("client") or ("",))[0]
        record = scope[RECORD] = RequestRecord(scope["method"], scope["path"][:200], client)

        async def noted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)

        with self._admission.holding(record):
            error = None if scope["path"] in OPEN_PATHS else self._admission.error(dict(scope["headers"]))
            app = self._app if error is None else self._refused(error)
            # The parts have limits of their own. This one ends a client that does not read the events of a stream.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3 * self._options.timeout):
                    await app(scope, receive, noted)
