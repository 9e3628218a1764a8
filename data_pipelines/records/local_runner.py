"""The building of record files in processes of this machine."""

import collections
import contextlib
from collections.abc import Generator, Iterator
from typing import NamedTuple

from bert_tf.utils.processes import ordered_map
from data_pipelines.records.document_shards import InputShard, ShardFunction
from data_pipelines.records.writer import FinishedShard, RecordFolderWriter

Writers = tuple[RecordFolderWriter, RecordFolderWriter]  # for training and for held-out records


class DoneShard(NamedTuple):
    """A finished input shard, for the progress bar. It is `kept` if an interrupted run wrote its records."""

    input_bytes: int
    kept: bool


def run(
    shards: Iterator[InputShard], function: ShardFunction, *, writers: Writers, num_workers: int
) -> Generator[DoneShard, None, None]:
    """Build the input shards and write their records, in their order, and keep those that are finished already.

    Memory holds at most `num_workers` + 2 input shards, because reading waits for building.

    Args:
        shards: the input shards, which are read as they are needed.
        function: the function that builds a shard.
        writers: the writers of training and of held-out records.
        num_workers: the number of processes; 0 for one a core. With 1, or a single shard, all work stays in this
            process.

    Raises:
        ValueError: as `document_shards.input_shards`.
        ChildProcessError: a worker process was killed.
        OSError: a file cannot be written.
    """
    # The shards that wait for a worker: whether each is held out, its number, and its finished records if there are
    # any.
    waiting: collections.deque[tuple[bool, int, FinishedShard | None]] = collections.deque()

    def tasks() -> Iterator[tuple[InputShard, str | None]]:
        for shard in shards:
            standing = writers[shard.held_out].finished(shard.number)
            waiting.append((shard.held_out, shard.number, standing))
            yield shard, standing.made_from if standing else None

    answers = ordered_map(function.build_unless_standing, tasks(), num_workers)
    with contextlib.closing(answers):
        try:
            for made_from, built in answers:
                held_out, number, standing = waiting.popleft()
                if built is not None:
                    writers[held_out].write(number, built, made_from)
                    yield DoneShard(built.input_bytes, kept=False)
                else:
                    assert standing is not None
                    writers[held_out].keep(standing)
                    yield DoneShard(standing.input_bytes, kept=True)
        except ChildProcessError as error:
            raise ChildProcessError(f"{error}. Finished shards are kept: run the same command again") from None
