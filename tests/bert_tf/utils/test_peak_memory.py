"""Tests of the peak memory of a process."""

import subprocess
import sys

from bert_tf.utils.peak_memory import peak_memory_gib

_START_A_CHILD = """
import subprocess, sys
held = b"1" * 2**29
child = "from bert_tf.utils.peak_memory import peak_memory_gib; print(peak_memory_gib())"
print(subprocess.run([sys.executable, "-c", child], check=True, capture_output=True, text=True).stdout)
"""


def test_it_grows_with_the_memory_that_is_held():
    before = peak_memory_gib()
    held = bytes(b"1" * 2**20) * int(1024 * (before + 0.25))
    assert peak_memory_gib() >= len(held) / 2**30
    assert peak_memory_gib() < before + len(held) / 2**30 + 0.1


def test_a_child_does_not_count_the_memory_of_its_parent():
    result = subprocess.run([sys.executable, "-c", _START_A_CHILD], check=True, capture_output=True, text=True)
    assert 0.001 < float(result.stdout) < 0.4  # the parent holds 0.5 GiB
