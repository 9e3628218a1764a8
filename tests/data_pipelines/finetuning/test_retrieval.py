"""Queries and passages are read from files, and bad files are reported."""

import json

import pytest

from bert_tf.configs.tasks import RetrievalConfig
from bert_tf.examples import RetrievalExample
from data_pipelines.finetuning.labelled import read_examples, read_parts


def _read(path, text, **config):
    path.write_text(text, encoding="utf-8")
    return list(read_examples(str(path), RetrievalConfig(**config)).examples)


def test_tables_are_read(tmp_path):
    path = tmp_path / "train.tsv"
    found = _read(path, "query\tpassage\tid\nwho? \ta miller\t7\nwhere?\ton the road\t8\n", group_column="id")
    assert found == [
        RetrievalExample("who?", "a miller", group="7"),
        RetrievalExample("where?", "on the road", group="8"),
    ]
    assert found[1].source == f"{path}, line 3"
    found = _read(tmp_path / "train.csv", 'q,p,n\nwho?,"a, b",c\nwhere?,d,\n', **_COLUMNS, num_negatives=1)
    assert found == [RetrievalExample("who?", "a, b", ("c",)), RetrievalExample("where?", "d")]


_COLUMNS = {"query_column": "q", "passage_column": "p", "negatives_column": "n"}


def test_lists_of_negatives_are_read(tmp_path):
    rows = [{"query": "a", "passage": "b", "negatives": ["c", " d ", "e"]}, {"query": "f", "passage": "g"}]
    text = json.dumps(rows[0]) + "\n"
    assert _read(tmp_path / "train.jsonl", text, num_negatives=2) == [RetrievalExample("a", "b", ("c", "d"))]
    assert _read(tmp_path / "train.jsonl", text) == [RetrievalExample("a", "b")], "negatives are not read"
    with pytest.raises(ValueError, match=r"line 2: must have a column 'negatives'"):
        _read(tmp_path / "train.jsonl", text + json.dumps(rows[1]) + "\n", num_negatives=2)


def test_squad_files_are_read_without_negatives(tmp_path):
    paragraph = {"context": "The miller saw a boat. ", "qas": [{"id": "1", "question": " Who saw it?"}]}
    path = tmp_path / "train.json"
    found = _read(path, json.dumps({"data": [{"title": "Mills", "paragraphs": [paragraph]}]}))
    assert found == [RetrievalExample("Who saw it?", "The miller saw a boat.", group="Mills")]
    with pytest.raises(
        ValueError, match=r"`task\.num_negatives` must be 0 for `path`.*Received: 1 for '.*train\.json'"
    ):
        _read(path, path.read_text(), num_negatives=1)


def test_groups_stay_whole_in_a_split(tmp_path):
    path = tmp_path / "train.tsv"
    rows = "".join(f"q{n}\tp{n}\tg{n % 5}\n" for n in range(40))
    path.write_text(f"query\tpassage\tgroup\n{rows}", encoding="utf-8")
    parts = read_parts(RetrievalConfig(group_column="group"), {"train": str(path)}, split="60/40")
    groups = [{example.group for example in parts[name].examples} for name in ("train", "eval")]
    assert len(groups[0]) == 3
    assert not groups[0] & groups[1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.tsv",
            "query\ttext\na\tb\n",
            r"a\.tsv, line 2: must have a column 'passage'\. Received: columns 'query', 'text'",
        ),
        ("a.tsv", "query\tpassage\na\t \n", r"a\.tsv, line 2, column 'passage': must not be empty. Received: ' '"),
        ("a.tsv", "query\tpassage\n\tb\n", r"a\.tsv, line 2, column 'query': must not be empty"),
        ("a.tsv", "query\tpassage\n", r"`path` must name a file with at least one example"),
        ("a.txt", "a\n", r"`path` must name a file that ends in \.tsv"),
        ("a.json", "{}", r"a\.json: must be an object whose 'data' is a list"),
    ],
)
def test_bad_files_are_reported_with_line_and_column(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        _read(tmp_path / name, text)


@pytest.mark.parametrize(
    ("negatives", "message"),
    [
        (["b"], "must not hold the passage itself. Received: 'b'"),
        (["c", ""], r"must be a list of texts. Received: \['c', ''\]"),
        ([3], r"must be a list of texts. Received: \[3\]"),
        (2.5, r"must be a text or a whole number. Received: 2\.5"),
    ],
)
def test_bad_negatives_are_errors(tmp_path, negatives, message):
    row = json.dumps({"query": "a", "passage": "b", "negatives": negatives})
    with pytest.raises(ValueError, match=rf"a\.jsonl, line 1, column 'negatives': {message}"):
        _read(tmp_path / "a.jsonl", row + "\n", num_negatives=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling": "pooler"}, "`pooling` must be one of mean, cls"),
        ({"temperature": 0.0}, "`temperature` must be at least"),
        ({"num_negatives": -1}, "`num_negatives` must be at least 0"),
        ({"max_query_length": 300}, "`max_query_length` must be .*256"),
        ({"bucket_lengths": (400,)}, "`bucket_lengths` must be .*320"),
        ({"top_k": 0}, "`top_k` must be at least 1"),
    ],
)
def test_bad_settings_are_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        RetrievalConfig(**changes)
