"""Settings of multiple choice."""

import dataclasses

from bert_tf.configs.base import ConfigError, check_range
from bert_tf.configs.tasks.base import TaskConfig


@dataclasses.dataclass(frozen=True)
class MultipleChoiceConfig(TaskConfig):
    """Multiple choice: which of several texts suits a context (Devlin et al. 2018, section 4.4).

    Attributes:
        max_seq_length: tokens of the context with the question and one choice.
        context_column: column of the context.
        question_column: column of the text that precedes each choice, a question or the beginning of an ending. A file
            may lack the column `question`, for no questions.
        choices_column: column of the list of choices (JSON lines).
        choice_columns: columns of one choice each, for tables whose fields hold no lists. Empty ones at the end are no
            choices.
        label_column: column of the index of the right choice, counted from 0, or of its letter, from A.
        group_column: column of the group, whose examples `--split` keeps together; None for no groups. In a file of
            RACE, the articles are the groups.
        max_choices: the largest number of choices in training. A trained model may be asked with any number.
        equal_choices: whether an example of a file with another number of choices than `max_choices` is an error.
        dropout_rate: dropout before the last layer of the head.
    """

    kind: str = "multiple_choice"
    context_column: str = "context"
    question_column: str = "question"
    choices_column: str = "choices"
    choice_columns: tuple[str, ...] = ()
    label_column: str = "label"
    group_column: str | None = None
    max_choices: int = 4
    equal_choices: bool = False
    dropout_rate: float = 0.1

    @property
    def num_segments(self) -> int:
        """The number of texts in a sequence."""
        return 2

    @property
    def row_length(self) -> int:
        """The number of tokens of the context with all choices."""
        return self.max_choices * self.max_seq_length

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("max_choices", self.max_choices, 2)
        check_range("dropout_rate", self.dropout_rate, 0.0, high=0.999)
        if len(self.choice_columns) == 1 or len(set(self.choice_columns)) < len(self.choice_columns):
            raise ConfigError(
                f"`choice_columns` must be different columns, two or more, or none. Received: {self.choice_columns!r}"
            )
