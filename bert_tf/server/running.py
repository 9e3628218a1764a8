"""The server: Uvicorn with the application, and gRPC beside it, for a command or in a thread of a program."""

import asyncio
import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from bert_tf.server.access_log import AccessLog
from bert_tf.server.application import make_application
from bert_tf.server.batching import Batcher
from bert_tf.server.connections import MAX_EVENT_BYTES, listening, protocol_class
from bert_tf.server.gate import Admission, Held
from bert_tf.server.grpc_service import GrpcService
from bert_tf.server.handling import Handling
from bert_tf.server.metrics import Metrics
from bert_tf.server.models import ServedModels
from bert_tf.server.options import ServerOptions
from bert_tf.server.tls import Tls


def check_installed() -> None:
    """Check that what the server needs is installed.

    Raises:
        ImportError: it is not.
    """
    try:
        import prometheus_client  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        needs = "Starlette, Uvicorn and prometheus-client"
        raise ImportError(f"the server needs {needs}: pip install 'bert_tf[server]' ({error})") from error


class Server:
    """A server of models, which holds its address from the beginning on.

    Args:
        models: the models, loaded.
        options: the settings.
        host: the address to listen at.
        port: the port, 0 for any free one.
        grpc_port: the port of gRPC, 0 for any free one; None for no gRPC.
        tls: the certificate, or None for plain HTTP and gRPC.

    Attributes:
        url: the address of HTTP.
        grpc_url: the address of gRPC, "" without it.
        started: set once both answer.

    Raises:
        ImportError: what the server needs is not installed.
        OSError: an address is in use or is none of this machine.
    """

    def __init__(
        self,
        models: ServedModels,
        options: ServerOptions,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        grpc_port: int | None = None,
        tls: Tls | None = None,
    ) -> None:
        check_installed()
        import uvicorn

        held = Held()
        metrics = Metrics(lambda: self._batcher.waiting, lambda: held.number, models.newest)
        self._models, self._poll_seconds = models, options.poll_seconds
        self._batcher = Batcher(options, metrics.batch)
        handling = Handling(models, self._batcher, options)
        admission = Admission(options, held, metrics, AccessLog(options.access_log))
        self._grpc = None
        if grpc_port is not None:
            self._grpc = GrpcService(handling, options, admission, host=host, port=grpc_port, tls=tls)
        self.grpc_url = "" if self._grpc is None else self._grpc.url
        self._socket = listening(host, port, "port")
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http{'s' if tls else ''}://{shown}:{self._socket.getsockname()[1]}"
        self.started = threading.Event()
        config = uvicorn.Config(
            make_application(handling, options, admission),
            http=protocol_class(options),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=MAX_EVENT_BYTES,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(options.timeout) + 1,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls.context,
        )

        class Both(uvicorn.Server):
            """Both protocols end together: neither takes new requests while the other answers its last ones."""

            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                await asyncio.gather(super().shutdown(sockets), end_grpc())

        end_grpc = self._end_grpc
        self._uvicorn = Both(config)

    async def serve(self) -> None:
        """Answer requests until `stop` is called or, in the main thread, SIGINT or SIGTERM arrives.

        Requests that have arrived by then are still answered.
        """
        looking = asyncio.create_task(self._look_for_versions())
        try:
            if self._grpc is not None:
                await self._grpc.start()
            self.started.set()
            await self._uvicorn.serve(sockets=[self._socket])
        finally:
            self.started.set()
            looking.cancel()
            await self._end_grpc()
            self._batcher.close()

    async def _end_grpc(self) -> None:
        if self._grpc is not None:
            await self._grpc.stop()

    async def _look_for_versions(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            for model in self._models.by_name.values():
                try:
                    await asyncio.to_thread(model.refresh)
                except OSError as error:  # of the file system: the next look may succeed
                    print(f"warning: {model.folder}: {error}", file=sys.stderr)

    def stop(self) -> None:
        """Let `serve` return once the requests that it holds are answered. Threads may call this."""
        self._uvicorn.should_exit = True

    def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Serve in the main thread of a command, which ends without an error after SIGINT and SIGTERM.

        Args:
            started: called before the first request is accepted.
        """

        def end(number: int, frame: Any) -> None:
            self.stop()

        # Uvicorn raises the signals that it caught once more when it has ended.
        handlers = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            started()
            asyncio.run(self.serve())
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def in_thread(server: Server) -> Iterator[str]:
    """Serve in another thread while the block runs, and yield the server's address.

    Args:
        server: the server.
    """
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="server")
    thread.start()
    try:
        server.started.wait()
        yield server.url
    finally:
        server.stop()
        thread.join()
