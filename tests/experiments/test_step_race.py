"""The train-step benchmark's own logic: workers that count instead of training."""

import dataclasses
import json
import sys

import numpy as np
import pytest

from experiments.benchmarks import packed_batches, step_race
from experiments.benchmarks.step_workers.protocol import Case
from experiments.benchmarks.synthetic_batches import synthetic_batches

WORKER = """
import json, sys
sys.path.insert(0, {folder!r})
from protocol import serve

def start(case, batches):
    if {fails}:
        raise RuntimeError("no such implementation")
    seen = []
    def run(number):
        seen.append(number)
        assert batches[number]["input_ids"].shape == (case.batch_size, case.max_seq_length)
        return float(len(seen))
    return run, 7, {{"implementation": "1.0"}}

serve(start)
"""


@pytest.fixture
def workers(tmp_path, monkeypatch):
    """A folder of workers, with a function that adds one."""
    protocol = step_race.WORKERS
    monkeypatch.setattr(step_race, "WORKERS", str(tmp_path))

    def add(name, fails=False):
        (tmp_path / f"worker_{name}.py").write_text(WORKER.format(folder=protocol, fails=fails))
        return name

    return add


def case(tmp_path, **changes):
    arrays = synthetic_batches(2, 16, predictions=3, vocab_size=1200, count=2)
    path = str(tmp_path / "batches.npz")
    np.savez(path, **arrays)
    return Case("small", 1, 64, 2, 16, 3, "float32", path, **changes)


def test_model_flops_by_hand(tmp_path):
    # A block: 4 + 8 squares of the width a token, and two products with [L, L]; the head: one square and the
    # vocab_size.
    tokens, width, length, vocab_size = 2 * 16, 64, 16, 30522
    forward = 2 * tokens * 12 * width**2 + 4 * tokens * length * width + 2 * 6 * (width**2 + width * vocab_size)
    assert step_race.model_flops(case(tmp_path)) == 3 * forward


def test_workers_keep_to_the_instructions_that_the_environment_names(tmp_path, workers, monkeypatch):
    name = workers("peer")
    script = tmp_path / "worker_peer.py"
    told = "import os; assert os.environ['ONEDNN_MAX_CPU_ISA'] == 'AVX2'; assert 'BERT_TF_OTHER' not in os.environ"
    script.write_text(told + script.read_text())
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("BERT_TF_OTHER", "1")
    [row] = step_race.race(case(tmp_path), {name: sys.executable}, rounds=1)
    assert row["loss"] > 0


def test_each_has_its_turns_and_its_own_case(tmp_path, workers):
    ours, peer = case(tmp_path, tokens_per_batch=31.0), case(tmp_path, tokens_per_batch=20.0)
    pythons = {workers(name): sys.executable for name in ("bert_tf_jax", "peer")}
    rows = step_race.race(ours, pythons, rounds=3, peer_case=peer)
    assert [row["implementation"] for row in rows] == ["bert_tf_jax", "peer"]
    for row, tokens in zip(rows, (31.0, 20.0), strict=True):
        low, high = row["milliseconds_spread"]
        assert 0 < low <= row["milliseconds"] <= high
        assert row["processor_milliseconds"] > 0
        assert row["tokens_per_second"] == pytest.approx(1e3 * tokens / row["milliseconds"])
        # Two steps to warm up, one to find the number of steps of a turn, three turns of eight.
        assert row["loss"] == 2 + 1 + 3 * 8
        assert row["start_seconds"] >= row["first_step_seconds"] > 0
        assert row["peak_step_mib"] > 1
        assert row["versions"] == {"implementation": "1.0"}


def test_a_worker_that_fails_is_reported(tmp_path, workers):
    workers("peer", fails=True)
    with pytest.raises(OSError, match=r"(?s)'peer' ended with code 1: .*no such implementation"):
        step_race.race(case(tmp_path), {"peer": sys.executable}, rounds=1)


def _row(name, rate, **changes):
    row = {"case": "mini", "precision": "bfloat16", "implementation": name, "milliseconds": 10.0}
    row |= {"processor_milliseconds": 20.0, "tokens_per_second": rate}
    row |= {"share_of_matrix_rate": None, "start_seconds": 1.0, "first_step_seconds": 1.0, "peak_step_mib": 100.0}
    return row | changes


def test_the_table_compares_with_the_best_peer_of_the_same_case():
    rows = [_row("bert_tf", 300.0), _row("bert_tf_jax", 250.0), _row("slow", 100.0), _row("fast", 200.0)]
    rows += [_row("bert_tf", 400.0, precision="float32"), _row("fast", 800.0, precision="float32")]
    lines = step_race.describe(rows).splitlines()
    assert [line.split("|")[7].strip() for line in lines[2:]] == ["1.50", "1.25", "", "", "0.50", ""]


def test_the_matrix_rate_is_of_the_same_turns():
    started, ended = (
        {"start_seconds": 1.0, "first_step_seconds": 0.5, "versions": {}},
        {"peak_step_bytes": 2**20, "peak_bytes": 2**21},
    )
    one = Case("mini", 1, 64, 2, 16, 3, "float32", "")
    row = step_race._row(
        one, "peer", [0.5, 2.0, 1.0], [4.0, 2.0, 3.0], started, ended, 3.0, peak=4 * step_race.model_flops(one)
    )
    assert (row["milliseconds"], row["processor_milliseconds"]) == (1000.0, 3000.0)
    assert row["share_of_matrix_rate"] == pytest.approx(0.25)
    assert row["tokens_per_second"] == 32.0


def test_packed_rows_and_padded_rows_are_of_the_same_text(tmp_path, monkeypatch):
    monkeypatch.setitem(step_race.SHAPES, "mini_8x512", (4, 256, 2, 64))
    monkeypatch.setattr(packed_batches, "NUM_BATCHES", 3)
    monkeypatch.setattr(packed_batches, "_MEGABYTES", 0.02)
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    corpus = "\n\n".join("\n".join(" ".join(words[: 3 + (i + j) % 7]) for j in range(4)) for i in range(60))
    (tmp_path / "corpus.txt").write_text(corpus + "\n")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n")
    packed, padded = packed_batches.make_packed_cases(
        "packed_mini_8x512", "bfloat16", work_dir=str(tmp_path), corpus=str(tmp_path / "corpus.txt")
    )
    assert (packed.batch_size, packed.max_seq_length) == (padded.batch_size, padded.max_seq_length) == (2, 64)
    assert 2 * 64 >= packed.tokens_per_batch > padded.tokens_per_batch
    with np.load(packed.batches) as several, np.load(padded.batches) as one:
        assert several["input_mask"].max() > 1 == one["input_mask"].max()
        assert (several["input_mask"] > 0).sum() == 3 * packed.tokens_per_batch
        assert several["input_ids"].shape == (3, 2, 64)


def test_cases_travel_as_json(tmp_path):
    one = case(tmp_path, tokens_per_batch=3.5)
    assert Case(**json.loads(json.dumps(dataclasses.asdict(one)))) == one
