"""The worker of transformers on PyTorch, which pads random batches to their longest row, as its example scripts do."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import torch
import transformers
from protocol import Case, Implementation, read_lines, serve
from transformers.trainer_pt_utils import get_length_grouped_indices

INPUTS = ("input_ids", "token_type_ids", "attention_mask")
IGNORED = -100  # the label that torch's cross-entropy leaves out


class Transformers(Implementation):
    """`AutoModelFor...`, its tokenizer, fused AdamW with decay of matrices only, `get_linear_schedule_with_warmup`."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.versions = {name: version(name) for name in ("torch", "transformers", "tokenizers")}
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(case.weights)
        self.encode = {
            "classification": self._encode_texts,
            "regression": self._encode_texts,
            "tagging": self._encode_words,
            "question_answering": self._encode_questions,
            "multiple_choice": self._encode_choices,
        }[case.kind]
        self.eval_examples = read_lines(case.eval)
        train_examples = read_lines(case.train)
        self.train_rows, self.eval_rows = self.encode(train_examples), self.encode(self.eval_examples)
        self.steps_per_epoch = -(-len(self.train_rows) // case.batch_size)
        transformers.set_seed(case.seed)
        self.model = self._make_model()
        decayed = [weight for weight in self.model.parameters() if weight.ndim > 1]
        others = [weight for weight in self.model.parameters() if weight.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
            lr=case.learning_rate,
            eps=1e-6,
            fused=True,
        )
        steps = case.num_epochs * self.steps_per_epoch
        self.schedule = transformers.get_linear_schedule_with_warmup(self.optimizer, round(0.1 * steps), steps)
        self.random = torch.Generator().manual_seed(case.seed)

    def _make_model(self) -> Any:
        if self.case.kind == "question_answering":
            return transformers.AutoModelForQuestionAnswering.from_pretrained(self.case.weights)
        if self.case.kind == "multiple_choice":
            return transformers.AutoModelForMultipleChoice.from_pretrained(self.case.weights)
        if self.case.kind == "regression":
            one = {"num_labels": 1, "problem_type": "regression"}
            return transformers.AutoModelForSequenceClassification.from_pretrained(self.case.weights, **one)
        models = {
            "classification": transformers.AutoModelForSequenceClassification,
            "tagging": transformers.AutoModelForTokenClassification,
        }
        return models[self.case.kind].from_pretrained(self.case.weights, num_labels=len(self.case.labels))

    def _encode_texts(self, examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Encode texts or pairs; the label is the place of a class, or the number that a regression learns."""
        ids = {label: number for number, label in enumerate(self.case.labels)}
        pairs = [example["text_pair"] for example in examples]
        encoded = self.tokenizer(
            [example["text"] for example in examples],
            pairs if pairs[0] is not None else None,
            truncation=True,
            max_length=self.case.max_seq_length,
        )
        return [
            {name: encoded[name][row] for name in INPUTS} | {"labels": ids.get(example["label"], example["label"])}
            for row, example in enumerate(examples)
        ]

    def _encode_choices(self, examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Encode a list of sequences for each example, one for each choice."""
        rows = []
        for example in examples:
            contexts = [example["context"]] * len(example["choices"])
            options = {"truncation": True, "max_length": self.case.max_seq_length}
            encoded = self.tokenizer(contexts, example["choices"], **options)
            choices = [{name: encoded[name][number] for name in INPUTS} for number in range(len(contexts))]
            longest = max((choice["input_ids"] for choice in choices), key=len)
            rows.append({"choices": choices, "input_ids": longest, "labels": example["label"]})
        return rows

    def _encode_words(self, examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Label the first token of each word. A longer sentence is cut, and continues in another row."""
        ids = {label: number for number, label in enumerate(self.case.labels)}
        encoded = self.tokenizer(
            [example["words"] for example in examples],
            is_split_into_words=True,
            truncation=True,
            max_length=self.case.max_seq_length,
            return_overflowing_tokens=True,
        )
        rows = []
        seen: set[tuple[int, int]] = set()
        for row, number in enumerate(encoded["overflow_to_sample_mapping"]):
            labels, words = [], []
            for word in encoded.word_ids(row):
                is_first = word is not None and (number, word) not in seen
                if is_first:
                    seen.add((number, word))
                labels.append(ids[examples[number]["tags"][word]] if is_first else IGNORED)
                words.append(word if is_first else None)
            rows.append({name: encoded[name][row] for name in INPUTS} | {"labels": labels, "place": (number, words)})
        return rows

    def _encode_questions(self, examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        case = self.case
        rows = []
        for number, example in enumerate(examples):
            question = self.tokenizer(example["question"], add_special_tokens=False)["input_ids"]
            context = self.tokenizer(example["context"], add_special_tokens=False, return_offsets_mapping=True)
            offsets = context["offset_mapping"]
            head = [self.tokenizer.cls_token_id, *question[: case.max_query_length], self.tokenizer.sep_token_id]
            room = case.max_seq_length - len(head) - 1
            for start in range(0, max(1, len(offsets) - room + case.doc_stride), case.doc_stride):
                part = context["input_ids"][start : start + room]
                tokens = [*head, *part, self.tokenizer.sep_token_id]
                first, last = self._answer_places(example, offsets[start : start + room])
                shift = len(head) if first is not None else 0
                rows.append(
                    {
                        "input_ids": tokens,
                        "token_type_ids": [0] * len(head) + [1] * (len(part) + 1),
                        "attention_mask": [1] * len(tokens),
                        "start_positions": (first or 0) + shift,
                        "end_positions": (last or 0) + shift,
                        "place": (number, len(head), offsets[start : start + room]),
                    }
                )
        return rows

    def _answer_places(self, example: dict[str, Any], offsets: list[tuple[int, int]]) -> Any:
        """Return the first and the last token of the answer if the window holds all of it."""
        text, start = example["answers"][0]
        end = start + len(text)
        touched = [place for place, (left, right) in enumerate(offsets) if right > start and left < end]
        if not touched or offsets[touched[0]][0] > start or offsets[touched[-1]][1] < end:
            return None, None
        return touched[0], touched[-1]

    def _batch_of_choices(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return [examples, choices, length], where examples with fewer choices are filled up with empty sequences."""
        most = max(len(row["choices"]) for row in rows)
        empty = {"input_ids": [self.tokenizer.cls_token_id], "token_type_ids": [0], "attention_mask": [1]}
        flat = [choice for row in rows for choice in row["choices"] + [empty] * (most - len(row["choices"]))]
        batch = self._padded(flat, {"input_ids": self.tokenizer.pad_token_id, "token_type_ids": 0, "attention_mask": 0})
        batch = {name: array.reshape(len(rows), most, -1) for name, array in batch.items()}
        return batch | {"labels": torch.tensor([row["labels"] for row in rows])}

    def _padded(self, rows: list[dict[str, Any]], padding: dict[str, int]) -> dict[str, Any]:
        longest = max(len(row["input_ids"]) for row in rows)
        return {
            name: torch.tensor([row[name] + [filler] * (longest - len(row[name])) for row in rows])
            for name, filler in padding.items()
        }

    def _batch(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        if self.case.kind == "multiple_choice":
            return self._batch_of_choices(rows)
        padding = {"input_ids": self.tokenizer.pad_token_id, "token_type_ids": 0, "attention_mask": 0}
        if self.case.kind == "tagging":
            padding["labels"] = IGNORED
        batch = self._padded(rows, padding)
        for name in ("labels", "start_positions", "end_positions"):
            if name in rows[0] and name not in batch:
                batch[name] = torch.tensor([row[name] for row in rows])
        return batch

    def _precision(self) -> Any:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.case.precision == "bfloat16")

    def _epoch_batches(self) -> list[list[int]]:
        """Return the row numbers of each batch: random, or grouped by length (`LengthGroupedSampler` of `Trainer`)."""
        size = self.case.batch_size
        if self.case.group_by_length:
            lengths = [len(row["input_ids"]) for row in self.train_rows]
            order = get_length_grouped_indices(lengths, size, generator=self.random)
        else:
            order = torch.randperm(len(self.train_rows), generator=self.random).tolist()
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _loss(self, batch: dict[str, Any]) -> Any:
        """Return the model's own loss. That of choices would count the empty sequences as wrong choices."""
        if self.case.kind != "multiple_choice":
            return self.model(**batch).loss
        labels = batch.pop("labels")
        logits = self.model(**batch).logits.float()
        is_choice = batch["attention_mask"].sum(-1) > 1
        return torch.nn.functional.cross_entropy(logits.masked_fill(~is_choice, -1e9), labels)

    def train_epoch(self) -> float:
        """Answer the examples; see `Implementation`."""
        self.model.train()
        total = 0.0
        for numbers in self._epoch_batches():
            batch = self._batch([self.train_rows[row] for row in numbers])
            with self._precision():
                loss = self._loss(batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad()
            total += float(loss)
        return total / self.steps_per_epoch

    def _outputs(self) -> Iterator[tuple[dict[str, Any], Any, int]]:
        """Yield each row of the evaluation examples, with the outputs of its batch and its index in it."""
        self.model.eval()
        order = sorted(range(len(self.eval_rows)), key=lambda row: len(self.eval_rows[row]["input_ids"]))
        for start in range(0, len(order), 128):
            rows = [self.eval_rows[row] for row in order[start : start + 128]]
            batch = self._batch(rows)
            inputs = {name: batch[name] for name in INPUTS}
            with torch.inference_mode(), self._precision():
                outputs = self.model(**inputs)
            for place, row in enumerate(rows):
                yield row | {"number": order[start + place]}, outputs, place

    def predict(self) -> list[dict[str, Any]]:
        """Answer the examples; see `Implementation`."""
        if self.case.kind == "question_answering":
            return self._predict_answers()
        if self.case.kind == "tagging":
            tags = [["O"] * len(example["words"]) for example in self.eval_examples]
            for row, outputs, place in self._outputs():
                number, words = row["place"]
                best = outputs.logits[place].argmax(-1).tolist()
                for position, word in enumerate(words):
                    if word is not None:
                        tags[number][word] = self.case.labels[best[position]]
            return [{"tags": found} for found in tags]
        answers: list[dict[str, Any]] = [{} for _ in self.eval_examples]
        if self.case.kind == "multiple_choice":
            for row, outputs, place in self._outputs():
                logits = outputs.logits[place, : len(row["choices"])]
                answers[row["number"]] = {"index": int(logits.argmax())}
            return answers
        if self.case.kind == "regression":
            for row, outputs, place in self._outputs():
                answers[row["number"]] = {"label": float(outputs.logits[place, 0])}
            return answers
        for row, outputs, place in self._outputs():
            answers[row["number"]] = {"label": self.case.labels[int(outputs.logits[place].argmax())]}
        return answers

    def _predict_answers(self) -> list[dict[str, Any]]:
        """Return the best of the n best starts and ends of all windows, as `run_qa.py` chooses it."""
        case = self.case
        best: list[tuple[float, str]] = [(float("-inf"), "") for _ in self.eval_examples]
        for row, outputs, place in self._outputs():
            number, position, offsets = row["place"]
            starts = outputs.start_logits[place, position : position + len(offsets)]
            ends = outputs.end_logits[place, position : position + len(offsets)]
            count = min(case.n_best_size, len(offsets))
            for first in starts.topk(count).indices.tolist():
                for last in ends.topk(count).indices.tolist():
                    score = float(starts[first] + ends[last])
                    if 0 <= last - first < case.max_answer_length and score > best[number][0]:
                        context = self.eval_examples[number]["context"]
                        best[number] = (score, context[offsets[first][0] : offsets[last][1]])
        return [
            {"id": example["id"], "answer": text} for example, (_, text) in zip(self.eval_examples, best, strict=True)
        ]


if __name__ == "__main__":
    serve(Transformers)
