"""The bytes of TFRecord files and of the `tf.train.Example`s in them, written without TensorFlow.

Worker processes that prepare data would need seconds and hundreds of megabytes to import TensorFlow; the two
formats are small and fixed. The framing is that of tensorflow/core/lib/io/record_writer.h, the checksum CRC-32C
(RFC 3720, appendix B.4) computed for many records at a time; the encoding is Protocol Buffers' wire format of
tensorflow/core/example/example.proto.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

_CRC_BLOCK = 4096  # records whose checksums are computed together; bounds the padded matrix
_MASK_DELTA = 0xA282EAD8


def _crc_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ np.where(table & np.uint32(1), np.uint32(0x82F63B78), np.uint32(0))
    return table


_CRC_TABLE = _crc_table()


def _masked_crc32c(records: Sequence[bytes]) -> np.ndarray:
    """The masked CRC-32C of each of `records`, uint32 [len(records)].

    The checksum runs byte by byte; here it runs over the same byte of all records at once. Longest first, so that the
    records which still have a byte at a place are a prefix.
    """
    lengths = np.fromiter(map(len, records), np.int64, len(records))
    order = np.argsort(-lengths, kind="stable")
    longest = int(lengths.max(initial=0))
    columns = np.zeros((longest, len(records)), np.uint8)
    for column, record in enumerate(order):
        columns[: lengths[record], column] = np.frombuffer(records[record], np.uint8)
    # How many records are longer than j, for each byte j.
    active = np.searchsorted(np.sort(lengths), np.arange(longest), side="right")
    crc = np.full(len(records), 0xFFFFFFFF, np.uint32)
    for j, shorter in enumerate(active):
        head = crc[: len(records) - shorter]
        head[:] = _CRC_TABLE[(head ^ columns[j, : len(head)]) & np.uint32(0xFF)] ^ (head >> np.uint32(8))
    crc = ~crc
    masked = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(_MASK_DELTA)
    result = np.empty_like(masked)
    result[order] = masked
    return result


def tfrecord_bytes(records: Sequence[bytes]) -> bytes:
    """The contents of a TFRecord file, uncompressed, that holds `records` in their order."""
    parts: list[bytes] = []
    for first in range(0, len(records), _CRC_BLOCK):
        block = records[first : first + _CRC_BLOCK]
        headers = [struct.pack("<Q", len(record)) for record in block]
        header_crcs = _masked_crc32c(headers).tolist()
        record_crcs = _masked_crc32c(block).tolist()
        for header, header_crc, record, record_crc in zip(headers, header_crcs, block, record_crcs, strict=True):
            parts += (header, struct.pack("<I", header_crc), record, struct.pack("<I", record_crc))
    return b"".join(parts)


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF  # negative numbers in two's complement, ten bytes long
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


@lru_cache(maxsize=65536)
def int64_feature(name: str, values: tuple[int, ...]) -> bytes:
    """An entry of an `Example`'s map with an `int64_list`; cached, since lengths and labels repeat."""
    packed = b"".join(map(_varint, values))
    return _field(1, _field(1, name.encode()) + _field(2, _field(3, _field(1, packed))))


def bytes_feature(name: str, value: bytes) -> bytes:
    """An entry of an `Example`'s map with a `bytes_list` of one value."""
    return _field(1, _field(1, name.encode()) + _field(2, _field(1, _field(1, value))))


def example_bytes(*entries: bytes) -> bytes:
    """A serialized `tf.train.Example` of the entries, in the order given."""
    return _field(1, b"".join(entries))
