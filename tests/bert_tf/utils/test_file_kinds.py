"""Files that are no UTF-8 text are named by their kind, with the command that helps."""

import bz2
import gzip

import pytest
import zstandard

from bert_tf.utils import files
from bert_tf.utils.file_kinds import advice_on

TEXT = "one line and\nanother lïne\n" * 50


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (TEXT.encode("utf-16"), r"UTF-16 text: .*`iconv -f utf-16 -t utf-8`"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), r"`iconv -f utf-16 -t utf-8`"),
        (TEXT.encode("utf-16-le"), r"without a mark: .*`iconv -f utf-16le -t utf-8`"),
        (TEXT.encode("ascii", "ignore").decode().encode("utf-16-be"), r"`iconv -f utf-16be -t utf-8`"),
        (TEXT.encode("utf-32"), r"UTF-32 text: .*`iconv -f utf-32 -t utf-8`"),
        (TEXT.encode("latin1"), r"line 2: not UTF-8 \(byte 0xef\); .*`iconv -f latin1 -t utf-8`"),
        (gzip.compress(TEXT.encode(), mtime=0), r"it is gzip data: rename it so that it ends in \.gz"),
        (bz2.compress(TEXT.encode()), r"it is bzip2 data: .*\.bz2"),
        (zstandard.compress(TEXT.encode()), r"it is Zstandard data: .*\.zst"),
        (b"PK\x03\x04\x14\x00\x00\x00\xe9\xff", r"a zip archive .*`unzip`"),
        (b"%PDF-1.7\n\xe2\xe3", r"a PDF document"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
            r"pointer of Git LFS.*`git lfs pull`",
        ),
    ],
)
def test_what_a_file_is_and_what_helps_is_said(tmp_path, data, advice):
    path = tmp_path / "corpus.txt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"corpus\.txt.*{advice}"):
        list(files.iterate_lines(str(path)))


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
def test_a_compressed_name_on_other_data_is_told(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(b"%PDF-1.7 and more")
    with pytest.raises(ValueError, match=rf"a\{suffix}: not \{suffix} data, or damaged .*it is a PDF document"):
        list(files.iterate_lines(str(tmp_path / f"a{suffix}")))


@pytest.mark.parametrize("data", [b"", b"plain", "é中".encode(), b"BZ", b"a\0b and so on", b"version 1\n", b"\x1f"])
def test_ordinary_text_is_of_no_known_kind(tmp_path, data):
    assert advice_on(data) is None
    (tmp_path / "a.txt").write_bytes(data)
    assert "".join(files.iterate_lines(str(tmp_path / "a.txt"))).encode() == data.rstrip(b"\n")


def test_skipped_lines_are_numbered_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_CHUNK_BYTES", 7)
    (tmp_path / "a.txt").write_bytes(b"one\n\xe9\ntwo and more\n\xe9 and more\nthree\n\xff")
    skipped: list[int] = []
    assert list(files.iterate_lines(str(tmp_path / "a.txt"), skipped)) == ["one", "two and more", "three"]
    assert skipped == [2, 4, 6]
