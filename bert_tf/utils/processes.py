"""A map over a stream by several processes, with results in the order of the stream."""

import collections
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], num_workers: int
) -> Generator[Result, None, None]:
    """Yield the results of `map(function, items)`, computed by several processes.

    The results and their order are the same for any number of workers. Items are read only as results are taken, so
    memory holds `num_workers` + 2 items and results at most. A single item or a single worker starts no process.

    Args:
        function: a function of a module, a `functools.partial` of one, or a method of an object. It is sent to each
            process once.
        items: the stream of items.
        num_workers: the number of processes; 0 for one a core.

    Raises:
        ValueError: `num_workers` is negative.
        ChildProcessError: a process was killed or could not start.
    """
    if num_workers < 0:
        raise ValueError(f"`num_workers` must be at least 0. Received: {num_workers}")
    return _ordered_map(function, iter(items), num_workers or os.cpu_count() or 1)


def _ordered_map(
    function: Callable[[Item], Result], items: Iterator[Item], num_workers: int
) -> Generator[Result, None, None]:
    first = list(itertools.islice(items, 2))
    if num_workers == 1 or len(first) < 2:
        yield from map(function, itertools.chain(first, items))
        return
    # Processes are spawned, since TensorFlow's threads do not survive a fork.
    pool = ProcessPoolExecutor(
        num_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(function,),
    )
    waiting: collections.deque[Future[Result]] = collections.deque()
    try:
        for item in itertools.chain(first, items):
            waiting.append(pool.submit(_call, item))
            if len(waiting) > num_workers + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise ChildProcessError(
            "A worker process was killed or could not start. A script must call this under "
            '`if __name__ == "__main__":`, because each worker imports it. If it does, memory may have run out: try a '
            f"smaller `num_workers`. Received: {num_workers}"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


# The function of this worker process. It is sent once, because it may be large, such as a tokenizer with its cache.
_worker_function: Callable | None = None


def _start_worker(function: Callable) -> None:
    """Leave Ctrl-C to the parent process, and exit with it, since a killed parent cannot stop its waiting workers."""
    global _worker_function
    _worker_function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _call(item: Any) -> Any:
    assert _worker_function is not None
    return _worker_function(item)


def _exit_after_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
