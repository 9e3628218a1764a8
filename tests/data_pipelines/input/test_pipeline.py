import itertools
import time
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from small_corpus import corpus_documents

from bert_tf import features
from bert_tf.configs import MaskingConfig
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.input import pipeline, record_streams
from data_pipelines.input.masking import MaskingVocabulary, mask_batch
from data_pipelines.input.pipeline import evaluation_dataset, number_of_streams, static_batch_spec, training_dataset
from data_pipelines.records import shards, tfrecords
from data_pipelines.records.manifest import PreparationConfig, ShardInfo, read_manifest, read_vocabulary

MASKING = MaskingConfig()
# Records read with this one are as they stand on disk.
UNCHANGED = MaskingConfig(mask_share=0.0, random_share=0.0)
LENGTH = 48


def make_folder(path, monkeypatch, documents=60, slots=1) -> str:
    words = sorted({word.strip(".").lower() for doc in corpus_documents(60) for line in doc for word in line.split()})
    numbers = [str(number) for number in range(documents)]
    tokenizer = WordPieceTokenizer.from_tokens(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "##s", *words, *numbers]
    )
    # Each sentence names its document, so that hardly two records are alike.
    texts = [[f"{number} {line}" for line in doc] for number, doc in enumerate(corpus_documents(documents))]
    with monkeypatch.context() as patch:
        patch.setattr(shards, "_FIRST_SHARD_BYTES", 2500)
        config = PreparationConfig(max_seq_length=LENGTH, max_sequences_per_row=slots, short_seq_prob=0.5)
        create_pretraining_data(texts, tokenizer, str(path), config=config)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield make_folder(tmp_path_factory.mktemp("records"), monkeypatch)


@pytest.fixture(scope="module")
def packed_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield make_folder(tmp_path_factory.mktemp("packed"), monkeypatch, slots=3)


@pytest.fixture
def small_windows(monkeypatch):
    """Windows and groups of a few records, so that few records cross many of them."""
    monkeypatch.setattr(record_streams, "WINDOW_RECORDS", 5)
    monkeypatch.setattr(record_streams, "_RECORDS_PARSED_TOGETHER", 3)
    monkeypatch.setattr(pipeline, "_TOKENS_TOGETHER", 24 * LENGTH)


def take(dataset: tf.data.Dataset, count: int) -> list[dict[str, np.ndarray]]:
    return list(dataset.take(count).as_numpy_iterator())


def assert_same(first: list[dict], second: list[dict]) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def rows_in(batches: list[dict]) -> list[bytes]:
    return [row.tobytes() for batch in batches for row in batch["input_ids"]]


def rows_on_disk(folder: str) -> list[bytes]:
    rows = []
    for shard in read_manifest(folder).shards:
        for record in tf.data.TFRecordDataset(f"{folder}/{shard.file_name}"):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            ids = np.frombuffer(feature["input_ids"].bytes_list.value[0], "<u2").astype(np.int32)
            rows.append(np.pad(ids, (0, LENGTH - len(ids))).tobytes())
    return rows


@pytest.mark.parametrize("kind", ["folder", "packed_folder"])
def test_batches_have_static_shapes_known_before_reading(kind, request):
    folder = request.getfixturevalue(kind)
    spec = static_batch_spec(folder, MASKING, 12)
    assert spec == features.pretraining_batch(12, LENGTH, 8, max_sequences_per_row=3 if kind == "packed_folder" else 1)
    for dataset in (training_dataset(folder, MASKING, 12, seed=0), evaluation_dataset(folder, MASKING, 12, seed=0)):
        element = {name: features.Feature(tuple(s.shape), s.dtype.name) for name, s in dataset.element_spec.items()}
        assert element == spec
        for batch in take(dataset, 2):
            assert {name: features.Feature(v.shape, v.dtype.name) for name, v in batch.items()} == spec


@pytest.mark.parametrize("kind", ["folder", "packed_folder"])
def test_starting_at_a_step_gives_the_batches_of_a_run_from_0(kind, request, small_windows):
    folder = request.getfixturevalue(kind)
    records_ = read_manifest(folder).num_records
    steps = 2 * records_ // 4 + 5  # more than two epochs
    whole = take(training_dataset(folder, MASKING, 4, seed=3), steps)
    for start in (1, steps - 4):
        assert_same(take(training_dataset(folder, MASKING, 4, seed=3, start_step=start), 4), whole[start : start + 4])


def test_another_process_of_the_pipeline_gives_the_same(folder):
    assert_same(
        take(training_dataset(folder, MASKING, 2, seed=3), 9), take(training_dataset(folder, MASKING, 2, seed=3), 9)
    )


@pytest.mark.parametrize("batch_size", [6, 16])
def test_an_epoch_holds_every_record_once(folder, small_windows, batch_size):
    on_disk = Counter(rows_on_disk(folder))
    total = sum(on_disk.values())
    num_streams = number_of_streams(batch_size, total)
    # Record streams differ by a record at most, so after this many steps each has finished its epoch, and begun the
    # next.
    steps = -(-total // num_streams) * num_streams // batch_size + 1
    read = Counter(rows_in(take(training_dataset(folder, UNCHANGED, batch_size, seed=0), steps)))
    assert not on_disk - read
    repeated = sum((read - on_disk).values())
    assert repeated == steps * batch_size - total
    assert not read - on_disk - on_disk  # none a third time


def test_order_changes_with_epoch_and_seed(folder):
    total = read_manifest(folder).num_records
    steps = total // 4
    batches = rows_in(take(training_dataset(folder, UNCHANGED, 4, seed=0), 2 * steps))
    other_seed = rows_in(take(training_dataset(folder, UNCHANGED, 4, seed=1), steps))
    first, second = batches[: 4 * steps], batches[4 * steps :]
    assert first != second
    assert first != other_seed
    assert first != rows_on_disk(folder)[: 4 * steps]


def test_masks_change_with_epoch_and_seed(folder):
    masks = [
        Counter(
            (row.tobytes(), positions.tobytes())
            for batch in take(training_dataset(folder, UNCHANGED, 4, seed=seed), 120)
            for row, positions in zip(batch["input_ids"], batch["masked_lm_positions"], strict=True)
        )
        for seed in (0, 1)
    ]
    for counts in masks:
        assert max(counts.values()) == 1  # a record that comes again is masked otherwise
    assert sum((masks[0] & masks[1]).values()) < 0.02 * 480


@pytest.mark.parametrize(
    ("kind", "batch_size", "numbers_of_pipelines"), [("folder", 4, (2, 4)), ("packed_folder", 4, (2,))]
)
def test_several_pipelines_read_the_batches_of_one(kind, request, small_windows, batch_size, numbers_of_pipelines):
    folder = request.getfixturevalue(kind)
    options = {"seed": 5, "start_step": 3}
    whole = take(training_dataset(folder, MASKING, batch_size, **options), 12)
    for count in numbers_of_pipelines:
        parts = [
            take(
                training_dataset(
                    folder, MASKING, batch_size, input_pipeline_id=index, num_input_pipelines=count, **options
                ),
                12,
            )
            for index in range(count)
        ]
        assert_same(
            [{name: np.concatenate([part[step][name] for part in parts]) for name in whole[0]} for step in range(12)],
            whole,
        )


def test_evaluation_reads_every_record_once_in_order(folder):
    total = read_manifest(folder).num_records
    batches = list(evaluation_dataset(folder, UNCHANGED, 40, seed=0).as_numpy_iterator())
    assert len(batches) == len(evaluation_dataset(folder, UNCHANGED, 40, seed=0)) == -(-total // 40)
    assert total % 40  # or there would be no row to fill in
    assert rows_in(batches)[:total] == rows_on_disk(folder)
    rest = {name: value[total % 40 :] for name, value in batches[-1].items()}
    assert all(not value.any() for value in rest.values())
    assert sum(batch["next_sentence_weights"].sum() for batch in batches) == total


def test_evaluation_masks_are_fixed(folder):
    first, second = (list(evaluation_dataset(folder, MASKING, 32, seed=0).as_numpy_iterator()) for _ in range(2))
    assert_same(first, second)
    other = next(iter(evaluation_dataset(folder, MASKING, 32, seed=1).as_numpy_iterator()))
    assert (other["masked_lm_positions"] != first[0]["masked_lm_positions"]).any()


def test_eager_function_and_dataset_parse_alike(packed_folder):
    source = pipeline._open(packed_folder, MASKING, allow_damage=False)
    path = f"{packed_folder}/{source.manifest.shards[0].file_name}"
    serialized = next(iter(tf.data.TFRecordDataset(path).batch(8, drop_remainder=True)))
    vocabulary = MaskingVocabulary.of(read_vocabulary(packed_folder, source.manifest))

    def batch(strings):
        return mask_batch(
            source.parse(strings), MASKING, predictions=8, vocabulary=vocabulary, seed=tf.constant([1, 2], tf.int64)
        )

    eager = batch(serialized)
    compiled = tf.function(batch)(serialized)
    dataset = next(iter(tf.data.Dataset.from_tensors(serialized).map(batch)))
    for name in eager:
        np.testing.assert_array_equal(eager[name], compiled[name])
        np.testing.assert_array_equal(eager[name], dataset[name])


def test_a_far_step_is_reached_at_once(tmp_path, monkeypatch):
    # A folder of 400,000 records in four shards, made of one record, and a step some epochs on.
    folder = make_folder(tmp_path, monkeypatch, documents=2)
    manifest = read_manifest(folder)
    record = next(iter(tf.data.TFRecordDataset(f"{folder}/{manifest.shards[0].file_name}"))).numpy()
    contents = tfrecords.tfrecord_bytes([record]) * 100_000
    shards = []
    for number in range(4):
        name = f"shard-{number:05d}-00.tfrecord"
        (tmp_path / name).write_bytes(contents)
        shards.append(ShardInfo(file_name=name, records=100_000, tokens=1, bytes=len(contents), sha256="not read"))
    files.write_json(f"{folder}/manifest.json", manifest.replace(shards=tuple(shards)).to_dict())
    seconds = {}
    for start in (0, 1_234_567):
        began = time.process_time()
        take(training_dataset(folder, MASKING, 8, seed=0, start_step=start), 1)
        seconds[start] = time.process_time() - began
    # The difference is what finding the step costs, in processor time; reading up to it would take a minute.
    assert seconds[1_234_567] - seconds[0] < 5


def test_a_vocabulary_that_is_not_the_manifests_is_refused(tmp_path, monkeypatch):
    folder = make_folder(tmp_path, monkeypatch, documents=8)
    with open(tmp_path / "vocab.txt", "a") as file:
        file.write("zebra\n")
    with pytest.raises(ValueError, match=r"vocab.txt must be the vocabulary of its manifest"):
        evaluation_dataset(folder, MASKING, 8, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1.*Received: 0"),
        ({"start_step": -1}, "`start_step` at least 0.*Received: 8 and -1"),
        ({"batch_size": 6, "num_input_pipelines": 4}, r"must divide the 2 streams of `batch_size` 6.*Received: 4"),
        ({"num_input_pipelines": 3}, r"must divide the 8 streams of `batch_size` 8.*Received: 3"),
        ({"num_input_pipelines": 2, "input_pipeline_id": 2}, "must be between 0 and 1. Received: 2"),
    ],
)
def test_batches_that_cannot_be_divided_are_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        training_dataset(folder, MASKING, **({"batch_size": 8, "seed": 0} | options))


@pytest.mark.parametrize("make", [training_dataset, evaluation_dataset])
def test_a_missing_folder_is_reported(tmp_path, make):
    with pytest.raises(FileNotFoundError, match=r"`folder` must hold manifest\.json"):
        make(str(tmp_path), MASKING, 8, seed=0)


@pytest.mark.parametrize(
    ("batch_size", "records_", "expected"), [(1, 100, 1), (6, 100, 2), (32, 100, 16), (256, 10**9, 16), (32, 5, 4)]
)
def test_record_streams_divide_the_batch_and_have_records(batch_size, records_, expected):
    assert number_of_streams(batch_size, records_) == expected


@pytest.mark.parametrize("batch_size", [4, 6])
def test_the_records_of_a_batch_are_known(folder, small_windows, batch_size):
    on_disk = rows_on_disk(folder)
    shards = read_manifest(folder).shards
    assert len(shards) > 2
    starts = dict(
        zip(
            (shard.file_name for shard in shards),
            itertools.accumulate((shard.records for shard in shards), initial=0),
            strict=False,
        )
    )
    epoch = len(on_disk) // batch_size
    batches = take(training_dataset(folder, UNCHANGED, batch_size, seed=5), epoch + 3)
    for step in (0, 3, epoch + 2):
        found = pipeline.records_of_batch(folder, batch_size, seed=5, step=step)
        assert rows_in(batches[step : step + 1]) == [on_disk[starts[shard] + number] for shard, number in found]
