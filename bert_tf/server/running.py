"""The server: Uvicorn with the application, for a command or in a thread of a program."""

import asyncio
import contextlib
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from bert_tf.server.access_log import AccessLog
from bert_tf.server.application import make_application
from bert_tf.server.batching import Batcher
from bert_tf.server.connections import MAX_EVENT_BYTES, protocol_class
from bert_tf.server.gate import Held
from bert_tf.server.handling import Handling
from bert_tf.server.metrics import Metrics
from bert_tf.server.models import ServedModels
from bert_tf.server.options import ServerOptions

if TYPE_CHECKING:
    pass


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


def tls_context(certificate: str, key: str | None) -> ssl.SSLContext:
    """Return the settings of TLS.

    Args:
        certificate: the file of the certificate, and of those that signed it, in PEM.
        key: the file of its key; None if it is in the same file.

    Raises:
        ValueError: the files cannot be read, or do not hold a certificate and its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # among them ssl.SSLError
        received = certificate if key is None else f"{certificate} and {key}"
        raise ValueError(
            f"`certificate_file` must hold a certificate in PEM, with its key. Received: {received} ({error})"
        ) from None
    return context


class Server:
    """A server of models, which holds its address from the beginning on.

    Args:
        models: the models, loaded.
        options: the settings.
        host: the address to listen at.
        port: the port, 0 for any free one.
        tls: the settings of TLS, or None for plain HTTP.

    Raises:
        ImportError: what the server needs is not installed.
        OSError: the address is in use or is none of this machine.
    """

    def __init__(
        self,
        models: ServedModels,
        options: ServerOptions,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        check_installed()
        import uvicorn

        held = Held()
        metrics = Metrics(lambda: self._batcher.waiting, lambda: held.number, models.newest)
        self._models, self._poll_seconds = models, options.poll_seconds
        self._batcher = Batcher(options, metrics.batch)
        self._socket = _listening(host, port)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http{'s' if tls else ''}://{shown}:{self._socket.getsockname()[1]}"
        handling, log = Handling(models, self._batcher, options), AccessLog(options.access_log)
        config = uvicorn.Config(
            make_application(handling, options, metrics=metrics, held=held, log=log),
            http=protocol_class(options),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=MAX_EVENT_BYTES,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(options.timeout) + 1,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        )
        self._uvicorn: uvicorn.Server = uvicorn.Server(config)

    async def serve(self) -> None:
        """Answer requests until `stop` is called or, in the main thread, SIGINT or SIGTERM arrives.

        Requests that have arrived by then are still answered.
        """
        looking = asyncio.create_task(self._look_for_versions())
        try:
            await self._uvicorn.serve(sockets=[self._socket])
        finally:
            looking.cancel()
            self._batcher.close()

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


def _listening(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OSError(f"`port`: the server cannot listen at {host}:{port} ({error.strerror or error})") from None
    return listener


@contextlib.contextmanager
def in_thread(server: Server) -> Iterator[str]:
    """Serve in another thread while the block runs, and yield the server's address.

    Args:
        server: the server.
    """
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="server")
    thread.start()
    try:
        yield server.url  # its socket listens already: requests wait until the thread accepts them
    finally:
        server.stop()
        thread.join()
