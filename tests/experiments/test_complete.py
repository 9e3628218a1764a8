"""The command that fills spans of masks in the texts of a file."""

import json
import subprocess
import sys

import pytest
from small_model import write_run

from bert_tf.serving.predictor import load

pytestmark = pytest.mark.long  # programs start


def _run(folder, name, *others):
    paths = ["--model_dir", str(folder / "run"), "--input", str(folder / name), "--output", str(folder / "out.jsonl")]
    command = [sys.executable, "-m", "experiments.complete", *paths, *others]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_completes_each_line(tmp_path):
    write_run(tmp_path / "run", "pretraining")
    texts = ["the [MASK:2] miller", "a boat[MASK]"]
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in texts))
    (tmp_path / "texts.tsv").write_text("".join(f"{text}\n" for text in ("source", *texts)))
    options = {"order": "left_to_right", "seed": 3, "num_return": 2}
    flags = [f"--{name}={value}" for name, value in options.items()]
    expected = load(str(tmp_path / "run")).complete(texts, **options)
    for name, others in (("texts.txt", ()), ("texts.tsv", ("--text_column", "source"))):
        result = _run(tmp_path, name, *flags, *others)
        assert result.returncode == 0, result.stderr
        lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert [line["text"] for line in lines] == texts
        assert [line["completed"] for line in lines] == [answer["completed"] for answer in expected]
        assert all(len(line["alternatives"]) == 2 for line in lines)


def test_bad_texts_and_flags_are_named_and_nothing_is_written(tmp_path):
    write_run(tmp_path / "run", "pretraining")
    (tmp_path / "texts.txt").write_text("[MASK]\nnone\n")
    for others, message in (
        ((), "--input, text 2 must hold [MASK] or [MASK:n]. Received: 'none'"),
        (("--num_return", "2"), "--num_return must be 1, since a text has one completion without --temperature"),
    ):
        result = _run(tmp_path, "texts.txt", *others)
        assert result.returncode == 2
        assert message in result.stderr
        assert not (tmp_path / "out.jsonl").exists()
