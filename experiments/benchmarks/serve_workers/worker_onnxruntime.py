"""The worker of ONNX Runtime on the CPU with the `tokenizers` library. torch.onnx exports the weights once."""

import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from serving_protocol import Embed, mean_vectors, serve

NAMES = ["input_ids", "attention_mask", "token_type_ids"]


def export(folder: str, file: str) -> None:
    """Write the encoder of a folder as an ONNX file of dynamic batch and length."""
    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()

    class LastHidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return self.model(**dict(zip(NAMES, inputs, strict=True))).last_hidden_state

    ones = torch.ones((2, 8), dtype=torch.int64)
    axes = {name: {0: "batch", 1: "length"} for name in (*NAMES, "sequence_output")}
    options = {"input_names": NAMES, "output_names": ["sequence_output"], "dynamic_axes": axes}
    torch.onnx.export(LastHidden(), (ones, ones, ones), f"{file}.tmp", dynamo=False, opset_version=17, **options)
    os.replace(f"{file}.tmp", file)


def start(folder: str) -> tuple[Embed, Callable[[Sequence[str]], Any], bool, dict[str, str]]:
    """Start the implementation; see `serving_protocol.serve`."""
    import onnxruntime
    import tokenizers

    file = os.path.join(folder, "encoder.onnx")
    if not os.path.exists(file):
        export(folder, file)
    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def tokenize(texts: Sequence[str]) -> list[np.ndarray]:
        rows = tokenizer.encode_batch(list(texts))
        return [np.array([getattr(row, name) for row in rows]) for name in ("ids", "attention_mask", "type_ids")]

    def embed(texts: Sequence[str]) -> Any:
        inputs = tokenize(texts)
        return mean_vectors(session.run(None, dict(zip(NAMES, inputs, strict=True)))[0], inputs[1])

    versions = {"onnxruntime": version("onnxruntime"), "tokenizers": version("tokenizers")}
    return embed, tokenize, False, versions


if __name__ == "__main__":
    serve(start)
