"""A script that writes multiple_choice_logits.npz: choices, and the logits of `BertForMultipleChoice` for them.

The weights are those of `small_checkpoints.with_heads("classifier", classes=1)`. It is run by hand where transformers
and torch are installed (the committed file was made by 5.24.0 and 2.13.0):

    PYTHONPATH=tests python tests/golden/make_multiple_choice.py
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from small_checkpoints import SIZES, with_heads, write_hf

GOLDEN = Path(__file__).resolve().parent
EXAMPLES, CHOICES, LENGTH = 3, 4, 10


def main() -> None:
    random = np.random.default_rng(0)
    shape = (EXAMPLES, CHOICES, LENGTH)
    lengths = random.integers(4, LENGTH + 1, (EXAMPLES, CHOICES, 1))
    mask = (np.arange(LENGTH) < lengths).astype(np.int32)
    inputs = {
        "input_ids": random.integers(1, SIZES["vocab"], shape).astype(np.int32) * mask,
        "attention_mask": mask,
        "token_type_ids": (np.arange(LENGTH) > lengths // 2).astype(np.int32) * mask,
    }
    with tempfile.TemporaryDirectory() as folder:
        tensors = with_heads("classifier", classes=1)
        path = write_hf(Path(folder) / "hf", tensors, architectures=["BertForMultipleChoice"])
        model = transformers.BertForMultipleChoice.from_pretrained(path).eval()
        with torch.no_grad():
            logits = model(**{name: torch.tensor(array).long() for name, array in inputs.items()}).logits
    np.savez_compressed(GOLDEN / "multiple_choice_logits.npz", **inputs, logits=logits.numpy())


if __name__ == "__main__":
    main()
