"""Adaptive batching: requests that arrive while the model is busy are answered together.

A request that finds the model idle is computed at once. The others wait in lanes: one for each version, signature and
shape. When a thread is free, it takes the lane whose first request is the oldest, and from it as many texts as the
model is expected to compute within the latency budget. No request waits for others to come, so batches grow with the
load.
"""

import asyncio
import concurrent.futures
import math
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bert_tf.server.errors import RequestError
from bert_tf.server.options import ServerOptions
from bert_tf.server.served_version import ServedVersion, Signature

Arrays = Mapping[str, np.ndarray]

TOO_MANY = 429

# The cost of a text beside that of its bytes, in bytes.
_COST_OF_TEXT = 32

# The weight of the newest batch in the mean of seconds for a unit of cost.
_NEWEST = 0.2


class _Lane(NamedTuple):
    """The requests that may be answered together: those of equal lanes. `alone` is unique where none may."""

    version: ServedVersion
    signature: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    counts: tuple[tuple[str, str], ...]
    alone: object


class _Item(NamedTuple):
    inputs: Arrays
    texts: int
    cost: int
    arrived: float
    outputs: "asyncio.Future[Arrays]"


class Batcher:
    """Answers requests by models that run in threads, so that the event loop goes on.

    Args:
        options: the settings: `parallel`, `max_batch_texts`, `latency_budget` and `max_queue_texts` count here.
        observe: called after each batch with its texts and its seconds, or None.
    """

    def __init__(self, options: ServerOptions, observe: Callable[[int, float], None] | None = None) -> None:
        self._options = options
        self._observe = observe
        self._executor = concurrent.futures.ThreadPoolExecutor(options.parallel, "model")
        self._lanes: dict[_Lane, deque[_Item]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._seconds: weakref.WeakKeyDictionary[ServedVersion, dict[str, float]] = weakref.WeakKeyDictionary()
        self.waiting = 0
        """The number of texts that wait."""

    async def ask(
        self, version: ServedVersion, signature: Signature, inputs: Arrays, texts: int | None = None
    ) -> Arrays:
        """Return the outputs of a signature, those of the request alone.

        Args:
            version: the version.
            signature: one of its signatures.
            inputs: the inputs by name.
            texts: the number of texts; None where each row is one.

        Raises:
            RequestError: too many texts wait already; or the model refuses the inputs.
        """
        sizes = {len(array) if array.ndim else -1 for array in inputs.values()}
        rows = max(1, *sizes)
        of_row = math.ceil((texts or rows) / rows)
        joins = signature.counts is not None and len(sizes) == 1 and min(sizes) > 0
        counts = tuple((signature.counts or {}).items())
        if self.waiting and self.waiting + rows * of_row > self._options.max_queue_texts:
            message = f"{self.waiting} texts wait for the model, and at most {self._options.max_queue_texts} may."
            raise RequestError(TOO_MANY, message, retry_after=self._seconds_to_wait())
        shapes = tuple((name, array.shape[1:]) for name, array in sorted(inputs.items())) if joins else ()
        lane = _Lane(version, signature.name, shapes, counts, None if joins else object())
        # Parts of a request whose outputs differ in width could not be put together.
        size = max(1, self._options.max_batch_texts // of_row) if joins and not counts else rows
        items = []
        for start in range(0, rows, size):
            part = {name: array[start : start + size] for name, array in inputs.items()} if joins else inputs
            count = min(size, rows - start)
            future = asyncio.get_running_loop().create_future()
            items.append(_Item(part, count * of_row, _cost(part, count * of_row), time.monotonic(), future))
        self._lanes.setdefault(lane, deque()).extend(items)
        self.waiting += rows * of_row
        self._start()
        try:
            parts = [await item.outputs for item in items]
        finally:
            for item in items:
                # The client has gone, or another part failed; an error that nobody asks for would be logged.
                if not item.outputs.cancel() and not item.outputs.cancelled():
                    item.outputs.exception()
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def close(self) -> None:
        """Wait for the models that are running, and end the threads."""
        self._executor.shutdown()

    def _start(self) -> None:
        """Give batches to the free threads."""
        while self._lanes and len(self._running) < self._options.parallel:
            lane = min(self._lanes, key=lambda lane: self._lanes[lane][0].arrived)
            items = self._take(lane)
            if items:
                task = asyncio.get_running_loop().create_task(self._compute(lane, items))
                self._running.add(task)

    def _take(self, lane: _Lane) -> list[_Item]:
        """Return the next batch of a lane; nothing if its first requests were given up."""
        queue, items, texts, cost = self._lanes[lane], list[_Item](), 0, 0
        most_cost = self._options.latency_budget / self._seconds_of_cost(lane)
        while queue and (
            queue[0].outputs.done()
            or not items
            or (texts + queue[0].texts <= self._options.max_batch_texts and cost + queue[0].cost <= most_cost)
        ):
            item = queue.popleft()
            self.waiting -= item.texts
            if not item.outputs.done():
                items.append(item)
                texts, cost = texts + item.texts, cost + item.cost
        if not queue:
            del self._lanes[lane]
        return items

    async def _compute(self, lane: _Lane, items: Sequence[_Item]) -> None:
        loop, started = asyncio.get_running_loop(), time.monotonic()
        try:
            answers = await loop.run_in_executor(self._executor, _answers, lane, [item.inputs for item in items])
            for item, answer in zip(items, answers, strict=True):
                if item.outputs.done():
                    continue
                if isinstance(answer, Exception):
                    item.outputs.set_exception(answer)
                else:
                    item.outputs.set_result(answer)
        finally:
            for item in items:
                item.outputs.cancel()  # those without an answer, if this task was cancelled
            seconds = time.monotonic() - started
            self._learn(lane, seconds / sum(item.cost for item in items))
            if self._observe is not None:
                self._observe(sum(item.texts for item in items), seconds)
            task = asyncio.current_task()
            assert task is not None
            self._running.discard(task)
            self._start()

    def _seconds_of_cost(self, lane: _Lane) -> float:
        return self._seconds.get(lane.version, {}).get(lane.signature, 1e-12)

    def _learn(self, lane: _Lane, seconds: float) -> None:
        known = self._seconds.setdefault(lane.version, {})
        before = known.get(lane.signature)
        # It falls fast and rises slowly: single batches take longer because TensorFlow prepares a new size.
        known[lane.signature] = seconds if before is None else min(before, seconds) + _NEWEST * abs(seconds - before)

    def _seconds_to_wait(self) -> int:
        seconds = sum(self._seconds_of_cost(lane) * item.cost for lane, items in self._lanes.items() for item in items)
        return min(max(math.ceil(seconds / self._options.parallel), 1), 60)


def _cost(inputs: Arrays, texts: int) -> int:
    sizes = (sum(map(len, array.reshape(-1))) if array.dtype == object else array.nbytes for array in inputs.values())
    return sum(sizes) + _COST_OF_TEXT * texts


def _answers(lane: _Lane, requests: Sequence[Arrays]) -> Sequence[Arrays | Exception]:
    """Return the outputs of each request, or its error."""
    if len(requests) > 1:
        joined = {name: np.concatenate([request[name] for request in requests]) for name in requests[0]}
        sizes = [len(next(iter(request.values()))) for request in requests]
        try:
            return _split(lane.version.run(lane.signature, joined), sizes, dict(lane.counts))
        except Exception:  # one request is the cause: the others must not fail with it
            return [_answer(lane, request) for request in requests]
    return [_answer(lane, request) for request in requests]


def _split(outputs: Arrays, sizes: Sequence[int], counts: Mapping[str, str]) -> list[Arrays]:
    """Return the outputs of each request, without the padding to the longest row of the others.

    Args:
        outputs: the outputs of all.
        sizes: the number of rows of each request.
        counts: `Signature.counts`.

    Raises:
        ValueError: an output does not have a row for each that was asked, or not the width that is counted.
    """
    widths = {name: outputs[count] for name, count in counts.items()}
    for name, array in outputs.items():
        if len(array) != sum(sizes) or (name in widths and array.shape[1] != widths[name].max()):
            raise ValueError(f"output {name!r} has the shape {array.shape} for {sum(sizes)} rows")
    found: list[Arrays] = []
    end = 0
    for size in sizes:
        rows = slice(end, end := end + size)
        found.append(
            {
                name: array[rows, : widths[name][rows].max()] if name in widths else array[rows]
                for name, array in outputs.items()
            }
        )
    return found


def _answer(lane: _Lane, request: Arrays) -> Arrays | Exception:
    try:
        return lane.version.run(lane.signature, request)
    except Exception as error:  # whatever it is, it belongs to this request
        return error
