"""`bert-tf report` of runs for several tasks, for choices and for rankings."""

import json
import shutil

import pytest
from html_data import page_of
from small_model import LABELS, write_multi_task_run, write_run

from bert_tf.serving.predictor import load
from experiments.reports.writing import write_report

KINDS = {"place": "classification", "names": "tagging", "start": "seq2seq"}
TEXTS = [("the old miller", "miller"), ("a boat near the river", "river"), ("the young sailor", "sailor")]
CHOICES = [
    {"context": "the boat " * 20, "choices": ["the river", "the road", "a mill"], "label": 0},
    {"context": "the old miller", "choices": ["a boat", "the mill"], "label": 1, "question": "he saw"},
]
RANKINGS = [
    {"query": "the boat", "passage": "a boat is on the river", "negatives": ["the old road", "a letter"]},
    {"query": "who walked", "passage": "the sailor walked", "negatives": ["three red apples", "a storm"]},
]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def report(folder, names, eval_data=None, **options):
    """Return the notes and the data of a page."""
    page = folder / "report.html"
    data = eval_data and eval_data.replace("@", f"{folder}/")
    paths = [str(folder / name) for name in names]
    notes = write_report(paths, str(page), eval_data=data, perturbations=False, **options)
    return notes, page_of(page.read_text("utf-8"))[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    several = write_multi_task_run(folder / "several", KINDS)
    matrix = {"labels": list(LABELS), "counts": [[2, 0, 0], [0, 1, 1], [0, 0, 2]]}
    types = {"PER": {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 2}}
    losses = {"place/classification_loss": 1.5, "names/tagging_loss": 2.0, "start/seq2seq_loss": 3.0}
    scores = {"mean_score": 0.4, "place/accuracy": 0.6, "names/f1": 2 / 3, "start/token_accuracy": 0.1}
    tables = {"place/confusion_matrix": matrix, "names/types": types}
    write_lines(
        several / "metrics.jsonl",
        [
            {"kind": "train", "step": 1, "learning_rate": 1e-4, **losses},
            {"kind": "eval", "step": 1, **losses, **scores, **tables},
        ],
    )
    for name, kind, score in (
        ("choices", "multiple_choice", "accuracy"),
        ("rankings", "reranking", "mrr_at_10"),
        ("search", "retrieval", "mrr_at_10"),
    ):
        write_lines(write_run(folder / name, kind) / "metrics.jsonl", [{"kind": "eval", "step": 1, score: 0.5}])
    shutil.copytree(folder / "choices", folder / "again")
    rows = "".join(f"{text}\t{label}\n" for text, label in TEXTS)
    (folder / "rows.tsv").write_text(f"text\tlabel\n{rows}", "utf-8")
    (folder / "tags.conll").write_text("the O\nmiller B-PER\n\nriver B-LOC\n\n", "utf-8")
    write_lines(folder / "choices.jsonl", CHOICES)
    write_lines(folder / "rankings.jsonl", RANKINGS)
    return folder


def test_each_of_several_tasks_has_its_curves_and_tables(folder):
    notes, page = report(folder, ["several"])
    sections = {panel["title"]: panel["section"] for panel in page["panels"]}
    assert sections["mean_score"] == "Losses and scores"
    assert sections["place/accuracy"] == sections["place/classification_loss"] == "Losses and scores of place"
    assert sections["names/f1"] == "Losses and scores of names"
    assert sections["start/seq2seq_loss"] == "Losses and scores of start"
    found = {one["member"]: one["scores"] for one in page["behaviours"]}
    assert found["place"]["confusion_matrix"]["labels"] == list(LABELS)
    assert found["names"]["types"]["PER"]["recall"] == 1.0
    assert set(found) == {"place", "names"}
    assert any("--eval_data" in note for note in notes)
    assert any(note.startswith("Answers of seq2seq are not shown: ") for note in notes)


def test_each_of_several_tasks_has_its_answers(folder):
    _, page = report(folder, ["several"], "place=@rows.tsv,names=@tags.conll", png_dir=str(folder / "pictures"))
    found = {one["member"]: one for one in page["behaviours"]}
    assert list(found) == ["place", "names"]
    for name, one in found.items():
        assert (one["task"], one["of"]) == (KINDS[name], str(folder / "several"))
    place, names = found.values()
    assert (place["data"], names["data"]) == (str(folder / "rows.tsv"), str(folder / "tags.conll"))
    counts = place["scores"]["confusion_matrix"]["counts"]
    assert [sum(row) for row in counts] == [1, 1, 1]
    assert len(place["errors"]) == 3 - sum(counts[label][label] for label in range(3))
    assert {error["text"] for error in names["errors"]} <= {"the miller", "river"}
    assert [one["count"] for one in names["slices"] if one["by"] == "length"] == [2]
    pictures = {path.name for path in (folder / "pictures").iterdir()}
    assert {"confusion_0_place.png", "reliability_0_place.png", "curve_names_f1.png"} <= pictures


def test_choices_are_counted_with_their_confidence_and_one_warning(folder, caplog):
    _, page = report(folder, ["choices", "again"], "@choices.jsonl")
    assert caplog.text.count("contexts with a choice have more than 24 tokens") == 1
    one, other = page["behaviours"]
    answers = load(str(folder / "choices")).choose(
        [row["context"] for row in CHOICES], [row["choices"] for row in CHOICES], ["", "he saw"]
    )
    wrong = [(row, answer) for row, answer in zip(CHOICES, answers, strict=True) if answer["index"] != row["label"]]
    assert one["scores"]["accuracy"] == 1 - len(wrong) / 2
    assert sum(each["count"] for each in one["calibration"]["bins"]) == 2
    expected = {(row["choices"][row["label"]], answer["choice"]) for row, answer in wrong}
    assert {(error["label"], error["predicted"]) for error in one["errors"]} == expected
    assert other["errors"] == one["errors"]


def test_rankings_have_their_metrics_and_the_worst_ranks(folder):
    _, page = report(folder, ["rankings"], "@rankings.jsonl")
    [one] = page["behaviours"]
    assert {"mrr_at_10", "ndcg_at_10"} <= set(one["scores"])
    ranked = load(str(folder / "rankings")).rerank(
        [row["query"] for row in RANKINGS], [[row["passage"], *row["negatives"]] for row in RANKINGS]
    )
    ranks = [[passage["index"] for passage in each].index(0) + 1 for each in ranked]
    assert one["score"] == pytest.approx(sum(1 / rank for rank in ranks) / 2)
    expected = [
        (row["query"], f"{row['passage']} (rank {rank})", each[0]["passage"])
        for rank, row, each in sorted(zip(ranks, RANKINGS, ranked, strict=True), key=lambda item: -item[0])
        if rank > 1
    ]
    assert [(error["text"], error["label"], error["predicted"]) for error in one["errors"]] == expected


@pytest.mark.parametrize(
    ("names", "data", "message"),
    [
        (["search"], "@rows.tsv", r"Received: runs for retrieval\. retrieval: a query is answered by a search among"),
        (
            ["choices", "rankings"],
            "@choices.jsonl",
            r"all for the same\. Received: runs for multiple_choice, reranking",
        ),
        (["several"], "@rows.tsv", r"`eval_data` must be NAME=FILE for each of the tasks place, names, start"),
        (["several"], "place=@rows.tsv", r"Received: no file for names in 'place=.*'"),
    ],
)
def test_data_that_suit_no_run_are_refused(folder, names, data, message):
    with pytest.raises(ValueError, match=message):
        report(folder, names, data)
