"""The benchmark of sequence to sequence: its pairs, its texts without a model, its table, and how it asks the peer."""

import json
import os
import sys

import pytest

from bert_tf.utils import files
from experiments.benchmarks import seq2seq_race
from experiments.benchmarks.seq2seq_race import Settings

SQUAD = {
    "data": [
        {
            "title": "Towns",
            "paragraphs": [
                {
                    "context": "Bern lies on the Aare. Its tower is old.",
                    "qas": [
                        {"id": "1", "question": "Where is Bern?", "answers": [{"text": "Aare", "answer_start": 17}]}
                    ],
                }
            ],
        }
    ]
}
# Answers with the first word of each source, and with what it was asked.
PEER = """
import json, os, sys
task = json.loads(sys.argv[1])
rows = [json.loads(line) for line in open(task["test"], encoding="utf-8")]
assert "PYTHONPATH" not in os.environ
print("a line of a library")
texts = [row["source"].split()[0] for row in rows]
print(json.dumps({"texts": texts, "steps": 3, "training_seconds": task["seconds"]}))
"""


def _settings(folder, **changes):
    values = {
        "config": "seq2seq",
        "train": str(folder / "pairs.jsonl"),
        "test": str(folder / "pairs.jsonl"),
        "weights": "weights",
        "folder": str(folder),
        "precision": "float32",
        "epochs": 1,
        "learning_rate": 3e-4,
        "peer_learning_rate": 1e-4,
        "max_seq_length": 64,
        "max_target_length": 16,
        "test_pairs": None,
        "tokenizer": "13a",
    }
    return Settings(**(values | changes))


@pytest.fixture
def pairs(tmp_path):
    rows = [
        {"source": "The cat sat on it. It slept.", "target": "the cat sat on it ."},
        {"source": "A dog ran far away. It came back.", "target": "it came home again ."},
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_both_sides_read_the_same_pairs_of_any_file(tmp_path):
    (tmp_path / "squad.json").write_text(json.dumps(SQUAD))
    path = str(tmp_path / "squad.json")
    seq2seq_race.write_pairs(_settings(tmp_path, config="question_generation", train=path, test=path))
    for name in ("train", "test"):
        [row] = [json.loads(line) for line in files.read_text(str(tmp_path / f"{name}.jsonl")).splitlines()]
        assert row["target"] == "Where is Bern?"
        assert row["source"].startswith("Aare")
        assert row["source"].endswith("Its tower is old.")


def test_only_so_many_test_pairs_are_written(pairs):
    seq2seq_race.write_pairs(_settings(pairs, test_pairs=1))
    assert len(files.read_text(str(pairs / "train.jsonl")).splitlines()) == 2
    assert len(files.read_text(str(pairs / "test.jsonl")).splitlines()) == 1


def test_a_text_without_a_model_is_the_first_sentence_or_the_source(pairs):
    settings = _settings(pairs)
    seq2seq_race.write_pairs(settings)
    first, whole = seq2seq_race.baselines(settings)
    assert first["name"] == "first sentence"
    # The first target is the first sentence; the second has the words "it", "came" of the other sentence alone.
    assert first["rouge1"] == pytest.approx((1 + 0) / 2)
    assert whole["rouge1"] == pytest.approx((2 * 5 / (5 + 7) + 2 * 2 / (4 + 8)) / 2)


def test_the_peer_trains_as_long_and_its_texts_are_compared(pairs):
    settings = _settings(pairs)
    seq2seq_race.write_pairs(settings)
    script = pairs / "peer.py"
    script.write_text(PEER)
    python = pairs / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$2"\n')
    os.chmod(python, 0o755)
    row = seq2seq_race.run_peer(settings, 1, str(python), seconds=12.5)
    assert (row["seed"], row["steps"], row["training_seconds"]) == (1, 3, 12.5)
    assert files.read_text(str(pairs / "transformers_1.txt")).splitlines() == ["The", "A"]
    assert row["rouge1"] == pytest.approx((2 * 1 / (1 + 5) + 0) / 2)
    table = seq2seq_race.describe([row | {"generation_seconds": 2.0}])
    assert table.splitlines()[2].startswith("| transformers, EncoderDecoderModel | 1 | 16.7 |")
    assert table.splitlines()[2].endswith("| 2 | 12 | 2 |")


def test_a_peer_that_fails_is_an_error_with_its_last_words(pairs):
    seq2seq_race.write_pairs(_settings(pairs))
    python = pairs / "python"
    python.write_text("#!/bin/sh\necho no torch here >&2\nexit 3\n")
    os.chmod(python, 0o755)
    with pytest.raises(OSError, match="code 3: no torch here"):
        seq2seq_race.run_peer(_settings(pairs), 1, str(python), seconds=1.0)


def test_rows_of_other_settings_are_not_gone_on_with(pairs):
    settings = _settings(pairs)
    seq2seq_race.write_pairs(settings)
    rows = json.loads(json.dumps(seq2seq_race.baselines(settings)))
    seq2seq_race.check_settings(rows, settings, "out.json")
    with pytest.raises(ValueError, match=r"epochs=4. Received: epochs=1 in 'out.json'"):
        seq2seq_race.check_settings(rows, _settings(pairs, epochs=4), "out.json")
    with pytest.raises(ValueError, match="Received: config=None"):
        seq2seq_race.check_settings([{"name": "bert_tf"}], settings, "out.json")
