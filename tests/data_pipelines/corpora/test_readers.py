"""Corpora as they are read: plain and compressed text, JSON lines, TFDS; cleaning, splitting and dropping."""

import bz2
import gzip
import json
import re

import numpy as np
import pytest
import zstandard

from data_pipelines.corpora import readers
from data_pipelines.corpora.readers import ReadingOptions, read_documents

COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.compress}


def _read(path, **options):
    return list(read_documents(str(path), options=ReadingOptions(**options)))


def _json_lines(path, values):
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values), encoding="utf-8")
    return path


def _write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return str(path)


def test_lines_are_sentences_and_blank_lines_or_file_ends_separate_documents(tmp_path):
    _write(tmp_path / "b.txt", "third\n")
    _write(tmp_path / "a.txt", "\ufeffone. two.\r\n  and three \r\n\r\n \n\nsecond")
    documents = list(read_documents(str(tmp_path / "*.txt")))
    assert documents == [["one. two.", "and three"], ["second"], ["third"]]


def test_every_end_of_a_line_and_every_blank_line_counts(tmp_path):
    text = "one\rtwo\r\rthree\x0cfour\u2028five\u2029six\n\u200b\nseven\n \ufeff\r\n\x1a\neight\n\x1a"
    assert _read(_write(tmp_path / "a.txt", text)) == [
        ["one", "two"],
        ["three", "four", "five"],
        ["six"],
        ["seven"],
        ["eight"],
    ]
    assert _read(_json_lines(tmp_path / "a.jsonl", [{"text": text}, {"text": "\u200b\n"}])) == [
        ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    ]


def test_raw_paragraphs_are_split_into_sentences(tmp_path):
    path = _write(tmp_path / "raw.txt", "Dr. Smith went\nhome to tf.Tensor. He slept, e.g. well.\n\n他来了。我走了。\n")
    documents = list(read_documents(path, options=ReadingOptions(sentences="split")))
    assert documents == [["Dr. Smith went home to tf.Tensor.", "He slept, e.g. well."], ["他来了。", "我走了。"]]


def test_a_missing_file_is_reported_before_the_first_document(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`patterns`.*nothing"):
        read_documents(str(tmp_path / "nothing*.txt"))


@pytest.mark.parametrize("text", ["", "\n \n\t\n"])
def test_files_without_a_sentence_are_an_error_that_names_the_pattern(tmp_path, text):
    path = _write(tmp_path / "empty.txt", text)
    with pytest.raises(ValueError, match=r"`patterns` must name files with at least one sentence.*empty\.txt"):
        list(read_documents(path))


def test_an_empty_file_among_others_is_no_error(tmp_path):
    _write(tmp_path / "a.txt", "")
    _write(tmp_path / "b.txt", "text\n")
    assert list(read_documents(str(tmp_path / "*.txt"))) == [["text"]]


def test_text_that_is_not_utf8_is_named_by_file_and_line(tmp_path):
    path = _write(tmp_path / "latin.txt", "good\nwell\ncaf\xe9\n", encoding="latin1")
    with pytest.raises(ValueError, match=r"latin\.txt, line 3"):
        list(read_documents(path))


def test_sentences_must_be_line_or_split(tmp_path):
    with pytest.raises(ValueError, match="'words'"):
        ReadingOptions(sentences="words")


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_files_are_read(tmp_path, suffix):
    (tmp_path / f"a.txt{suffix}").write_bytes(COMPRESS[suffix]("één\ntwo\n\nthree\n".encode()))
    (tmp_path / f"b.json{suffix}").write_bytes(COMPRESS[suffix](b'{"text": "four\\nfive"}\n\n{"text": "six"}\n'))
    (tmp_path / "c.txt").write_text("seven\n")
    assert _read(tmp_path / "*") == [["één", "two"], ["three"], ["four", "five"], ["six"], ["seven"]]


def test_each_json_line_is_a_document(tmp_path):
    values = [
        {"id": 1, "content": " Dr. Smith came. He left.\n\nLater\ton. Alone. "},
        {"content": ""},
        {"content": "他来了。我走了。\nहिन्दी। दो।"},
        {"content": "half \ud800 and whole \U0001f600"},
    ]
    path = _json_lines(tmp_path / "a.jsonl", values)
    assert _read(path, text_field="content") == [
        ["Dr. Smith came. He left.", "Later\ton. Alone."],
        ["他来了。我走了。", "हिन्दी। दो।"],
        ["half \ufffd and whole \U0001f600"],
    ]
    assert _read(path, text_field="content", sentences="split")[:2] == [
        ["Dr. Smith came.", "He left.", "Later\ton.", "Alone."],
        ["他来了。", "我走了。", "हिन्दी।", "दो।"],
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"', r"bad\.jsonl, line 2, column 13: not JSON"),
        ('["a"]', r"bad\.jsonl, line 2: must be a JSON object"),
        ('{"txt": "a", "id": 3}', r"bad\.jsonl, line 2: `text_field` must name a field.*id, txt\. Received: 'text'"),
        ('{"text": 3}', r"bad\.jsonl, line 2: the field 'text' must be a string\. Received: 3"),
        ('{"text": null}', r"bad\.jsonl, line 2: the field 'text' must be a string\. Received: None"),
        ("caf\xe9", r"bad\.jsonl, line 2: not UTF-8"),
    ],
)
def test_bad_json_lines_are_named_by_file_and_line(tmp_path, line, message):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"text": "good"}\n' + line.encode("latin1") + b"\n")
    with pytest.raises(ValueError, match=message):
        _read(path)


def test_documents_are_cleaned_as_they_are_read(tmp_path):
    text = "<div><p>The cafÃ© is\nopen. It &amp; we wait.</p><p>New paragraph</p></div>\n\n<br>\n\nA < b.\n"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    assert _read(tmp_path / "a.txt", clean=True) == [
        ["The café is", "open. It & we wait.", "New paragraph"],
        ["A < b."],
    ]
    assert _read(tmp_path / "a.txt", clean=True, sentences="split")[0] == [
        "The café is open.",
        "It & we wait.",
        "New paragraph",
    ]


def test_short_documents_are_dropped_after_cleaning(tmp_path):
    (tmp_path / "a.txt").write_text("<b>1234</b>\n5\n\n12345\n6\n", encoding="utf-8")
    assert _read(tmp_path / "a.txt", clean=True, min_document_length=6) == [["12345", "6"]]
    assert len(_read(tmp_path / "a.txt", min_document_length=6)) == 2
    with pytest.raises(ValueError, match=r"`patterns` must name files.*too short"):
        _read(tmp_path / "a.txt", min_document_length=99)


def test_a_negative_document_length_is_an_error():
    with pytest.raises(ValueError, match=r"`min_document_length`.*-1"):
        ReadingOptions(min_document_length=-1)


def test_workers_do_not_change_the_documents(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "_GROUP_CHARACTERS", 500)
    (tmp_path / "a.txt").write_text("\n\n".join(f"Number {n} here. It is <b>n</b>." * 5 for n in range(40)))
    options = ReadingOptions(sentences="split", clean=True)
    alone = list(read_documents(str(tmp_path / "a.txt"), options=options))
    assert len(alone) == 40
    assert list(read_documents(str(tmp_path / "a.txt"), options=options, num_workers=2)) == alone


def test_sizes_are_known_for_plain_files_only(tmp_path):
    for name in ("a.txt", "b.txt.gz"):
        (tmp_path / name).write_text("x")
    assert readers.text_files(str(tmp_path / "*.txt")) == [str(tmp_path / "a.txt")]
    assert readers.text_files(str(tmp_path / "*")) is None
    assert readers.text_files(f"{tmp_path}/*.txt,tfds:some") is None


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
    """Make the TFDS data set `small_text` without a network, and return its folder."""
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = tmp_path_factory.mktemp("tfds")
    texts = ["One. Two.\nThree.", "", "Vier – fünf."]
    examples = [(n, {"body": text, "raw": text.encode("latin1", "replace"), "n": n}) for n, text in enumerate(texts)]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="small_text",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {"body": tfds.features.Text(), "raw": tfds.features.Tensor(shape=(), dtype=np.object_), "n": np.int64}
        ),
        split_datasets={"train": iter(examples), "test": iter(examples[:1])},
        data_dir=str(folder),
        disable_shuffling=True,
    )
    return str(folder)


def test_a_tfds_data_set_on_disk_is_read_after_files(tfds_dir, tmp_path):
    (tmp_path / "a.txt").write_text("plain\n")
    source = f"tfds:small_text,{tmp_path}/*.txt"
    documents = list(
        read_documents(source, options=ReadingOptions(tfds_dir=tfds_dir, text_field="body", sentences="split"))
    )
    assert documents == [["plain"], ["One.", "Two.", "Three."], ["Vier – fünf."]]
    options = ReadingOptions(tfds_dir=tfds_dir, text_field="body", tfds_split="test")
    assert list(read_documents("tfds:small_text:1.0.0", options=options)) == [["One. Two.", "Three."]]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("no_such_set", {}, r"`patterns` with tfds:NAME must name a data set.*'tfds:no_such_set'"),
        ("small_text", {}, r"`text_field`.*tfds:small_text, which has body, n, raw\. Received: 'text'"),
        ("small_text", {"text_field": "n"}, r"`text_field` must hold text.*'n'"),
        ("small_text", {"text_field": "body", "tfds_split": "dev"}, r"`tfds_split`.*Received: 'dev'"),
        ("small_text", {"text_field": "raw"}, r"tfds:small_text, split train, example 2: 'raw' is not UTF-8"),
    ],
)
def test_mistakes_in_tfds_options_are_reported_in_one_line(tfds_dir, name, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        list(read_documents(f"tfds:{name}", options=ReadingOptions(tfds_dir=tfds_dir, **options)))
    assert "\n" not in str(caught.value)


def test_unreadable_lines_and_null_texts_are_left_out_and_counted_on_request(tmp_path, caplog):
    (tmp_path / "a.txt").write_bytes(b"one\n\xff\xfe bad\ntwo\n\n\xe9\n\nthree\ncaf\xc3\xa9\xe9")
    lines = [b'{"text": "four"}', b'{"text": null}', b'{"text": "\xe9"}', b"", b'{"id": 3}', b'{"text": "five"}']
    (tmp_path / "b.jsonl").write_bytes(b"\n".join(lines))
    with pytest.raises(ValueError, match=r"a\.txt, line 2: not UTF-8"):
        _read(tmp_path / "*")
    with caplog.at_level("WARNING"):
        documents = _read(tmp_path / "*", skip_unreadable=True)
    assert documents == [["one", "two"], ["three"], ["four"], ["five"]]
    assert re.search(r"a\.txt: left out 3 lines without readable text, first line 2", caplog.text)
    assert re.search(r"b\.jsonl: left out 3 lines without readable text, first line 2", caplog.text)


def test_a_text_of_the_wrong_kind_or_json_that_is_damaged_is_never_skipped(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": 3}\n')
    with pytest.raises(ValueError, match="must be a string"):
        _read(tmp_path / "a.jsonl", skip_unreadable=True)
    (tmp_path / "a.jsonl").write_text('{"text"\n')
    with pytest.raises(ValueError, match="not JSON"):
        _read(tmp_path / "a.jsonl", skip_unreadable=True)


def test_file_names_may_hold_commas(tmp_path):
    for name in ("a,b.txt", "c, d.txt", "e.txt", "x"):
        (tmp_path / name).write_text(name)
    names = ["a,b.txt", "c, d.txt", "e.txt"]
    assert _read(",".join(str(tmp_path / name) for name in names)) == [[name] for name in names]
    assert _read(f"{tmp_path}/x,{tmp_path}/a,*.txt") == [["a,b.txt"], ["x"]]
    with pytest.raises(FileNotFoundError, match=r"no file matches .*/b'"):
        _read(f"{tmp_path}/x,{tmp_path}/b")
