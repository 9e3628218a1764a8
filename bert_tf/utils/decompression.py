"""The decompression of files, by their suffix (`.gz`, `.bz2` or `.zst`), while they are read."""

import bz2
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bert_tf.utils.file_kinds import advice_on

# A compressed chunk is decompressed in parts of this size, because text may expand a hundredfold.
_PART_BYTES = 1 << 16


def _gzip() -> tuple[Callable[[], Any], type[Exception]]:
    return lambda: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS), zlib.error


def _bzip2() -> tuple[Callable[[], Any], type[Exception]]:
    return bz2.BZ2Decompressor, OSError


def _zstandard() -> tuple[Callable[[], Any], type[Exception]]:
    import zstandard  # here, because few files need it

    # The largest window, that of `zstd --long=31`; the default refuses such files.
    return lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj(), zstandard.ZstdError


# For each suffix, a function that returns the maker of a decompressor and the error that damaged data raise.
_FORMATS = {".gz": _gzip, ".bz2": _bzip2, ".zst": _zstandard}


def compression_suffix(path: str) -> str:
    """Return the end of a file's name that names its compression, or "".

    >>> compression_suffix("docs/a.txt.gz"), compression_suffix("docs/a.txt")
    ('.gz', '')
    """
    return next((suffix for suffix in _FORMATS if path.endswith(suffix)), "")


def decompressed(chunks: Iterable[bytes], path: str) -> Iterator[bytes]:
    """Yield the decompressed chunks of a file if its suffix names a compression, else the chunks as they are.

    Files of several members, such as `cat a.gz b.gz` and `pigz` make, are read to their end. Memory holds one chunk and
    the text of a part of 64 KiB.

    Args:
        chunks: the bytes of the file, in order.
        path: the file's name.

    Raises:
        ValueError: the data are not of the kind that the name says, are damaged, or end too early. The message names
            the file.
    """
    suffix = compression_suffix(path)
    if not suffix:
        yield from chunks
        return
    new_decompressor, damaged = _FORMATS[suffix]()
    decompressor = None
    for part in _parts(chunks):
        while part:
            if decompressor is None:
                # The gzip format allows NULs after a member; no member starts with one.
                part = part.lstrip(b"\0") if suffix == ".gz" else part
                if not part:
                    break
                decompressor = new_decompressor()
            try:
                contents = decompressor.decompress(part)
            except damaged as error:
                raise ValueError(f"{path}: not {suffix} data, or damaged ({error}){_hint(part)}") from None
            if contents:
                yield contents
            part = b""
            if decompressor.eof:
                part, decompressor = decompressor.unused_data, None
    if decompressor is not None:
        raise ValueError(f"{path}: the {suffix} data end too early; the file is not whole")


def _hint(part: bytes) -> str:
    advice = advice_on(part[:4096])
    return f"; {advice}" if advice else ""


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), _PART_BYTES):
            yield chunk[start : start + _PART_BYTES]
