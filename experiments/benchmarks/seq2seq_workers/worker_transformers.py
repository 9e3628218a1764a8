"""The worker of transformers: it trains an `EncoderDecoderModel` of two BERTs (bert2bert, Rothe et al. 2020).

It takes the settings as JSON. It trains for `seconds` of wall-clock time, then generates from the test sources, and
prints one line of JSON: the texts, the number of steps, the last loss, and the seconds of both parts.
"""

import json
import os
import random
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers


def main(settings: dict[str, Any]) -> None:
    """Train the model and print the texts."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    transformers.set_seed(settings["seed"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(settings["weights"])
    model = _model(settings["weights"], tokenizer)
    steps, losses, training_seconds = train(model, tokenizer, settings)
    begin = time.monotonic()
    texts = generate(model, tokenizer, settings)
    answer = {
        "texts": texts,
        "steps": steps,
        "loss": sum(losses[-50:]) / len(losses[-50:]),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "training_seconds": training_seconds,
        "generation_seconds": time.monotonic() - begin,
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }
    print(json.dumps(answer), flush=True)


def _model(weights: str, tokenizer: Any) -> Any:
    model = transformers.EncoderDecoderModel.from_encoder_decoder_pretrained(weights, weights)
    model.config.decoder_start_token_id = tokenizer.cls_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.update(
        decoder_start_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return model


def train(model: Any, tokenizer: Any, settings: dict[str, Any]) -> tuple[int, list[float], float]:
    """Train for so many seconds, and return the number of steps, their losses and the seconds.

    The learning rate rises over a tenth of the time and falls linearly to zero at its end. Batches hold pairs of like
    length, in random order.
    """
    rows = _encode(_pairs(settings["train"]), tokenizer, settings)
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        lr=settings["learning_rate"],
        eps=1e-6,
        fused=True,
    )
    shuffled = random.Random(settings["seed"])
    losses: list[float] = []
    steps, begin = 0, time.monotonic()
    model.train()
    while True:
        for batch in _batches(rows, settings["batch_size"], shuffled):
            passed = (time.monotonic() - begin) / settings["seconds"]
            if passed >= 1:
                return steps, losses, time.monotonic() - begin
            rate = settings["learning_rate"] * min(passed / 0.1, (1 - passed) / 0.9)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast("cpu", torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
                loss = model(**_padded(batch, tokenizer.pad_token_id)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss))
            steps += 1


def generate(model: Any, tokenizer: Any, settings: dict[str, Any]) -> list[str]:
    """Return a text for each test source, by beam search with the cache; sources of like length share a batch."""
    model.eval()
    rows = _encode(_pairs(settings["test"]), tokenizer, settings)
    order = sorted(range(len(rows)), key=lambda place: -len(rows[place]["input_ids"]))
    texts = [""] * len(rows)
    for start in range(0, len(order), settings["batch_size"]):
        places = order[start : start + settings["batch_size"]]
        inputs = _padded([rows[place] for place in places], tokenizer.pad_token_id)
        precision = torch.autocast("cpu", torch.bfloat16, enabled=settings["precision"] == "bfloat16")
        with torch.inference_mode(), precision:
            found = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                num_beams=settings["beams"],
                max_new_tokens=settings["max_target_length"],
                length_penalty=settings["length_penalty"],
                no_repeat_ngram_size=settings["no_repeat_ngram"],
                early_stopping=False,
                do_sample=False,
            )
        for place, ids in zip(places, found, strict=True):
            texts[place] = tokenizer.decode(ids, skip_special_tokens=True)
    return texts


def _pairs(path: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def _encode(pairs: list[dict[str, str]], tokenizer: Any, settings: dict[str, Any]) -> list[dict[str, list[int]]]:
    longest = settings["max_target_length"]
    options = {"truncation": True, "return_attention_mask": False, "return_token_type_ids": False}
    sources = tokenizer([pair["source"] for pair in pairs], max_length=settings["max_seq_length"] - longest, **options)[
        "input_ids"
    ]
    targets = tokenizer([pair["target"] for pair in pairs], max_length=longest + 1, **options)["input_ids"]
    # The model puts the token that starts in front of the labels itself.
    return [{"input_ids": source, "labels": target[1:]} for source, target in zip(sources, targets, strict=True)]


def _batches(rows: list[dict[str, list[int]]], size: int, shuffled: random.Random) -> list[list[dict[str, list[int]]]]:
    order = list(range(len(rows)))
    shuffled.shuffle(order)
    pool = 50 * size
    batches = []
    for first in range(0, len(order), pool):
        like = sorted(order[first : first + pool], key=lambda place: len(rows[place]["input_ids"]))
        batches += [[rows[place] for place in like[start : start + size]] for start in range(0, len(like), size)]
    shuffled.shuffle(batches)
    return batches


def _padded(rows: list[dict[str, list[int]]], padding: int) -> dict[str, torch.Tensor]:
    def stacked(name: str, value: int) -> torch.Tensor:
        longest = max(len(row[name]) for row in rows)
        return torch.tensor([row[name] + [value] * (longest - len(row[name])) for row in rows])

    ids = stacked("input_ids", padding)
    return {"input_ids": ids, "attention_mask": (ids != padding).long(), "labels": stacked("labels", -100)}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
