"""`bert-tf report`: the page holds what the logs and models say, in a form that no text can break."""

import json
import shutil
import statistics
import subprocess

import pytest
from html_data import page_of
from launch_many import launch_many
from small_corpus import corpus_documents
from small_model import LABELS, write_run

from bert_tf.serving import html_page
from bert_tf.serving.behaviour import behaviour_report
from bert_tf.serving.predictor import load
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.finetuning.labelled import read_examples
from data_pipelines.records.manifest import PreparationConfig
from experiments.reports.grids import heat_maps
from experiments.reports.masked_examples import masked_examples
from experiments.reports.runs import Sweep
from experiments.reports.series import MAX_POINTS
from experiments.reports.writing import write_report

SCRIPT = "<script>document.title='bad'</script>"
NAME = "<script>document.title='bad'<b>"  # a folder's name has no slash
HEBREW, CHINESE = "\u05e9\u05dc\u05d5\u05dd", "\u5317\u4eac"
ROWS = [
    ("the old miller forgot the letter.", "miller"),
    (f"boat {SCRIPT}", "river"),
    (f"boat {SCRIPT}", "miller"),  # an answer to the same text is wrong once at least
    (f"{HEBREW} the river", "sailor"),
    (f"{HEBREW} the river", "miller"),
    (f"{CHINESE}\u7684 boat", "river"),
    ("a young sailor near the river before the storm and the road", "sailor"),
    ("three red apples", "miller"),
]
REPORT = ["experiments.report", "--output=none.html"]
WRONG = {
    "no run": (["--model_dir=records"], "--model_dir must be a run's folder, with a config.json, or a folder of seeds"),
    "twice": (["--model_dir=silent,silent"], "--model_dir must be one folder or several different ones."),
    "no metrics": (["--model_dir=silent"], "--model_dir must have a run with metrics, but none has reported yet."),
    "no results": (["--model_dir=empty"], "--model_dir must hold finished runs in its results.jsonl."),
    "no records": (["--model_dir=pretrained", "--records=grid"], "--records must hold manifest.json."),
    "records for a classifier": (["--model_dir=grid", "--records=records"], "--records needs a pre-training among"),
    "no file": (["--model_dir=grid", "--eval_data=no.tsv"], "--eval_data must be a file that exists."),
    "labels for a pre-training": (["--model_dir=pretrained", "--eval_data=rows.tsv"], "--eval_data needs runs for one"),
}


def train_line(step, **values):
    found = {"learning_rate": 1e-4 * step, "gradient_norm": 1.5, "weight_norm": 10.0 + step, "tokens_per_second": 900.0}
    return {"kind": "train", "step": step, **found, "input_wait_share": 0.01, "peak_flops_share": 0.25, **values}


def write_log(folder, lines):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def classifier_log(accuracy):
    matrix = {"labels": [HEBREW, CHINESE, SCRIPT], "counts": [[3, 1, 0], [0, 4, 0], [2, 0, 1]]}
    lines = [train_line(step, classification_loss=2.0 / step) for step in (1, 2, 3, 4)]
    lines += [
        {"kind": "eval", "step": step, "accuracy": accuracy + step / 100, "macro_f1": None, "confusion_matrix": matrix}
        for step in (2, 4)
    ]
    return lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    pretrained = write_run(folder / "pretrained", "pretraining")
    lines = [train_line(step, masked_lm_loss=5.0 / step) for step in range(1, 2501)]
    write_log(pretrained, [*lines, {"kind": "eval", "step": 2500, "masked_lm_loss": 3.0, "masked_lm_accuracy": 0.2}])
    classifier = write_run(folder / NAME, "classification")
    write_log(classifier, classifier_log(0.5))
    results = []
    for rate in ("1e-2", "1e-3"):
        for seed in (0, 1):
            run = folder / "grid" / f"learning_rate={rate}" / f"seed-{seed}"
            shutil.copytree(classifier, run)
            accuracy = (0.9 if rate == "1e-3" else 0.4) + seed / 10
            write_log(run, classifier_log(accuracy))
            results.append({"settings": {"train.learning_rate": rate}, "seed": seed, "accuracy": accuracy})
    (folder / "grid" / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in results))
    (folder / "grid" / "summary.json").write_text(json.dumps({"score": "accuracy", "points": []}))
    shutil.copytree(classifier, folder / "silent", ignore=shutil.ignore_patterns("metrics.jsonl"))
    (folder / "empty").mkdir()
    (folder / "empty" / "results.jsonl").write_text("")
    (folder / "rows.tsv").write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS), "utf-8")
    create_pretraining_data(
        corpus_documents(20),
        WordPieceTokenizer(str(pretrained / "vocab.txt")),
        str(folder / "records"),
        config=PreparationConfig(max_seq_length=24),
    )
    return folder


@pytest.fixture(scope="module")
def page(folder):
    """The page of a pre-training, a classifier, a grid with seeds and a run without metrics: the file and its data."""
    path = folder / "report.html"
    write_report(
        [str(folder / name) for name in ("pretrained", NAME, "grid", "silent")],
        str(path),
        eval_data=str(folder / "rows.tsv"),
        records=str(folder / "records"),
        png_dir=str(folder / "pictures"),
        num_rows=3,
    )
    return path, page_of(path.read_text("utf-8"))[0]


def test_curves_hold_the_logs(page):
    panels = {panel["title"]: panel for panel in page[1]["panels"]}
    [accuracy] = [panels[name] for name in panels if name.startswith("accuracy")]
    assert accuracy["title"] == "accuracy (classification)"  # scores of several kinds are not drawn together
    assert accuracy["series"][0] == {"curve": 1, "kind": "evaluation", "seeds": 1, "points": [[2, 0.52], [4, 0.54]]}
    band = next(one for one in accuracy["series"] if one["curve"] == 2)
    for (step, *found), low in zip(band["points"], (0.42, 0.44), strict=True):
        assert (step, *found) == (step, *map(pytest.approx, (low + 0.05, low, low + 0.1)))
    assert {one["curve"] for one in panels["learning_rate"]["series"]} == {0, 1, 2, 3}
    points = panels["masked_lm_loss (pretraining)"]["series"][0]["points"]
    assert len(points) <= MAX_POINTS + 1
    assert points[-1] == [2500, 5.0 / 2500]
    assert not [title for title in panels if title.startswith("macro_f1")]  # it never has a value
    assert {"gradient_norm", "weight_norm", "tokens_per_second", "peak_flops_share", "input_wait_share"} <= set(panels)


def test_notes_say_what_is_not_compared(page):
    notes = " ".join(page[1]["notes"])
    assert "These runs are of different kinds (pretraining: pretrained; classification: " in notes
    assert "No metrics yet: silent. Only the settings are shown." in notes
    assert "--eval_data" not in notes  # it is given


def test_scores_and_settings_are_tables(page):
    data = page[1]
    tables = {one["task"]: one for one in data["scores"]}
    accuracy = tables["classification"]["names"].index("accuracy")
    grid = tables["classification"]["rows"][1]
    assert grid["evaluation"] == "last, step 4"
    assert grid["values"][accuracy] == [pytest.approx(0.49), pytest.approx(statistics.stdev([0.44, 0.54]))]
    differing = {name: values for name, *values in data["settings"]["differing"]}
    assert differing["task"] == ["pretraining", *["classification"] * 4]


def test_grids_are_heat_maps(page):
    [grid] = page[1]["heat_maps"]
    assert (grid["column_name"], grid["columns"]) == ("train.learning_rate", ["1e-2", "1e-3"])
    assert [(cell["mean"], cell["seeds"], cell["best"]) for cell in grid["cells"][0]] == [
        (pytest.approx(0.45), 2, False),
        (pytest.approx(0.95), 2, True),
    ]
    points = [
        {"settings": {"a": a, "b": b, "c": c}, "values": {"loss": [a + b + c]}}
        for a in (1, 2)
        for b in (1, 2)
        for c in (1, 2)
    ]
    first, second = heat_maps(Sweep("sweep", "loss", points[:-1], 0, False))
    assert (first["title"], second["title"]) == ("sweep: loss, a=1", "sweep: loss, a=2")
    assert first["cells"][0][0]["best"]  # the lowest loss
    assert second["cells"][1][1] is None  # not run


def test_answers_are_those_of_the_models(folder, page):
    by_curve = {one["curve"]: one for one in page[1]["behaviours"]}
    assert set(by_curve) == {1, 3, 4}  # of the grid, the best point alone
    examples = read_examples(str(folder / "rows.tsv"), load(str(folder / NAME)).task.config).examples
    expected = behaviour_report(load(str(folder / NAME)), examples)
    assert expected["scores"]["confusion_matrix"]["labels"] == list(LABELS)
    for name in ("score", "scores", "calibration", "slices", "perturbations", "errors"):
        assert by_curve[1][name] == expected[name]


def test_masked_tokens_have_the_guesses_of_the_model(folder, page):
    [one] = page[1]["masked"]
    assert one["rows"] == masked_examples(str(folder / "pretrained"), str(folder / "records"), 3)
    predictor = load(str(folder / "pretrained"))
    for row in one["rows"]:
        text = "".join(part for part, _ in row["parts"])
        assert text.startswith("[CLS] ")
        for number, prediction in enumerate(row["predictions"]):
            assert [number] == [other for _, other in row["parts"] if other == number]
            probabilities = [probability for _, probability in prediction["guesses"]]
            assert probabilities == sorted(probabilities, reverse=True)
            assert prediction["token"] in predictor.tokenizer.tokens
            if prediction["token"] == prediction["guesses"][0][0]:
                assert prediction["probability"] == pytest.approx(probabilities[0])


def test_pictures_are_written(folder, page):
    names = {path.name for path in (folder / "pictures").iterdir()}
    assert {"curve_accuracy_classification.png", "grid_0.png", "confusion_1.png", "reliability_1.png"} <= names
    assert (folder / "pictures" / "grid_0.png").read_bytes().startswith(b"\x89PNG")


def test_a_missing_matplotlib_is_told_before_anything_is_written(folder, monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"`png_dir` needs matplotlib: pip install 'bert_tf\[plot\]'"):
        write_report([str(folder / "grid")], str(tmp_path / "page.html"), png_dir=str(tmp_path / "png"))
    assert list(tmp_path.iterdir()) == []


def test_the_page_needs_nothing_from_elsewhere_and_holds_no_markup_of_runs(page):
    text = page[0].read_text("utf-8")
    _, tags = page_of(text)
    assert [tag for tag, _ in tags].count("script") == 2
    assert not [attributes for _, attributes in tags if {"src", "href"} & set(attributes)]
    assert "default-src 'none'" in text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium: apt-get install chromium")
def test_a_browser_shows_the_page_at_two_widths(folder, page, tmp_path):
    path, data = page
    opened = tmp_path / "opened.html"
    # Labels of models as hostile as the texts: from the log of a classifier, and spans of a tagger.
    write_report([str(folder / NAME)], str(opened))
    tables = page_of(opened.read_text("utf-8"))[0]["behaviours"]
    spans = {name: {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 4} for name in (CHINESE, SCRIPT)}
    tagger = {"curve": 0, "of": "tagger", "task": "tagging", "scores": {"types": spans}}
    text = html_page.filled(
        "report_page.html", "Report", {**data, "behaviours": [*data["behaviours"], *tables, tagger]}
    )
    # Tables are built when they are opened, and the page tells whether it is wider than the window.
    probe = (
        "<script>for (const one of document.querySelectorAll('details')) one.open = true;"
        "addEventListener('load', () => setTimeout(() => { const svg = document.querySelector('figure svg');"
        "svg.dispatchEvent(new KeyboardEvent('keydown', { key: 'End' }));"
        "document.body.dataset.wide = document.documentElement.scrollWidth > innerWidth; }, 100));</script></body>"
    )
    opened.write_text(text.replace("</body>", probe), "utf-8")
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    browser += [f"--user-data-dir={tmp_path / 'profile'}"]
    for width in (500, 1280):
        picture = tmp_path / f"report_{width}.png"
        command = [*browser, f"--window-size={width},3000", f"--screenshot={picture}", f"file://{path}"]
        subprocess.run(command, capture_output=True, timeout=120, check=True)
        assert picture.read_bytes().startswith(b"\x89PNG")
    command = [*browser, "--window-size=500,900", "--dump-dom", f"file://{opened}"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "<title>Report</title>" in shown  # no script of a run has run
    assert 'data-wide="false"' in shown
    assert shown.count("<figure>") >= len(data["panels"]) + len(data["heat_maps"])
    assert shown.count("<polyline") >= len(data["panels"])
    assert "<polygon" in shown  # the band of the seeds
    assert "step 2500: " in shown  # what the key End reads from the first picture
    assert '<th scope="row"><bdi>2500</bdi></th>' in shown  # the numbers below a picture
    for label in (HEBREW, CHINESE, "&lt;script&gt;document.title='bad'&lt;/script&gt;"):
        assert f'<th scope="col"><bdi>{label}</bdi></th>' in shown
    assert f'<th scope="row"><bdi>{CHINESE}</bdi></th><td class="number">0.5</td>' in shown
    assert f'dir="auto">{HEBREW} the river</p>' in shown
    assert "&lt;script&gt;document.title='bad'&lt;/script&gt;</p>" in shown


@pytest.fixture(scope="module")
def refused(folder):
    commands = [[*REPORT, *arguments] for arguments, _ in WRONG.values()]
    return dict(zip(WRONG, launch_many(commands, folder), strict=True))


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_line_and_nothing_is_written(folder, refused, name):
    assert refused[name].returncode == 2
    assert refused[name].stderr.strip().splitlines()[-1].startswith(f"error: {WRONG[name][1]}"), refused[name].stderr
    assert not (folder / "none.html").exists()
