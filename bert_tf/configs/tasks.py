"""Settings of the fine-tuning tasks: one dataclass for each task, distinguished by `kind` on disk."""

import dataclasses

from bert_tf.configs.base import Config, ConfigError, check_choice, check_range
from bert_tf.configs.generation_metrics import GENERATION_METRICS, METRIC_TOKENIZERS
from bert_tf.configs.tag_schemes import TAG_SCHEMES, tag_scheme_named


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

    @property
    def row_length(self) -> int:
        """The number of tokens in the longest row of training."""
        return self.max_seq_length


@dataclasses.dataclass(frozen=True)
class TextTaskConfig(TaskConfig):
    """A task on single texts or pairs of texts, read from a table with a header.

    Attributes:
        text_column: column of the text.
        text_pair_column: column of the second text of a pair; None for a task on single texts.
        label_column: column of the label.
        group_column: column of the group, whose examples `--split` keeps together; None for no groups.
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


def _check_labels(labels: tuple[str, ...]) -> None:
    if len(labels) == 1 or len(set(labels)) < len(labels) or not all(label.strip() == label != "" for label in labels):
        raise ConfigError(f"`labels` must be different names, two or more, or none at all. Received: {labels!r}")


def _check_class_weights(weights: tuple[float, ...], balanced: bool, focal_gamma: float) -> None:
    check_range("focal_gamma", focal_gamma, 0.0)
    for weight in weights:
        check_range("class_weights", weight, 0.0)
    if weights and balanced:
        raise ConfigError(f"`class_weights` must be empty with `balanced_classes`. Received: {weights!r}")


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
        _check_labels(self.labels)
        _check_class_weights(self.class_weights, self.balanced_classes, self.focal_gamma)
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
        _check_labels(self.labels)
        _check_class_weights(self.class_weights, self.balanced_classes, self.focal_gamma)
        if not self.label_separator:
            raise ConfigError(f"`label_separator` must not be empty. Received: {self.label_separator!r}")
        check_range("threshold", self.threshold, 0.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class RegressionConfig(TextTaskConfig):
    """Regression of a number, such as the similarity of two sentences in STS-B."""

    kind: str = "regression"


@dataclasses.dataclass(frozen=True)
class TaggingConfig(TaskConfig):
    """Tagging of words, such as named entities, parts of speech or chunks.

    Attributes:
        labels: the tags; see `ClassificationConfig`.
        word_column: column of the words in a CoNLL file, counted from 0 (-1 is the last).
        tag_column: column of the tags in a CoNLL file.
        words_field: field of the list of words in JSON lines.
        tags_field: field of the list of tags in JSON lines.
        group_field: field of the group in JSON lines, whose examples `--split` keeps together; None for no groups. In a
            CoNLL file with `-DOCSTART-` lines, the documents are the groups.
        scheme: form of the tags: a key of `configs.tag_schemes.TAG_SCHEMES`, such as `iob`, `iobes`, `bilou` or `bmes`,
            with the letters in any order (`bioes`), or `none` for tags of single words. `auto` finds it in the tags.
        dropout_rate: dropout before the last layer of the head.
        class_weights: weight of each tag in the loss, in the order of the labels; () for 1 everywhere.
        balanced_classes: whether to derive the weights from the training file, as in `ClassificationConfig`, with words
            for examples.
        focal_gamma: see `ClassificationConfig`.
    """

    kind: str = "tagging"
    labels: tuple[str, ...] = ()
    word_column: int = 0
    tag_column: int = -1
    words_field: str = "tokens"
    tags_field: str = "tags"
    group_field: str | None = None
    scheme: str = "auto"
    dropout_rate: float = 0.1
    class_weights: tuple[float, ...] = ()
    balanced_classes: bool = False
    focal_gamma: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_labels(self.labels)
        _check_class_weights(self.class_weights, self.balanced_classes, self.focal_gamma)
        check_range("dropout_rate", self.dropout_rate, 0.0, high=0.999)
        if tag_scheme_named(self.scheme) is None:
            check_choice("scheme", self.scheme, ("auto", "none", *TAG_SCHEMES))


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


@dataclasses.dataclass(frozen=True)
class RetrievalConfig(TaskConfig):
    """Dense retrieval, where one encoder gives queries and passages vectors that are close if they belong together.

    The loss distinguishes a query's passage from the other passages of the batch (Henderson et al. 2017, section 4;
    Karpukhin et al. 2020, "Dense Passage Retrieval"). The defaults are those of Reimers and Gurevych's Sentence-BERT
    library; those of DPR are `pooling="cls"`, `normalize=False` and `temperature=1.0`.

    Attributes:
        max_seq_length: largest number of tokens of a passage.
        max_query_length: largest number of tokens of a query.
        query_column: column of the query.
        passage_column: column of the passage that answers it.
        negatives_column: with `num_negatives`, the column of passages that only seem to answer the query: a list (JSON
            lines) or one text.
        num_negatives: largest number of those passages that are read for a query.
        group_column: column of the group, whose examples `--split` keeps together; None for no groups. In a SQuAD file,
            the articles are the groups.
        pooling: the vector of a text: the `mean` of its tokens' vectors, or the vector of `[CLS]` (`cls`).
        normalize: whether vectors are scaled to length 1, so that their product is their cosine.
        temperature: number that products are divided by before the softmax.
        top_k: number of passages in an answer.
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
        check_range("max_query_length", self.max_query_length, 3, high=self.max_seq_length)
        check_range("num_negatives", self.num_negatives, 0)
        check_choice("pooling", self.pooling, ("mean", "cls"))
        check_range("temperature", self.temperature, 1e-6)
        check_range("top_k", self.top_k, 1)

    @property
    def row_length(self) -> int:
        """The number of tokens of a query, its passage and its negatives."""
        return self.max_query_length + (1 + self.num_negatives) * self.max_seq_length


@dataclasses.dataclass(frozen=True)
class Seq2SeqConfig(TaskConfig):
    """Sequence to sequence: a target text for each source text (Dong et al. 2019, section 2.3).

    Attributes:
        max_seq_length: tokens of a source and its target, with `[CLS]`, `[SEP]` and `[SEP]`.
        max_target_length: largest number of tokens of a target, with its `[SEP]`. The source has the rest of the row,
            and is cut to it.
        truncation_side: the end at which such a source is cut, `right` or `left`; a dialogue needs its last turns.
        source_column: column of the source.
        target_column: column of the target. A list (JSON lines) holds several targets that are as good.
        reference_columns: columns of further targets, for tables whose fields hold no lists.
        turns_column: column of the turns of a dialogue, a list (JSON lines), instead of sources and targets; each
            turn but the first is a target. Dialogues are groups.
        group_column: column of the group, whose examples `--split` keeps together; None for no groups.
        packed: whether a row of training holds as many pairs as fit. Batches are then full of tokens, and their
            `train.batch_size` rows hold more pairs.
        generation_metrics: metrics of the texts that the model generates from the held-out sources, among
            `GENERATION_METRICS`, in every evaluation. () for none, because generation takes time.
        generation_beams: number of hypotheses of its beam search; 1 for the likeliest token at each step.
        metric_tokenizer: what these metrics count as words, one of `METRIC_TOKENIZERS`; `zh` for Chinese.
    """

    kind: str = "seq2seq"
    max_seq_length: int = 256
    max_target_length: int = 64
    truncation_side: str = "right"
    source_column: str = "source"
    target_column: str = "target"
    reference_columns: tuple[str, ...] = ()
    turns_column: str | None = None
    group_column: str | None = None
    packed: bool = False
    generation_metrics: tuple[str, ...] = ()
    generation_beams: int = 1
    metric_tokenizer: str = "13a"

    @property
    def num_segments(self) -> int:
        """The number of texts in a row."""
        return 2

    @property
    def max_source_length(self) -> int:
        """The largest number of tokens of a source, with `[CLS]` and `[SEP]`."""
        return self.max_seq_length - self.max_target_length

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("max_target_length", self.max_target_length, 2)
        check_choice("truncation_side", self.truncation_side, ("right", "left"))
        for metric in self.generation_metrics:
            check_choice("generation_metrics", metric, GENERATION_METRICS)
        check_range("generation_beams", self.generation_beams, 1)
        check_choice("metric_tokenizer", self.metric_tokenizer, METRIC_TOKENIZERS)
        if self.max_source_length < 3:
            raise ConfigError(
                "`max_seq_length` must hold `max_target_length` tokens and at least 3 of the source. "
                f"Received: max_seq_length={self.max_seq_length}, max_target_length={self.max_target_length}"
            )


AnyTaskConfig = (
    ClassificationConfig
    | MultiLabelConfig
    | RegressionConfig
    | TaggingConfig
    | QuestionAnsweringConfig
    | RetrievalConfig
    | Seq2SeqConfig
)
"""The configuration of any task. In a dictionary, `kind` names the task; classification is the default."""
