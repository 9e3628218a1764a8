"""The connections of a server: Uvicorn's protocol, with limits for the head of a request."""

import asyncio
from typing import Any

from bert_tf.server.options import ServerOptions
from bert_tf.utils import json_text

_MAX_HEAD_BYTES = 65_536


def protocol_class(options: ServerOptions) -> type[asyncio.Protocol]:
    """Return the class of connections.

    The head of a request must arrive within the time-out and have a bounded size: Uvicorn bounds the latter, and says
    400 where 431 is meant, but not the former.

    Args:
        options: the settings, of which the time-out counts here.
    """
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _head_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_arrived()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._head_arrived()
                return
            self._await_head()
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self._refuse(431, f"The head of a request must hold at most {_MAX_HEAD_BYTES} bytes.")

        def send_400_response(self, msg: str) -> None:
            self._refuse(400, msg)

        def _await_head(self) -> None:
            if self._timer is None:
                message = f"The head of the request must arrive within {options.timeout:g} s."
                self._timer = self.loop.call_later(options.timeout, self._refuse, 408, message)

        def _head_arrived(self) -> None:
            self._head_bytes = 0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _refuse(self, status: int, message: str) -> None:
            self._head_arrived()
            if self.transport.is_closing():
                return
            body = json_text.dumps({"error": message}).encode()
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            try:
                head = self.conn.send(h11.Response(status_code=status, headers=headers))
                self.transport.write(head + self.conn.send(h11.Data(data=body)) + self.conn.send(h11.EndOfMessage()))
            except h11.LocalProtocolError:
                pass  # an answer is on its way already
            self.transport.close()

    return Connection
