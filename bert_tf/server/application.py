"""The application of a server: the paths of HTTP, by Starlette.

Starlette and Uvicorn, of the extra `server`, are imported by the functions that need them.
"""

import asyncio
import contextlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from bert_tf.server import paths
from bert_tf.server.errors import CLIENT_CLOSED, GATEWAY_TIMEOUT, INTERNAL, NOT_FOUND, RequestError
from bert_tf.server.handling import TOO_LARGE, Handling
from bert_tf.server.options import ServerOptions
from bert_tf.utils import json_text

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON = "application/json"


def make_application(handling: Handling, options: ServerOptions) -> "Starlette":
    """Return the application that answers by a server's models.

    Args:
        handling: what answers requests, apart from HTTP.
        options: the settings.
    """
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.cors import CORSMiddleware
    from starlette.routing import Route

    async def models(request: "Request") -> "Response":
        method, raw_path = request.method, request.scope["raw_path"].decode("ascii", "replace")
        if not raw_path.lower().startswith("/v1/"):
            raise HTTPException(NOT_FOUND)
        path = paths.parse(method, raw_path)
        if method != "POST":
            return _response(handling.show(path))
        body = await _body(request, options)
        answer, _ = await _while_connected(request, handling.answer(path, body), options.timeout)
        return _response(answer)

    async def refused(request: "Request", error: Any) -> "Response":
        return _error(error)

    async def unknown(request: "Request", error: Any) -> "Response":
        message = f"{error.detail}: {request.method} {request.scope['path'][:200]}"
        return _response(_error_body(message), error.status_code, dict(error.headers or {}))

    async def broken(request: "Request", error: Exception) -> "Response":
        return _response(_error_body(f"Internal error: {type(error).__name__}"), INTERNAL)

    middleware = [Middleware(_Limits, options=options)]
    if options.cors_origins:
        origins = list(options.cors_origins)
        headers = ["content-type", "authorization"]
        middleware.insert(
            0, Middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=headers)
        )
    return Starlette(
        routes=[Route("/{rest:path}", models, methods=["GET", "POST"])],
        exception_handlers={RequestError: refused, HTTPException: unknown, Exception: broken},
        middleware=middleware,
    )


def _response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> "Response":
    from starlette.responses import Response

    return Response(body, status, headers, media_type=_JSON)


def _error(error: RequestError) -> "Response":
    return _response(_error_body(error.message), error.status, error.headers())


def _error_body(message: str) -> bytes:
    # A message may quote one half of a surrogate pair, which UTF-8 cannot hold.
    return json_text.dumps({"error": message}).encode(errors="replace")


async def _body(request: "Request", options: ServerOptions) -> bytes:
    """Return the body of a request. Raises a RequestError if it is too large, or the client has gone."""
    from starlette.requests import ClientDisconnect

    limit = options.max_request_bytes
    message = f"A request must hold at most {limit} bytes. Received: "
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise RequestError(TOO_LARGE, message + length)
    body = bytearray()
    try:
        async with asyncio.timeout(options.timeout):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise RequestError(TOO_LARGE, message + "more")
    except TimeoutError:
        raise RequestError(408, f"The request must arrive within {options.timeout:g} s.") from None
    except ClientDisconnect:
        raise RequestError(CLIENT_CLOSED, "The client closed the connection.") from None
    return bytes(body)


async def _while_connected(request: "Request", answer: Awaitable[Any], timeout: float) -> Any:
    """Return the answer, and give it up after `timeout` seconds or as soon as the client closes the connection."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.ensure_future(answer), asyncio.create_task(gone())]
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0] in done:
            return tasks[0].result()
        if not done:
            raise RequestError(GATEWAY_TIMEOUT, f"The model did not answer within {timeout:g} s.")
        raise RequestError(CLIENT_CLOSED, "The client closed the connection.")
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


class _Limits:
    """Middleware that checks the key, bounds the number of requests and their time, before a body is read."""

    def __init__(self, app: Any, options: ServerOptions) -> None:
        self._app = app
        self._options = options
        self._keys = [key.encode() for key in options.api_keys]
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        error = None if self._has_key(scope) else RequestError(401, "A key is needed: Authorization: Bearer KEY.")
        if error is None and self._requests >= self._options.max_requests:
            message = f"The server holds {self._requests} requests, the most it may. Try again later."
            error = RequestError(503, message, retry_after=1)
        if error is not None:
            await _error(error)(scope, receive, send)
            return
        self._requests += 1
        try:
            # The parts have limits of their own. This one ends a client that does not read its answer.
            async with asyncio.timeout(3 * self._options.timeout):
                await self._app(scope, receive, send)
        except TimeoutError:
            return  # Uvicorn closes the connection
        finally:
            self._requests -= 1

    def _has_key(self, scope: Scope) -> bool:
        if not self._keys:
            return True
        headers = dict(scope["headers"])
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        given = given.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        # All keys are compared, so that the time does not tell which one was near.
        return sum(hmac.compare_digest(given, key) for key in self._keys) > 0
