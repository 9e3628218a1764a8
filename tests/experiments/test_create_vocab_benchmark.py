import json
import subprocess
import sys

import pytest
from small_corpus import write_corpus


@pytest.mark.long  # starts five processes
def test_both_vocabularies_are_learnt_and_measured(tmp_path):
    write_corpus(tmp_path / "corpus.txt", 30)
    command = [sys.executable, "-m", "experiments.benchmarks.create_vocab", f"--input={tmp_path}/corpus.txt"]
    sizes = ["--megabytes=0.02", "--vocab_size=200", "--rounds=1", "--repetitions=2"]
    output = tmp_path / "results.json"
    subprocess.run([*command, *sizes, f"--work_dir={tmp_path}", f"--output={output}"], check=True, capture_output=True)
    results = json.loads(output.read_text())
    for name in ("ours", "hugging_face"):
        assert results[name]["different_vocabularies"] == 1
        assert results[name]["cpu_seconds"] > 0
        assert "[UNK]" in (tmp_path / f"{name}.txt").read_text().splitlines()
    assert results["ours_repeated"]["peak_megabytes"] > 0
