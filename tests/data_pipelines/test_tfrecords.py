import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines import tfrecords


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_the_file_is_what_tensorflow_writes(tmp_path_factory, records):
    path = str(tmp_path_factory.mktemp("tfrecords") / "expected.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    with open(path, "rb") as file:
        assert tfrecords.tfrecord_bytes(records) == file.read()


def test_more_records_than_are_checked_together(monkeypatch):
    records = [bytes([number]) * number for number in range(50)]
    whole = tfrecords.tfrecord_bytes(records)
    monkeypatch.setattr(tfrecords, "_CRC_BLOCK", 7)
    assert tfrecords.tfrecord_bytes(records) == whole


@settings(deadline=None)
@given(
    st.binary(max_size=200),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=10),
)
def test_examples_read_back_as_written(contents, numbers):
    serialized = tfrecords.example_bytes(
        tfrecords.bytes_feature("contents", contents), tfrecords.int64_feature("numbers", tuple(numbers))
    )
    example = tf.train.Example.FromString(serialized)
    assert example.features.feature["contents"].bytes_list.value[:] == [contents]
    assert list(example.features.feature["numbers"].int64_list.value) == numbers
