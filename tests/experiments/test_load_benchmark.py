"""The load benchmark: its servers, its turns, and its table."""

import sys

import pytest

from experiments.benchmarks import load_race
from experiments.benchmarks.load_race import Command

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

# A server of the peer's code, whose vectors are the length of the text and the size of the largest batch so far, or 0.
_SERVER = """
import os, sys
import numpy as np
import server_transformers
from starlette.exceptions import HTTPException

largest = 0

def embed(texts):
    global largest
    largest = max(largest, len(texts))
    if "bad" in texts:
        raise HTTPException(400, "bad")
    shown = largest if sys.argv[1] == "sizes" else 0
    return np.array([[len(text) + float(os.environ["ADDED"]), shown] for text in texts])

server_transformers.run(lambda folder: (embed, None))
"""


def _command(program, *arguments, added="0"):
    environment = {"ADDED": added, "PYTHONPATH": load_race.WORKERS + ":" + ":".join(sys.path)}
    return Command([sys.executable, str(program), *arguments], environment)


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "server.py"
    path.write_text(_SERVER)
    return path


def test_servers_take_turns_and_are_ended(program, tmp_path):
    commands = {"alone": _command(program, "plain", "1"), "batched": _command(program, "plain", "64")}
    race = {"work_dir": str(tmp_path), "clients": [1, 4], "requests": 20, "rounds": 1}
    rows = load_race.race(commands, ["a", "b c"], **race)
    assert [(row["implementation"], row["clients"]) for row in rows] == [
        *(("alone", 1), ("alone", 4)),
        *(("batched", 1), ("batched", 4)),
    ]
    for row in rows:
        [turn] = row["rounds"]
        assert turn["statuses"] == {"200": 20}
        assert row["texts_per_second"] == turn["texts_per_second"] > 0
        assert 0 < row["latency_50_ms"] <= row["latency_95_ms"] <= row["latency_99_ms"]
    with pytest.raises(ValueError, match=r"every request must be answered. Received: alone, {.*'400'"):
        load_race.race({"alone": commands["alone"]}, [*"abcdefgh", "bad"], **race)


def test_the_vectors_of_the_servers_must_agree(program, tmp_path):
    commands = {"one": _command(program, "plain", "1"), "other": _command(program, "plain", "1", added="0.5")}
    with pytest.raises(ValueError, match=r"the same vectors. Received: other off one by 0\.5"):
        load_race.race(commands, ["a"], work_dir=str(tmp_path), clients=[1], requests=1, rounds=1)


def test_texts_that_wait_are_computed_together_unless_the_server_may_not(program):
    for most in (1, 2):
        with load_race.serving("peer", _command(program, "sizes", str(most))) as url:
            [first, *_, last] = load_race.predict(url, ["a", "bb", "ccc", "dddd", "eeeee"])
        assert (first[0], last) == (1, [5, most])


def test_a_server_that_ends_is_reported(tmp_path):
    with (
        pytest.raises(OSError, match=r"the server 'own' ended with code 2: .*can't open file"),
        load_race.serving("own", _command(tmp_path / "none.py")),
    ):
        pass


def test_each_server_has_its_own_command(tmp_path, monkeypatch):
    made = {"saved_model": "/w/export/1", "litert": "l", "onnx": "o", "transformers": "/w/weights"}
    monkeypatch.setattr(load_race.serve_race, "prepare", lambda *_: made)
    monkeypatch.setenv("PYTHONPATH", "/mine")
    commands = load_race.make_commands("weights", "/w", load_race.IMPLEMENTATIONS, "/peer/python")
    assert list(commands) == list(load_race.IMPLEMENTATIONS)
    assert "--runtime=onnx" in commands["onnx"].arguments
    assert "--export_dir=/w/export" in commands["onnx"].arguments
    assert commands["onnx"].environment["PYTHONPATH"].endswith(":/mine")
    assert commands["transformers_batched"].arguments[0] == "/peer/python"
    assert commands["transformers_batched"].arguments[2:] == ["/w/weights", "64"]
    assert commands["transformers"].arguments[2:] == ["/w/weights", "1"]
    assert commands["transformers"].environment["PYTHONPATH"] == ""


def test_the_table_compares_with_the_fewest_clients():
    def row(clients, speed):
        latencies = {f"latency_{percent}_ms": percent / 2 for percent in (50, 95, 99)}
        return {"implementation": "onnx", "clients": clients, "texts_per_second": speed, **latencies}

    assert load_race.describe([row(64, 1250.0), row(1, 500.0)]).splitlines()[2:] == [
        "| onnx | 64 | 1,250 | 2.50 | 25.0 | 47.5 | 49.5 |",
        "| onnx | 1 | 500 | 1.00 | 25.0 | 47.5 | 49.5 |",
    ]
