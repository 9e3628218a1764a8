"""`bert-tf evaluate --slices` and evaluation on several files."""

import json

import pytest
from launch_many import launch_many
from small_model import LABELS, write_run

from bert_tf.examples import ChoiceExample, QuestionExample, RerankingExample, TaggedExample, TextExample
from bert_tf.serving.behaviour import behaviour_report
from bert_tf.serving.predictor import load
from bert_tf.serving.worst_errors import worst_errors

ROWS = [
    ("the old miller forgot the letter.", "miller", "web"),
    ("boat", "river", "mail"),
    ("a young sailor near the river before the storm and the road", "sailor", "web"),
    ("the wooden \u65e5 boat", "river", "mail"),
    ("three red apples", "miller", "web"),
]
EVALUATE = ["experiments.evaluate", "--model_dir=classifier"]
COMMANDS = {
    "slices": [*EVALUATE, "--eval_data=rows.tsv", "--slices=report", "--slice_columns=source"],
    "one": [*EVALUATE, "--eval_data=rows.tsv"],
    "several": [*EVALUATE, "--eval_data=all=rows.tsv,first=first.tsv"],
    "no column": [*EVALUATE, "--eval_data=rows.tsv", "--slices=none", "--slice_columns=author"],
    "twice": [*EVALUATE, "--eval_data=a=rows.tsv,a=first.tsv"],
    "missing": [*EVALUATE, "--eval_data=a=rows.tsv,b=second.tsv"],
    "pre-trained": ["experiments.evaluate", "--model_dir=run", "--eval_data=rows.tsv", "--slices=none"],
}
WRONG = {
    "no column": "error: rows.tsv, line 2: must have a column 'author'",
    "twice": "error: --eval_data must have another name for each file. Received: 'a=rows.tsv,a=first.tsv'",
    "missing": "error: --eval_data must name files that exist. Received: 'second.tsv'",
    "pre-trained": "error: --slices needs a model for one task. Received: 'run', a model for pretraining",
}


def write_rows(path, rows):
    path.write_text("text\tlabel\tsource\n" + "".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    write_run(folder / "classifier", "classification")
    write_run(folder / "run", "pretraining")
    write_rows(folder / "rows.tsv", ROWS)
    write_rows(folder / "first.tsv", ROWS[:2])
    return folder


@pytest.fixture(scope="module")
def results(folder):
    return dict(zip(COMMANDS, launch_many(list(COMMANDS.values()), folder), strict=True))


def test_slices_have_the_scores_of_their_examples(folder, results):
    assert results["slices"].returncode == 0, results["slices"].stderr
    report = json.loads((folder / "report" / "behaviour.json").read_text())
    answers = load(str(folder / "classifier")).classify([text for text, _, _ in ROWS])
    right = [answer["label"] == label for answer, (_, label, _) in zip(answers, ROWS, strict=True)]
    assert report["metric"] == "accuracy"
    assert report["score"] == pytest.approx(sum(right) / len(right))
    slices = {(one["by"], one["slice"]): (one["count"], one["score"]) for one in report["slices"]}
    for by, of_row in (("label", 1), ("source", 2)):
        for value in {row[of_row] for row in ROWS}:
            chosen = [hit for hit, row in zip(right, ROWS, strict=True) if row[of_row] == value]
            assert slices[by, value] == (len(chosen), pytest.approx(sum(chosen) / len(chosen)))
    assert slices["unknown tokens", "with [UNK]"][0] == 1
    assert slices["length", "1 to 8 tokens"][0] + slices["length", "9 to 16 tokens"][0] == 5
    wrong = [row for row, hit in zip(ROWS, right, strict=True) if not hit]
    assert {error["text"] for error in report["errors"]} == {text for text, _, _ in wrong}
    probabilities = [error["probability"] for error in report["errors"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(one["count"] for one in report["calibration"]["bins"]) == len(ROWS)
    assert (folder / "report" / "reliability.png").read_bytes().startswith(b"\x89PNG")
    assert "source: web" in results["slices"].stdout


def test_perturbations_count_the_answers_that_change(folder):
    predictor = load(str(folder / "classifier"))
    examples = [TextExample(text, label=label) for text, label, _ in ROWS]
    found = {one["perturbation"]: one for one in behaviour_report(predictor, examples)["perturbations"]}
    assert (found["upper case"]["count"], found["upper case"]["changed"]) == (5, 0.0)  # the model is uncased
    assert (found["lower case"]["count"], found["lower case"]["changed"]) == (0, None)
    before = predictor.classify([text for text, _, _ in ROWS])
    after = predictor.classify([text[:-1] if text.endswith(".") else f"{text} ." for text, _, _ in ROWS])
    differ = sum(one["label"] != other["label"] for one, other in zip(before, after, strict=True))
    assert (found["full stop"]["count"], found["full stop"]["changed"]) == (5, pytest.approx(differ / 5))


def test_other_tasks_have_slices_without_classes(folder):
    predictor = load(str(write_run(folder / "regressor", "regression")))
    examples = [TextExample(text, label=float(number)) for number, (text, _, _) in enumerate(ROWS)]
    report = behaviour_report(predictor, examples)
    assert {one["by"] for one in report["slices"]} == {"length", "unknown tokens"}
    alone = [one["score"] for one in report["slices"] if one["count"] == 1]
    assert alone == [None] * len(alone) != []  # there is no correlation of one example
    assert "calibration" not in report
    with pytest.raises(ValueError, match=r"`slices` needs a model for classification, .* a model for pretraining"):
        behaviour_report(load(str(folder / "run")), examples)
    with pytest.raises(
        ValueError, match=r"`columns` must have a value for each of the 5 examples\. Received: 1 for 'a'"
    ):
        behaviour_report(predictor, examples, columns={"a": ["b"]})


def test_worst_errors_come_first_for_every_task():
    def errors(kind, examples, answers):
        found = worst_errors(kind, examples, answers, 2)
        return [(error["text"], error["label"], error["predicted"], error["probability"]) for error in found]

    texts = [TextExample("a", label=("x",)), TextExample("b", label=("y",)), TextExample("c", label=())]
    sure, unsure = {"x": 0.9, "y": 0.2}, {"x": 0.6, "y": 0.3}
    answers = [{"labels": ["x"], "probabilities": one} for one in (sure, sure, unsure)]
    assert errors("multi_label", texts, answers) == [("b", "y", "x", 0.9), ("c", "(no label)", "x", 0.6)]
    numbers = [TextExample(name, label=value) for name, value in zip("abc", (1.0, 2.0, 3.0), strict=True)]
    assert errors("regression", numbers, [{"value": 1.0}] * 3) == [("c", "3", "1", None), ("b", "2", "1", None)]
    tagged = [TaggedExample.from_words(["New", "York"], ["B-LOC", "I-LOC"]), TaggedExample.from_words(["a"], ["O"])]
    answers = [{"tags": ["O", "I-LOC"]}, {"tags": ["O"]}]
    assert errors("tagging", tagged, answers) == [("New York", "New B-LOC", "New O", None)]
    questions = [QuestionExample("who?", "the old miller", answers=found) for found in ((("miller", 8),), ())]
    answers = [{"answer": "old", "n_best": [{"probability": 0.5}]}, {"answer": "", "n_best": []}]
    assert errors("question_answering", questions, answers) == [("who?", "miller", "old", 0.5)]
    choices = [ChoiceExample(name, ("x", "y"), label=1) for name in "abc"]
    sure = ((0, [0.6, 0.4]), (1, [0.1, 0.9]), (0, [0.8, 0.2]))
    answers = [{"index": index, "choice": "xy"[index], "probabilities": each} for index, each in sure]
    assert errors("multiple_choice", choices, answers) == [("c", "y", "x", 0.8), ("a", "y", "x", 0.6)]
    passages = ("p", "q", "r")
    found = (
        ((1.0, 0.0, 0.0), (0, 1, 2)),
        ((1.0, 0.0, 2.0), (1, 0, 2)),
        ((0.0, 0.0, 1.0), (0, 1, 2)),
        ((0.0,) * 3, (0, 1, 2)),
    )
    queries = [
        RerankingExample(name, passages, relevances) for name, (relevances, _) in zip("abcd", found, strict=True)
    ]
    answers = [{"passages": [{"index": n, "passage": passages[n]} for n in order]} for _, order in found]
    expected = [("c", "r (rank 3)", "p", None), ("b", "p (rank 2)", "q", None)]
    assert errors("reranking", queries, answers) == expected


def test_several_files_give_a_table(folder, results):
    assert results["several"].returncode == 0, results["several"].stderr
    alone, together = results["one"].stdout, results["several"].stdout
    metrics = json.loads(together[: together.rindex("}") + 1])
    assert metrics["all"] == json.loads(alone[: alone.rindex("}") + 1])
    assert set(metrics) == {"all", "first"}
    header, *rows = together[together.rindex("}") + 1 :].strip("\n").splitlines()[:3]
    assert "accuracy" in header.split()
    place = header.split().index("accuracy")
    for row in rows:
        name, *cells = row.split()
        assert float(cells[place]) == pytest.approx(metrics[name]["accuracy"], abs=1e-4)
    assert set(LABELS) == {row[1] for row in ROWS}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_line_and_nothing_is_written(folder, results, name):
    assert results[name].returncode != 0
    assert results[name].stderr.strip().splitlines()[-1].startswith(WRONG[name])
    assert not (folder / "none").exists()
