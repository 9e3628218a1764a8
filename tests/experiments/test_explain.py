"""`bert-tf explain`: the page holds what the predictor says, in a form that no text can break."""

import base64
import shutil
import subprocess

import numpy as np
import pytest
from html_data import page_of
from launch_many import launch_many
from small_model import write_run

from bert_tf.serving.explanation_page import explanation_page
from bert_tf.serving.predictor import load

TEXTS = ["the old miller.", "a young sailor </script><!-- <b>near</b> the river"]
EXPLAIN = ["experiments.explain", "--input=texts.txt"]
COMMANDS = {
    "page": [*EXPLAIN, "--model_dir=classifier", "--output=page.html", "--png_dir=pictures", "--method=occlusion"],
    "word": [*EXPLAIN, "--model_dir=tagger", "--output=word.html", "--target=1", "--noattention", "--limit=1"],
    "no label": [*EXPLAIN, "--model_dir=classifier", "--output=none.html", "--target=sea"],
    "no file": ["experiments.explain", "--model_dir=classifier", "--input=missing.txt", "--output=none.html"],
}
WRONG = {
    "no label": "error: --target must be a label, miller, river, sailor, or None. Received: 'sea'",
    "no file": "error: --input: no such file: 'missing.txt'",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    write_run(folder / "classifier", "classification")
    write_run(folder / "tagger", "tagging")
    (folder / "texts.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    return folder


@pytest.fixture(scope="module")
def results(folder):
    return dict(zip(COMMANDS, launch_many(list(COMMANDS.values()), folder), strict=True))


def test_the_page_holds_the_explanations_and_the_attention(folder, results):
    assert results["page"].returncode == 0, results["page"].stderr
    data, tags = page_of((folder / "page.html").read_text("utf-8"))
    predictor = load(str(folder / "classifier"))
    expected = predictor.explain(TEXTS, method="occlusion")
    for text, item, explanation, answer in zip(
        TEXTS, data["explanations"], expected, predictor.attention(TEXTS), strict=True
    ):
        assert item["texts"] == [text]
        assert item["target"] == explanation["target"]
        for token, other in zip(item["tokens"], explanation["tokens"], strict=True):
            assert token == {**other, "attribution": pytest.approx(other["attribution"], abs=1e-5)}
        weights = np.frombuffer(base64.b64decode(item["attention"]["weights"]), np.uint8)
        assert item["attention"]["shape"] == list(answer["weights"].shape)
        np.testing.assert_allclose(weights.reshape(answer["weights"].shape) / 255.0, answer["weights"], atol=0.0025)
    assert not [attributes for _, attributes in tags if {"src", "href"} & set(attributes)]  # nothing from elsewhere
    assert (folder / "pictures" / "001.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium: apt-get install chromium")
def test_a_browser_shows_the_page(folder, results, tmp_path):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    page = (folder / "page.html").read_text("utf-8")
    opened = tmp_path / "opened.html"
    opened.write_text(page.replace('element(parent, "details")', 'element(parent, "details", { open: "" })'), "utf-8")
    shown = subprocess.run(
        [*command, f"--user-data-dir={tmp_path}", f"file://{opened}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    articles = shown.split("<article>")[1:]
    assert len(articles) == len(TEXTS)
    assert articles[0].count("<mark") == 4  # a token each
    for article, item in zip(articles, page_of(page)[0]["explanations"], strict=True):
        layers, heads, length, _ = item["attention"]["shape"]
        assert article.count("<rect") == length**2  # the matrix of the first layer
        assert article.count("<option") == layers + heads + 1 + 2
    assert "&lt;</mark>" in articles[1]  # the second text holds markup, which is shown as it is


def test_a_word_of_a_tagger_may_be_chosen(folder, results):
    assert results["word"].returncode == 0, results["word"].stderr
    [item] = page_of((folder / "word.html").read_text("utf-8"))[0]["explanations"]
    assert item["target"].endswith("of 'old'")
    assert "attention" not in item


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_line_and_nothing_is_written(folder, results, name):
    assert results[name].returncode != 0
    assert results[name].stderr.strip().splitlines()[-1].startswith(WRONG[name])
    assert not (folder / "none.html").exists()


def test_texts_cannot_break_the_page():
    text = "</script><script>alert(1)</script> <!-- __DATA__ \u2028"
    token = {"token": "x", "text": 0, "start": 0, "end": 1, "attribution": 1.0}
    data, tags = page_of(explanation_page([{"target": text, "value": 1.0, "tokens": [token]}], [[text]]))
    assert data["explanations"][0]["texts"] == [text]
    assert [tag for tag, _ in tags].count("script") == 2
