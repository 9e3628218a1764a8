"""The training step of transformers' `BertForPreTraining` on PyTorch: fused AdamW, SDPA, autocast under bfloat16."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers
from protocol import Batch, Case


def make_training(
    case: Case,
    batches: list[Batch],
    *,
    device: str = "cpu",
    attention_dropout_rate: float | None = None,
    compiled: bool = False,
) -> tuple[Callable[[int], torch.Tensor], Any]:
    """Return the training step and the model.

    Args:
        case: the sizes, precision and dropout.
        batches: the batches, which are moved to the device.
        device: `cpu` or `cuda`.
        attention_dropout_rate: dropout of attention probabilities; None for that of the case.
        compiled: whether `torch.compile` compiles forward and backward.

    Returns:
        A function that makes an update from the batch of a number and returns its loss, without waiting for a GPU; and
        the model.
    """
    torch.manual_seed(0)
    rate = case.dropout_rate if attention_dropout_rate is None else attention_dropout_rate
    config = transformers.BertConfig(
        vocab_size=case.vocab_size,
        hidden_size=case.hidden_size,
        num_hidden_layers=case.num_layers,
        num_attention_heads=case.num_heads,
        intermediate_size=4 * case.hidden_size,
        hidden_dropout_prob=case.dropout_rate,
        attention_probs_dropout_prob=rate,
        attn_implementation="sdpa",
    )
    model = transformers.BertForPreTraining(config).to(device).train()
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        lr=case.learning_rate,
        fused=True,
    )
    tensors = [{name: tensor.to(device) for name, tensor in _inputs(batch).items()} for batch in batches]
    forward: Callable[..., Any] = torch.compile(model) if compiled else model

    def step(number: int) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=case.precision == "bfloat16"):
            loss = forward(**tensors[number]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step, model


def _inputs(batch: Batch) -> dict[str, torch.Tensor]:
    """Return a batch of one sequence a row as the arguments of `BertForPreTraining`."""
    labels = np.full(batch["input_ids"].shape, -100)
    places, weights = batch["masked_lm_positions"], batch["masked_lm_weights"]
    rows = np.broadcast_to(np.arange(len(places))[:, None], places.shape)
    labels[rows[weights > 0], places[weights > 0]] = batch["masked_lm_ids"][weights > 0]
    arrays = {
        "input_ids": batch["input_ids"],
        "attention_mask": (batch["input_mask"] > 0).astype(np.int64),
        "token_type_ids": batch["segment_ids"],
        "labels": labels,
        "next_sentence_label": batch["next_sentence_labels"][:, 0],
    }
    return {name: torch.from_numpy(array.astype(np.int64)) for name, array in arrays.items()}
