"""The application of a server: the paths of HTTP, by Starlette.

Starlette and Uvicorn, of the extra `server`, are imported by the functions that need them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any

from bert_tf.server import embeddings, openapi, page, paths
from bert_tf.server.errors import (
    CLIENT_CLOSED,
    GATEWAY_TIMEOUT,
    INTERNAL,
    NOT_FOUND,
    TOO_LARGE,
    UNAVAILABLE,
    RequestError,
)
from bert_tf.server.gate import RECORD, Admission, Gate
from bert_tf.server.handling import Handling
from bert_tf.server.json_tensors import parse_object
from bert_tf.server.options import ServerOptions
from bert_tf.server.served_run import events
from bert_tf.utils import json_text

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_JSON = "application/json"


def make_application(handling: Handling, options: ServerOptions, admission: Admission) -> "Starlette":
    """Return the application that answers by a server's models.

    Args:
        handling: what answers requests, apart from HTTP.
        options: the settings.
        admission: what admits requests. Its metrics are shown at `/metrics`.
    """
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.cors import CORSMiddleware
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    async def models(request: "Request") -> "Response":
        method, raw_path = request.method, request.scope["raw_path"].decode("ascii", "replace")
        if not raw_path.lower().startswith("/v1/"):
            raise HTTPException(NOT_FOUND)
        path, record = paths.parse(method, raw_path), request.scope[RECORD]
        record.verb, record.model = path.verb, path.name if path.name in handling.models.by_name else ""
        if method != "POST":
            return _response(handling.show(path))
        body = await _body(request, options)
        record.bytes = len(body)
        if path.verb in ("generate", "explain"):
            return await by_run(request, path, body)
        answer = await _while_connected(request, handling.answer(path, body, record), options.timeout)
        return _response(answer)

    async def by_run(request: "Request", path: paths.ModelPath, body: bytes) -> "Response":
        run, asked = handling.models.run(path), parse_object(body)
        request.scope[RECORD].texts = 1
        if path.verb == "explain":
            found = await _while_connected(request, run.explain(asked, options.max_characters), options.timeout)
            return _response(json_text.dumps(found).encode())
        parts = await _while_connected(request, run.stream(asked, options.max_characters), options.timeout)
        if asked.get("stream") is True:
            content = events(parts, options.timeout)
            return StreamingResponse(content, headers={"cache-control": "no-cache"}, media_type="text/event-stream")
        text = await _while_connected(request, _joined(parts), options.timeout)
        return _response(json_text.dumps({"text": text}).encode())

    async def embed(request: "Request") -> "Response":
        record = request.scope[RECORD]
        body = await _body(request, options)
        record.bytes = len(body)
        answer = await _while_connected(request, embeddings.answer(handling, body, record), options.timeout)
        return _response(answer)

    async def interface(request: "Request") -> "Response":
        return _response(json_text.dumps(openapi.description(options, handling.models.by_name)).encode())

    async def start(request: "Request") -> "Response":
        return Response(page.page(handling.models.by_name), headers=page.HEADERS, media_type="text/html")

    async def health(request: "Request") -> "Response":
        return _response(json_text.dumps({"status": "ok"}).encode())

    async def ready(request: "Request") -> "Response":
        missing = handling.models.not_ready()
        if missing:
            raise RequestError(UNAVAILABLE, f"No version answers of: {', '.join(missing)}.", retry_after=1)
        return await health(request)

    async def metrics_page(request: "Request") -> "Response":
        page, content_type = admission.metrics.page()
        return Response(page, headers={"content-type": content_type})

    async def refused(request: "Request", error: Any) -> "Response":
        return _error(error)

    async def unknown(request: "Request", error: Any) -> "Response":
        message = f"{error.detail}: {request.method} {request.scope['path'][:200]}"
        return _response(_error_body(message), error.status_code, dict(error.headers or {}))

    async def broken(request: "Request", error: Exception) -> "Response":
        return _response(_error_body(f"Internal error: {type(error).__name__}"), INTERNAL)

    middleware = [Middleware(Gate, options=options, admission=admission, refused=_error)]
    if options.cors_origins:
        origins = list(options.cors_origins)
        headers = ["content-type", "authorization"]
        middleware.insert(
            0, Middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=headers)
        )
    return Starlette(
        routes=[
            Route("/", start),
            Route("/healthz", health),
            Route("/readyz", ready),
            Route("/metrics", metrics_page),
            Route("/openapi.json", interface),
            Route("/v1/embeddings", embed, methods=["POST"]),
            Route("/{rest:path}", models, methods=["GET", "POST"]),
        ],
        exception_handlers={RequestError: refused, HTTPException: unknown, Exception: broken},
        middleware=middleware,
    )


async def _joined(parts: AsyncIterator[str]) -> str:
    return "".join([part async for part in parts])


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
