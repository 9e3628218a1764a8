import bz2
import gzip

import pytest
import zstandard

from bert_tf.utils import files
from bert_tf.utils.decompression import compression_suffix, decompressed

COMPRESS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),  # as the program zstd does
}
TEXT = "".join(f"line {number} – ünï\n" for number in range(20_000)).encode()


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("chunk", [1, 1000, 1 << 20])
def test_all_members_are_read_for_any_size_of_chunks(suffix, chunk):
    text = TEXT if chunk > 1 else TEXT[:200]
    data = COMPRESS[suffix](text) + COMPRESS[suffix](b"") + COMPRESS[suffix](b"more")
    chunks = (data[start : start + chunk] for start in range(0, len(data), chunk))
    assert b"".join(decompressed(chunks, "a" + suffix)) == text + b"more"


def test_zstd_with_the_largest_window_is_read():
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=False)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = writer.compress(TEXT) + writer.flush()
    assert zstandard.get_frame_parameters(data).window_size > 1 << 27  # the library's own limit
    assert b"".join(decompressed([data], "a.zst")) == TEXT


def test_zeros_may_pad_a_gzip_file():
    assert b"".join(decompressed([gzip.compress(b"x") + b"\0" * 5, b"\0\0"], "a.gz")) == b"x"


@pytest.mark.parametrize("suffix", COMPRESS)
def test_an_empty_file_gives_no_text(suffix):
    assert list(decompressed([], "a" + suffix)) == []


@pytest.mark.parametrize("suffix", COMPRESS)
def test_damage_is_reported_with_the_name(suffix, tmp_path):
    path = tmp_path / ("text.txt" + suffix)
    whole = COMPRESS[suffix](TEXT)
    path.write_bytes(whole[:-5])
    with pytest.raises(ValueError, match=rf"text\.txt{suffix}: the {suffix} data end too early"):
        list(files.iterate_lines(str(path)))
    for data in (b"plain text\n" * 9, whole + b"garbage after the end"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=rf"text\.txt{suffix}: not {suffix} data, or damaged"):
            list(files.iterate_lines(str(path)))
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(byte ^ 255 for byte in whole[middle : middle + 40]) + whole[middle + 40 :])
    with pytest.raises(ValueError, match=rf"text\.txt{suffix}: "):
        list(files.iterate_lines(str(path)))


def test_the_name_decides_on_the_compression():
    names = ["a.txt.gz", "b.bz2", "c.jsonl.zst", "d.txt", "gz"]
    assert [compression_suffix(name) for name in names] == [".gz", ".bz2", ".zst", "", ""]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_lines_are_those_of_the_plain_file(suffix, tmp_path):
    text = "\ufeffone\r\n\r\ntwo\nlast".encode()
    (tmp_path / "a.txt").write_bytes(text)
    (tmp_path / ("a.txt" + suffix)).write_bytes(COMPRESS[suffix](text))
    plain = list(files.iterate_lines(str(tmp_path / "a.txt")))
    assert plain == ["one", "", "two", "last"]
    assert list(files.iterate_lines(str(tmp_path / ("a.txt" + suffix)))) == plain
