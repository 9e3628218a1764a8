"""Extractive question answering: windows over a context, and answers that are substrings of it.

It follows google-research/bert `run_squad.py`: windows overlap by a stride, a token counts in the window with most
context around it, answers are the n best pairs of start and end, and `[CLS]` means "no answer". Answers are cut out by
character offsets, so that they need no repair afterwards.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bert_tf.configs import BertConfig
from bert_tf.configs.tasks import QuestionAnsweringConfig
from bert_tf.examples import QuestionExample
from bert_tf.scoring.question_answering import best_null_threshold, question_answering_scores
from bert_tf.tasks import natural_inputs
from bert_tf.tasks.base import Task
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.long_texts import report_cut, window_starts
from bert_tf.tasks.model_kinds import Architectures
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

if TYPE_CHECKING:
    import keras

    from bert_tf.models.question_answerer import BertQuestionAnswerer
    from bert_tf.objectives.distillation import Imitation
    from bert_tf.objectives.objective import Objective

Offsets = list[tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Window:
    """A part of a context in a row.

    Attributes:
        example: the index of the example.
        start: the index, in the context, of the window's first token.
        length: the number of the context's tokens in the window.
        position: the position, in the row, of the window's first token.
        offsets: the (start, end) characters of each token of the whole context.
        has_most_context: whether no other window has more context around each token, bool [length].
    """

    example: int
    start: int
    length: int
    position: int
    offsets: Offsets
    has_most_context: np.ndarray


def most_context(windows: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Return, for each window, which tokens have most context there: the smaller of their contexts left and right."""
    end = max(start + length for start, length in windows)
    scores = np.full((len(windows), end), -1.0)
    for number, (start, length) in enumerate(windows):
        positions = np.arange(length)
        scores[number, start : start + length] = np.minimum(positions, length - 1 - positions) + 0.01 * length
    best = scores.argmax(axis=0)  # the first of equally good windows
    return [best[start : start + length] == number for number, (start, length) in enumerate(windows)]


class QuestionAnswering(Task[QuestionExample]):
    """The task of extractive question answering: answers are parts of the context."""

    kind = "question_answering"
    heads = ("question_answering",)
    methods = ("answer",)
    token_outputs = ("start_logits", "end_logits")
    pipeline_tag = "question-answering"
    architectures: ClassVar[Architectures] = {"BertForQuestionAnswering": heads}
    config_class = QuestionAnsweringConfig
    example_class = QuestionExample
    target: ClassVar[Mapping[str, str]] = {"start_logits": "start_positions", "end_logits": "end_positions"}
    target_weights = "answer_weights"
    config: QuestionAnsweringConfig

    @classmethod
    def published_config(cls, max_seq_length: int, pooling: str) -> QuestionAnsweringConfig:
        """Return the settings of a published model; for rows of fewer tokens than the default, of shorter questions."""
        default = QuestionAnsweringConfig()
        length = min(max_seq_length, default.max_seq_length)
        # Models with short rows, as in tests: a quarter for the question, and windows that overlap by half.
        query = min(default.max_query_length, length // 4)
        stride = min(default.doc_stride, (length - query) // 2)
        return default.replace(max_seq_length=length, max_query_length=query, doc_stride=stride)

    @classmethod
    def model_class(cls) -> "type[BertQuestionAnswerer]":
        """Return `BertQuestionAnswerer`."""
        from bert_tf.models.question_answerer import BertQuestionAnswerer

        return BertQuestionAnswerer

    def label_names(self, examples: Sequence[QuestionExample]) -> tuple[str, ...]:
        """Return no labels, after checking that there are answers."""
        if not any(example.answers for example in examples):
            source = examples[0].source if examples else "no examples"
            raise ValueError(f"the training examples ({source} ...) must have answers. Received: none with an answer")
        return ()

    def examples_of(
        self, x: Any, y: Any = None, *, labels: Sequence[str], tokenizer: WordPieceTokenizer
    ) -> list[QuestionExample]:
        """Return the examples of questions and contexts, and of their answers."""
        return natural_inputs.question_examples(x, y)

    def encode(
        self,
        examples: Sequence[QuestionExample],
        labels: Sequence[str],
        tokenizer: WordPieceTokenizer,
        *,
        training: bool = False,
    ) -> EncodedExamples:
        """Encode the examples for `features.question_answering_batch`. A source is a `Window`.

        Raises:
            ValueError: a question has no answer, and the task is not `unanswerable`.
        """
        config = self.config
        encoded: dict[str, tuple[list[int], Offsets]] = {}  # several questions share a context
        num_cut = 0
        input_ids: list[list[int]] = []
        segment_ids: list[list[int]] = []
        sources: list[Window] = []
        positions: list[tuple[int, int]] = []
        for number, example in enumerate(examples):
            if example.labelled and not example.answers and not config.unanswerable:
                raise ValueError(
                    f"{example.source}: a question without an answer needs `task.unanswerable=true` (SQuAD 2.0). "
                    f"Received: {example.question_id!r}"
                )
            if example.context not in encoded:
                encoded[example.context] = tokenizer.encode_with_offsets(example.context)
            context, offsets = encoded[example.context]
            query = tokenizer.encode(example.question)
            num_cut += len(query) > config.max_query_length
            head = [tokenizer.cls_id, *query[: config.max_query_length], tokenizer.sep_id]
            windows = window_starts(len(context), config.max_seq_length - len(head) - 1, config.doc_stride)
            answer = _answer_tokens(example, offsets)
            for (start, length), has_most_context in zip(windows, most_context(windows), strict=True):
                input_ids.append([*head, *context[start : start + length], tokenizer.sep_id])
                segment_ids.append([0] * len(head) + [1] * (length + 1))
                sources.append(Window(number, start, length, len(head), offsets, has_most_context))
                inside = answer is not None and start <= answer[0] and answer[1] < start + length
                shift = len(head) - start
                positions.append((answer[0] + shift, answer[1] + shift) if inside and answer else (0, 0))
        advice = "A larger `task.max_query_length` may help"
        report_cut(num_cut, len(examples), config.max_query_length, advice=advice, what="questions")
        both = np.array(positions, np.int32).reshape(-1, 2)
        weights = np.array([_teaches(examples[window.example]) for window in sources], np.float32)
        return EncodedExamples.from_lists(
            input_ids,
            segment_ids,
            pad_id=tokenizer.pad_id,
            max_seq_length=config.max_seq_length,
            bucket_lengths=config.bucket_lengths,
            example_features={"start_positions": both[:, 0], "end_positions": both[:, 1], "answer_weights": weights},
            sources=sources,
        )

    def make_model(self, encoder: BertConfig, labels: Sequence[str], dtype: str = "float32") -> "keras.Model":
        """Return a `BertQuestionAnswerer`."""
        return self.model_class()(encoder, dtype=dtype)

    def objective(self, training: bool) -> "Objective":
        """Return the cross-entropies of start and end."""
        from bert_tf.objectives.objective import question_answering_objective

        return question_answering_objective()

    def imitation(self) -> "Imitation":
        """Return the divergences of start and end."""
        from bert_tf.objectives.distillation import span_imitation

        return span_imitation

    def answers(
        self,
        examples: Sequence[QuestionExample],
        rows: EncodedExamples,
        outputs: Sequence[Any],
        *,
        labels: Sequence[str],
    ) -> list[dict[str, Any]]:
        """Return `id`, `answer` ("" for none), `start` and `end` in the context, and `n_best` for each example.

        Each of the `n_best` has `text`, `start`, `end`, `score` (the sum of the logits) and `probability` (the softmax
        of the scores). A task with unanswerable questions has `null_difference`, too: the score of no answer less
        that of the best one.
        """
        windows: list[list[tuple[Window, Any]]] = [[] for _ in examples]
        for window, output in zip(rows.sources, outputs, strict=True):
            windows[window.example].append((window, output))
        return [self._answer(example, found) for example, found in zip(examples, windows, strict=True)]

    def _answer(self, example: QuestionExample, windows: list[tuple[Window, Any]]) -> dict[str, Any]:
        candidates = [candidate for window, output in windows for candidate in self._candidates(window, output)]
        candidates.sort(key=lambda candidate: -candidate[0])
        best: list[dict[str, Any]] = []
        seen = set()
        for score, start, end in candidates:
            text = example.context[start:end]
            if text not in seen and len(best) < self.config.n_best_size:
                seen.add(text)
                best.append({"text": text, "start": start, "end": end, "score": score})
        scores = np.array([each["score"] for each in best])
        null_score = min(float(output["start_logits"][0] + output["end_logits"][0]) for _, output in windows)
        if self.config.unanswerable:
            scores = np.append(scores, null_score)
        exponentials = np.exp(scores - scores.max(initial=-np.inf)) if len(scores) else scores
        for each, exponential in zip(best, exponentials, strict=False):
            each["probability"] = float(exponential / exponentials.sum())
        answer: dict[str, Any] = {"id": example.question_id, "question": example.question}
        chosen = best[0] if best else {"text": "", "start": None, "end": None}
        if self.config.unanswerable:
            difference = null_score - best[0]["score"] if best else float("inf")
            answer["null_difference"] = difference
            if difference > self.config.null_threshold:
                chosen = {"text": "", "start": None, "end": None}
        return answer | {
            "answer": chosen["text"],
            "start": chosen["start"],
            "end": chosen["end"],
            "n_best": best,
        }

    def _candidates(self, window: Window, output: Any) -> list[tuple[float, int, int]]:
        """Return (score, first character, character after the last) for the window's best pairs of start and end."""
        inside = slice(window.position, window.position + window.length)
        start_logits, end_logits = output["start_logits"][inside], output["end_logits"][inside]
        start_logits = np.where(window.has_most_context, start_logits, -np.inf)
        count = self.config.n_best_size
        starts = np.argsort(-start_logits, kind="stable")[:count]
        ends = np.argsort(-end_logits, kind="stable")[:count]
        scores = start_logits[starts][:, None] + end_logits[ends][None, :]
        lengths = ends[None, :] - starts[:, None] + 1
        allowed = (lengths >= 1) & (lengths <= self.config.max_answer_length) & np.isfinite(scores)
        return [
            (
                float(scores[row, column]),
                window.offsets[window.start + starts[row]][0],
                window.offsets[window.start + ends[column]][1],
            )
            for row, column in np.argwhere(allowed)
        ]

    def scores(
        self, examples: Sequence[QuestionExample], answers: Sequence[dict[str, Any]], labels: Sequence[str]
    ) -> dict[str, Any]:
        """Return `question_answering_scores` and, with unanswerable questions, the best threshold."""
        truths = [[text for text, _ in example.answers] for example in examples]
        scores = question_answering_scores(truths, [answer["answer"] for answer in answers])
        if self.config.unanswerable:
            best = [answer["n_best"][0]["text"] if answer["n_best"] else "" for answer in answers]
            scores |= best_null_threshold(truths, best, [answer["null_difference"] for answer in answers])
        return dict(scores)

    def main_score(self, labels: Sequence[str]) -> str:
        """Return `f1`."""
        return "f1"


def _answer_tokens(example: QuestionExample, offsets: Offsets) -> tuple[int, int] | None:
    """Return the first and last token of the first answer that is found at its start, or None if it has no tokens."""
    for text, start in filter(example.holds, example.answers):
        end = start + len(text)
        touched = [number for number, (first, behind) in enumerate(offsets) if behind > start and first < end]
        return (touched[0], touched[-1]) if touched else None
    return None


def _teaches(example: QuestionExample) -> bool:
    """Return whether a question can be learnt from: it has no answer, or an answer that is found at its start."""
    return example.labelled and (not example.answers or any(map(example.holds, example.answers)))
