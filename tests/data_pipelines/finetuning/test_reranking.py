"""Queries and the passages to rank are read from files, and bad files are reported."""

import json

import pytest

from bert_tf.configs.tasks import RerankingConfig
from bert_tf.examples import RerankingExample
from data_pipelines.finetuning import in_memory
from data_pipelines.finetuning.labelled import read_examples


def _read(path, text, labelled=True, **config):
    path.write_text(text, encoding="utf-8")
    return list(read_examples(str(path), RerankingConfig(**config), labelled=labelled).examples)


def test_rows_of_a_query_are_one_example(tmp_path):
    path = tmp_path / "train.tsv"
    found = _read(path, "query\tpassage\tlabel\nwho?\ta miller\t2\nwhere?\ta road\t1\nwho?\ta boat\t0\n")
    expected = [
        RerankingExample("who?", ("a miller", "a boat"), (2.0, 0.0)),
        RerankingExample("where?", ("a road",), (1.0,)),
    ]
    assert found == expected
    assert found[0].source == f"{path}, line 2"
    unlabelled = _read(path, "query\tpassage\nwho?\ta miller\n", labelled=False)
    assert unlabelled == [RerankingExample("who?", ("a miller",))]


def test_lists_of_positives_and_negatives_are_read(tmp_path):
    rows = [
        {"query": "a", "passage": "b", "negatives": ["c", "d"]},
        {"query": "a", "passage": ["e", "f"], "negatives": ["c"]},
        {"query": "g", "passage": ["h", "i"], "label": [0, 3]},
    ]
    found = _read(tmp_path / "train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert found == [
        RerankingExample("a", ("b", "c", "d", "e", "f"), (1.0, 0.0, 0.0, 1.0, 1.0)),
        RerankingExample("g", ("h", "i"), (0.0, 3.0)),
    ]


def _squad():
    texts = {"Mills": ["The miller saw a boat.", "The mill stood."], "Roads": ["A road.", "Another road.", "A path."]}
    articles = [
        {
            "title": title,
            "paragraphs": [
                {"context": text, "qas": [{"id": text, "question": f"Who? {title} {number}"}]}
                for number, text in enumerate(paragraphs)
            ],
        }
        for title, paragraphs in texts.items()
    ]
    return json.dumps({"data": articles})


def test_other_paragraphs_of_a_squad_file_are_negatives(tmp_path):
    found = _read(tmp_path / "train.json", _squad(), group_size=3)
    assert len(found) == 5
    first = found[0]
    assert (first.query, first.group, first.relevances) == ("Who? Mills 0", "Mills", (1.0, 0.0, 0.0))
    assert first.passages[:2] == ("The miller saw a boat.", "The mill stood."), "those of the same article come first"
    assert found == _read(tmp_path / "train.json", _squad(), group_size=3), "always the same ones"
    assert all(len(set(example.passages)) == 3 for example in found)
    data = in_memory.items_of("train", json.loads(_squad()), RerankingConfig())
    assert len(in_memory.examples_of(data, RerankingConfig(group_size=3)).examples) == 5


def test_examples_in_memory_are_those_of_a_file():
    config = RerankingConfig()
    expected = [RerankingExample("a", ("b", "c"), (1.0, 0.0))]
    for data in (
        (["a"], [["b", "c"]], [[1, 0]]),
        [{"query": "a", "passage": ["b"], "negatives": ["c"]}],
        [{"query": "a", "passage": "b", "label": 1}, {"query": "a", "passage": "c", "label": 0}],
        expected,
    ):
        assert in_memory.examples_of(in_memory.items_of("train", data, config), config).examples == expected


BAD = {
    "no label": (
        "query\tpassage\na\tb\n",
        r"line 2: must have a column 'label' or 'negatives'\. Received: .*'passage'",
    ),
    "columns": ("query\tpassage\tlabel\na\tb\n", r"line 2: must have 3 fields.*Received: 2 fields"),
    "relevance": (
        "query\tpassage\tlabel\na\tb\t-1\n",
        r"line 2, column 'label': must be a relevance, .*Received: '-1'",
    ),
    "word": ("query\tpassage\tlabel\na\tb\tyes\n", r"line 2, column 'label': must be a relevance, .*Received: 'yes'"),
    "empty": ("query\tpassage\tlabel\na\t \t1\n", r"line 2, column 'passage': must not be empty"),
    "twice": (
        "query\tpassage\tlabel\na\tb\t1\na\tb\t0\n",
        r"line 3: a passage must have one relevance for its query\. Received: 0 after 1 \(.*line 2\), for 'b'",
    ),
    "no rows": ("query\tpassage\tlabel\n", r"at least one example\. Received: .*no rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_reported_by_file_and_line(case, tmp_path):
    text, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        _read(tmp_path / "train.tsv", text)
