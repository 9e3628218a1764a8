"""The run beside an export, which gives what an export has not: texts as they come, attributions and attention."""

import asyncio
import concurrent.futures
import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bert_tf.server.errors import TOO_LARGE, RequestError, invalid, shortened
from bert_tf.server.json_tensors import encode_text
from bert_tf.utils import json_text
from bert_tf.utils.arguments import renamed

if TYPE_CHECKING:
    from bert_tf.serving.predictor import Predictor

_GENERATION = ("max_length", "no_repeat_ngram", "temperature", "top_k", "top_p", "seed")
_INTEGERS = ("max_length", "no_repeat_ngram", "top_k", "seed", "target")
_EXPLANATION = ("method", "target", "baseline")
_ATTENTION, _TASK = "attention", "task"
_TEXTS = (("text",), ("text", "text_pair"), ("question", "context"))


class Abilities(NamedTuple):
    """The abilities that the run of one task adds to its export.

    Attributes:
        generates: whether it generates texts.
        explains: whether its answers can be explained.
    """

    generates: bool
    explains: bool


class ServedRun:
    """A run's model, which answers one request at a time, and several streams in turns.

    Args:
        folder: the folder of the run, or of published weights.

    Attributes:
        generates: whether the model, or one of its tasks, generates texts.
        explains: whether its answers, or those of one of its tasks, can be explained.
        tasks: the abilities of each task of a model for several by its name; empty for any other model.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: it is damaged, or an export.
    """

    def __init__(self, folder: str) -> None:
        import keras

        from bert_tf.serving.predictor import MultiTaskPredictor, load

        predictor = load(folder)
        if not isinstance(predictor.model, keras.Model):
            raise ValueError(f"`runs` must name runs or published weights, not exports. Received: {folder!r}")
        several = predictor.predictors if isinstance(predictor, MultiTaskPredictor) else {}
        self._predictors: dict[str, Predictor] = several or {"": predictor}
        abilities = {task: _abilities(each) for task, each in self._predictors.items()}
        self.tasks = abilities if several else {}
        self.generates = any(each.generates for each in abilities.values())
        self.explains = any(each.explains for each in abilities.values())
        self._executor = concurrent.futures.ThreadPoolExecutor(1, "run")

    async def stream(self, request: Mapping[str, Any], max_characters: int) -> AsyncIterator[str]:
        """Return the parts of the text that the model generates, as soon as each is known.

        Args:
            request: `text`, and any of the options of `Predictor.stream`; `task` names one of several tasks.
            max_characters: the largest number of UTF-8 bytes in the text.

        Raises:
            RequestError: the model does not generate, or the request is not as it must be.
        """
        able = [task for task, each in self._predictors.items() if _abilities(each).generates]
        predictor = self._chosen(request, able, "The model does not generate texts.")
        options = _options(request, _GENERATION, ("text", "stream", _TASK))
        text = _text(request, "text", max_characters)
        parts = await self._run(lambda: predictor.stream(text, **options))
        first = await self._run(next, parts, None)  # an error in it is one of the request
        return self._parts(first, parts)

    async def _parts(self, part: str | None, parts: Iterator[str]) -> AsyncIterator[str]:
        while part is not None:
            yield part
            part = await self._run(next, parts, None)

    async def explain(self, request: Mapping[str, Any], max_characters: int) -> dict[str, Any]:
        """Return the data of `explanation_page` for one text or pair: attributions and attention.

        Args:
            request: `text`, with `text_pair` for a model of pairs; or `question` and `context`; and any of `method`,
                `target` and `baseline`, the arguments of `Predictor.explain`. `attention: false` leaves attention out.
                `task` names one of several tasks.
            max_characters: the largest number of UTF-8 bytes in a text.

        Raises:
            RequestError: answers of the model cannot be explained, or the request is not as it must be.
        """
        able = [task for task, each in self._predictors.items() if _abilities(each).explains]
        predictor = self._chosen(request, able, "The answers of the model cannot be explained.")
        options = _options(request, _EXPLANATION, (*sum(_TEXTS, ()), _ATTENTION, _TASK))
        attends = request.get(_ATTENTION, True)
        if not isinstance(attends, bool):
            raise invalid(f"'{_ATTENTION}' must be true or false. Received: {shortened(attends)}")
        names = next((each for each in reversed(_TEXTS) if set(each) <= request.keys()), ("text",))
        texts = [_text(request, name, max_characters) for name in names]
        return await self._run(functools.partial(_explained, predictor, texts, options, attends=attends))

    def _chosen(self, request: Mapping[str, Any], able: Sequence[str], message: str) -> "Predictor":
        """Return the predictor of the task that a request names, or of the only one among those that are able."""
        if not able:
            raise invalid(message)
        task = request.get(_TASK)
        if task is None and len(able) == 1:
            return self._predictors[able[0]]
        if not self.tasks:
            raise invalid(f"'{_TASK}' must be left out for a model of one task. Received: {shortened(task)}")
        if not isinstance(task, str) or task not in able:
            raise invalid(f"'{_TASK}' must be one of {', '.join(able)}. Received: {shortened(task)}")
        return self._predictors[task]

    def close(self) -> None:
        """End the thread of the model."""
        self._executor.shutdown(cancel_futures=True)

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
        except ValueError as error:
            raise invalid(str(error)) from None


def _abilities(predictor: "Predictor") -> Abilities:
    from bert_tf.serving.methods.explanation import EXPLAINED_TASKS

    task = predictor.description.task
    return Abilities(generates=task == "seq2seq", explains=task in EXPLAINED_TASKS)


def _explained(
    predictor: "Predictor", texts: list[str], options: Mapping[str, Any], *, attends: bool
) -> dict[str, Any]:
    from bert_tf.serving.explanation_page import explanation_data

    arguments = [[text] for text in texts]
    options = {"method": "gradient_x_input", **options}
    found = predictor.explain(*arguments, **options)
    attention = predictor.attention(*arguments) if attends else None
    return explanation_data(found, [texts], attention=attention)


def _options(request: Mapping[str, Any], known: tuple[str, ...], others: tuple[str, ...]) -> dict[str, Any]:
    for name in request:
        if name not in known and name not in others:
            raise invalid(f"{shortened(name)} is not known. Known: {', '.join((*dict.fromkeys(others), *known))}")
    options = {name: request[name] for name in known if request.get(name) is not None}
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise invalid(f"'{name}' must be a number or a string. Received: {shortened(value)}")
        if isinstance(value, float) and value.is_integer() and name in _INTEGERS:
            options[name] = int(value)  # in JSON, 2.0 is a whole number
    return options


def _text(request: Mapping[str, Any], name: str, most: int) -> str:
    text = request.get(name)
    if not isinstance(text, str):
        raise invalid(f"'{name}' must be a text. Received: {shortened(text)}")
    if len(encode_text(text)) > most:
        raise RequestError(
            TOO_LARGE, f"A text must hold at most {most} bytes. Received: {len(text.encode())} in '{name}'"
        )
    return text


def attach_runs(texts: Sequence[str], models: Mapping[str, Any]) -> None:
    """Load runs and put each beside its model.

    Args:
        texts: for each run `NAME=FOLDER`, or `FOLDER` where there is one model.
        models: each `ServedModel` by its name.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: a text names no model, or a folder holds no run.
    """
    for text in texts:
        name, _, folder = text.rpartition("=")
        name = name or (next(iter(models)) if len(models) == 1 else "")
        if name not in models or not folder:
            raise ValueError(f"`runs` must be FOLDER, or NAME=FOLDER for one of several models. Received: {text!r}")
        with renamed(path="runs"):
            models[name].run = ServedRun(folder)


async def events(parts: AsyncIterator[str], seconds: float) -> AsyncIterator[bytes]:
    """Yield the parts of a text as server-sent events, and `[DONE]` after the last.

    Args:
        parts: the parts.
        seconds: the time after which the text ends with an event that holds an error.
    """
    end = time.monotonic() + seconds
    async for part in parts:
        yield _event({"text": part})
        if time.monotonic() > end:
            yield _event({"error": f"The text did not end within {seconds:g} s."})
            return
    yield b"data: [DONE]\n\n"


def _event(value: Mapping[str, str]) -> bytes:
    return f"data: {json_text.dumps(value)}\n\n".encode()
