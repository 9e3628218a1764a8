import numpy as np
import pytest
import tensorflow as tf
from small_corpus import corpus_documents

from bert_tf.configs import MaskingConfig
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.input.google_records import export_google_records, import_google_records
from data_pipelines.input.record_folder import RecordFolder
from data_pipelines.records.manifest import PreparationConfig

LENGTH, PREDICTIONS = 32, 5
MASKING = MaskingConfig(max_predictions_per_seq=PREDICTIONS, strategy="whole_word")


@pytest.fixture(scope="module")
def tokenizer():
    documents = corpus_documents(20)
    words = sorted({word.strip(".").lower() for document in documents for line in document for word in line.split()})
    return WordPieceTokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "##s", *words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    path = str(tmp_path_factory.mktemp("google") / "records")
    create_pretraining_data(corpus_documents(20), tokenizer, path, config=PreparationConfig(max_seq_length=LENGTH))
    return RecordFolder(path)


def read_published_schema(path) -> list[dict[str, np.ndarray]]:
    """As `input_fn_builder` of google-research/bert's run_pretraining.py declares it."""
    schema = {
        "input_ids": tf.io.FixedLenFeature([LENGTH], tf.int64),
        "input_mask": tf.io.FixedLenFeature([LENGTH], tf.int64),
        "segment_ids": tf.io.FixedLenFeature([LENGTH], tf.int64),
        "masked_lm_positions": tf.io.FixedLenFeature([PREDICTIONS], tf.int64),
        "masked_lm_ids": tf.io.FixedLenFeature([PREDICTIONS], tf.int64),
        "masked_lm_weights": tf.io.FixedLenFeature([PREDICTIONS], tf.float32),
        "next_sentence_labels": tf.io.FixedLenFeature([1], tf.int64),
    }
    parsed = tf.data.TFRecordDataset(str(path)).map(lambda record: tf.io.parse_single_example(record, schema))
    return list(parsed.as_numpy_iterator())


def test_exports_are_read_by_the_published_schema(folder, tmp_path):
    total = folder.manifest.num_records
    assert export_google_records(folder, str(tmp_path / "out.tfrecord"), MASKING, dupe_factor=2) == 2 * total
    rows = read_published_schema(tmp_path / "out.tfrecord")
    assert len(rows) == 2 * total
    batch = next(iter(folder.evaluation_dataset(MASKING, 256).as_numpy_iterator()))  # the same draws
    expected = {name: values[0].copy() for name, values in batch.items()}
    used = int(expected["masked_lm_weights"].sum())
    order = np.argsort(expected["masked_lm_positions"][:used])
    for name in ("masked_lm_positions", "masked_lm_ids"):
        expected[name][:used] = expected[name][:used][order]  # the schema's files have them ascending
    for name, values in rows[0].items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
    assert {int(row["next_sentence_labels"][0]) for row in rows} == {0, 1}
    masks = [[row["masked_lm_positions"].tolist() for row in rows[first : first + total]] for first in (0, total)]
    assert masks[0] != masks[1]


def shard_bytes(folder: RecordFolder) -> bytes:
    paths = [f"{folder.path}/{shard.file_name}" for shard in folder.manifest.shards]
    return b"".join(tf.io.gfile.GFile(path, "rb").read() for path in paths)


def test_there_and_back_gives_the_same_records(folder, tokenizer, tmp_path):
    total = export_google_records(folder, str(tmp_path / "out.tfrecord"), MASKING)
    assert import_google_records(str(tmp_path / "out.tfrecord"), tokenizer, str(tmp_path / "back")) == total
    back = RecordFolder(str(tmp_path / "back"))
    assert shard_bytes(back) == shard_bytes(folder)
    np.testing.assert_array_equal(back.token_counts(), folder.token_counts())
    assert back.manifest.max_seq_length == LENGTH
    next(iter(back.training_dataset(MaskingConfig(), 4, seed=0)))


def example(**changes) -> tf.train.Example:
    values = {
        "input_ids": [2, 4, 8, 3, 9, 3, 0, 0],
        "input_mask": [1, 1, 1, 1, 1, 1, 0, 0],
        "segment_ids": [0, 0, 0, 0, 1, 1, 0, 0],
        "masked_lm_positions": [1, 0],
        "masked_lm_ids": [7, 0],
        "masked_lm_weights": [1.0, 0.0],
        "next_sentence_labels": [1],
    } | changes
    kinds = {float: "float_list", int: "int64_list"}
    features = tf.train.Features()
    for name, numbers in values.items():
        if numbers is not None:
            getattr(features.feature[name], kinds[type(numbers[0])]).value.extend(numbers)
    return tf.train.Example(features=features)


def write(path, *examples, compression="") -> str:
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for one in examples:
            writer.write(one.SerializeToString())
    return str(path)


def first_row(folder_path) -> dict[str, list[int]]:
    folder = RecordFolder(str(folder_path))
    batch = next(iter(folder.evaluation_dataset(MaskingConfig(mask_share=0.0, random_share=0.0), 1)))
    return {name: values[0].numpy().tolist() for name, values in batch.items()}


def test_masks_are_taken_off_and_other_names_are_read(tokenizer, tmp_path):
    other = example(input_ids=None, segment_ids=None)
    for name, values in (("input_word_ids", [2, 4, 8, 3, 9, 3, 0, 0]), ("input_type_ids", [0, 0, 0, 0, 1, 1, 0, 0])):
        other.features.feature[name].int64_list.value.extend(values)
    for number, one in enumerate((example(), other)):
        source = write(tmp_path / f"{number}.tfrecord.gz", one, compression="GZIP")
        import_google_records(source, tokenizer, str(tmp_path / str(number)))
        row = first_row(tmp_path / str(number))
        assert row["input_ids"] == [2, 7, 8, 3, 9, 3, 0, 0]
        assert row["segment_ids"] == [0, 0, 0, 0, 1, 1, 0, 0]
        assert (row["next_sentence_labels"], row["next_sentence_weights"]) == ([1], [1.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_ids": None}, "must have the feature input_ids"),
        ({"input_ids": [2, 4, 3]}, "input_ids must have 8 tokens, as in the first record. Received: 3"),
        ({"input_mask": [1, 1, 0, 1, 1, 1, 1, 0]}, "input_mask must be ones, then zeros"),
        ({"masked_lm_positions": [7, 0]}, r"masked_lm_positions must be positions of the 6 tokens. Received: \[7\]"),
        ({"masked_lm_weights": [1.0]}, "must be equally long"),
        (
            {"masked_lm_ids": [70_000, 0]},
            "token ids must be from 0 to below the vocabulary's size.*Received: 2 to 70000",
        ),
        ({"segment_ids": [0, 0, 1, 1, 1, 1, 0, 0]}, r"a row must be `\[CLS\] A \[SEP\]`"),
        ({"input_ids": [2, 4, 3, 3, 9, 3, 0, 0]}, r"a row must be `\[CLS\] A \[SEP\]`"),
    ],
)
def test_malformed_records_are_refused_with_their_number(tokenizer, tmp_path, changes, message):
    source = write(tmp_path / "in.tfrecord", example(), example(**changes))
    with pytest.raises(ValueError, match=rf"in\.tfrecord, record 1: .*{message}"):
        import_google_records(source, tokenizer, str(tmp_path / "out"))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_corrupt_file_is_reported_with_its_record(tokenizer, tmp_path):
    source = write(tmp_path / "in.tfrecord", example(), example())
    contents = bytearray((tmp_path / "in.tfrecord").read_bytes())
    contents[-8] ^= 1
    (tmp_path / "in.tfrecord").write_bytes(contents)
    with pytest.raises(ValueError, match=r"in\.tfrecord, record 1: its bytes are corrupt"):
        import_google_records(source, tokenizer, str(tmp_path / "out"))


def test_packed_rows_do_not_fit_the_schema(tokenizer, tmp_path):
    config = PreparationConfig(max_seq_length=64, max_sequences_per_row=3)
    create_pretraining_data(corpus_documents(20), tokenizer, str(tmp_path / "packed"), config=config)
    with pytest.raises(ValueError, match=r"`folder` must hold rows of one sequence.*up to 3 a row"):
        export_google_records(RecordFolder(str(tmp_path / "packed")), str(tmp_path / "out"), MASKING)
    assert not (tmp_path / "out").exists()


def test_google_records_and_files_in_the_place_of_a_record_folder_are_told(tmp_path):
    example = tf.train.Example()
    example.features.feature["masked_lm_positions"].int64_list.value.extend([1, 2])
    with tf.io.TFRecordWriter(str(tmp_path / "google.tfrecord")) as writer:
        writer.write(example.SerializeToString())
    (tmp_path / "a.txt").write_text("text")
    command = r"bert-tf convert-records --from '.*' --vocab_file VOCAB"
    for path in (tmp_path, tmp_path / "google.tfrecord", tmp_path / "*.tfrecord"):
        with pytest.raises(ValueError, match=rf"`path` must be a record folder\. .*masked TFRecords .*{command}"):
            RecordFolder(str(path))
    with pytest.raises(
        ValueError, match=r"`bert-tf create-pretraining-data` makes of text\. Received a file: .*a\.txt"
    ):
        RecordFolder(str(tmp_path / "a.txt"))
    with pytest.raises(FileNotFoundError, match=r"must hold manifest\.json"):
        RecordFolder(str(tmp_path / "nothing"))
