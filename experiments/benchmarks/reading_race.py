"""The measurements of the reading benchmark: rows of random tokens, and the pipelines that read them."""

import hashlib
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bert_tf import features
from bert_tf.configs import MaskingConfig
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from data_pipelines.input.masking import num_predictions
from data_pipelines.records import tfrecords
from data_pipelines.records.manifest import BuiltShard, PreparationConfig, ShardInfo
from data_pipelines.records.writer import RecordFolderWriter

VOCAB_SIZE = 30522
BATCH_SIZE = 256
BATCHES_TOGETHER = 8
FULL_SHARE = 0.8  # the share of full rows among unpacked ones; the others have any length
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TOKENS_PER_SHARD = 1 << 19  # about the number of tokens in the 2 MB of text of a preparation's first shards


def use_one_core() -> None:
    """Use one core and one thread in each pool, because threads that spin while they wait would be measured too."""
    import tensorflow as tf

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)


def sorting_milliseconds() -> float:
    """Return the processor time in which NumPy sorts a million numbers, which shows the machine's present speed."""
    numbers = np.random.default_rng(0).random(1_000_000)
    found = []
    for _ in range(9):
        start = time.process_time()
        np.sort(numbers)
        found.append(time.process_time() - start)
    return round(statistics.median(found) * 1e3, 2)


def race(pipelines: dict[str, Callable], seconds: float, rounds: int) -> dict[str, float]:
    """Return each pipeline's rows per second of processor time, the median over rounds of `seconds` each."""
    read = {name: _reader(make()) for name, make in pipelines.items()}
    for reader in read.values():
        reader()
    found: dict[str, list[float]] = {name: [] for name in read}
    for _ in range(rounds):
        for name, reader in read.items():
            rows, processor, wall = 0, time.process_time(), time.perf_counter()
            while time.perf_counter() - wall < seconds:
                reader()
                rows += BATCH_SIZE * BATCHES_TOGETHER
            found[name].append(rows / (time.process_time() - processor))
    return {name: round(statistics.median(rates)) for name, rates in found.items()}


def _reader(dataset: Any) -> Callable[[], None]:
    """Return a function that reads some batches in a compiled loop, as training does."""
    import tensorflow as tf

    iterator = iter(dataset)

    @tf.function
    def read() -> None:
        for _ in tf.range(BATCHES_TOGETHER):
            next(iterator)

    return read


def readers(folder: str, *, length: int, slots: int, rows: int) -> dict[str, Callable]:
    """Return, by name, functions that make an endless data set of batches of 256 rows."""
    from data_pipelines.input.google_records import export_google_records
    from data_pipelines.input.record_folder import RecordFolder

    write_records(folder, length=length, slots=slots, rows=rows)
    records = RecordFolder(folder)
    shards = [os.path.join(folder, shard.file_name) for shard in records.manifest.shards]
    found: dict[str, Callable] = {"records as strings": lambda: strings_alone(shards)}
    for strategy in ("token", "whole_word", "ngram", "span"):
        masking = MaskingConfig(strategy=strategy)
        found[f"bert_tf, {strategy}"] = lambda masking=masking: records.training_dataset(masking, BATCH_SIZE, seed=0)
    if slots == 1:  # Google's schema has one sequence in each row
        google = os.path.join(folder, "google.tfrecord")
        export_google_records(records, google, MaskingConfig())
        predictions = num_predictions(MaskingConfig(), length)
        found["tf.data, row by row"] = lambda: plain_pipeline(
            google, length=length, predictions=predictions, batch_first=False
        )
        found["tf.data, batch first"] = lambda: plain_pipeline(
            google, length=length, predictions=predictions, batch_first=True
        )
    return found


def plain_pipeline(path: str, *, length: int, predictions: int, batch_first: bool) -> Any:
    """Read records as google-research/bert `run_pretraining.py` does, or batched before they are parsed."""
    import tensorflow as tf

    integers = {"input_ids": length, "input_mask": length, "segment_ids": length}
    integers |= {"masked_lm_positions": predictions, "masked_lm_ids": predictions, "next_sentence_labels": 1}
    schema = {name: tf.io.FixedLenFeature([size], tf.int64) for name, size in integers.items()}
    schema["masked_lm_weights"] = tf.io.FixedLenFeature([predictions], tf.float32)

    def to_int32(parsed):
        return {name: tf.cast(v, tf.int32) if v.dtype == tf.int64 else v for name, v in parsed.items()}

    data = _strings(path).shuffle(1000, seed=0)
    if batch_first:
        data = data.batch(BATCH_SIZE, drop_remainder=True)
        data = data.map(lambda records: to_int32(tf.io.parse_example(records, schema)))
    else:
        data = data.map(lambda record: to_int32(tf.io.parse_single_example(record, schema)))
        data = data.batch(BATCH_SIZE, drop_remainder=True)
    return _on_one_thread(data)


def strings_alone(paths: list[str]) -> Any:
    """Return batches of this project's records, neither shuffled nor parsed, which is the limit of any reader."""
    return _on_one_thread(_strings(paths).batch(BATCH_SIZE, drop_remainder=True))


def _strings(paths: str | list[str]) -> Any:
    import tensorflow as tf

    return tf.data.TFRecordDataset(paths, buffer_size=1 << 20).repeat()


def _on_one_thread(data: Any) -> Any:
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    return data.prefetch(2).with_options(options)


def write_records(folder: str, *, length: int, slots: int, rows: int) -> None:
    """Write a record folder of random tokens, a quarter of them `##` tokens, with lengths like those of real text."""
    tokens = [f"{'##' if number % 4 == 0 else ''}w{number}" for number in range(len(SPECIALS), VOCAB_SIZE)]
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIALS, *tokens])
    config = PreparationConfig(max_seq_length=length, max_sequences_per_row=slots)
    writer = RecordFolderWriter(folder, config, tokenizer, overwrite=True)
    generator = np.random.default_rng(0)
    for number, first in enumerate(range(0, rows, TOKENS_PER_SHARD // length)):
        shard_rows = min(TOKENS_PER_SHARD // length, rows - first)
        records, token_counts = _records(generator, tokenizer, length, slots, shard_rows)
        contents = tfrecords.tfrecord_bytes(records)
        info = ShardInfo(
            file_name=f"shard-{number:05d}-00.tfrecord",
            records=shard_rows,
            tokens=int(token_counts.sum()),
            bytes=len(contents),
            sha256=hashlib.sha256(contents).hexdigest(),
        )
        writer.write(number, BuiltShard([(info, contents)], token_counts, {}, 0), made_from=f"random {number}")
    writer.finish()


def _records(
    generator: np.random.Generator, tokenizer: WordPieceTokenizer, length: int, slots: int, rows: int
) -> tuple[list[bytes], np.ndarray]:
    """Return records of random tokens, and how often each token occurs in them."""
    records, all_ids = [], []
    for _ in range(rows):
        lengths = _row_lengths(generator, length, slots)
        ends = np.cumsum(lengths)
        firsts = generator.integers(3, np.array(lengths) - 1)
        ids = generator.integers(len(SPECIALS), VOCAB_SIZE, ends[-1]).astype("<u2")
        ids[ends - lengths] = tokenizer.cls_id
        ids[ends - lengths + firsts - 1] = ids[ends - 1] = tokenizer.sep_id
        rest = (0,) * (slots - len(lengths))
        labels = generator.integers(0, 2, len(lengths)).tolist()
        records.append(
            tfrecords.example_bytes(
                tfrecords.bytes_feature(features.RECORD_INPUT_IDS, ids.tobytes()),
                tfrecords.int64_feature(features.RECORD_SEQUENCE_LENGTHS, (*lengths, *rest)),
                tfrecords.int64_feature(features.RECORD_FIRST_SEGMENT_LENGTHS, (*firsts.tolist(), *rest)),
                tfrecords.int64_feature(features.RECORD_NEXT_SENTENCE_LABELS, (*labels, *rest)),
            )
        )
        all_ids.append(ids)
    return records, np.bincount(np.concatenate(all_ids), minlength=VOCAB_SIZE).astype(np.int64)


def _row_lengths(generator: np.random.Generator, length: int, slots: int) -> list[int]:
    if slots == 1:
        return [length if generator.random() < FULL_SHARE else int(generator.integers(8, length + 1))]
    lengths: list[int] = []
    while len(lengths) < slots and length - sum(lengths) >= 8:
        lengths.append(min(length - sum(lengths), int(generator.integers(8, length // 3))))
    return lengths
