"""How a client asks a server: what the protocols have in common."""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_LONGEST_WAIT = 60


class BusyError(Exception):
    """The server is too busy for a request.

    Args:
        error: the exception if it is not asked again.
        seconds: the time after which it may be asked again.
    """

    def __init__(self, error: Exception, seconds: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.seconds = seconds


class Transport:
    """A model behind an address.

    Every method raises a ValueError if the server refuses the request, and an OSError if it cannot be reached, has no
    such model, needs a key or is too busy.

    Args:
        url: the address of the model.
        api_key: the key of the server, or None.
        timeout: seconds to wait for an answer.
        retries: how often a request is sent again that the server was too busy for.
        tls: the settings of TLS; None for those of the system.

    Attributes:
        wait: waits a number of seconds.
        late: the error of a server that does not answer in time.
    """

    def __init__(
        self, url: str, *, api_key: str | None, timeout: float, retries: int, tls: ssl.SSLContext | None
    ) -> None:
        self.url = url
        self.headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        self.timeout = timeout
        self.late = f"the server did not answer within {timeout:g} s, the `timeout` of the client"
        self.tls = tls
        self.wait: Callable[[float], None] = time.sleep
        self._retries = retries

    def signatures(self) -> dict[str, Any]:
        """Return the signatures of the model by name, as `SignatureDef`s in JSON."""
        raise NotImplementedError

    def classes(self, signature: str, example: Mapping[str, str]) -> list[str]:
        """Return the names of the classes that Classify gives an example."""
        raise NotImplementedError

    def predict(
        self, signature: str, columns: Mapping[str, Sequence[Any]], described: Mapping[str, Any]
    ) -> dict[str, list[Any]]:
        """Return the outputs of a signature by name, as lists of numbers and strings.

        Args:
            signature: its name.
            columns: the texts or numbers of each input.
            described: its `SignatureDef` in JSON.
        """
        raise NotImplementedError

    def stream(self, body: Mapping[str, Any]) -> Iterator[str]:
        """Yield the parts of the text that the model generates, as soon as each has arrived.

        Args:
            body: the request.
        """
        raise ValueError(f"`stream` needs an address of HTTP. Received: {self.url}")

    def explain(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return why the model answered so, as JSON of `explanation_page.explanation_data`.

        Args:
            body: the request.
        """
        raise ValueError(f"`explain` needs an address of HTTP. Received: {self.url}")

    def _retried(self, ask: Callable[[], Any]) -> Any:
        """Return what `ask` returns, called again while it raises a BusyError."""
        for left in reversed(range(self._retries + 1)):
            try:
                return ask()
            except BusyError as busy:
                if not left:
                    raise busy.error from None
                self.wait(min(busy.seconds, _LONGEST_WAIT))
        raise AssertionError("the last attempt returns or raises")
