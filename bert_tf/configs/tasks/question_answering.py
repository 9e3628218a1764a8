"""Settings of extractive question answering."""

import dataclasses

from bert_tf.configs.base import ConfigError, check_range
from bert_tf.configs.tasks.base import TaskConfig


@dataclasses.dataclass(frozen=True)
class QuestionAnsweringConfig(TaskConfig):
    """Extractive question answering on the JSON of SQuAD 1.1 and 2.0.

    The settings have the names of google-research/bert `run_squad.py`.

    Attributes:
        doc_stride: number of tokens between the starts of two windows over a context that is longer than a row.
        max_query_length: largest number of tokens of a question; the rest is cut.
        max_answer_length: largest number of tokens of an answer.
        n_best_size: number of starts and of ends that are combined in each window, and number of answers reported.
        unanswerable: whether a question may have no answer in its context (SQuAD 2.0).
        null_threshold: with `unanswerable`, no answer is given if its score exceeds that of the best answer by more
            than this.
    """

    kind: str = "question_answering"
    max_seq_length: int = 384
    doc_stride: int = 128
    max_query_length: int = 64
    max_answer_length: int = 30
    n_best_size: int = 20
    unanswerable: bool = False
    null_threshold: float = 0.0

    @property
    def num_segments(self) -> int:
        """The number of texts in a row."""
        return 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("doc_stride", "max_query_length", "max_answer_length", "n_best_size"):
            check_range(name, getattr(self, name), 1)
        if self.max_seq_length < self.max_query_length + 4:
            raise ConfigError(
                "`max_seq_length` must hold `max_query_length` tokens, 3 special tokens and at least one token of the "
                f"context. Received: max_seq_length={self.max_seq_length}, max_query_length={self.max_query_length}"
            )
        check_range("null_threshold", self.null_threshold, -1e9)
