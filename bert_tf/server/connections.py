"""The connections of a server: its sockets, and Uvicorn's protocol with limits for the head of a request."""

import asyncio
import socket
import struct
from typing import Any

from bert_tf.server.options import ServerOptions
from bert_tf.utils import json_text

_MAX_HEAD_BYTES = 65_536

MAX_EVENT_BYTES = 2**20
"""The limit that h11 has for the head. It must not be reached before the other: h11's error is 400, and not 431."""

_SECONDS_AFTER_REFUSAL = 5.0

_TIMEOUTS_TO_READ = 3

_MAX_REFUSED_BYTES = 64 * 2**20
"""The most bytes that are read of a request after it was refused."""


def listening(host: str, port: int, argument: str) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: the address.
        port: the port, 0 for any free one.
        argument: the name of the argument that holds the port, for messages.

    Raises:
        OSError: the address is in use or is none of this machine.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OSError(f"`{argument}`: the server cannot listen at {host}:{port} ({error.strerror or error})") from None
    return listener


def protocol_class(options: ServerOptions) -> type[asyncio.Protocol]:
    """Return the class of connections.

    The head of a request must arrive within the time-out and have a bounded size. Uvicorn bounds the size alone. A
    client that does not read its answer within three time-outs loses its connection, so that answers cannot pile up.

    Args:
        options: the settings, of which the time-out counts here.
    """
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None
        _head_bytes = 0
        _refused_bytes: int | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end_timer()
            self._end_unread()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._end_unread()
            self._unread = self.loop.call_later(_TIMEOUTS_TO_READ * options.timeout, self._drop)

        def resume_writing(self) -> None:
            self._end_unread()
            super().resume_writing()

        def _end_unread(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

        def _drop(self) -> None:
            """End the connection at once. Without a reset, the kernel would keep the rest of the answer."""
            at_once = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            self.transport.abort()

        def data_received(self, data: bytes) -> None:
            if self._refused_bytes is None:
                super().data_received(data)
                if self.conn.their_state is h11.IDLE:
                    self._head_bytes += len(data)
                    if self._head_bytes > _MAX_HEAD_BYTES:
                        self._refuse(431, f"The head of a request must hold at most {_MAX_HEAD_BYTES} bytes.")
                return
            self._refused_bytes += len(data)
            if self._refused_bytes > _MAX_REFUSED_BYTES:
                self.transport.close()

        def handle_events(self) -> None:
            super().handle_events()
            # The rest of a body whose request is answered already is read, for the reason that `_refuse` gives.
            is_answered = self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE
            if is_answered or (self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]):
                self._await_head()
            elif self.conn.their_state is not h11.IDLE:
                self._head_bytes = 0
                self._end_timer()

        def send_400_response(self, msg: str) -> None:
            self._refuse(400, msg)

        def _await_head(self) -> None:
            if self._timer is None and self._refused_bytes is None:
                message = f"The head of the request must arrive within {options.timeout:g} s."
                self._timer = self.loop.call_later(options.timeout, self._refuse, 408, message)

        def _end_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _refuse(self, status: int, message: str) -> None:
            """Answer, and end the connection when the client has, or after a while.

            Closing it at once, while data arrive, would take the answer from a client that is still sending.
            """
            self._end_timer()
            if self.transport.is_closing() or self._refused_bytes is not None:
                return
            self._refused_bytes = 0
            body = json_text.dumps({"error": message}).encode()
            headers = [("content-type", "application/json"), ("connection", "close")]
            headers.append(("content-length", str(len(body))))
            try:
                head = self.conn.send(h11.Response(status_code=status, headers=headers))
                self.transport.write(head + self.conn.send(h11.Data(data=body)) + self.conn.send(h11.EndOfMessage()))
            except h11.LocalProtocolError:  # an answer is on its way already
                self.transport.close()
                return
            if self.transport.can_write_eof():
                self.transport.write_eof()
                self._timer = self.loop.call_later(_SECONDS_AFTER_REFUSAL, self.transport.close)
            else:
                self.transport.close()

    return Connection
