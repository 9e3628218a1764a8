"""The access log: one JSON object for each request, without texts and keys."""

import dataclasses
import datetime
import sys

from bert_tf.utils import files, json_text

STDERR = "-"


@dataclasses.dataclass
class RequestRecord:
    """The facts of a request for the access log.

    Attributes:
        method: `GET` or `POST`.
        path: its path, without the query.
        client: the address that it came from.
        model: the model, "" if there is none of this name.
        version: the version that answered.
        verb: `predict`, `metadata`, ...
        texts: the number of texts that were asked, each of a list for itself.
        bytes: the size of its body.
        status: the status code of its answer; 499 if the client had gone.
        seconds: the time from its head to the end of its answer.
    """

    method: str
    path: str
    client: str = ""
    model: str = ""
    version: int | None = None
    verb: str = ""
    texts: int = 0
    bytes: int = 0
    status: int = 499
    seconds: float = 0.0


class AccessLog:
    """Writes the access log.

    Args:
        target: a file, to which lines are appended; "-" for standard error; None or "" for nowhere.
    """

    def __init__(self, target: str | None) -> None:
        self._target = target

    def write(self, record: RequestRecord) -> None:
        """Write the line of a request. An error of the file is reported, and the request is none the worse for it."""
        if not self._target:
            return
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        values = {"time": now, **dataclasses.asdict(record), "seconds": round(record.seconds, 6)}
        line = json_text.dumps(values) + "\n"
        try:
            if self._target == STDERR:
                sys.stderr.write(line)
                sys.stderr.flush()
            else:
                files.append_text(self._target, line)
        except OSError as error:
            print(f"warning: the access log: {error}", file=sys.stderr)
