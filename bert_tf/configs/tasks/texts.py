"""Settings of the tasks on texts and pairs of texts: classification, labels of any number, regression."""

import dataclasses

from bert_tf.configs.base import ConfigError, check_choice, check_range
from bert_tf.configs.tasks.base import TaskConfig, check_class_weights, check_labels


@dataclasses.dataclass(frozen=True)
class TextTaskConfig(TaskConfig):
    """A task on single texts or pairs of texts, read from a table with a header.

    Attributes:
        text_column: column of the text.
        text_pair_column: column of the second text of a pair; None for a task on single texts.
        label_column: column of the label.
        group_column: column of the group, whose examples `--split` keeps together; None for no groups.
        columns: names of all columns of a TSV file without a header, such as CoLA's; a first line that holds one of
            these names is a header. () for files with a header.
        skip_incomplete: whether rows that lack a field or have an empty one, as QQP has some, are left out with a
            warning instead of an error.
        dropout_rate: dropout before the last layer of the head.
        pooling: input of the head: `cls` for the pooled `[CLS]` output (as published), or `mean` for the pooler on the
            mean of the sequence output, which is better for models with little pre-training.
        long_texts: what becomes of a text that exceeds the row: `cut` keeps its beginning; `head_tail` the first
            quarter and the rest from its end (128 and 382 of 510 tokens, as in Sun et al. 2019, "How to Fine-Tune BERT
            for Text Classification"); `windows` makes overlapping windows of it, each a row, and pools their outputs.
            The last two need single texts. In training, a window has the label of its text and, divided by the number
            of its windows, the weight.
        window_stride: with `windows`, number of tokens between the starts of two windows. None for three quarters of
            the tokens of a row without `[CLS]` and `[SEP]`.
        window_pooling: with `windows`, the answer to a text: the `mean` of the windows' probabilities (in regression,
            of their numbers), or `max` for the largest of each label. Those of exclusive classes are divided by their
            sum.
    """

    text_column: str = "text"
    text_pair_column: str | None = None
    label_column: str = "label"
    group_column: str | None = None
    columns: tuple[str, ...] = ()
    skip_incomplete: bool = False
    dropout_rate: float = 0.1
    pooling: str = "cls"
    long_texts: str = "cut"
    window_stride: int | None = None
    window_pooling: str = "mean"

    @property
    def num_segments(self) -> int:
        """The number of texts in a row."""
        return 1 if self.text_pair_column is None else 2

    def __post_init__(self) -> None:
        super().__post_init__()
        named = [self.text_column, self.label_column, *([self.text_pair_column] if self.text_pair_column else [])]
        if self.columns and not set(named) <= set(self.columns):
            raise ConfigError(f"`columns` must have {', '.join(map(repr, named))}. Received: {self.columns!r}")
        check_range("dropout_rate", self.dropout_rate, 0.0, high=0.999)
        check_choice("pooling", self.pooling, ("cls", "mean"))
        check_choice("long_texts", self.long_texts, ("cut", "head_tail", "windows"))
        if self.long_texts != "cut" and self.text_pair_column is not None:
            raise ConfigError(f"`long_texts` must be cut for pairs of texts. Received: {self.long_texts!r}")
        check_choice("window_pooling", self.window_pooling, ("mean", "max"))
        if self.window_stride is not None:
            check_range("window_stride", self.window_stride, 1, high=self.max_seq_length - 2)
            if self.long_texts != "windows":
                raise ConfigError(f"`window_stride` needs `long_texts` windows. Received: {self.long_texts!r}")


@dataclasses.dataclass(frozen=True)
class ClassificationConfig(TextTaskConfig):
    """Classification of texts, with one of two or more classes for each.

    Attributes:
        labels: the labels, in the order of their ids. A file that numbers its labels, as published data sets do, may
            hold these numbers, counted from 0. () takes the labels that occur in the training, evaluation and test
            examples, sorted, whole numbers by their value.
        positive_label: class of the binary precision, recall and F1; None for the last of two labels (`1` of `0` and
            `1`).
        class_weights: weight of each class in the loss, in the order of the labels; () for 1 everywhere.
        balanced_classes: whether to derive the weights from the training file, so that all classes have the same sum
            (examples / (classes x examples of the class), as scikit-learn's `balanced`).
        label_smoothing: share of the target that is spread over all classes (Szegedy et al. 2016).
        focal_gamma: exponent of the focal loss (Lin et al. 2017), which counts examples less the better they are
            learnt: in training, each loss is multiplied by (1 - probability of the label) to this power. The paper's
            choice is 2; 0 is the cross-entropy.
    """

    kind: str = "classification"
    labels: tuple[str, ...] = ()
    positive_label: str | None = None
    class_weights: tuple[float, ...] = ()
    balanced_classes: bool = False
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_labels(self.labels)
        check_class_weights(self.class_weights, self.balanced_classes, self.focal_gamma)
        check_range("label_smoothing", self.label_smoothing, 0.0, high=0.999)
        if self.focal_gamma and self.label_smoothing:
            raise ConfigError(f"`label_smoothing` must be 0 with `focal_gamma`. Received: {self.label_smoothing}")


@dataclasses.dataclass(frozen=True)
class MultiLabelConfig(TextTaskConfig):
    """Classification of texts, with any number of labels for each, or none.

    Attributes:
        labels: see `ClassificationConfig`.
        label_separator: text between the labels in a field of a TSV or CSV; in JSON lines, the field is a list.
        threshold: smallest probability of a label that is predicted.
        class_weights: weight of each label in the loss where an example has it, in the order of the labels, as
            `pos_weight` of PyTorch's `BCEWithLogitsLoss`; () for 1 everywhere. The label's absence has weight 1.
        balanced_classes: whether to derive these weights from the training file: the examples without a label, divided
            by those with it.
        focal_gamma: see `ClassificationConfig`.
    """

    kind: str = "multi_label"
    labels: tuple[str, ...] = ()
    label_separator: str = ","
    threshold: float = 0.5
    class_weights: tuple[float, ...] = ()
    balanced_classes: bool = False
    focal_gamma: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_labels(self.labels)
        check_class_weights(self.class_weights, self.balanced_classes, self.focal_gamma)
        if not self.label_separator:
            raise ConfigError(f"`label_separator` must not be empty. Received: {self.label_separator!r}")
        check_range("threshold", self.threshold, 0.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class RegressionConfig(TextTaskConfig):
    """Regression of a number, such as the similarity of two sentences in STS-B."""

    kind: str = "regression"
