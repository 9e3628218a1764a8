"""The lines of UTF-8 text that comes in chunks of bytes, compressed or not."""

from collections.abc import Iterable, Iterator

from bert_tf.utils.decompression import decompressed
from bert_tf.utils.file_kinds import remedy_for

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def lines_of(chunks: Iterable[bytes], path: str, bad: set[int] | None, *, from_start: bool = True) -> Iterator[str]:
    """Iterate over the lines of a file, without their ends and without a byte-order mark.

    Args:
        chunks: the bytes of the file, or of a part of it that begins with a line.
        path: the file's name, whose suffix may say that the bytes are compressed.
        bad: receives the numbers of the lines that are not UTF-8, which are then empty. None makes them an error.
        from_start: whether the bytes begin with those of the file.

    Raises:
        ValueError: a line is not UTF-8, or the bytes are not what the file's name says (`decompressed`).
    """
    number, remedy = 1, ""
    mark = BYTE_ORDER_MARK if from_start else b""
    started: list[bytes] = []  # the parts of a line whose end has not been read yet
    for chunk in decompressed(chunks, path):
        remedy = remedy or remedy_for(chunk, path)
        whole, newline, rest = chunk.rpartition(b"\n")
        if not newline:
            started.append(chunk)
            continue
        lines = b"".join([*started, whole])
        started = [rest]
        yield from _decoded_lines(path, lines.removeprefix(mark), number, bad, remedy)
        number += lines.count(b"\n") + 1
        mark = b""
    last = b"".join(started)
    if last:
        yield from _decoded_lines(path, last.removeprefix(mark), number, bad, remedy)


def _decoded_lines(path: str, data: bytes, first_number: int, bad: set[int] | None, remedy: str) -> list[str]:
    """Return the lines of `data`, which starts at line `first_number` and does not end in a line's end."""
    try:
        return [line.rstrip("\r") for line in data.decode("utf-8").split("\n")]
    except UnicodeDecodeError as error:
        if bad is not None and b"\n" in data:
            parts = enumerate(data.split(b"\n"), first_number)
            return [line for number, part in parts for line in _decoded_lines(path, part, number, bad, remedy)]
        number = first_number + data.count(b"\n", 0, error.start)
        if bad is not None:
            bad.add(number)
            return [""]
        raise ValueError(f"{path}, line {number}: not UTF-8 (byte 0x{data[error.start]:02x}); {remedy}") from None
