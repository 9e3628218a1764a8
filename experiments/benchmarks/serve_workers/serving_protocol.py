"""The code that the workers of the serving benchmark share. It needs NumPy only: each has its own environment.

A worker loads one implementation's model and then answers each line of its standard input, a JSON object with `texts`,
`batch_size` and `repeat`, by one line: `{"seconds": [one a repetition], "tokenize_seconds": [...], "vectors": ...}`.
The vectors, of the first eight texts, are the means of the last block's outputs, scaled to length 1.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Embed = Callable[[Sequence[str]], np.ndarray]


def mean_vectors(sequence_output: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return mean vectors of length 1, [B, D], from [B, L, D] and the mask [B, L] of real tokens."""
    weights = mask[:, :, None].astype(np.float32)
    vectors = (sequence_output * weights).sum(axis=1) / weights.sum(axis=1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def serve(start: Callable[[str], tuple[Embed, Callable[[Sequence[str]], Any], bool, dict[str, str]]]) -> None:
    """Run a worker whose only argument is the folder of its model.

    Args:
        start: a function from the folder to a function that embeds texts, a function that only tokenizes them, whether
                the first function divides many texts into batches itself, and the versions of packages.
    """
    # Libraries print to standard output. So answers go to a copy of it, and it becomes standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    embed, tokenize, batches_itself, versions = start(sys.argv[1])
    embed(["a text to start with", "and a second one"])
    answers.write(json.dumps({"versions": versions}) + "\n")
    for line in sys.stdin:
        command = json.loads(line)
        texts, size = command["texts"], command["batch_size"]
        parts = [texts] if batches_itself else [texts[start : start + size] for start in range(0, len(texts), size)]
        seconds, tokenize_seconds, vectors = [], [], np.zeros((0, 0), np.float32)
        for _ in range(command["repeat"]):
            begin = time.perf_counter()
            vectors = np.concatenate([embed(part) for part in parts])
            middle = time.perf_counter()
            for part in parts:
                tokenize(part)
            seconds.append(middle - begin)
            tokenize_seconds.append(time.perf_counter() - middle)
        rounded = vectors[:8].astype(float).round(6).tolist()
        answers.write(json.dumps({"seconds": seconds, "tokenize_seconds": tokenize_seconds, "vectors": rounded}) + "\n")
