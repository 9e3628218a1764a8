"""Building input shards in processes of this machine."""

import collections
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

from data_pipelines.input_shards import InputShard, ShardFunction
from data_pipelines.record_writer import FinishedShard, RecordFolderWriter
from data_pipelines.records import BuiltShard

Writers = tuple[RecordFolderWriter, RecordFolderWriter]  # of training and of held-out shards


class DoneShard(NamedTuple):
    """An input shard whose records stand, for the progress bar; `kept` where an interrupted run wrote them."""

    input_bytes: int
    kept: bool


def run(
    shards: Iterator[InputShard], function: ShardFunction, writers: Writers, num_workers: int
) -> Generator[DoneShard, None, None]:
    """Build and write the input shards in their order, and keep those that stand already.

    Memory holds `num_workers` + 2 input shards at most, whatever the number of all: reading waits for building.

    Args:
        shards: read as they are needed.
        function: builds one.
        writers: for training and for held-out shards.
        num_workers: processes; with 1, or a single shard, everything stays in this process.

    Raises:
        ValueError: see `ShardFunction.build`.
        ChildProcessError: a worker process was killed.
        OSError: a file cannot be written.
    """
    first = list(itertools.islice(shards, 2))
    shards = itertools.chain(first, shards)
    if num_workers == 1 or len(first) < 2:  # processes cost more than they give for one shard
        for shard in shards:
            standing = _standing(writers, shard)
            yield _write_or_keep(writers, shard, standing, *_build(function, shard, _fingerprint(standing)))
        return
    # Spawned, since TensorFlow's threads do not survive a fork.
    pool = ProcessPoolExecutor(
        num_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(function,),
    )
    waiting: collections.deque[_Waiting] = collections.deque()
    try:
        for shard in shards:
            standing = _standing(writers, shard)
            future = pool.submit(_build_in_worker, shard, _fingerprint(standing))
            waiting.append(_Waiting(shard._replace(packed_documents=b""), standing, future))
            if len(waiting) > num_workers + 1:
                yield _take(writers, waiting.popleft())
        while waiting:
            yield _take(writers, waiting.popleft())
    except BrokenProcessPool:
        raise ChildProcessError(
            "a worker process was killed, perhaps by the system for want of memory. Finished shards stay: run the "
            f"same command again, with fewer --num_workers if memory was short. Received: --num_workers {num_workers}"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Waiting(NamedTuple):
    """A shard that a worker was given; its documents are the worker's now."""

    shard: InputShard
    standing: FinishedShard | None
    future: "Future[tuple[str, BuiltShard | None]]"


def _standing(writers: Writers, shard: InputShard) -> FinishedShard | None:
    return writers[shard.held_out].finished(shard.number)


def _fingerprint(standing: FinishedShard | None) -> str | None:
    return standing.made_from if standing else None


def _take(writers: Writers, waiting: _Waiting) -> DoneShard:
    return _write_or_keep(writers, waiting.shard, waiting.standing, *waiting.future.result())


def _write_or_keep(
    writers: Writers, shard: InputShard, standing: FinishedShard | None, made_from: str, built: BuiltShard | None
) -> DoneShard:
    writer = writers[shard.held_out]
    if built is not None:
        writer.write(shard.number, built, made_from)
        return DoneShard(built.input_bytes, kept=False)
    assert standing is not None
    writer.keep(standing)
    return DoneShard(standing.input_bytes, kept=True)


def _build(function: ShardFunction, shard: InputShard, standing: str | None) -> tuple[str, BuiltShard | None]:
    """The shard's fingerprint, and its records where it is not the one that stands."""
    made_from = function.fingerprint(shard)
    return made_from, None if made_from == standing else function.build(shard)


# The worker's own; set once when the process starts.
_worker_function: ShardFunction | None = None


def _start_worker(function: ShardFunction) -> None:
    global _worker_function
    _worker_function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends the others
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """End this process when its parent is gone: a killed one cannot tell its workers, which would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _build_in_worker(shard: InputShard, standing: str | None) -> tuple[str, BuiltShard | None]:
    assert _worker_function is not None
    return _build(_worker_function, shard, standing)
