"""A script that writes torch_*.bin and torch_tensors.npz: files in PyTorch's two formats, and their contents.

The tests of the reader that works without PyTorch use them. It is run by hand where torch is installed (the committed
files were made by 2.13.0):

    python tests/golden/make_torch_files.py
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).resolve().parent


def main() -> None:
    torch.manual_seed(0)
    shared = torch.randn(4, 6)
    tensors = OrderedDict(
        float32=torch.randn(3, 5),
        float16=torch.randn(7).half(),
        bfloat16=torch.randn(2, 3).bfloat16(),
        float64=torch.randn(2, dtype=torch.float64),
        int64=torch.arange(5),
        transposed=torch.randn(3, 4).T,
        shared=shared,
        rows_of_shared=shared[1:3],
        column_of_shared=shared[:, 2],
        scalar=torch.tensor(1.5),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.randn(2, 2)),
    )
    torch.save(tensors, GOLDEN / "torch_zip.bin")
    torch.save(tensors, GOLDEN / "torch_legacy.bin", _use_new_zipfile_serialization=False)
    arrays = {name: tensor.detach().to(torch.float64).numpy() for name, tensor in tensors.items()}
    np.savez_compressed(GOLDEN / "torch_tensors.npz", **arrays)


if __name__ == "__main__":
    main()
