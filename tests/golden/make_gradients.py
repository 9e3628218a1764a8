"""A script that writes gradients.npz: loss and gradients of a small BERT in `transformers` (PyTorch, float64).

It needs torch and transformers, which the tests do not need. Made with torch 2.13.0 and transformers 5.23.0:

    pip install numpy torch transformers && python tests/golden/make_gradients.py

The file holds `weight/NAME`, `batch/NAME` and, for each activation, `ACTIVATION/loss` and `ACTIVATION/gradient/NAME`,
where NAME is a name of `bert_tf.models.weights.named_weights`. The map from their names is repeated here, so that the
test does not depend on our conversion.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertForPreTraining

FILE = Path(__file__).resolve().parent / "gradients.npz"
LAYERS, HIDDEN, HEADS, INTERMEDIATE, VOCAB, POSITIONS = 2, 16, 4, 32, 40, 16
ROWS, LENGTH, PREDICTIONS = 4, 12, 3

Tensors = dict[str, np.ndarray]


def _dense(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}/kernel": f"{theirs}.weight", f"{ours}/bias": f"{theirs}.bias"}


def _norm(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}/gamma": f"{theirs}.LayerNorm.weight", f"{ours}/beta": f"{theirs}.LayerNorm.bias"}


def _names() -> dict[str, str]:
    """Return their names by ours; the fused query-key-value product has the name of the query."""
    names = {
        f"encoder/embeddings/{kind}_embeddings/embeddings": f"bert.embeddings.{kind}_embeddings.weight"
        for kind in ("word", "position", "token_type")
    } | _norm("encoder/embeddings/layer_norm", "bert.embeddings")
    for number in range(LAYERS):
        ours, theirs = f"encoder/block_{number}", f"bert.encoder.layer.{number}"
        names |= _dense(f"{ours}/attention/query_key_value", f"{theirs}.attention.self.query")
        names |= _dense(f"{ours}/attention/output_dense", f"{theirs}.attention.output.dense")
        names |= _norm(f"{ours}/attention_layer_norm", f"{theirs}.attention.output")
        names |= _dense(f"{ours}/intermediate_dense", f"{theirs}.intermediate.dense")
        names |= _dense(f"{ours}/output_dense", f"{theirs}.output.dense")
        names |= _norm(f"{ours}/output_layer_norm", f"{theirs}.output")
    names |= _dense("encoder/pooler/dense", "bert.pooler.dense")
    names |= _dense("masked_lm/dense", "cls.predictions.transform.dense")
    names |= _norm("masked_lm/layer_norm", "cls.predictions.transform")
    names |= {"masked_lm/output_bias": "cls.predictions.bias"}
    return names | _dense("next_sentence/dense", "cls.seq_relationship")


def _ours(theirs: dict[str, torch.Tensor]) -> Tensors:
    """Return their tensors under our names: kernels transposed, query, key and value side by side."""
    tensors = {}
    for ours, name in _names().items():
        parts = [name.replace("self.query", f"self.{part}") for part in ("query", "key", "value")]
        arrays = [theirs[part].detach().numpy() for part in (parts if "query_key_value" in ours else [name])]
        tensors[ours] = np.concatenate([array.T if ours.endswith("kernel") else array for array in arrays], axis=-1)
    return tensors


def _batch(random: np.random.Generator) -> Tensors:
    lengths = [LENGTH, 7, 9, 5]
    used = np.arange(LENGTH) < np.array(lengths)[:, None]
    positions = np.stack([np.sort(random.choice(np.arange(1, size), PREDICTIONS, replace=False)) for size in lengths])
    weights = np.ones((ROWS, PREDICTIONS), np.float32)
    weights[1, 2] = weights[3, 1:] = 0.0
    return {
        "input_ids": np.where(used, random.integers(5, VOCAB, (ROWS, LENGTH)), 0).astype(np.int32),
        "input_mask": used.astype(np.int32),
        "segment_ids": (used & (np.arange(LENGTH) >= 3)).astype(np.int32),
        "masked_lm_positions": np.where(weights > 0, positions, 0).astype(np.int32),
        "masked_lm_ids": np.where(weights > 0, random.integers(5, VOCAB, positions.shape), 0).astype(np.int32),
        "masked_lm_weights": weights,
        "next_sentence_positions": np.zeros((ROWS, 1), np.int32),
        "next_sentence_labels": np.array([[0], [1], [1], [0]], np.int32),
        "next_sentence_weights": np.ones((ROWS, 1), np.float32),
    }


def _model(activation: str) -> Any:
    config = BertConfig(
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INTERMEDIATE,
        max_position_embeddings=POSITIONS,
        hidden_act=activation,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        layer_norm_eps=1e-12,
    )
    model = BertForPreTraining(config).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
            values = centre + 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(values.float())  # float32, so that the test starts from exactly these numbers
    return model


def main() -> None:
    """Write the file."""
    batch = _batch(np.random.default_rng(0))
    labels = np.full((ROWS, LENGTH), -100)  # -100 marks tokens without a loss
    for row, column in zip(*np.nonzero(batch["masked_lm_weights"]), strict=True):
        labels[row, batch["masked_lm_positions"][row, column]] = batch["masked_lm_ids"][row, column]
    arrays: dict[str, Any] = {f"batch/{name}": array for name, array in batch.items()}
    for activation in ("gelu", "gelu_new"):
        model = _model(activation)
        loss = model(
            input_ids=torch.tensor(batch["input_ids"]).long(),
            attention_mask=torch.tensor(batch["input_mask"]).long(),
            token_type_ids=torch.tensor(batch["segment_ids"]).long(),
            labels=torch.tensor(labels),
            next_sentence_label=torch.tensor(batch["next_sentence_labels"][:, 0]).long(),
        ).loss
        loss.backward()
        parameters = dict(model.named_parameters())
        arrays |= {f"weight/{name}": array.astype(np.float32) for name, array in _ours(parameters).items()}
        gradients = _ours({name: parameter.grad for name, parameter in parameters.items()})
        arrays |= {f"{activation}/gradient/{name}": array.astype(np.float32) for name, array in gradients.items()}
        arrays[f"{activation}/loss"] = np.float64(loss.item())
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
