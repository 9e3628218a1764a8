"""Settings of the fine-tuning tasks: one dataclass a task, told apart by `kind` on disk."""

import dataclasses

from bert_tf.configs.base import Config, ConfigError, check_choice, check_range


@dataclasses.dataclass(frozen=True)
class TaskConfig(Config):
    """What all tasks have.

    Attributes:
        kind: which task it is; each class has its own, and takes no other.
        max_seq_length: tokens in a row, `[CLS]` and `[SEP]` included.
        bucket_lengths: the lengths that rows are padded to, so that short texts do not pay for long ones: a batch gets
            the shortest that holds its longest row. () takes multiples of 8 up to 64, of 16 up to 128, and so on
            (`bert_tf.tasks.encoded.default_bucket_lengths`); `row_length` is always one of them.
        encoder_dropout_rate: in the encoder, on activations and attention probabilities; None keeps the rates that
            the encoder was pre-trained with.
    """

    kind: str = ""
    max_seq_length: int = 128
    bucket_lengths: tuple[int, ...] = ()
    encoder_dropout_rate: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("kind", self.kind, (type(self).kind,))  # the class's own default
        check_range("max_seq_length", self.max_seq_length, 3)
        for length in self.bucket_lengths:
            check_range("bucket_lengths", length, 3, self.row_length)
        if self.encoder_dropout_rate is not None:
            check_range("encoder_dropout_rate", self.encoder_dropout_rate, 0.0, 0.999)

    @property
    def row_length(self) -> int:
        """Tokens in the longest row of training."""
        return self.max_seq_length


@dataclasses.dataclass(frozen=True)
class TextTaskConfig(TaskConfig):
    """A task on single texts or pairs of texts, read from a table with a header.

    Attributes:
        text_column: the text.
        text_pair_column: the second text of a pair; None for a task on single texts.
        label_column: what is to be learnt.
        group_column: what must not be torn apart by `--split`; None for no groups.
        dropout_rate: before the head's last layer.
        pooling: what the head reads: `cls`, the pooled `[CLS]` output (as published), or `mean`, the pooler
            over the mean of the sequence output (better for weakly pre-trained models).
    """

    text_column: str = "text"
    text_pair_column: str | None = None
    label_column: str = "label"
    group_column: str | None = None
    dropout_rate: float = 0.1
    pooling: str = "cls"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("dropout_rate", self.dropout_rate, 0.0, 0.999)
        check_choice("pooling", self.pooling, ("cls", "mean"))


def _check_class_weights(weights: tuple[float, ...], balanced: bool) -> None:
    for weight in weights:
        check_range("class_weights", weight, 0.0)
    if weights and balanced:
        raise ConfigError(f"one of `class_weights` and `balanced_classes` may be given. Received: {weights!r} and True")


@dataclasses.dataclass(frozen=True)
class ClassificationConfig(TextTaskConfig):
    """One of two or more classes.

    Attributes:
        positive_label: the class of the binary precision, recall and F1; None for the last of two sorted labels (`1` of
            `0` and `1`).
        class_weights: weight of each class in the loss, in the order of the sorted labels; () for 1.
        balanced_classes: weights that give each class the same sum, from its share in the training file
            (examples / (classes x examples of the class), as scikit-learn's `balanced`).
        label_smoothing: share of the target that is spread over all classes (Szegedy et al. 2016).
    """

    kind: str = "classification"
    positive_label: str | None = None
    class_weights: tuple[float, ...] = ()
    balanced_classes: bool = False
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_class_weights(self.class_weights, self.balanced_classes)
        check_range("label_smoothing", self.label_smoothing, 0.0, 0.999)


@dataclasses.dataclass(frozen=True)
class MultiLabelConfig(TextTaskConfig):
    """Any number of labels a text, none included.

    Attributes:
        label_separator: between the labels in a field of a TSV or CSV; in JSON lines they are a list.
        threshold: probability from which on a label is answered.
    """

    kind: str = "multi_label"
    label_separator: str = ","
    threshold: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.label_separator:
            raise ConfigError(f"`label_separator` must not be empty. Received: {self.label_separator!r}")
        check_range("threshold", self.threshold, 0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class RegressionConfig(TextTaskConfig):
    """A number, such as the similarity of two sentences in STS-B."""

    kind: str = "regression"


@dataclasses.dataclass(frozen=True)
class TaggingConfig(TaskConfig):
    """A tag for each word: named entities, parts of speech, chunks.

    Attributes:
        word_column: of a CoNLL file, counted from 0 (-1 is the last).
        tag_column: of a CoNLL file.
        words_field: of JSON lines: the list of words.
        tags_field: of JSON lines: the list of tags.
        group_field: of JSON lines: what must not be torn apart by `--split`; None for no groups. In a CoNLL file with
            `-DOCSTART-` lines the documents are groups.
        scheme: `iob` (IOB1, IOB2: `B-`, `I-`, `O`), `iobes` (with `E-` and `S-`), `none` for tags that are no parts of
            spans; `auto` reads it from the training tags.
        dropout_rate: before the head's last layer.
    """

    kind: str = "tagging"
    word_column: int = 0
    tag_column: int = -1
    words_field: str = "tokens"
    tags_field: str = "tags"
    group_field: str | None = None
    scheme: str = "auto"
    dropout_rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("dropout_rate", self.dropout_rate, 0.0, 0.999)
        check_choice("scheme", self.scheme, ("auto", "iob", "iobes", "none"))


@dataclasses.dataclass(frozen=True)
class QuestionAnsweringConfig(TaskConfig):
    """Extractive answers, in the JSON of SQuAD 1.1 and 2.0 (google-research/bert `run_squad.py` names the settings).

    Attributes:
        doc_stride: tokens between the starts of two windows over a context that is longer than a row.
        max_query_length: tokens of the question; the rest is cut.
        max_answer_length: tokens of an answer, at most.
        n_best_size: starts and ends that are combined in each window, and answers that are reported.
        unanswerable: whether a question may have no answer in its context (SQuAD 2.0).
        null_threshold: with `unanswerable`: no answer is given where its score exceeds the best answer's by more.
    """

    kind: str = "question_answering"
    max_seq_length: int = 384
    doc_stride: int = 128
    max_query_length: int = 64
    max_answer_length: int = 30
    n_best_size: int = 20
    unanswerable: bool = False
    null_threshold: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("doc_stride", "max_query_length", "max_answer_length", "n_best_size"):
            check_range(name, getattr(self, name), 1)
        if self.max_seq_length < self.max_query_length + 4:
            raise ConfigError(
                "`max_seq_length` must leave room for a token of the context behind `max_query_length` and 3 special "
                f"tokens. Received: max_seq_length={self.max_seq_length}, max_query_length={self.max_query_length}"
            )
        check_range("null_threshold", self.null_threshold, -1e9)


@dataclasses.dataclass(frozen=True)
class RetrievalConfig(TaskConfig):
    """Vectors of queries and passages, close where they belong together: dense retrieval by one encoder for both.

    A query's passage is told from the other passages of its batch (Henderson et al. 2017, section 4; Karpukhin et al.
    2020, "Dense Passage Retrieval"); the defaults are those of Reimers and Gurevych's Sentence-BERT library. DPR's
    are `pooling="cls"`, `normalize=False`, `temperature=1.0`.

    Attributes:
        max_seq_length: tokens of a passage.
        max_query_length: tokens of a query.
        query_column: the query.
        passage_column: the passage that answers it.
        negatives_column: with `num_negatives`: passages that do not answer it, though they look so: a list (JSON
            lines) or one text.
        num_negatives: of those, how many are read, at most.
        group_column: what must not be torn apart by `--split`; None for no groups. In a SQuAD file articles are groups.
        pooling: what stands for a text: the `mean` of its vectors, or that of `[CLS]` (`cls`).
        normalize: whether vectors are brought to length 1, so that their product is their cosine.
        temperature: what products are divided by before the softmax.
        top_k: passages that an answer names.
    """

    kind: str = "retrieval"
    max_seq_length: int = 256
    max_query_length: int = 64
    query_column: str = "query"
    passage_column: str = "passage"
    negatives_column: str = "negatives"
    num_negatives: int = 0
    group_column: str | None = None
    pooling: str = "mean"
    normalize: bool = True
    temperature: float = 0.05
    top_k: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("max_query_length", self.max_query_length, 3, self.max_seq_length)
        check_range("num_negatives", self.num_negatives, 0)
        check_choice("pooling", self.pooling, ("mean", "cls"))
        check_range("temperature", self.temperature, 1e-6)
        check_range("top_k", self.top_k, 1)

    @property
    def row_length(self) -> int:
        """A query, its passage and its negatives."""
        return self.max_query_length + (1 + self.num_negatives) * self.max_seq_length


AnyTaskConfig = (
    ClassificationConfig
    | MultiLabelConfig
    | RegressionConfig
    | TaggingConfig
    | QuestionAnsweringConfig
    | RetrievalConfig
)
"""A task's configuration; where it stands in a dictionary, `kind` tells which (default: classification)."""
