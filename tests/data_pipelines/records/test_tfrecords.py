import google_crc32c
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.records import tfrecords


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_the_file_is_what_tensorflow_writes(tmp_path_factory, records):
    path = str(tmp_path_factory.mktemp("tfrecords") / "expected.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    with open(path, "rb") as file:
        assert tfrecords.tfrecord_bytes(records) == file.read()


def test_the_checksum_runs_in_c():
    # The package falls back to plain Python, a thousand times slower, where its extension is missing.
    assert google_crc32c.implementation == "c"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=6))
def test_records_are_read_back(records):
    contents = tfrecords.tfrecord_bytes(records)
    assert tfrecords.read_tfrecords(contents) == (records, True)
    ends = [len(tfrecords.tfrecord_bytes(records[:count])) for count in range(len(records) + 1)]
    for end in range(len(contents)):
        whole = sum(known <= end for known in ends) - 1
        assert tfrecords.read_tfrecords(contents[:end]) == (records[:whole], end in ends)


def test_a_flipped_bit_spoils_its_record_or_in_a_length_all_that_follow():
    records = [b"first", b"second", b"third"]
    contents = tfrecords.tfrecord_bytes(records)
    second = len(tfrecords.tfrecord_bytes(records[:1]))
    for place in range(second, second + 12 + len(records[1]) + 4):
        damaged = bytearray(contents)
        damaged[place] ^= 4
        if place < second + 12:
            assert tfrecords.read_tfrecords(bytes(damaged)) == ([b"first"], False)
        else:
            assert tfrecords.read_tfrecords(bytes(damaged)) == ([b"first", None, b"third"], True)


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
