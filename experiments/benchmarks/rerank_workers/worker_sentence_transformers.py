"""The worker of sentence-transformers: a `CrossEncoder` that is trained on mined negatives and scores a run.

It takes the settings as JSON, and prints one line of JSON: the scores of the first `depth` documents of each query.
The update rule is that of this project's experiment. The loss is `binary`, that of `BinaryCrossEntropyLoss`, or
`softmax`, the cross-entropy of the right passage among those of its question.
"""

import json
import os
import random
import sys
from pathlib import Path
from typing import Any


def main(settings: dict[str, Any]) -> None:
    """Train the model and print the scores."""
    import torch
    from sentence_transformers import CrossEncoder

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(settings["seed"])
    shuffled = random.Random(settings["seed"])
    folder = Path(settings["folder"])
    model = CrossEncoder(settings["weights"], num_labels=1, max_length=settings["max_seq_length"])
    groups = _training_groups(folder / "negatives.jsonl", settings)
    softmax = settings["loss"] == "softmax"
    size, epochs = settings["batch_size"] // len(groups[0]), settings["epochs"]
    steps = epochs * -(-len(groups) // size)
    warmup = max(1, round(0.1 * steps))
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim <= 1]
    parameters = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(parameters, lr=settings["learning_rate"], eps=1e-6)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, max(0.0, (steps - step) / steps))
    )
    loss_of = torch.nn.CrossEntropyLoss() if softmax else torch.nn.BCEWithLogitsLoss()
    model.train()
    for _ in range(epochs):
        shuffled.shuffle(groups)
        for start in range(0, len(groups), size):
            rows = [row for group in groups[start : start + size] for row in group]
            queries, passages, targets = zip(*rows, strict=True)
            inputs = model.tokenizer(
                list(queries),
                list(passages),
                padding=True,
                truncation=True,
                max_length=settings["max_seq_length"],
                return_tensors="pt",
            )
            logits, expected = model.model(**inputs).logits[:, 0], torch.tensor(targets)
            if softmax:
                logits, expected = (values.reshape(-1, settings["group_size"]) for values in (logits, expected))
            loss = loss_of(logits, expected)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    model.eval()
    print(json.dumps(_scores(model, folder, settings["depth"])), flush=True)


def _training_groups(path: Path, settings: dict[str, Any]) -> list[list[tuple[str, str, float]]]:
    """Return groups of rows (query, passage, target) that stay together in a batch: single rows for `binary`."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if settings["loss"] == "softmax":
        # As in this project, a question with several right passages has a group for each.
        return [
            [(row["query"], row["passage"], 1.0)]
            + [(row["query"], text, 0.0) for text in row["negatives"][: settings["group_size"] - 1]]
            for row in rows
        ]
    pairs = {(row["query"], row["passage"]): 1.0 for row in rows}
    for row in rows:
        pairs |= {(row["query"], text): 0.0 for text in row["negatives"] if (row["query"], text) not in pairs}
    return [[(query, passage, target)] for (query, passage), target in pairs.items()]


def _scores(model: Any, folder: Path, depth: int) -> dict[str, list[float]]:
    texts = {
        row["id"]: row["text"]
        for name in ("queries.jsonl", "collection.jsonl")
        for row in map(json.loads, (folder / name).read_text(encoding="utf-8").splitlines())
    }
    found: dict[str, list[str]] = {}
    for line in (folder / "first.trec").read_text(encoding="utf-8").splitlines():
        query, _, document, *_ = line.split()
        found.setdefault(query, []).append(document)
    pairs = [(query, document) for query, documents in found.items() for document in documents[:depth]]
    scores = model.predict([(texts[query], texts[document]) for query, document in pairs], show_progress_bar=False)
    answers: dict[str, list[float]] = {}
    for (query, _), score in zip(pairs, scores, strict=True):
        answers.setdefault(query, []).append(float(score))
    return answers


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
