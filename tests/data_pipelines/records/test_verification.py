"""Shards that are corrupt, cut off or not what the manifest says: named by shard and record, or skipped and counted."""

import shutil
import warnings

import numpy as np
import pytest
import tensorflow as tf
from small_corpus import corpus_documents

from bert_tf.configs import MaskingConfig
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.input import pipeline
from data_pipelines.input.record_folder import RecordFolder
from data_pipelines.records import tfrecords, verification
from data_pipelines.records.manifest import (
    TOKEN_COUNTS_FILE,
    PreparationConfig,
    read_manifest,
    read_token_counts,
)

LENGTH = 48
UNCHANGED = MaskingConfig(mask_share=0.0, random_share=0.0)
SHARD = "shard-00000-00.tfrecord"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    documents = corpus_documents(20)
    words = sorted({word.strip(".").lower() for document in documents for line in document for word in line.split()})
    tokenizer = WordPieceTokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "##s", *words])
    path = tmp_path_factory.mktemp("sound") / "records"
    create_pretraining_data(documents, tokenizer, str(path), config=PreparationConfig(max_seq_length=LENGTH))
    return path


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    monkeypatch.setattr(pipeline, "_TOKENS_TOGETHER", 8 * LENGTH)


@pytest.fixture
def folder(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "records")


def shard_records(folder) -> list[bytes]:
    found, whole = tfrecords.read_tfrecords((folder / SHARD).read_bytes())
    assert whole
    return found


def record_start(folder, number: int) -> int:
    return sum(16 + len(record) for record in shard_records(folder)[:number])


def flip(folder, place: int) -> None:
    contents = bytearray((folder / SHARD).read_bytes())
    contents[place] ^= 1
    (folder / SHARD).write_bytes(contents)


def replace(folder, change) -> None:
    """The shard with the records that `change` makes of its own, its size told to the manifest."""
    contents = tfrecords.tfrecord_bytes(change(shard_records(folder)))
    (folder / SHARD).write_bytes(contents)
    change_manifest(folder, bytes=len(contents))


def change_manifest(folder, **changes) -> None:
    manifest = read_manifest(str(folder), allow_damage=True)
    shards = (manifest.shards[0].replace(**changes), *manifest.shards[1:])
    files.write_json(str(folder / "manifest.json"), manifest.replace(shards=shards).to_dict())


def with_feature(record: bytes, change) -> bytes:
    example = tf.train.Example.FromString(record)
    change(example.features.feature)
    return example.SerializeToString()


def set_token(feature) -> None:
    values = np.frombuffer(feature["input_ids"].bytes_list.value[0], "<u2").copy()
    values[1] = 60_000
    feature["input_ids"].bytes_list.value[0] = values.tobytes()


def put_sep_inside(feature) -> None:
    values = np.frombuffer(feature["input_ids"].bytes_list.value[0], "<u2").copy()
    values[1] = 3
    feature["input_ids"].bytes_list.value[0] = values.tobytes()


def drop_token(feature) -> None:
    feature["input_ids"].bytes_list.value[0] = feature["input_ids"].bytes_list.value[0][:-2]


def lengthen_first_segment(feature) -> None:
    feature["first_segment_lengths"].int64_list.value[0] = LENGTH + 1


def drop_label(feature) -> None:
    del feature["next_sentence_labels"].int64_list.value[:]
    feature["next_sentence_labels"].int64_list.value.extend([0, 0])


def changed(change):
    def change_record_3(found):
        return [*found[:3], with_feature(found[3], change), *found[4:]]

    return lambda folder: replace(folder, change_record_3)


# name -> (damage, what is said, whether reading meets it too, records that --skip_corrupt replaces)
DAMAGES = {
    "bytes": (lambda f: flip(f, record_start(f, 3) + 20), "record 3: the checksum of its bytes is wrong", True, 1),
    "length": (lambda f: flip(f, record_start(f, 3)), "record 3 to .*: the shard is cut off there", True, -3),
    "no example": (
        lambda f: replace(f, lambda found: [*found[:3], b"\xff" * 40, *found[4:]]),
        "record 3: it is not a tf.train.Example",
        True,
        1,
    ),
    "token id": (
        changed(set_token),
        "record 3: token ids must be below the vocabulary's size.*Received: 60000",
        True,
        1,
    ),
    "bytes of tokens": (changed(drop_token), "record 3: its .* bytes of tokens contradict", True, 1),
    "first segment": (changed(lengthen_first_segment), "record 3: a first segment must be part", True, 1),
    "numbers": (changed(drop_label), "record 3: next_sentence_labels must hold 1 numbers. Received: 2", True, 1),
    "special inside": (changed(put_sep_inside), r"record 3: \[CLS\] and \[SEP\] must be at the ends", False, 1),
    "too few": (
        lambda f: replace(f, lambda found: found[:-2]),
        "the shard ends there, where .*manifest.json says",
        True,
        2,
    ),
    "too many": (
        lambda f: replace(f, lambda found: [*found, found[0]]),
        r"must have \d+ records, as .*manifest.json says. Received: \d+",
        True,
        0,
    ),
    "tokens": (lambda f: change_manifest(f, tokens=5), "must have 5 tokens, as .*manifest.json says", False, 0),
    "another shard": (
        lambda f: replace(f, lambda found: found[::-1]),
        "must have the sha256 that .*manifest.json says",
        False,
        0,
    ),
}


def read_all(folder: RecordFolder, evaluation: bool) -> None:
    if evaluation:
        list(folder.evaluation_dataset(UNCHANGED, 8))
    else:  # more than an epoch
        list(folder.training_dataset(UNCHANGED, 2, seed=0).take(folder.manifest.num_records // 2 + 3))


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_by_shard_and_record(folder, name):
    damage, message, met, _ = DAMAGES[name]
    damage(folder)
    opened = RecordFolder(str(folder))
    with pytest.raises(ValueError, match=rf"{SHARD}.*{message}"):
        verification.require_sound(str(folder), opened.manifest, opened.tokenizer)
    if met:
        for evaluation in (True, False):
            with (
                pytest.raises(ValueError, match=rf"{SHARD}.*{message}"),
                opened.naming_bad_records(),
            ):
                read_all(opened, evaluation)


def epochs(folder: RecordFolder) -> list[list[dict[str, np.ndarray]]]:
    """All records as evaluation reads them, and an epoch of training: batches of one row have a single stream."""
    evaluation = folder.evaluation_dataset(MaskingConfig(), 8)
    training = folder.training_dataset(MaskingConfig(), 1, seed=1).take(folder.manifest.num_records)
    return [list(dataset.as_numpy_iterator()) for dataset in (evaluation, training)]


@pytest.fixture(scope="module")
def sound_epochs(sound):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(pipeline, "_TOKENS_TOGETHER", 8 * LENGTH)
        return epochs(RecordFolder(str(sound)))


@pytest.mark.parametrize("name", ["bytes", "length", "no example", "too few", "too many"])
def test_skipped_records_are_counted_and_replaced_by_empty_rows(sound_epochs, folder, name, capsys):
    damage, _, _, lost = DAMAGES[name]
    damage(folder)
    opened = RecordFolder(str(folder), skip_corrupt=True)
    total = opened.manifest.num_records
    lost = lost if lost >= 0 else opened.manifest.shards[0].records + lost
    said = capsys.readouterr().out
    assert f"{lost} of {total} records are skipped" in said
    assert SHARD in said
    for batches, whole_batches in zip(epochs(opened), sound_epochs, strict=True):
        empty = 0
        for batch, sound_batch in zip(batches, whole_batches, strict=True):
            gone = (batch["input_mask"] == 0).all(axis=1) & (sound_batch["input_mask"] > 0).any(axis=1)
            empty += gone.sum()
            for key, values in batch.items():
                assert not values[gone].any()
                np.testing.assert_array_equal(values[~gone], sound_batch[key][~gone], err_msg=key)
        assert empty == lost


def test_a_sound_folder_has_no_fault(sound, capsys):
    opened = RecordFolder(str(sound), skip_corrupt=True)
    assert f"0 of {opened.manifest.num_records} records are skipped" in capsys.readouterr().out
    verification.require_sound(str(sound), opened.manifest, opened.tokenizer)


def test_a_cut_off_shard_is_refused_when_it_is_opened(folder):
    contents = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(contents[: record_start(folder, 5) + 30])
    with pytest.raises(ValueError, match=rf"{SHARD} must have .*which can be read up to record 5"):
        RecordFolder(str(folder))
    RecordFolder(str(folder), skip_corrupt=True)


def test_a_folder_without_any_usable_record_is_refused(folder):
    for shard in read_manifest(str(folder)).shards:
        (folder / shard.file_name).write_bytes(b"")
    with pytest.raises(ValueError, match="`path` must hold a record that can be used"):
        RecordFolder(str(folder), skip_corrupt=True)


def test_a_manifest_with_other_tokens_than_the_token_counts_is_refused(folder):
    change_manifest(folder, tokens=5)
    with pytest.raises(ValueError, match=r"the shards of .*manifest.json must have the \d+ tokens"):
        RecordFolder(str(folder)).token_counts()


@pytest.mark.parametrize("damage", ["declares more", "is cut", "holds floats", "is no array"])
def test_token_counts_that_are_damaged_are_refused_by_their_size(folder, damage):
    path = folder / TOKEN_COUNTS_FILE
    counts = np.load(path)
    if damage == "declares more":
        header = {"descr": "<i8", "fortran_order": False, "shape": (10**12,)}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.write(counts.tobytes())
    elif damage == "is cut":
        path.write_bytes(path.read_bytes()[:-8])
    elif damage == "holds floats":
        np.save(path, counts.astype(np.float64))
    else:
        path.write_bytes(b"none")
    with pytest.raises(ValueError, match=r"token_counts\.npy must hold the counts of all tokens, int64 \[V\]"):
        read_token_counts(str(folder))


def test_other_errors_pass_through(sound):
    opened = RecordFolder(str(sound))
    with pytest.raises(tf.errors.InvalidArgumentError), opened.naming_bad_records():
        raise tf.errors.InvalidArgumentError(None, None, "of the model")


def test_whole_words_of_records_without_continuations_are_warned_of(sound):
    opened = RecordFolder(str(sound))
    with pytest.warns(UserWarning, match=": `masking.strategy` whole_word chooses as token does here"):
        opened.training_dataset(MaskingConfig(strategy="whole_word"), 1, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened.training_dataset(MaskingConfig(), 1, seed=0)
