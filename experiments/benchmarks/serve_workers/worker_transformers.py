"""The worker of transformers on PyTorch: `AutoTokenizer` and `AutoModel`, padded to the longest text of a batch."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from serving_protocol import Embed, mean_vectors, serve


def start(folder: str) -> tuple[Embed, Callable[[Sequence[str]], Any], bool, dict[str, str]]:
    """Start the implementation; see `serving_protocol.serve`."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()

    def tokenize(texts: Sequence[str]) -> Any:
        return tokenizer(list(texts), padding=True, truncation=True, max_length=256, return_tensors="pt")

    def embed(texts: Sequence[str]) -> Any:
        with torch.inference_mode():
            inputs = tokenize(texts)
            return mean_vectors(model(**inputs).last_hidden_state.numpy(), inputs["attention_mask"].numpy())

    return embed, tokenize, False, {"torch": version("torch"), "transformers": version("transformers")}


if __name__ == "__main__":
    serve(start)
