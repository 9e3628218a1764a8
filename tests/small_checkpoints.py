"""Published checkpoints of test size, whose names of weights are written here and not taken from the package."""

import json
from pathlib import Path

import numpy as np
import safetensors.numpy

SIZES = {"vocab": 40, "hidden": 8, "layers": 2, "heads": 2, "intermediate": 16, "positions": 12, "types": 2}

HF_CONFIG = {
    "model_type": "bert",
    "vocab_size": 40,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.2,
    "max_position_embeddings": 12,
    "type_vocab_size": 2,
    "initializer_range": 0.03,
    "layer_norm_eps": 1e-12,
}
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"abcdefghijklmnopqrstuvwxyz",
    *(f"##{x}" for x in "abcdefghi"),
]


def _fill(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        name: (0.3 * random.standard_normal(shape) + name.endswith(("gamma", "LayerNorm.weight"))).astype(np.float32)
        for name, shape in shapes.items()
    }


def hf_encoder(seed: int = 0, pooler: bool = True) -> dict[str, np.ndarray]:
    """Return the state of Hugging Face's `BertModel`, by its names."""
    v, d, i = SIZES["vocab"], SIZES["hidden"], SIZES["intermediate"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (v, d),
        "embeddings.position_embeddings.weight": (SIZES["positions"], d),
        "embeddings.token_type_embeddings.weight": (SIZES["types"], d),
        "embeddings.LayerNorm.weight": (d,),
        "embeddings.LayerNorm.bias": (d,),
    }
    for layer in range(SIZES["layers"]):
        start = f"encoder.layer.{layer}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{start}.{name}.weight": (d, d), f"{start}.{name}.bias": (d,)}
        shapes |= {f"{start}.intermediate.dense.weight": (i, d), f"{start}.intermediate.dense.bias": (i,)}
        shapes |= {f"{start}.output.dense.weight": (d, i), f"{start}.output.dense.bias": (d,)}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{start}.{name}.weight": (d,), f"{start}.{name}.bias": (d,)}
    if pooler:
        shapes |= {"pooler.dense.weight": (d, d), "pooler.dense.bias": (d,)}
    return _fill(shapes, seed)


def hf_heads(*heads: str, classes: int = 3, seed: int = 1) -> dict[str, np.ndarray]:
    """Return the tensors of heads of Hugging Face's classes: `mlm`, `nsp`, `classifier`, `qa`."""
    d = SIZES["hidden"]
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "mlm": {
            "cls.predictions.bias": (SIZES["vocab"],),
            "cls.predictions.transform.dense.weight": (d, d),
            "cls.predictions.transform.dense.bias": (d,),
            "cls.predictions.transform.LayerNorm.weight": (d,),
            "cls.predictions.transform.LayerNorm.bias": (d,),
        },
        "nsp": {"cls.seq_relationship.weight": (2, d), "cls.seq_relationship.bias": (2,)},
        "classifier": {"classifier.weight": (classes, d), "classifier.bias": (classes,)},
        "qa": {"qa_outputs.weight": (2, d), "qa_outputs.bias": (2,)},
    }
    return _fill({name: shape for head in heads for name, shape in shapes[head].items()}, seed)


def with_heads(*heads: str, pooler: bool = True, classes: int = 3) -> dict[str, np.ndarray]:
    """Return the state of a `BertFor...` class, whose encoder is called `bert`."""
    encoder = {f"bert.{name}": value for name, value in hf_encoder(pooler=pooler).items()}
    return encoder | hf_heads(*heads, classes=classes)


def write_hf(folder: Path, tensors: dict[str, np.ndarray], vocabulary: bool = True, **config: object) -> str:
    """Write a folder as `save_pretrained` of `transformers` does, and return its path."""
    folder.mkdir(parents=True)
    safetensors.numpy.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(HF_CONFIG | config), encoding="utf-8")
    if vocabulary:
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    return str(folder)


def read_hf(folder: Path) -> dict[str, np.ndarray]:
    """Read the tensors of such a folder."""
    return safetensors.numpy.load_file(folder / "model.safetensors")


def rows(seed: int = 0, count: int = 3, length: int = 10) -> dict[str, np.ndarray]:
    """Return inputs of the encoder: rows of random lengths."""
    random = np.random.default_rng(seed)
    ids = random.integers(0, SIZES["vocab"], (count, length)).astype(np.int32)
    lengths = random.integers(4, length + 1, (count, 1))
    mask = (np.arange(length) < lengths).astype(np.int32)
    return {
        "input_ids": ids,
        "input_mask": mask,
        "segment_ids": (np.arange(length) > lengths // 2).astype(np.int32) * mask,
    }
