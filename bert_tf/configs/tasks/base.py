"""The settings that all fine-tuning tasks have."""

import dataclasses
from typing import Self

from bert_tf.configs.base import Config, ConfigError, check_choice, check_range


@dataclasses.dataclass(frozen=True)
class TaskConfig(Config):
    """The settings that all tasks have.

    Attributes:
        kind: the name of the task; each class accepts its own alone.
        max_seq_length: tokens in a row, including `[CLS]` and `[SEP]`.
        bucket_lengths: lengths that rows are padded to, so that batches of short texts cost less. A batch is padded to
            the shortest of them that holds its longest row. () means multiples of 8 up to 64, of 16 up to 128,
            and so on (`bert_tf.tasks.encoded.default_bucket_lengths`); `row_length` is always one of them.
        encoder_dropout_rate: dropout in the encoder, of activations and attention probabilities. None keeps the rates
            of the pre-training.
    """

    kind: str = ""
    max_seq_length: int = 128
    bucket_lengths: tuple[int, ...] = ()
    encoder_dropout_rate: float | None = None

    @property
    def num_segments(self) -> int:
        """The number of texts in a row."""
        return 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("kind", self.kind, (type(self).kind,))
        check_range("max_seq_length", self.max_seq_length, 3)
        for length in self.bucket_lengths:
            check_range("bucket_lengths", length, 3, high=self.row_length)
        if self.encoder_dropout_rate is not None:
            check_range("encoder_dropout_rate", self.encoder_dropout_rate, 0.0, high=0.999)

    def by_name(self) -> dict[str, Self]:
        """Return the settings of each task by its name: these, whose task needs no name."""
        return {"": self}

    @property
    def row_length(self) -> int:
        """The number of tokens in the longest row of training."""
        return self.max_seq_length


def check_labels(labels: tuple[str, ...]) -> None:
    """Refuse labels that are not different names, two or more, or none at all."""
    if len(labels) == 1 or len(set(labels)) < len(labels) or not all(label.strip() == label != "" for label in labels):
        raise ConfigError(f"`labels` must be different names, two or more, or none at all. Received: {labels!r}")


def check_class_weights(weights: tuple[float, ...], balanced: bool, focal_gamma: float) -> None:
    """Refuse weights of classes and an exponent of the focal loss that are negative or contradict each other."""
    check_range("focal_gamma", focal_gamma, 0.0)
    for weight in weights:
        check_range("class_weights", weight, 0.0)
    if weights and balanced:
        raise ConfigError(f"`class_weights` must be empty with `balanced_classes`. Received: {weights!r}")
