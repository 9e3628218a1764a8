"""The signatures that a client asks: which one answers a method, and its answers for any number of rows.

Inputs and outputs have the names of `bert_tf.serving.signatures`.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.server.served_version import DEFAULT_SIGNATURE
from bert_tf.server.transport import Transport
from bert_tf.serving.exported import signature_name
from bert_tf.serving.methods.base import texts_of

_ARGUMENTS = {
    "text": "texts",
    "text_pair": "text_pairs",
    "question": "questions",
    "context": "contexts",
    "choices": "choices",
    "query": "query",
    "passage": "passages",
}
"""The argument that holds the texts of an input."""


class AskedSignatures:
    """The signatures of a model behind a transport.

    Args:
        transport: the transport.
        task: the name of a task of a model for several, or None.
        batch_size: the number of rows in a request.
    """

    def __init__(self, transport: Transport, task: str | None, batch_size: int) -> None:
        self._transport = transport
        self._task = task
        self._batch_size = batch_size
        self._known_classes: dict[str, list[str]] = {}

    @functools.cached_property
    def signatures(self) -> dict[str, Any]:
        """The signatures of the model by name, as `SignatureDef`s in JSON."""
        return self._transport.signatures()

    @functools.cached_property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks of a model for several, in the order of the alphabet; empty for any other model."""
        names = (name for name in self.signatures if name != DEFAULT_SIGNATURE)
        return tuple(sorted(name for name in names if signature_name(name, "token_ids") in self.signatures))

    def classes(self, signature: str) -> list[str]:
        """Return the names of the classes, in the order of their probabilities."""
        if signature not in self._known_classes:
            inputs = self.signatures[signature]["inputs"]
            examples = signature_name("" if signature == DEFAULT_SIGNATURE else signature, "examples")
            self._known_classes[signature] = self._transport.classes(examples, dict.fromkeys(inputs, ""))
        return self._known_classes[signature]

    def signature(self, method: str, outputs: Sequence[str], kinds: Sequence[str] = (DEFAULT_SIGNATURE,)) -> str:
        """Return the name of the signature that answers a method.

        Args:
            method: the method that is called, for messages.
            outputs: outputs that the signatures of this method have, and no others.
            kinds: the names of the signature in an export of one task, the first of which it has.

        Raises:
            ValueError: there is none, or several tasks have one.
        """
        url = self._transport.url
        if self._task is not None and self._task not in self.tasks:
            known = f"one of {', '.join(self.tasks)}" if self.tasks else "left out for a model of one task"
            raise ValueError(f"`task` must be {known}. Received: {self._task!r}, for {url}")
        tasks = self.tasks or ("",) if self._task is None else (self._task,)
        found: dict[str, str] = {}
        for task in tasks:
            for name in (signature_name(task, kind) for kind in kinds):
                if task not in found and self.signatures.get(name, {}).get("outputs", {}).keys() >= set(outputs):
                    found[task] = name
        if len(found) > 1:
            able = " and ".join(found)
            raise ValueError(f"`{method}` needs a `task`, because {able} have it. Received: None, for {url}")
        if not found:
            received = f"{url}, the task {self._task!r}" if self._task else url
            raise ValueError(f"`{method}` needs a model that returns {' and '.join(outputs)}. Received: {received}")
        return next(iter(found.values()))

    def rows(
        self,
        method: str,
        signature: str,
        *,
        numbers: Mapping[str, int] | None = None,
        **columns: Sequence[Any] | None,
    ) -> list[dict[str, Any]]:
        """Return the outputs of a signature for each row.

        Args:
            method: the method that is called, for messages.
            signature: the name of the signature.
            numbers: the number of every row for an input of numbers; left out where the signature has no such input.
            **columns: the texts of each input, or a list of them for each row; None for an input that was not given.
        """
        inputs = set(self.signatures[signature]["inputs"])
        fixed = {name: value for name, value in (numbers or {}).items() if name in inputs}
        inputs -= fixed.keys()
        given = {name: _column(name, texts) for name, texts in columns.items() if texts is not None}
        if given.keys() != inputs:
            names = " and ".join(f"`{_ARGUMENTS.get(name, name)}`" for name in sorted(inputs))
            raise ValueError(f"`{method}` needs {names} for this model. Received: {', '.join(sorted(given))}")
        number = same_number(given)
        rows: list[dict[str, Any]] = []
        # A server counts each text of a list.
        longest = max((len(row) for texts in given.values() for row in texts if not isinstance(row, str)), default=1)
        size = max(1, self._batch_size // longest)
        for start in range(0, number, size):
            part = {name: _filled_up(texts[start : start + size]) for name, texts in given.items()}
            part |= {name: [value] * min(size, number - start) for name, value in fixed.items()}
            found = self._transport.predict(signature, part, self.signatures[signature])
            rows += [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
        return rows


def _column(name: str, texts: Sequence[Any]) -> list[Any]:
    return list(texts) if name == "choices" else texts_of(_ARGUMENTS[name], texts)


def same_number(columns: Mapping[str, Sequence[Any]]) -> int:
    """Return the number of rows of columns, which are named after inputs. Raises a ValueError if they differ."""
    sizes = [len(texts) for texts in columns.values()]
    if len(set(sizes)) > 1:
        first, second = (_ARGUMENTS[name] for name in columns)
        raise ValueError(f"`{second}` must be as many as `{first}`. Received: {sizes[0]} and {sizes[1]}")
    return sizes[0]


def _filled_up(rows: list[Any]) -> list[Any]:
    """Return the rows of a column. Lists of texts are filled up with "" to the longest of them."""
    if isinstance(rows[0], str):
        return rows
    longest = max(map(len, rows))
    return [[*row, *[""] * (longest - len(row))] for row in rows]
