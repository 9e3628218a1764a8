import json

import pytest

from data_pipelines.finetuning.question_answering import read_questions

CONTEXT = "Café 😀: the Panthers gave up 308 points."


def squad(*questions, context=CONTEXT, title="Panthers"):
    return {"version": "1.1", "data": [{"title": title, "paragraphs": [{"context": context, "qas": list(questions)}]}]}


def question(*answers, **more):
    return {"id": "q1", "question": "How many?", "answers": [{"text": t, "answer_start": s} for t, s in answers]} | more


def write(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")
    return str(path)


def test_questions_and_answers_are_read(tmp_path):
    path = write(tmp_path / "a.json", squad(question(("308", 29), ("308 points", 29))))
    [example] = read_questions(path, strict=True)
    assert (example.question_id, example.group, example.labelled) == ("q1", "Panthers", True)
    assert example.answers == (("308", 29), ("308 points", 29))
    assert example.source == f"{path}, data[0].paragraphs[0].qas[0] (q1)"


def test_questions_without_answers_or_labels_are_read(tmp_path):
    impossible = question(is_impossible=True, plausible_answers=[{"text": "308", "answer_start": 29}])
    [example] = read_questions(write(tmp_path / "a.json", squad(impossible)))
    assert (example.answers, example.labelled) == ((), True)
    bare = {"question": "How many?"}
    [example] = read_questions(write(tmp_path / "b.json", squad(bare)), labelled=False)
    assert (example.answers, example.labelled) == ((), False)


def test_answers_at_wrong_positions_are_counted_and_the_first_is_reported(tmp_path, caplog):
    path = write(tmp_path / "a.json", squad(question(("308", 28)), question(("308", 29), ("gave", 3), id="q2")))
    examples = read_questions(path)
    assert [list(map(example.holds, example.answers)) for example in examples] == [[False], [True, False]]
    assert "2 answers are not at their answer_start" in caplog.text
    assert "(q1): `answer_start` must be the position of the answer '308' in the context. Received: 28" in caplog.text
    with pytest.raises(ValueError, match=r"\(q1\): `answer_start`.*Received: 28"):
        read_questions(path, strict=True)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"a\.json: must be an object whose 'data' is a list"),
        ({"data": [{}]}, r"data\[0\]: must be an object whose 'paragraphs' is a list"),
        ({"data": []}, r"`path` must name a file with at least one question"),
        (squad({"id": "a", "question": " ", "answers": []}), r"qas\[0\], field 'question': must not be empty"),
        (squad({"id": "a", "question": "x"}), r"qas\[0\]: must be an object whose 'answers' is a list"),
        (squad(question(("", 0))), r"answers\[0\], field 'text': must not be empty"),
        (
            squad(question(("308", "30"))),
            r"answers\[0\]: must be an object whose 'answer_start' is a whole number.*'30'",
        ),
    ],
)
def test_bad_files_are_reported(tmp_path, value, message):
    with pytest.raises(ValueError, match=message):
        read_questions(write(tmp_path / "a.json", value))


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`path` must name a file that ends in \.json \(SQuAD\).*'a\.tsv'"):
        read_questions("a.tsv")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match=r"a\.json, line 1, column 2: not JSON"):
        read_questions(str(tmp_path / "a.json"))
