"""Chinese passes readers and tokenizer: words have no spaces, an ideograph is a token, offsets count characters."""

import json

import numpy as np
import pytest

from bert_tf.configs.tasks import QuestionAnsweringConfig, TaggingConfig
from bert_tf.tasks import task_of
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from data_pipelines.finetuning.question_answering import read_questions
from data_pipelines.finetuning.tagging import read_tagged

CONTEXT = "河边的磨坊建于1874年,主人叫Anna Müller。𠀀是罕见字;她有 24 只羊,卖羊毛给“北方”商店。"
ANSWERS = ("1874年", "Anna Müller", "𠀀", "24 只羊", "“北方”", "羊毛", "河边的磨坊")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("chinese") / "vocab.txt"
    known = ["河", "边", "的", "磨", "坊", "羊", "毛", "年", "18", "##74", "anna", "mu", "##ller", "24", ","]
    path.write_text("\n".join([*SPECIAL_TOKENS, *known]) + "\n", encoding="utf-8")
    return WordPieceTokenizer(str(path))


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    path = tmp_path_factory.mktemp("chinese") / "questions.json"
    questions = [
        {"id": text, "question": "是什么?", "answers": [{"text": text, "answer_start": CONTEXT.index(text)}]}
        for text in ANSWERS
    ]
    data = {"data": [{"title": "磨坊", "paragraphs": [{"context": CONTEXT, "qas": questions}]}]}
    path.write_text(json.dumps(data), encoding="utf-8")  # escaped: 𠀀 is two escapes there, and one character here
    return read_questions(str(path), strict=True)


@pytest.mark.parametrize("length", [64, 24])
def test_every_answer_is_cut_out_at_its_position(tokenizer, examples, length):
    config = QuestionAnsweringConfig(max_seq_length=length, max_query_length=8, doc_stride=4)
    task = task_of(config)
    rows = task.encode(examples, (), tokenizer)
    outputs = []
    for row in range(len(rows)):
        positions = rows.example_features["start_positions"][row], rows.example_features["end_positions"][row]
        sure = [np.where(np.arange(length) == position, 9.0, 0.0) for position in positions]
        outputs.append({"start_logits": sure[0], "end_logits": sure[1]})
    answers = task.answers(examples, rows, outputs, labels=())
    assert [answer["answer"] for answer in answers] == list(ANSWERS)
    assert [CONTEXT[answer["start"] : answer["end"]] for answer in answers] == list(ANSWERS)
    assert task.scores(examples, answers, ())["exact_match"] == 1.0


def test_characters_are_tagged(tokenizer, tmp_path):
    text = "安娜住在北京,爱𠀀字。"
    tags = ["B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O", "O", "B-RARE", "O", "O"]
    path = tmp_path / "characters.conll"
    path.write_text("".join(f"{c}\t{tag}\n" for c, tag in zip(text, tags, strict=True)), encoding="utf-8")
    task = task_of(TaggingConfig(max_seq_length=7))  # the sentence is cut into three rows
    examples = read_tagged(str(path), task.config)
    labels = task.label_names(examples)
    rows = task.encode(examples, labels, tokenizer)
    assert rows.token_features["tag_weights"].sum() == len(text), "each character is a word of one token"
    outputs = [np.eye(len(labels))[ids] for ids in rows.token_features["tag_ids"]]
    [answer] = task.answers(examples, rows, outputs, labels=labels)
    assert answer["tags"] == tags
    assert [(span["label"], span["text"]) for span in answer["spans"]] == [
        ("PER", "安娜"),
        ("LOC", "北京"),
        ("RARE", "𠀀"),
    ]
    assert task.scores(examples, [answer], labels)["f1"] == 1.0
