"""What a client of an export sends: lines, or objects with a text for each input."""

import json

import pytest
import tensorflow as tf

from experiments.query_saved_model import query, read_texts


def test_lines(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text('one\n{"text": "two"}\n\n')
    assert read_texts(str(path), ["text"]) == {"text": ["one", '{"text": "two"}', ""]}


def test_objects(tmp_path):
    rows = [{"question": "who?", "context": "she", "id": 7}, {"context": "he", "question": ""}]
    path = tmp_path / "questions.txt"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_texts(str(path), ["context", "question"]) == {"context": ["she", "he"], "question": ["who?", ""]}
    one = tmp_path / "texts.jsonl"
    one.write_text('{"text": "a\\nb"}\n')
    assert read_texts(str(one), ["text"]) == {"text": ["a\nb"]}


@pytest.mark.parametrize("line", ["no JSON", "[]", '{"question": "who?"}', '{"question": "who?", "context": 3}'])
def test_bad_lines(tmp_path, line):
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "", "context": ""}\n' + line + "\n")
    with pytest.raises(ValueError, match=r"questions\.jsonl, line 2: must be a JSON object with the texts context, qu"):
        read_texts(str(path), ["context", "question"])


def test_answers_are_plain():
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def signature(text):
        return {"upper": tf.strings.upper(text), "lengths": tf.stack([tf.strings.length(text)] * 2, axis=1)}

    answers = query(signature.get_concrete_function(), {"text": ["a", "bc"]})
    assert answers == [{"lengths": [1, 1], "upper": "A"}, {"lengths": [2, 2], "upper": "BC"}]
    assert json.loads(json.dumps(answers)) == answers
