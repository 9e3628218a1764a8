"""Settings of the tagging of words."""

import dataclasses

from bert_tf.configs.base import check_choice, check_range
from bert_tf.configs.tag_schemes import TAG_SCHEMES, tag_scheme_named
from bert_tf.configs.tasks.base import TaskConfig, check_class_weights, check_labels


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
        check_labels(self.labels)
        check_class_weights(self.class_weights, self.balanced_classes, self.focal_gamma)
        check_range("dropout_rate", self.dropout_rate, 0.0, high=0.999)
        if tag_scheme_named(self.scheme) is None:
            check_choice("scheme", self.scheme, ("auto", "none", *TAG_SCHEMES))
