"""The gate of a server: what every request passes before it is read, and what is noted when it has ended."""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, MutableMapping
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


class Gate:
    """Middleware that checks the key, and bounds the number of requests and their time.

    Args:
        app: the application behind it.
        options: the settings.
        held: the number of requests that the server holds.
        metrics: counts the requests.
        log: the access log.
        refused: returns the application that answers an error.
    """

    def __init__(
        self,
        app: Any,
        options: ServerOptions,
        held: Held,
        metrics: Metrics,
        log: AccessLog,
        refused: Callable[[RequestError], Any],
    ) -> None:
        self._app = app
        self._options = options
        self._held = held
        self._metrics = metrics
        self._log = log
        self._refused = refused
        self._keys = [key.encode() for key in options.api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as the interface ASGI says."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        client = (scope.get("client") or ("",))[0]
        record = scope[RECORD] = RequestRecord(scope["method"], scope["path"][:200], client)

        async def noted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)

        self._held.number += 1
        try:
            error = self._error(scope)
            app = self._app if error is None else self._refused(error)
            # The parts have limits of their own. This one ends a client that does not read its answer.
            async with asyncio.timeout(3 * self._options.timeout):
                await app(scope, receive, noted)
        except TimeoutError:
            return  # Uvicorn closes the connection
        finally:
            self._held.number -= 1
            record.seconds = time.monotonic() - started
            self._metrics.request(record)
            self._log.write(record)

    def _error(self, scope: Scope) -> RequestError | None:
        if scope["path"] in OPEN_PATHS:
            return None
        if self._keys and not self._has_key(dict(scope["headers"])):
            return RequestError(401, "A key is needed: Authorization: Bearer KEY.")
        if self._held.number > self._options.max_requests:
            message = f"The server holds {self._options.max_requests} requests, the most it may. Try again later."
            return RequestError(UNAVAILABLE, message, retry_after=1)
        return None

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        given = given.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        # All keys are compared, so that the time does not tell which one was near.
        return sum(hmac.compare_digest(given, key) for key in self._keys) > 0
