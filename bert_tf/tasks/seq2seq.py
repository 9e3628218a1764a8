"""The task of sequence to sequence: a target text for each source text, such as a summary or a translation.

Shapes: N rows, P predictions in a row.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from bert_tf.configs import BertConfig
from bert_tf.configs.tasks import Seq2SeqConfig
from bert_tf.examples import Seq2SeqExample
from bert_tf.tasks import natural_inputs
from bert_tf.tasks.base import Task
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.long_texts import report_cut
from bert_tf.tasks.model_kinds import Architectures
from bert_tf.tokenization.wordpiece import SEP, WordPieceTokenizer

if TYPE_CHECKING:
    import keras

    from bert_tf.models.seq2seq_model import BertSeq2Seq
    from bert_tf.objectives.objective import Objective


class Pair(NamedTuple):
    """The ids of a source, with `[CLS]` and `[SEP]`, and of its target, with `[SEP]`; no target for a source alone."""

    source: list[int]
    target: list[int]

    def __len__(self) -> int:
        return len(self.source) + len(self.target)

    @property
    def segments(self) -> list[int]:
        """The `segment_ids`."""
        return [0] * len(self.source) + [1] * len(self.target)

    @property
    def order(self) -> list[int]:
        """The `order`: 0 on the source, 1, 2, 3, ... on the target."""
        return [0] * len(self.source) + list(range(1, len(self.target) + 1))


class Seq2Seq(Task[Seq2SeqExample]):
    """The task of sequence to sequence: a model of targets given their sources."""

    kind = "seq2seq"
    heads = ("masked_lm",)
    keeps_head = True
    methods = ("generate", "stream")
    output = "next_token_logits"
    head_inputs = ("next_token_positions",)
    pipeline_tag = "text2text-generation"
    architectures: ClassVar[Architectures] = {"BertForMaskedLM": heads}
    config_class = Seq2SeqConfig
    example_class = Seq2SeqExample
    target = "next_token_ids"
    target_weights = "next_token_weights"
    config: Seq2SeqConfig

    @classmethod
    def published_config(cls, max_seq_length: int, pooling: str) -> Seq2SeqConfig:
        """Return the settings of a published model; for short rows, of targets that take half of them at most."""
        default = Seq2SeqConfig()
        target = min(default.max_target_length, max_seq_length // 2)
        return default.replace(max_seq_length=max_seq_length, max_target_length=target)

    @classmethod
    def model_class(cls) -> "type[BertSeq2Seq]":
        """Return `BertSeq2Seq`."""
        from bert_tf.models.seq2seq_model import BertSeq2Seq

        return BertSeq2Seq

    def label_names(self, examples: Sequence[Seq2SeqExample]) -> tuple[str, ...]:
        """Return no labels, after checking that there are targets."""
        if not any(example.target is not None for example in examples):
            source = examples[0].source if examples else "no examples"
            raise ValueError(f"the training examples ({source} ...) must have targets. Received: none with a target")
        return ()

    def examples_of(
        self, x: Any, y: Any = None, *, labels: Sequence[str], tokenizer: WordPieceTokenizer
    ) -> list[Seq2SeqExample]:
        """Return the examples of sources, and of their targets."""
        return natural_inputs.seq2seq_examples(x, y)

    def pairs(self, examples: Sequence[Seq2SeqExample], tokenizer: WordPieceTokenizer) -> list[Pair]:
        """Return the ids of each example, and warn of sources that were cut.

        A literal `[SEP]` in a source is the token, which separates the parts of a source.

        Raises:
            ValueError: a source or a target has no token, or a target is longer than `task.max_target_length`.
        """
        config, longest = self.config, self.config.max_source_length
        sources = tokenizer.encode_batch([example.text for example in examples], [SEP])
        targets = tokenizer.encode_batch([example.target or "" for example in examples])
        pairs = []
        for example, source, target in zip(examples, sources, targets, strict=True):
            if not source or (example.labelled and not target):
                what, text = ("target", example.target) if source else ("source", example.text)
                raise ValueError(f"{example.source}: the {what} must have at least one token. Received: {text!r:.100}")
            if len(target) >= config.max_target_length:
                raise ValueError(
                    f"{example.source}: the target, with [SEP], must have at most `task.max_target_length` tokens, "
                    f"{config.max_target_length}. Received: {len(target) + 1} tokens, {example.target!r:.100}"
                )
            first = max(0, len(source) - longest + 2) if config.truncation_side == "left" else 0
            ids = [tokenizer.cls_id, *source[first : first + longest - 2], tokenizer.sep_id]
            pairs.append(Pair(ids, [*target, tokenizer.sep_id] if example.labelled else []))
        advice = "A larger `task.max_seq_length` may help"
        num_cut = sum(len(source) > longest - 2 for source in sources)
        report_cut(num_cut, len(sources), longest, advice=advice, what="sources")
        return pairs

    def encode(
        self,
        examples: Sequence[Seq2SeqExample],
        labels: Sequence[str],
        tokenizer: WordPieceTokenizer,
        *,
        training: bool = False,
    ) -> EncodedExamples:
        """Encode the examples for `features.seq2seq_batch`; in training with `task.packed`, several pairs in a row.

        In training, each of several targets is a pair of its own with the source, so that all of them are learnt from;
        else the first one is the target. The source of a row is the index of its example, or of the first one of a
        packed row. A source without target has one position of weight 0, at which the model predicts the first token
        of a target.
        """
        numbers = list(range(len(examples)))
        if training:
            each = [(number, one) for number, example in enumerate(examples) for one in _with_each_target(example)]
            numbers, examples = [number for number, _ in each], [one for _, one in each]
        pairs = self.pairs(examples, tokenizer)
        rows = [[number] for number in range(len(pairs))]
        if training and self.config.packed:
            rows = packed_rows([len(pair) for pair in pairs], self.config.max_seq_length)
        packed = [[pairs[number] for number in row] for row in rows]
        order = [[value for pair in row for value in pair.order] for row in packed]
        token_features: dict[str, tuple[Sequence[Sequence[float]], str]] = {"order": (order, "int32")}
        if training and self.config.packed:
            masks = [[number for number, pair in enumerate(row, 1) for _ in range(len(pair))] for row in packed]
            positions = [[position for pair in row for position in range(len(pair))] for row in packed]
            token_features |= {"input_mask": (masks, "int32"), "position_ids": (positions, "int32")}
        return EncodedExamples.from_lists(
            [[token for pair in row for token in (*pair.source, *pair.target)] for row in packed],
            [[segment for pair in row for segment in pair.segments] for row in packed],
            pad_id=tokenizer.pad_id,
            max_seq_length=self.config.max_seq_length,
            bucket_lengths=self.config.bucket_lengths,
            token_features=token_features,
            example_features=_next_tokens(packed),
            sources=[numbers[row[0]] for row in rows],
        )

    def make_model(self, encoder: BertConfig, labels: Sequence[str], dtype: str = "float32") -> "keras.Model":
        """Return a `BertSeq2Seq`."""
        return self.model_class()(encoder, dtype=dtype)

    def objective(self, training: bool) -> "Objective":
        """Return the cross-entropy of each token of the target."""
        from bert_tf.objectives.objective import seq2seq_objective

        return seq2seq_objective()

    def answers(
        self,
        examples: Sequence[Seq2SeqExample],
        rows: EncodedExamples,
        outputs: Sequence[Any],
        *,
        labels: Sequence[str],
    ) -> list[dict[str, Any]]:
        """Return how well the model knows each target: `log_probability`, its `tokens`, and how many are `right`.

        A token is right if the model gives it the largest probability, after the tokens of the target before it.
        """
        weights = rows.example_features["next_token_weights"]
        found = []
        for example, output, weight in zip(examples, outputs, weights, strict=True):
            sums = {name: float((output[name] * weight).sum()) for name in ("log_probabilities", "right_tokens")}
            found.append(
                {
                    "text": example.text,
                    "target": example.target,
                    "log_probability": sums["log_probabilities"],
                    "tokens": int(weight.sum()),
                    "right": int(sums["right_tokens"]),
                }
            )
        return found

    def scores(
        self, examples: Sequence[Seq2SeqExample], answers: Sequence[dict[str, Any]], labels: Sequence[str]
    ) -> dict[str, Any]:
        """Return `token_accuracy`, the share of right tokens, and `perplexity`, the exponential of the loss a token."""
        tokens, right, log_probability = (
            sum(answer[name] for answer in answers) for name in ("tokens", "right", "log_probability")
        )
        return {"token_accuracy": right / tokens, "perplexity": float(np.exp(-log_probability / tokens))}

    def main_score(self, labels: Sequence[str]) -> str:
        """Return `token_accuracy`."""
        return "token_accuracy"

    def generation_scores(
        self, examples: Sequence[Seq2SeqExample], texts: Sequence[str], metrics: Sequence[str], *, lower_case: bool
    ) -> dict[str, float]:
        """Return the metrics of the texts that a model generated from labelled examples.

        Args:
            examples: the examples.
            texts: the text for each.
            metrics: the names of the metrics.
            lower_case: whether case is ignored, as for a model without case.
        """
        from bert_tf.scoring.seq2seq import generation_scores

        references = [example.references for example in examples]
        tokenizer = self.config.metric_tokenizer
        return generation_scores(references, texts, metrics, tokenizer=tokenizer, lower_case=lower_case)


def _with_each_target(example: Seq2SeqExample) -> list[Seq2SeqExample]:
    """Return an example for each of the targets, or the example itself if it has one at most."""
    if not example.other_targets:
        return [example]
    return [dataclasses.replace(example, target=target, other_targets=()) for target in example.references]


def packed_rows(lengths: Sequence[int], row_length: int) -> list[list[int]]:
    """Return the indices of the sequences in each row: the longest first, each in the fullest row with room for it.

    >>> packed_rows([3, 6, 4, 5], 10)
    [[1, 2], [3, 0]]

    Args:
        lengths: the number of tokens of each sequence, at most `row_length`.
        row_length: the number of tokens that a row has room for.
    """
    rows: list[list[int]] = []
    with_room: dict[int, list[int]] = {room: [] for room in range(row_length + 1)}
    for index in np.argsort(-np.asarray(lengths, np.int64), kind="stable").tolist():
        length = lengths[index]
        room = next((room for room in range(length, row_length + 1) if with_room[room]), None)
        if room is None:
            rows.append([])
            room, row = row_length, len(rows) - 1
        else:
            row = with_room[room].pop()
        rows[row].append(index)
        with_room[room - length].append(row)
    return rows


def _next_tokens(rows: Sequence[Sequence[Pair]]) -> dict[str, np.ndarray]:
    """Return the positions before each token of the rows' targets, these tokens, and their weights, [N, P]."""
    counts = [max(1, sum(len(pair.target) for pair in row)) for row in rows]
    shape = (len(rows), max(counts, default=1))
    positions, ids = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    weights = np.zeros(shape, np.float32)
    for number, row in enumerate(rows):
        start = place = 0
        for pair in row:
            count = len(pair.target)
            where = slice(place, place + max(1, count))
            first = start + len(pair.source) - 1
            positions[number, where] = np.arange(first, first + max(1, count))
            ids[number, place : place + count] = pair.target
            weights[number, place : place + count] = 1.0
            start, place = start + len(pair), place + count
    return {"next_token_positions": positions, "next_token_ids": ids, "next_token_weights": weights}
