"""Files of TREC: texts by id, runs and judgements, and the bad lines of each."""

import pytest

from data_pipelines import trec

RUN = "q1 Q0 d2 1 2.5 bm25\nq1 Q0 d1 2 0.25 bm25\nq2 Q0 d1 1 -1.0 bm25\n"


def _write(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_run_is_read_and_written(tmp_path):
    found = list(trec.iterate_run(_write(tmp_path, "a.trec", RUN)))
    assert [(each.query, each.documents, each.scores) for each in found] == [
        ("q1", ["d2", "d1"], [2.5, 0.25]),
        ("q2", ["d1"], [-1.0]),
    ]
    assert found[1].sources == [f"{tmp_path / 'a.trec'}, line 3"]
    written = "".join(trec.run_lines(each.query, each.documents, each.scores, "bm25") for each in found)
    assert written == RUN
    unsorted = "q Q0 a 3 0.5 t\nq\tQ0\tb\t1\t0.5\tt\n\nq Q0 c 2 9 t\n"
    [ranked] = trec.iterate_run(_write(tmp_path, "b.trec", unsorted))
    assert ranked.documents == ["c", "b", "a"], "by score, equal ones by rank"
    with pytest.raises(ValueError, match=r"must have no white space\. Received: 'd 1'"):
        trec.run_lines("q", ["d 1"], [1.0], "t")


def test_judgements_are_read(tmp_path):
    judged = trec.read_qrels(_write(tmp_path, "qrels", "q1 0 d1 2\nq1 0 d2 0\nq2\t0\td1\t-1\n"))
    assert judged == {"q1": {"d1": 2.0, "d2": 0.0}, "q2": {"d1": 0.0}}
    assert trec.relevances_of(["d3", "d1"], judged["q1"]) == ([0.0, 2.0], [2.0, 0.0])


def test_texts_are_read(tmp_path):
    assert trec.read_texts(_write(tmp_path, "c.tsv", "d1\ta boat \nd2\tthe mill\n")) == {
        "d1": "a boat",
        "d2": "the mill",
    }
    lines = '{"_id": "d1", "title": "Boats", "text": "a boat"}\n{"id": 7, "text": "the mill"}\n'
    assert trec.read_texts(_write(tmp_path, "c.jsonl", lines)) == {"d1": "Boats a boat", "7": "the mill"}


BAD = {
    "run of 5 columns": ("a.trec", "q1 Q0 d2 1 2.5\n", r"line 1: must have 6 columns, QUERY Q0 .*Received: 5"),
    "no score": ("a.trec", "q1 Q0 d2 1 high t\n", r"line 1: the score must be a finite number\. Received: 'high'"),
    "twice": ("a.trec", RUN + "q2 Q0 d1 2 -2 t\n", r"line 4: a document must occur once .*'d1', as .*line 3"),
    "torn": ("a.trec", RUN + "q1 Q0 d3 3 0 t\n", r"line 4: the lines of a query must follow each other\. .*'q1' again"),
    "empty": ("a.trec", "\n", r"`path` must hold at least one line"),
    "qrels of 3 columns": ("qrels", "q1 0 d1\n", r"line 1: must have 4 columns, QUERY 0 .*Received: 3"),
    "judged twice": ("qrels", "q1 0 d1 1\nq1 0 d1 1\n", r"line 2: a document must be judged once .*'d1' again"),
    "texts of 3 columns": ("c.tsv", "d1\ta\tb\n", r"line 1: must have 2 columns, ID and TEXT, .*Received: 3"),
    "an id twice": ("c.tsv", "d1\ta\nd1\tb\n", r"line 2: must have an id of its own\. Received: 'd1', as .*line 1"),
    "no text": ("c.tsv", "d1\t \n", r"line 1: the text must not be empty"),
    "no id": ("c.jsonl", '{"text": "a"}\n', r"line 1: must have an `_id` or `id`"),
}
READERS = {"a.trec": lambda path: list(trec.iterate_run(path)), "qrels": trec.read_qrels}


@pytest.mark.parametrize("case", BAD)
def test_bad_lines_are_reported_by_file_and_line(case, tmp_path):
    name, text, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        READERS.get(name, trec.read_texts)(_write(tmp_path, name, text))


def test_missing_files_and_ids(tmp_path):
    for read in (trec.read_texts, trec.read_qrels, lambda path: list(trec.iterate_run(path))):
        with pytest.raises(FileNotFoundError, match="`path` must be a file that exists"):
            read(str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"^run, line 3: the id must be one of 'c.tsv'\. Received: 'd9'"):
        trec.text_of({"d1": "a"}, "d9", source="run, line 3", path="c.tsv")
