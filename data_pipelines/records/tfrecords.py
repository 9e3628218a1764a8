"""The bytes of TFRecord files and of their `tf.train.Example`s, written without TensorFlow.

Worker processes that prepare data would need seconds and hundreds of megabytes to import TensorFlow, while the two
formats are small and fixed. The framing follows tensorflow/core/lib/io/record_writer.h, and the checksum is CRC-32C
(RFC 3720, appendix B.4). The encoding is Protocol Buffers' wire format of tensorflow/core/example/example.proto.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache

import google_crc32c
import numpy as np

_MASK_DELTA = 0xA282EAD8
_HEADER_BYTES = 12  # the length and its checksum
_CHECKSUM_BYTES = 4


def _masked_crc32c(records: Sequence[bytes]) -> np.ndarray:
    """Return the masked CRC-32C of each of `records`, uint32 [len(records)]."""
    crc = np.fromiter(map(google_crc32c.value, records), np.uint32, len(records))
    return ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(_MASK_DELTA)


@lru_cache(maxsize=65536)
def _record_header(length: int) -> bytes:
    header = struct.pack("<Q", length)
    return header + _masked_crc32c([header]).astype("<u4").tobytes()


def tfrecord_bytes(records: Sequence[bytes]) -> bytes:
    """Return the contents of a TFRecord file, uncompressed, that holds `records` in their order."""
    checksums = _masked_crc32c(records).astype("<u4").tobytes()
    parts: list[bytes] = []
    for number, record in enumerate(records):
        parts += (_record_header(len(record)), record, checksums[4 * number : 4 * number + 4])
    return b"".join(parts)


def read_tfrecords(contents: bytes) -> tuple[list[bytes | None], bool]:
    """Return the readable records of a TFRecord file.

    Returns:
        The records in their order, with None for a record that its checksum contradicts, and whether the contents end
        where a record ends. Nothing is read after a length that its checksum contradicts.
    """
    records: list[bytes | None] = []
    place = 0
    while place < len(contents):
        header = contents[place : place + _HEADER_BYTES]
        length = int.from_bytes(header[:8], "little")
        if len(header) < _HEADER_BYTES or header != _record_header(length):
            return records, False
        start, end = place + _HEADER_BYTES, place + _HEADER_BYTES + length
        place = end + _CHECKSUM_BYTES
        if place > len(contents):
            return records, False
        record = contents[start:end]
        is_right = _masked_crc32c([record]).astype("<u4").tobytes() == contents[end:place]
        records.append(record if is_right else None)
    return records, True


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF  # negative numbers in two's complement, ten bytes long
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@lru_cache(maxsize=65536)
def _field_header(number: int, length: int) -> bytes:
    return _varint(number << 3 | 2) + _varint(length)


def _field(number: int, payload: bytes) -> bytes:
    return _field_header(number, len(payload)) + payload


@lru_cache(maxsize=65536)
def int64_feature(name: str, values: tuple[int, ...]) -> bytes:
    """Return an entry of an `Example`'s map with an `int64_list`. It is cached, since lengths and labels repeat."""
    packed = b"".join(map(_varint, values))
    return _field(1, _field(1, name.encode()) + _field(2, _field(3, _field(1, packed))))


@lru_cache(maxsize=65536)
def _bytes_feature_header(name: str, length: int) -> bytes:
    """Return the part of `bytes_feature` before a value of `length` bytes."""
    in_list = _field_header(1, length)
    in_feature = _field_header(1, len(in_list) + length) + in_list
    in_entry = _field(1, name.encode()) + _field_header(2, len(in_feature) + length) + in_feature
    return _field_header(1, len(in_entry) + length) + in_entry


def bytes_feature(name: str, value: bytes) -> bytes:
    """Return an entry of an `Example`'s map with a `bytes_list` of one value."""
    return _bytes_feature_header(name, len(value)) + value


def example_bytes(*entries: bytes) -> bytes:
    """Return a serialized `tf.train.Example` of the entries, in the order given."""
    return _field(1, b"".join(entries))
