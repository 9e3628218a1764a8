"""Decompressing a file while it is read, by the end of its name: `.gz`, `.bz2`, `.zst`."""

import bz2
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

# A compressed chunk is cut into these before it is decompressed, since text may expand a hundredfold.
_PIECE_BYTES = 1 << 16


def _gzip() -> tuple[Callable[[], Any], type[Exception]]:
    return lambda: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS), zlib.error


def _bzip2() -> tuple[Callable[[], Any], type[Exception]]:
    return bz2.BZ2Decompressor, OSError


def _zstandard() -> tuple[Callable[[], Any], type[Exception]]:
    import zstandard  # here, as few files need it

    # The window of `zstd --long=31`, the largest there is; without it such files would be refused.
    return lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj(), zstandard.ZstdError


# By suffix: what makes a decompressor, and the error of damaged data.
_FORMATS = {".gz": _gzip, ".bz2": _bzip2, ".zst": _zstandard}


def compression_suffix(path: str) -> str:
    """The end of a file's name that tells its compression, or "".

    >>> compression_suffix("docs/a.txt.gz"), compression_suffix("docs/a.txt")
    ('.gz', '')
    """
    return next((suffix for suffix in _FORMATS if path.endswith(suffix)), "")


def decompressed(chunks: Iterable[bytes], path: str) -> Iterator[bytes]:
    """The contents of a file, from the chunks that it is read in; as they are where its name tells no compression.

    Files of several members, as `cat a.gz b.gz` and `pigz` make them, are read to their end. Memory holds a chunk and
    what a token of it expands to.

    Raises:
        ValueError: the data are not of the kind that the name tells, are damaged, or end too early; the message
            names the file.
    """
    suffix = compression_suffix(path)
    if not suffix:
        yield from chunks
        return
    new_decompressor, damaged = _FORMATS[suffix]()
    decompressor = None
    for token in _tokens(chunks):
        while token:
            if decompressor is None:
                # The gzip format allows padding with NULs behind a member; no member of any kind starts with one.
                token = token.lstrip(b"\0") if suffix == ".gz" else token
                if not token:
                    break
                decompressor = new_decompressor()
            try:
                contents = decompressor.decompress(token)
            except damaged as error:
                raise ValueError(f"{path}: not {suffix} data, or damaged ({error})") from None
            if contents:
                yield contents
            token = b""
            if decompressor.eof:
                token, decompressor = decompressor.unused_data, None
    if decompressor is not None:
        raise ValueError(f"{path}: the {suffix} data end too early; the file is not whole")


def _tokens(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), _PIECE_BYTES):
            yield chunk[start : start + _PIECE_BYTES]
