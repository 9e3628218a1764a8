import json
import os
import subprocess
import sys

import numpy as np
import pytest

from data_pipelines.records.manifest import read_manifest, read_vocabulary
from data_pipelines.records.verification import require_sound
from experiments.benchmarks import reading_race


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(reading_race, "TOKENS_PER_SHARD", 1 << 13)


@pytest.mark.parametrize("slots", [1, 8])
def test_records_are_as_preparation_makes_them(tmp_path, small_shards, slots):
    reading_race.write_records(str(tmp_path), length=128, slots=slots, rows=150)
    manifest = read_manifest(str(tmp_path))
    assert [shard.records for shard in manifest.shards] == [64, 64, 22]
    require_sound(str(tmp_path), manifest, read_vocabulary(str(tmp_path), manifest))


@pytest.mark.long  # seven readers
def test_all_read_batches_of_the_same_rows(tmp_path, small_shards):
    pipelines = reading_race.readers(str(tmp_path), length=128, slots=1, rows=300)
    assert len(pipelines) == 7
    longest = set()
    for name, make in pipelines.items():
        batch = next(iter(make()))
        if name == "records as strings":
            assert batch.shape == (256,)
            continue
        assert batch["input_ids"].shape == (256, 128)
        longest.add(int(np.sum(batch["input_mask"], axis=1).max()))
    assert longest == {128}


@pytest.mark.long  # writes and reads three folders, in a process that keeps to one core
def test_the_results_are_written(tmp_path):
    output = tmp_path / "metrics.json"
    command = [sys.executable, "-m", "experiments.benchmarks.read_data", "--rows=1024", "--seconds=0.01", "--rounds=1"]
    subprocess.run([*command, f"--work_dir={tmp_path}/work", f"--output={output}"], check=True, capture_output=True)
    metrics = json.loads(output.read_text())
    assert set(metrics) == {"sorting, ms", "128", "512", "512 packed"}
    assert all(rate > 0 for rates in metrics.values() for rate in rates.values())
    assert "tf.data, row by row" in metrics["512"]
    assert "tf.data, row by row" not in metrics["512 packed"]
    assert os.path.exists(tmp_path / "work" / "512_packed" / "manifest.json")
