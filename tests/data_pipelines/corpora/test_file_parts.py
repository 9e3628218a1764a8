import gzip
import itertools

import pytest

from data_pipelines.corpora import file_parts
from data_pipelines.corpora.readers import ReadingOptions, read_documents, read_sources

# Blank lines of several kinds, other line ends, byte-order marks, bytes that are not UTF-8, and no last line end.
TEXT = (
    "\ufeffone\ntwo\n\n\nthree\r\n\r\nfour \u200b\n \t\nfive\u2029six\n\ufeff\nseven\n\u2029\n"
    "eight\n\udcff\nnine\n\udcff\n\nten\n\ufeffeleven\n\n" + "twelve " * 20 + "\n\nlast"
).encode("utf-8", "surrogateescape")
JSON = "\n".join(
    ['\ufeff{"text": "one\\n\\ntwo"}', "", '{"text": "three"}', '  {"text": null}', '{"text": "é"}']
).encode()


def _read(parts, **options):
    skipped = []
    documents = read_sources(parts, (), ReadingOptions(**options), lambda path, lines: skipped.append(len(lines)))
    return list(documents), sum(skipped)


@pytest.mark.parametrize(("name", "data"), [("a.txt", TEXT), ("a.jsonl", JSON)])
def test_the_parts_of_a_file_have_its_documents(tmp_path, monkeypatch, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    expected = list(read_documents(str(path), ReadingOptions(skip_unreadable=True)))
    assert len(expected) > 2
    for size in range(1, len(data) + 2):
        monkeypatch.setattr(file_parts, "UNIT_BYTES", size)
        groups = list(file_parts.grouped_parts([str(path)]))
        assert len(groups) == -(-len(data) // size)
        read = [_read(parts, skip_unreadable=True) for parts in groups]
        assert list(itertools.chain.from_iterable(documents for documents, _ in read)) == expected
        assert sum(skipped for _, skipped in read) == (2 if name == "a.txt" else 1)


def test_lines_longer_than_a_chunk_belong_to_one_part(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("one\n\n" + "x" * 2_500_000 + "\n\ntwo\n")
    monkeypatch.setattr(file_parts, "UNIT_BYTES", 1_000_000)
    groups = list(file_parts.grouped_parts([str(path)]))
    lengths = [[len(document[0]) for document in _read(parts)[0]] for parts in groups]
    assert lengths == [[3, 2_500_000], [], [3]]


def test_small_files_are_read_together_and_compressed_ones_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(file_parts, "UNIT_BYTES", 10)
    for number, size in enumerate((4, 6, 0, 5, 25)):
        (tmp_path / f"{number}.txt").write_text("x" * size)
    (tmp_path / "5.txt.gz").write_bytes(gzip.compress(b"x" * 1000))
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    groups = [
        [(part.path[len(str(tmp_path)) + 1 :], part.start, part.end) for part in group]
        for group in file_parts.grouped_parts(paths)
    ]
    assert groups == [
        [("0.txt", 0, None), ("1.txt", 0, None), ("2.txt", 0, None)],
        [("3.txt", 0, None)],
        [("4.txt", 0, 10)],
        [("4.txt", 10, 20)],
        [("4.txt", 20, None)],
        [("5.txt.gz", 0, None)],
    ]
