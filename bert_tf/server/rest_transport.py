"""A client's requests over REST."""

import contextlib
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bert_tf.server.transport import BusyError, Transport
from bert_tf.utils import json_text

_BUSY = (429, 503)
_END = "[DONE]"


class RestTransport(Transport):
    """A model behind an address of HTTP. Arguments as in `Transport`."""

    def signatures(self) -> dict[str, Any]:
        """Return the signatures of the model by name, as `SignatureDef`s in JSON."""
        found = self._send("/metadata")
        try:
            return found["metadata"]["signature_def"]["signature_def"]
        except (TypeError, KeyError):
            raise OSError(
                f"{self.url}/metadata: the answer must hold signatures. Received: {json_text.dumps(found)[:80]}"
            ) from None

    def classes(self, signature: str, example: Mapping[str, str]) -> list[str]:
        """Return the names of the classes that Classify gives an example."""
        results = self._send(":classify", {"signature_name": signature, "examples": [example]})["results"]
        return [name for name, _ in results[0]]

    def predict(
        self, signature: str, columns: Mapping[str, Sequence[Any]], described: Mapping[str, Any]
    ) -> dict[str, list[Any]]:
        """Return the outputs of a signature by name. Arguments as in `Transport.predict`."""
        found = self._send(":predict", {"signature_name": signature, "inputs": columns})["outputs"]
        return found if len(described["outputs"]) > 1 else {next(iter(described["outputs"])): found}

    def stream(self, body: Mapping[str, Any]) -> Iterator[str]:
        """Yield the parts of the text that the model generates. Arguments as in `Transport.stream`."""
        data = json_text.dumps(body).encode()
        with self._retried(lambda: self._opened(":generate", data)) as response, self._errors():
            for line in response:
                event = line.decode().strip().removeprefix("data: ")
                if event == _END:
                    return
                if event:
                    found = json.loads(event)
                    if "error" in found:
                        raise OSError(f"{self.url}: {found['error']}")
                    yield found["text"]
        raise OSError(f"{self.url}: the server closed the connection before the text had ended")

    def explain(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer of `:explain`. Arguments as in `Transport.explain`."""
        return self._send(":explain", body)

    def _send(self, path: str, body: Any = None) -> Any:
        """Return the JSON of an answer; a GET request if there is no body."""
        data = None if body is None else json_text.dumps(body).encode()
        with self._retried(lambda: self._opened(path, data)) as response, self._errors():
            text = response.read().decode(errors="replace")
        try:
            return json.loads(text)
        except ValueError:
            raise OSError(f"{self.url}{path}: the answer must be JSON. Received: {text[:80]!r}") from None

    def _opened(self, path: str, data: bytes | None) -> http.client.HTTPResponse:
        headers = {"content-type": "application/json", **self.headers}
        request = urllib.request.Request(self.url + path, data, headers)
        with self._errors():
            try:
                return urllib.request.urlopen(request, timeout=self.timeout, context=self.tls)
            except urllib.error.HTTPError as error:
                with error:
                    found = _exception(error.code, f"{self.url}: {_message(error)}")
                if error.code not in _BUSY:
                    raise found from None
                after = error.headers.get("retry-after", "")
                raise BusyError(found, int(after) if after.isdecimal() else 1) from None

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise an OSError that names the address if the connection fails while the block runs."""
        try:
            yield
        except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise OSError(f"{self.url}: {self.late}") from None
            if isinstance(reason, http.client.IncompleteRead):
                reason = "the server closed the connection before its answer had ended"
            elif isinstance(reason, http.client.HTTPException) and not isinstance(reason, OSError):
                reason = f"the answer must be one of HTTP. Received: {str(reason)[:80]!r}"
            raise OSError(f"{self.url}: {reason}") from None


def _message(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, TypeError, KeyError):
        return f"{error.code} {text[:200]}"


def _exception(status: int, message: str) -> Exception:
    if status in (401, 403):
        return PermissionError(message)
    if status == 404:
        return FileNotFoundError(message)
    return ValueError(message) if status in (400, 413) else OSError(message)
