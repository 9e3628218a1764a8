"""The race on a GPU: its batches, its processes and its table, with sides that count instead of training."""

import json
import sys

import numpy as np
import pytest

from bert_tf.configs import BertConfig
from bert_tf.models.flops import pretraining_step_flops
from experiments.benchmarks import gpu_cases

SIDE = """
import json, sys
line = {"device_kind": "NVIDIA H100 PCIe", "compile_seconds": 3.0, "device_memory_gib": 2.0, "host_memory_gib": 1.0}
for seconds in sys.argv[1:]:
    print("a library talks")
    print(json.dumps(line | {"seconds_per_step": float(seconds)}))
"""
SIZES = {("bert_tiny", 32): 2}


@pytest.fixture
def sides(monkeypatch):
    """Replace both sides by programs; the result sets them."""

    def replace(ours, peer):
        monkeypatch.setattr(gpu_cases, "our_command", lambda *_: [sys.executable, "-c", *ours])
        monkeypatch.setattr(gpu_cases, "peer_command", lambda *_, **__: [sys.executable, "-c", *peer])

    return replace


def test_both_texts_have_the_same_shapes(tmp_path):
    paths = gpu_cases.write_batches(str(tmp_path), "bert_tiny", 32, rows=2)
    with np.load(paths["packed"]) as packed, np.load(paths["padded"]) as padded:
        assert {name: packed[name].shape for name in packed.files} == {
            name: padded[name].shape for name in padded.files
        }
        assert packed["input_mask"].max() > 1 == padded["input_mask"].max()


def test_rates_are_counted_alike(tmp_path, sides):
    sides([SIDE, "0.5", "0.25"], [SIDE, "1.0"])
    reported = []
    rows = gpu_cases.race(SIZES, gpu_cases.Options(), folder=str(tmp_path), seconds=60, report=reported.append)
    assert reported == [rows]
    assert [(row["side"], row["text"]) for row in rows] == [
        ("bert_tf", "packed"),
        ("bert_tf", "padded"),
        ("transformers", "padded"),
    ]
    flops = pretraining_step_flops(BertConfig.named("bert_tiny"), 2, 32, predictions=5)
    for row, seconds in zip(rows, (0.5, 0.25, 1.0), strict=True):
        with np.load(tmp_path / f"bert_tiny_32_{row['text']}.npz") as arrays:
            tokens = (arrays["input_mask"] > 0).sum() / len(arrays["input_mask"])
        assert row["tokens_per_second"] == pytest.approx(tokens / seconds)
        assert row["padding_share"] == pytest.approx(1 - tokens / 64)
        assert row["peak_share"] == pytest.approx(flops / seconds / 756e12)
    cells = [line.split("|")[6].strip() for line in gpu_cases.describe(rows).splitlines()[2:]]
    assert cells == [f"{row['tokens_per_second'] / rows[2]['tokens_per_second']:.2f}" for row in rows[:2]] + [""]


def test_a_side_that_fails_does_not_end_the_race(tmp_path, sides):
    sides(["raise SystemExit('out of memory')"], [SIDE, "1.0"])
    rows = gpu_cases.race(SIZES, gpu_cases.Options(), folder=str(tmp_path), seconds=600)
    assert [row["error"] for row in rows[:2]] == ["exit code 1: out of memory"] * 2
    assert rows[2]["seconds_per_step"] == 1.0
    assert "out of memory" in gpu_cases.describe(rows)
    endless = [sys.executable, "-c", "while True: pass"]
    assert "it took more than" in gpu_cases.run_side(endless, 0.5)[0]["error"]
    assert gpu_cases.run_side([sys.executable], 0)[0]["error"] == "no time was left"
    assert gpu_cases.run_side([sys.executable, "-c", ""], 60)[0]["error"] == "it printed no line of JSON"


def test_what_a_side_measured_before_it_failed_is_kept(tmp_path, sides):
    sides([SIDE + "sys.exit('no second text')", "0.5"], [SIDE, "1.0"])
    rows = gpu_cases.race(SIZES, gpu_cases.Options(), folder=str(tmp_path), seconds=60)
    assert rows[0]["seconds_per_step"] == 0.5
    assert rows[1]["error"] == "exit code 1: no second text"


def test_the_commands_say_the_same_to_both_sides():
    options = gpu_cases.Options(dropout_rate=0.2, steps=7, python_jax="/jax", python_torch="/torch")
    ours = gpu_cases.our_command(options, "bert_large", {"packed": "a.npz", "padded": "b.npz"})
    peer = gpu_cases.peer_command(options, "bert_large", 512, rows=32, path="b.npz")
    assert (ours[0], peer[0]) == ("/jax", "/torch")
    assert {"--dropout_rate=0.2", "--steps=7", "--batches=a.npz,b.npz", "--device=gpu"} <= set(ours)
    given = json.loads(peer[2])
    assert (given["steps"], given["device"], given["attention_dropout_rate"]) == (7, "cuda", 0.0)
    sizes = BertConfig.named("bert_large")
    case = gpu_cases.Case(**given["case"])
    assert (case.num_layers, case.hidden_size, case.num_heads) == (24, 1024, sizes.num_heads)
    assert (case.dropout_rate, case.precision) == (0.2, "bfloat16")
