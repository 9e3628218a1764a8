"""The task of multiple choice: which of several texts suits a context.

Shapes: N examples, K choices.
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import softmax

from bert_tf.configs import BertConfig
from bert_tf.configs.tasks import MultipleChoiceConfig
from bert_tf.examples import ChoiceExample
from bert_tf.scoring.multiple_choice import multiple_choice_scores
from bert_tf.tasks import natural_inputs
from bert_tf.tasks.base import Task
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.long_texts import report_cut, rows_of_texts
from bert_tf.tasks.model_kinds import Architectures
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

if TYPE_CHECKING:
    import keras

    from bert_tf.models.multiple_choice import BertMultipleChoice
    from bert_tf.objectives.objective import Objective


class MultipleChoice(Task[ChoiceExample]):
    """The task of multiple choice.

    A row of training holds an example: the context with its first choice, then the context with its second, and so on.
    A row of evaluation holds the context with one choice, so that an example may have any number of them.
    """

    kind = "multiple_choice"
    heads = ("encoder/pooler", "multiple_choice")
    methods = ("choose",)
    output = "logits"
    pipeline_tag = "multiple-choice"
    architectures: ClassVar[Architectures] = {"BertForMultipleChoice": heads}
    config_class = MultipleChoiceConfig
    example_class = ChoiceExample
    target = "label_ids"
    target_weights = "label_weights"
    joins_texts = True
    joining_inputs = ("choice_positions",)
    config: MultipleChoiceConfig

    @classmethod
    def model_class(cls) -> "type[BertMultipleChoice]":
        """Return `BertMultipleChoice`."""
        from bert_tf.models.multiple_choice import BertMultipleChoice

        return BertMultipleChoice

    def label_names(self, examples: Sequence[ChoiceExample]) -> tuple[str, ...]:
        """Return no labels: an example's label is the index of a choice."""
        return ()

    def examples_of(
        self, x: Any, y: Any = None, *, labels: Sequence[str], tokenizer: WordPieceTokenizer
    ) -> list[ChoiceExample]:
        """Return the examples of contexts and choices, and of the right choices by index."""
        return natural_inputs.choice_examples(x, y)

    def encode(
        self,
        examples: Sequence[ChoiceExample],
        labels: Sequence[str],
        tokenizer: WordPieceTokenizer,
        *,
        training: bool = False,
    ) -> EncodedExamples:
        """Encode the examples for `features.multiple_choice_batch` in training, else with one choice in each row.

        The source of a row with one choice is (the example's index, the choice's index).

        Raises:
            ValueError: in training, an example has more choices than `task.max_choices`.
        """
        config = self.config
        if training:
            self._check_numbers(examples)
        sources = [(number, index) for number, example in enumerate(examples) for index in range(len(example.choices))]
        rows = rows_of_texts(
            [examples[number].context for number, _ in sources],
            tokenizer,
            config.max_seq_length,
            second=[examples[number].second_text(index) for number, index in sources],
        )
        advice = "A larger `task.max_seq_length` may help"
        report_cut(rows.num_cut, len(sources), config.max_seq_length, advice=advice, what="contexts with a choice")
        if training:
            counts = [len(example.choices) for example in examples]
            return self._joined(examples, rows.input_ids, rows.segment_ids, np.cumsum([0, *counts]), tokenizer.pad_id)
        return EncodedExamples.from_lists(
            rows.input_ids,
            rows.segment_ids,
            pad_id=tokenizer.pad_id,
            max_seq_length=config.max_seq_length,
            bucket_lengths=[length for length in config.bucket_lengths if length <= config.max_seq_length],
            sources=sources,
        )

    def _check_numbers(self, examples: Sequence[ChoiceExample]) -> None:
        most = self.config.max_choices
        for example in examples:
            if len(example.choices) > most:
                raise ValueError(
                    f"{example.source}: must have at most `task.max_choices` choices, {most}. "
                    f"Received: {len(example.choices)}"
                )

    def _joined(
        self,
        examples: Sequence[ChoiceExample],
        input_ids: list[list[int]],
        segment_ids: list[list[int]],
        starts: np.ndarray,
        pad_id: int,
    ) -> EncodedExamples:
        """Return a row for each example, of the sequences that begin at its index of `starts`, [N + 1]."""
        config = self.config
        choice_positions = np.full((len(examples), config.max_choices), -1, np.int32)
        ids: list[list[int]] = []
        segments: list[list[int]] = []
        masks: list[list[int]] = []
        positions: list[list[int]] = []
        for row, (first, end) in enumerate(itertools.pairwise(starts)):
            own = input_ids[first:end]
            choice_positions[row, : len(own)] = np.cumsum([0, *map(len, own[:-1])])
            ids.append([token for sequence in own for token in sequence])
            segments.append([segment for sequence in segment_ids[first:end] for segment in sequence])
            masks.append([number for number, sequence in enumerate(own, 1) for _ in sequence])
            positions.append([position for sequence in own for position in range(len(sequence))])
        features = {
            "choice_positions": choice_positions,
            "label_ids": np.array([example.label or 0 for example in examples], np.int32),
            "label_weights": np.array([example.label is not None for example in examples], np.float32),
        }
        return EncodedExamples.from_lists(
            ids,
            segments,
            pad_id=pad_id,
            max_seq_length=config.row_length,
            bucket_lengths=config.bucket_lengths,
            token_features={"input_mask": (masks, "int32"), "position_ids": (positions, "int32")},
            example_features=features,
        )

    def make_model(self, encoder: BertConfig, labels: Sequence[str], dtype: str = "float32") -> "keras.Model":
        """Return a `BertMultipleChoice`."""
        return self.model_class()(encoder, dropout_rate=self.config.dropout_rate, dtype=dtype)

    def objective(self, training: bool) -> "Objective":
        """Return the cross-entropy among the choices. Rows of evaluation have no loss, because they hold one choice."""
        from bert_tf.objectives.objective import classification_objective, no_objective

        return classification_objective() if training else no_objective()

    def answers(
        self, examples: Sequence[ChoiceExample], rows: EncodedExamples, outputs: Sequence[Any], *, labels: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return the `index` of the likeliest choice, the `choice`, and `probabilities` of all, for each example."""
        logits = [np.empty(len(example.choices), np.float32) for example in examples]
        for (number, index), output in zip(rows.sources, outputs, strict=True):
            logits[number][index] = output[0]
        answers = []
        for example, own in zip(examples, logits, strict=True):
            probabilities = softmax(own)
            index = int(probabilities.argmax())
            answers.append({"index": index, "choice": example.choices[index], "probabilities": probabilities.tolist()})
        return answers

    def scores(
        self, examples: Sequence[ChoiceExample], answers: Sequence[dict[str, Any]], labels: Sequence[str]
    ) -> dict[str, Any]:
        """Return `scoring.multiple_choice.multiple_choice_scores`."""
        return dict(
            multiple_choice_scores(
                [example.label or 0 for example in examples], [answer["probabilities"] for answer in answers]
            )
        )

    def main_score(self, labels: Sequence[str]) -> str:
        """Return `accuracy`."""
        return "accuracy"
