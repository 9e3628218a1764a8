"""Settings of reranking."""

import dataclasses

from bert_tf.configs.base import check_choice, check_range
from bert_tf.configs.tasks.base import TaskConfig

RERANKING_LOSSES = ("binary", "ranknet", "margin", "softmax", "listnet")
"""The losses of reranking: a pointwise one, two pairwise ones and two listwise ones."""
ACTIVATIONS = ("sigmoid", "identity")
"""The functions that make a score of a reranker's output."""


@dataclasses.dataclass(frozen=True)
class RerankingConfig(TaskConfig):
    """Reranking by a cross-encoder, which reads a query and a passage together (Nogueira and Cho 2019).

    Attributes:
        query_column: column of the query.
        passage_column: column of a passage: one that answers the query, or with labels any. In JSON lines it may be a
            list of such passages.
        negatives_column: column of passages that do not answer the query: a list (JSON lines) or one text.
        label_column: column of a passage's relevance. A table that has it needs no column of negatives.
        group_column: column of the group, whose queries `--split` keeps together; None for no groups. In a SQuAD file,
            the articles are the groups.
        loss: the loss of training, one of `RERANKING_LOSSES`: `binary`, the cross-entropy of each passage by itself
            (pointwise); `ranknet` (Burges et al. 2005) and `margin`, which compare the passages of a query in pairs; or
            `softmax` (Gao et al. 2021, "Rethink Training of BERT Rerankers") and `listnet` (Cao et al. 2007), which
            compare them all (listwise).
        group_size: number of passages of a query that pairwise and listwise losses compare, rows of one batch. Of a
            SQuAD file, each question has its paragraph and this number less one of other paragraphs, with any loss.
        margin: with `margin`, the wanted difference of two scores.
        max_relevance: with `binary`, the relevance whose target is 1; 0 has the target 0.
        activation: what makes a score of the model's output: `sigmoid`, or `identity` for the output itself.
        dropout_rate: dropout before the last layer of the head.
        pooling: see `TextTaskConfig`.
    """

    kind: str = "reranking"
    max_seq_length: int = 256
    query_column: str = "query"
    passage_column: str = "passage"
    negatives_column: str = "negatives"
    label_column: str = "label"
    group_column: str | None = None
    loss: str = "softmax"
    group_size: int = 8
    margin: float = 1.0
    max_relevance: float = 1.0
    activation: str = "sigmoid"
    dropout_rate: float = 0.1
    pooling: str = "cls"

    @property
    def num_segments(self) -> int:
        """The number of texts in a row."""
        return 2

    @property
    def rows_together(self) -> int:
        """The number of rows that the loss compares."""
        return 1 if self.loss == "binary" else self.group_size

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("max_seq_length", self.max_seq_length, 5)
        check_choice("loss", self.loss, RERANKING_LOSSES)
        check_range("group_size", self.group_size, 2)
        check_range("margin", self.margin, 1e-6)
        check_range("max_relevance", self.max_relevance, 1e-6)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_range("dropout_rate", self.dropout_rate, 0.0, high=0.999)
        check_choice("pooling", self.pooling, ("cls", "mean"))
