"""Contexts and choices are read from the forms of SWAG and RACE and from JSON lines, and bad files are reported."""

import json

import pytest

from bert_tf.configs import FinetuningConfig
from bert_tf.configs.experiment_files import load_config
from bert_tf.configs.tasks import MultipleChoiceConfig
from bert_tf.examples import ChoiceExample
from data_pipelines.finetuning.in_memory import examples_of, items_of
from data_pipelines.finetuning.labelled import read_examples

SWAG = """\
,video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label
0,lsmdc1,18313,"He sits. He","He sits, alone.",He,gold,"says ""no"".",sleeps.,runs.,is a boat.,0
1,lsmdc2,18314,x,She rows.,The boat,gen,sinks.,sings.,reads.,leaves.,3
"""
ARTICLE = {
    "article": "The miller saw a boat.",
    "questions": ["Who saw it?", "The boat was _ ."],
    "options": [["a miller", "a boat", "no one", "she"], ["old", "new", "red", "lost"]],
    "answers": ["A", "D"],
    "id": "high1.txt",
}


def _read(path, text, labelled=True, **config):
    path.write_text(text, encoding="utf-8")
    return list(read_examples(str(path), MultipleChoiceConfig(**config), labelled=labelled).examples)


def _lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_json_lines_are_read(tmp_path):
    first = {"context": " the miller ", "choices": ["a", " b "], "label": 1}
    second = {"context": "it", "question": "who?", "choices": ["a", "b", "c"], "label": "C", "id": 7}
    assert _read(tmp_path / "a.jsonl", _lines(first, second)) == [
        ChoiceExample("the miller", ("a", "b"), 1),
        ChoiceExample("it", ("a", "b", "c"), 2, "who?"),
    ]
    unlabelled = _read(tmp_path / "b.jsonl", _lines({"context": "it", "choices": ["a", "b"]}), labelled=False)
    assert unlabelled == [ChoiceExample("it", ("a", "b"))]
    with pytest.raises(ValueError, match=r"line 1: must have a column 'ask'"):
        _read(tmp_path / "a.jsonl", _lines(first), question_column="ask")


def test_tables_have_a_column_for_each_choice(tmp_path):
    text = "context\tone\ttwo\tthree\tlabel\na\tb\tc\td\t2\ne\tf\tg\t\t0\n"
    found = _read(tmp_path / "a.tsv", text, choice_columns=("one", "two", "three"))
    assert [(example.choices, example.label) for example in found] == [(("b", "c", "d"), 2), (("f", "g"), 0)]
    with pytest.raises(
        ValueError, match=r"line 2, columns one, two, three: must be a list of texts, none of them empty"
    ):
        _read(tmp_path / "a.tsv", text.replace("\tc", "\t"), choice_columns=("one", "two", "three"))


def test_the_files_of_swag_are_read(tmp_path):
    task = load_config("swag", FinetuningConfig).task
    path = tmp_path / "train.csv"
    path.write_text(SWAG)
    first, second = read_examples(str(path), task).examples
    assert first == ChoiceExample("He sits, alone.", ('says "no".', "sleeps.", "runs.", "is a boat."), 0, "He")
    assert (second.second_text(3), second.label) == ("The boat leaves.", 3)
    test = "\n".join(line.rpartition(",")[0] for line in SWAG.splitlines())
    (tmp_path / "test.csv").write_text(test)
    assert [example.label for example in read_examples(str(tmp_path / "test.csv"), task, labelled=False).examples] == [
        None,
        None,
    ]
    path.write_text(SWAG.replace("leaves.,3", ",1"))
    with pytest.raises(
        ValueError, match=r"line 3, columns ending0, .*: must be 4 choices, as `task\.equal_choices` says"
    ):
        read_examples(str(path), task)


def test_the_files_of_race_are_read(tmp_path):
    task = load_config("race", FinetuningConfig).task
    for folder, name in (("high", "1.txt"), ("middle", "2.txt")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(json.dumps(ARTICLE | {"id": name}))
    found = read_examples(str(tmp_path), task).examples
    assert found[0] == ChoiceExample(ARTICLE["article"], tuple(ARTICLE["options"][0]), 0, "Who saw it?", "1.txt")
    assert [(example.label, example.group) for example in found] == [
        (0, "1.txt"),
        (3, "1.txt"),
        (0, "2.txt"),
        (3, "2.txt"),
    ]
    assert read_examples(str(tmp_path / "high" / "1.txt"), task).examples == found[:2]
    assert _read(tmp_path / "race.jsonl", _lines(ARTICLE, ARTICLE))[3].label == 3
    bad = tmp_path / "middle" / "2.txt"
    bad.write_text(json.dumps(ARTICLE | {"answers": ["A", "E"]}))
    with pytest.raises(ValueError, match=r"2\.txt, questions\[1\], column 'answers': must be the index .*A to D.*'E'"):
        read_examples(str(tmp_path), task)
    bad.write_text(json.dumps(ARTICLE | {"answers": ["A"]}))
    with pytest.raises(ValueError, match=r"2\.txt: must have lists of the same length .*Received: 2, 2, 1"):
        read_examples(str(tmp_path), task)
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match=r"`path`: no file matches"):
        read_examples(str(tmp_path / "none"), task)


def test_the_sentences_of_squad_files_are_choices(tmp_path):
    context = "Dr. Low saw a boat. It was old. She left."
    answers = {"old": 27, "a boat": 12, "boat. It": 14}
    questions = [
        {"id": str(number), "question": f" {text}? ", "answers": [{"text": text, "answer_start": start}]}
        for number, (text, start) in enumerate(answers.items())
    ]
    alone = {"context": "One sentence.", "qas": [questions[1] | {"answers": [{"text": "One", "answer_start": 0}]}]}
    squad = {"data": [{"title": "Mills", "paragraphs": [{"context": context, "qas": questions}, alone]}]}
    path = tmp_path / "dev.json"
    sentences = ("Dr. Low saw a boat.", "It was old.", "She left.")
    assert _read(path, json.dumps(squad)) == [
        ChoiceExample("old?", sentences, 1, group="Mills"),
        ChoiceExample("a boat?", sentences, 0, group="Mills"),
    ]
    assert [example.label for example in _read(path, json.dumps(squad), labelled=False)] == [None] * 3
    found = _read(path, json.dumps(squad), max_choices=2)
    assert [(example.choices, example.label) for example in found] == [(sentences[1:], 0), (sentences[:2], 0)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choices": ["a"]}, r"column 'choices': must be at least two choices\. Received: \['a'\]"),
        ({"choices": "a"}, r"column 'choices': must be a list of texts"),
        ({"choices": ["a", " "]}, r"column 'choices': must be a list of texts, none of them empty"),
        (
            {"label": 2},
            r"column 'label': must be the index of a choice, from 0 to 1, or its letter, A to B\. Received: 2",
        ),
        ({"label": -1}, r"column 'label': must be the index .*Received: -1"),
        ({"label": True}, r"column 'label': must be the index .*Received: True"),
        ({"label": "b"}, r"column 'label': must be the index .*Received: 'b'"),
        ({"context": " "}, r"column 'context': must not be empty"),
    ],
)
def test_bad_rows_are_named(tmp_path, change, message):
    row = {"context": "it", "choices": ["a", "b"], "label": 0}
    with pytest.raises(ValueError, match=rf"a\.jsonl, line 2, {message}"):
        _read(tmp_path / "a.jsonl", _lines(row, row | change))


def test_examples_in_memory_are_read_as_files_are():
    config = MultipleChoiceConfig()
    expected = [ChoiceExample("it", ("a", "b"), 1, "who?"), ChoiceExample("she", ("c", "d", "e"), 2)]
    contexts, choices, labels, questions = ["it", "she"], [["a", "b"], ["c", "d", "e"]], [1, 2], ["who?", ""]
    columns = {"context": contexts, "choices": choices, "label": labels, "question": questions}
    rows = list(zip(contexts, choices, labels, questions, strict=True))
    for data in ((contexts, choices, labels, questions), columns, rows, expected):
        assert examples_of(items_of("train", data, config), config).examples == expected
    with pytest.raises(ValueError, match=r"train\[1\], column 'label': must be the index"):
        examples_of(items_of("train", (contexts, choices, [1, 3]), config), config)
