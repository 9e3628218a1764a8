"""The page at `/`: what it is made of, and, where a browser is installed, what it shows for each kind of model."""

import os
import re
import shutil
import subprocess
import urllib.parse
from html import unescape
from pathlib import Path

import pytest
import tensorflow as tf
from served_kinds import Kinds, Run
from small_server import ask, serving

from bert_tf.server.models import ServedModel
from bert_tf.server.page import page
from bert_tf.server.served_run import Abilities

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
SENTENCE = "the \U0001f600 miller lives by the river"  # JavaScript counts the face as two


KINDS = ("classification", "regression", "tagging", "question_answering", "pretraining", "seq2seq", "encoder")
KINDS += ("multiple_choice", "reranking")
ASKED = {
    "question_answering": {"question": "where?", "context": SENTENCE},
    "seq2seq": {"text": SENTENCE, "seed": "3"},
    "multiple_choice": {"context": SENTENCE, "question": "", "choices": "by\nriver"},
    "reranking": {"query": "where?", "passage": "by\nat the river\nby the"},
}
SHOWN = {  # what the page says, without its markup
    "classification": ["Answer: land", "land", "0.875", "water", "0.125"],
    "regression": ["Value: 4.2500"],
    "tagging": ["miller PER", "river LOC"],
    "question_answering": ["Answer: river", "0.750", "0.250"],
    "pretraining": ["[MASK] 1", "old", "0.625", "young", "0.250"],
    "seq2seq": [f"<b>{SENTENCE}</b> 3", "score -0.5000, 7 tokens"],
    "multiple_choice": ["Answer: river", "by 0.286", "river 0.714"],
    "reranking": ["1. at the river 0.563 2. by the 0.375 3. by 0.250"],
    "encoder": ["A vector of 3 numbers: 0.5000, -0.2500, 1.0000"],
}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder, kinds = tmp_path_factory.mktemp("models"), Kinds()
    for kind in KINDS:
        more = {"examples": kinds.examples} if kind == "classification" else {}
        signatures = {"serving_default": getattr(kinds, kind), **more}
        tf.saved_model.save(tf.Module(), str(folder / kind / "1"), signatures=signatures)
    of_tasks = {"topic": kinds.classification, "topic_examples": kinds.examples, "size": kinds.regression}
    of_tasks |= {"topic_token_ids": kinds.encoder, "size_token_ids": kinds.encoder}
    signatures = {"serving_default": kinds.classification, **of_tasks}
    tf.saved_model.save(tf.Module(), str(folder / "several" / "1"), signatures=signatures)
    models = [ServedModel(kind, str(folder / kind), {}, 1) for kind in (*KINDS, "several")]
    models[-1].run = Run(generates=False, explains=True, tasks={"topic": Abilities(False, True)})
    models[KINDS.index("classification")].run = Run(generates=False, explains=True)
    models[KINDS.index("seq2seq")].run = Run(generates=True, explains=False)
    with serving(*models) as url:
        yield url


def taken(url, name, folder):
    """Keep a picture of a page: in the folder that the environment names, or in that of the test."""
    picture = Path(os.environ.get("BERT_TF_SCREENSHOTS") or folder, f"{name}.png")
    picture.parent.mkdir(parents=True, exist_ok=True)
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
    more = [f"--user-data-dir={folder / 'profile'}", "--window-size=700,900", f"--screenshot={picture}", url]
    subprocess.run([*command, *more], capture_output=True, timeout=120, check=True)
    assert picture.read_bytes().startswith(b"\x89PNG")


def seen(url, *flags, whole=False):
    """Return the text of a page after its scripts have run, or the whole of it."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", *flags]
    result = subprocess.run([*command, "--dump-dom", url], capture_output=True, text=True, timeout=120, check=True)
    if whole:
        return result.stdout
    body = re.sub(r"<script.*?</script>|<details.*?</details>|<style.*?</style>", "", result.stdout, flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_page_is_one_file_that_names_the_models(address):
    answer = ask(f"{address}/")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert '{"classification": {"stream": false, "explain": true}, "regression": {' in answer.value
    assert not re.findall(r"""(?:src|href)\s*=\s*["']""", answer.value)


def test_the_page_needs_no_key_and_its_questions_do(tmp_path):
    kinds = Kinds()
    tf.saved_model.save(tf.Module(), str(tmp_path / "m" / "1"), signatures={"serving_default": kinds.regression})
    with serving(ServedModel("m", str(tmp_path / "m"), {}, 1), api_keys=("secret",)) as url:
        assert ask(f"{url}/").status == 200
        assert ask(f"{url}/v1/models/m/metadata").status == 401


def test_names_cannot_break_the_page():
    text = page({"</script><script>alert(1)</script>": None})
    assert text.count("<script") == page({"m": None}).count("<script")


@pytest.mark.skipif(BROWSER is None, reason="no chromium: apt-get install chromium")
@pytest.mark.parametrize("kind", KINDS)
def test_a_browser_shows_the_answer(address, kind, tmp_path):
    link = urllib.parse.urlencode({"model": kind, **ASKED.get(kind, {"text": SENTENCE})})
    text = seen(f"{address}/#{link}", f"--user-data-dir={tmp_path / 'profile'}")
    for part in SHOWN[kind]:
        assert part in text
    taken(f"{address}/#{link}", kind, tmp_path)


@pytest.mark.skipif(BROWSER is None, reason="no chromium: apt-get install chromium")
@pytest.mark.parametrize(("task", "shown"), [("topic", "Answer: land land 0.875 water 0.125 Why?"), ("size", "4.2500")])
def test_a_browser_asks_the_task_that_is_chosen(address, task, shown, tmp_path):
    link = urllib.parse.urlencode({"model": "several", "task": task, "text": SENTENCE})
    text = seen(f"{address}/#{link}", f"--user-data-dir={tmp_path / 'profile'}")
    assert "Task size topic" in text
    assert shown in text
    taken(f"{address}/#{link}", f"several_{task}", tmp_path)


@pytest.mark.skipif(BROWSER is None, reason="no chromium: apt-get install chromium")
def test_a_browser_shows_a_text_as_it_streams(address, tmp_path):
    link = urllib.parse.urlencode({"model": "seq2seq", "text": SENTENCE, "seed": "3", "stream": "1"})
    text = seen(f"{address}/#{link}", f"--user-data-dir={tmp_path / 'profile'}")
    assert "one <b>two</b> 3" in text
    assert "score" not in text  # the export was not asked
    taken(f"{address}/#{link}", "stream", tmp_path)


@pytest.mark.skipif(BROWSER is None, reason="no chromium: apt-get install chromium")
def test_a_browser_shows_why_a_model_answered_so(address, tmp_path):
    link = urllib.parse.urlencode({"model": "classification", "text": SENTENCE, "explain": "1"})
    page = seen(f"{address}/#{link}", f"--user-data-dir={tmp_path / 'profile'}", whole=True)
    colours = re.findall(r"rgba\(var\((--for|--against)\), ([0-9.]+)\)[^>]*>([^<]*)</mark>", page)
    assert colours == [("--for", "0.500", "the"), ("--against", "0.250", "miller"), ("--for", "1.000", "river")]
    # Open details draw themselves: a matrix of all weights, where the first token reads the third.
    assert page.count('class="cell"') == 9
    assert "the reads river: 0.125" in page
    taken(f"{address}/#{link}", "explain", tmp_path)


@pytest.mark.skipif(BROWSER is None, reason="no chromium: apt-get install chromium")
def test_a_browser_shows_what_the_server_refuses(address, tmp_path):
    text = seen(f"{address}/#model=regression&text={'x' * 100_001}", f"--user-data-dir={tmp_path}")
    assert "A text must hold at most 100000 bytes. Received: 100001" in text
