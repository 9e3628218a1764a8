"""The worker of transformers on PyTorch for the CPU: `BertForPreTraining`, fused AdamW, autocast under bfloat16."""

from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from protocol import Batch, Case, serve


def start(case: Case, batches: list[Batch]) -> tuple[Callable[[int], float], int, dict[str, str]]:
    """Start the implementation; see `protocol.serve`."""
    import torch
    import transformers

    torch.manual_seed(0)
    model = transformers.BertForPreTraining(
        transformers.BertConfig(
            vocab_size=case.vocab_size,
            hidden_size=case.hidden_size,
            num_hidden_layers=case.num_layers,
            num_attention_heads=case.num_heads,
            intermediate_size=4 * case.hidden_size,
            hidden_dropout_prob=case.dropout_rate,
            attention_probs_dropout_prob=case.dropout_rate,
        )
    ).train()
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        lr=case.learning_rate,
        fused=True,
    )

    def inputs(batch: Batch) -> dict[str, torch.Tensor]:
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

    tensors = [inputs(batch) for batch in batches]

    def run(number: int) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=case.precision == "bfloat16"):
            loss = model(**tensors[number]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss)

    versions = {"torch": version("torch"), "transformers": version("transformers")}
    return run, sum(weight.numel() for weight in model.parameters()), versions


if __name__ == "__main__":
    serve(start)
