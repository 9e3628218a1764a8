import json

import pytest

from bert_tf.examples import NBestList
from data_pipelines.nbest_lists import read_nbest_lists

LISTS = [
    NBestList("utt-1", ("the old miller", "an old miller", ""), (-1.5, -2.0, -9.25), "the old miller"),
    NBestList("utt-2", ("boat",), (-3.0,), "a boat"),
]


def write(folder, **texts):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return str(folder)


def json_lines(tmp_path, *objects):
    path = tmp_path / "lists.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in objects), encoding="utf-8")
    return str(path)


def as_object(one):
    hypotheses = [{"text": text, "score": score} for text, score in zip(one.texts, one.scores, strict=True)]
    return {"id": one.id, "hypotheses": hypotheses, "reference": one.reference}


def test_json_lines(tmp_path):
    path = json_lines(tmp_path, *map(as_object, LISTS))
    assert read_nbest_lists(path) == LISTS
    assert read_nbest_lists(path)[1].source == f"{path}, line 2"
    numbered = json_lines(tmp_path, {"id": 7, "hypotheses": [{"text": "a", "score": 1}]})
    assert read_nbest_lists(numbered) == [NBestList("7", ("a",), (1.0,))]


def test_folders_of_kaldi(tmp_path):
    # The lines may have any order; the last hypothesis of the first list is empty.
    texts = "utt-1-2 an old miller\nutt-1-1 the old miller\nutt-2-1 boat\nutt-1-3\n"
    references = write(tmp_path / "data", text="utt-2 a boat\nutt-1 the old miller\nutt-3 more\n") + "/text"
    scores = "utt-1-1 -1.5\nutt-1-2 -2\nutt-1-3 -9.25\nutt-2-1 -3\n"
    assert read_nbest_lists(write(tmp_path / "scores", text=texts, score=scores), references) == LISTS
    acoustic = "utt-1-1 1\nutt-1-2 3\nutt-1-3 9\nutt-2-1 1\n"
    language = "utt-1-1 .5\nutt-1-2 -1\nutt-1-3 .25\nutt-2-1 2\n"
    costs = write(tmp_path / "costs", words_text=texts, ac_cost=acoustic, lm_cost=language)
    assert read_nbest_lists(costs, references) == LISTS


def test_folders_of_espnet(tmp_path):
    first = {"text": "utt-1 the old miller\nutt-2 boat\n", "score": "utt-1 tensor(-1.5000)\nutt-2 tensor(-3.)\n"}
    write(tmp_path / "1best_recog", **first)
    write(tmp_path / "2best_recog", text="utt-1 an old miller\n", score="utt-1 tensor(-2., device='cuda:0')\n")
    write(tmp_path / "10best_recog", text="utt-1\n", score="utt-1 -9.25\n")  # the tenth comes after the second
    lists = [NBestList(one.id, one.texts, one.scores) for one in LISTS]
    assert read_nbest_lists(str(tmp_path)) == lists


HYPOTHESIS = {"text": "a", "score": 1}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hypotheses": [HYPOTHESIS]}, r"line 1: `id` must be a text or a whole number\. Received: None"),
        ({"id": "a", "hypotheses": []}, r"line 1: `hypotheses` must be a list with at least one item\. Received: \[\]"),
        (
            {"id": "a", "hypotheses": [{"text": "b"}]},
            r"must have a number `score`\. Received: {'text': 'b'}",
        ),
        ({"id": "a", "hypotheses": [HYPOTHESIS, "b"]}, r"line 1: hypothesis 2 must have a `text`\. Received: 'b'"),
        ({"id": "a", "hypotheses": [{"text": "b", "score": float("nan")}]}, r"must have a number `score`"),
        ({"id": "a", "hypotheses": [HYPOTHESIS], "reference": 3}, r"line 1: `reference` must be a text\. Received: 3"),
    ],
)
def test_lines_that_are_no_lists_are_refused(tmp_path, fields, message):
    with pytest.raises(ValueError, match=message):
        read_nbest_lists(json_lines(tmp_path, fields))


def test_lists_that_do_not_fit_together_are_refused(tmp_path):
    twice = json_lines(tmp_path, as_object(LISTS[0]), as_object(LISTS[0]))
    with pytest.raises(ValueError, match=r"line 2: must have an id of its own\. Received: 'utt-1', as .*line 1"):
        read_nbest_lists(twice)
    with pytest.raises(ValueError, match=r"must hold at least one n-best list\. Received: .*which has none"):
        read_nbest_lists(json_lines(tmp_path))
    path = json_lines(tmp_path, *map(as_object, LISTS))
    references = write(tmp_path / "data", text="utt-1 the old miller\n") + "/text"
    with pytest.raises(ValueError, match=r"line 2: the list must have a line in .* Received: none for 'utt-2'"):
        read_nbest_lists(path, references)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`path` must be a file or a folder of n-best lists\. Received: "):
        read_nbest_lists(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match=r"must have a file text or words_text"):
        read_nbest_lists(write(tmp_path / "empty"))
    unscored = write(tmp_path / "unscored", text="utt-1 a\n")
    with pytest.raises(FileNotFoundError, match=r"must have a file score, or ac_cost and lm_cost"):
        read_nbest_lists(unscored)
    with pytest.raises(ValueError, match=r"text, line 1: the hypothesis must have a score .*none for 'utt-1'"):
        read_nbest_lists(write(tmp_path / "unscored", score="utt-2 1\n"))
    with pytest.raises(ValueError, match=r"score, line 1: must be a key and a number\. Received: 'many' for 'utt-1'"):
        read_nbest_lists(write(tmp_path / "unscored", score="utt-1 many\n"))
    with pytest.raises(ValueError, match=r"line 1: must begin with UTTERANCE-RANK, such as utt1-1\. Received: 'a'"):
        read_nbest_lists(write(tmp_path / "unranked", text="a b\n", score="a 1\n"))
