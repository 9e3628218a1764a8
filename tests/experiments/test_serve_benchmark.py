"""The serving benchmark: its texts, its table, and what its workers share."""

import json
import subprocess
import sys

import numpy as np
import pytest
from small_model import write_vocab

from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from experiments.benchmarks import serve_race
from experiments.benchmarks.serve_workers import serving_protocol


def test_texts_have_as_many_tokens_as_they_say(tmp_path):
    vocab_file = str(write_vocab(tmp_path / "vocab.txt"))
    rows = "".join(f"the old miller number {number}\t1\n" for number in range(60))
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\n" + rows)
    cases = serve_race.make_cases(vocab_file, str(tmp_path / "dev.tsv"), count=40)
    tokenizer = WordPieceTokenizer(vocab_file)
    for length in (16, 128):
        [text] = cases[f"one text of {length} tokens"]["texts"]
        assert len(tokenizer.encode_pair(text)[0]) == length
    assert len(cases["sentences as they come"]["texts"]) == 40
    lengths = [len(text) for text in cases["sentences sorted by length"]["texts"]]
    assert lengths == sorted(lengths)


def test_mean_vectors_leave_padding_out():
    outputs = np.array([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]], [[0.0, 2.0], [7.0, 7.0], [7.0, 7.0]]])
    vectors = serving_protocol.mean_vectors(outputs, np.array([[1, 1, 0], [1, 0, 0]]))
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0.0, 1.0]])


def test_a_worker_cuts_texts_into_batches(tmp_path):
    (tmp_path / "worker.py").write_text(
        "import numpy as np, serving_protocol\n"
        "embed = lambda texts: np.full((len(texts), 1), len(texts))\n"
        "serving_protocol.serve(lambda folder: (embed, len, folder == 'itself', {'folder': folder}))\n"
    )
    command = json.dumps({"texts": ["a"] * 5, "batch_size": 2, "repeat": 3}) + "\n"
    for folder, expected in (("itself", [5, 5, 5, 5, 5]), ("other", [2, 2, 2, 2, 1])):
        done = subprocess.run(
            [sys.executable, tmp_path / "worker.py", folder],
            input=command,
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": serve_race.WORKERS},
        )
        first, second = map(json.loads, done.stdout.splitlines())
        assert first == {"versions": {"folder": folder}}
        assert np.array(second["vectors"])[:, 0].tolist() == expected
        assert len(second["seconds"]) == len(second["tokenize_seconds"]) == 3


def test_a_worker_that_ends_is_reported(tmp_path):
    worker = serve_race.Worker("no_such", sys.executable, str(tmp_path))
    with pytest.raises(OSError, match=r"the worker 'no_such' ended with code 2: .*can't open file"):
        worker.read()


def test_the_table_compares_with_the_fastest_peer():
    def row(name, speed):
        return {
            "case": "sentences",
            "implementation": name,
            "milliseconds": 1e3 / speed,
            "p99_milliseconds": 2e3 / speed,
            "texts_per_second": speed,
            "tokenization_share": 0.25,
        }

    table = serve_race.describe([row("predictor", 300.0), row("transformers", 100.0), row("onnxruntime", 200.0)])
    assert table.splitlines()[2:] == [
        "| sentences | predictor | 3.33 | 6.67 | 300 | 1.50 | 25% |",
        "| sentences | transformers | 10.00 | 20.00 | 100 |  | 25% |",
        "| sentences | onnxruntime | 5.00 | 10.00 | 200 |  | 25% |",
    ]
