"""Files that are not what their name says, known by their first bytes, and what to do with them."""

_NULS_IN_UTF16 = 0.2  # the least share of NULs in UTF-16 text of mostly ASCII characters; UTF-8 text has none

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # valid UTF-8, which would be read as text

# The first bytes of a kind of file, what it is, and the command or the change that helps.
_KINDS = (
    (b"\xff\xfe\x00\x00", "UTF-32 text", "convert it with `iconv -f utf-32 -t utf-8`"),
    (b"\x00\x00\xfe\xff", "UTF-32 text", "convert it with `iconv -f utf-32 -t utf-8`"),
    (b"\xff\xfe", "UTF-16 text", "convert it with `iconv -f utf-16 -t utf-8`"),
    (b"\xfe\xff", "UTF-16 text", "convert it with `iconv -f utf-16 -t utf-8`"),
    (b"\x1f\x8b", "gzip data", "rename it so that it ends in .gz, or run `gunzip`"),
    (b"BZh", "bzip2 data", "rename it so that it ends in .bz2, or run `bunzip2`"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data", "rename it so that it ends in .zst, or run `unzstd`"),
    (b"\xfd7zXZ", "xz data", "decompress it with `unxz`"),
    (b"PK\x03\x04", "a zip archive (or a document that is one, such as .docx or .xlsx)", "unpack it with `unzip`"),
    (b"%PDF-", "a PDF document", "extract its text, for example with `pdftotext`"),
    (b"PAR1", "a Parquet file", "write it as JSON lines, for example with pandas"),
    (b"SQLite format 3", "an SQLite database", "export its rows as CSV"),
    (_LFS_POINTER, "a pointer of Git LFS, not the file itself", "run `git lfs pull`"),
)


def advice_on(start: bytes) -> str | None:
    r"""Return what a file is and what helps, in one clause, or None if its first bytes are those of no known kind.

    Args:
        start: the first bytes of the file.

    >>> advice_on(b"\x1f\x8b\x08\x00")
    'it is gzip data: rename it so that it ends in .gz, or run `gunzip`'
    """
    for first_bytes, kind, remedy in _KINDS:
        if start.startswith(first_bytes):
            return f"it is {kind}: {remedy}"
    if len(start) > 3 and start.count(0) >= _NULS_IN_UTF16 * len(start):
        order = "le" if start[1::2].count(0) > start[::2].count(0) else "be"
        return f"it looks like UTF-16 text without a mark: convert it with `iconv -f utf-16{order} -t utf-8`"
    return None


def refuse_lfs_pointer(data: bytes, path: str) -> None:
    """Refuse a pointer of Git LFS, which stands in the place of a file that was not fetched.

    Args:
        data: the first bytes of the file.
        path: its path, for the message.

    Raises:
        ValueError: it is one.
    """
    if data.startswith(_LFS_POINTER):
        raise ValueError(f"{path}: {advice_on(data)}")


def remedy_for(data: bytes, path: str) -> str:
    """Return what helps if a file turns out not to be UTF-8, and refuse what would pass for text but is none.

    Args:
        data: the first bytes of the file, at least a few thousand if it has them.
        path: its path, for the message.

    Raises:
        ValueError: it is a pointer of Git LFS, UTF-16 text or another known kind of file that holds NULs.
    """
    start = data[:4096]
    refuse_lfs_pointer(start, path)
    advice = advice_on(start)
    if advice is not None and b"\0" in start:
        raise ValueError(f"{path}: {advice}")
    return advice or "convert it, for example with `iconv -f latin1 -t utf-8`"
