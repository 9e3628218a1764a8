"""Settings of dense retrieval."""

import dataclasses

from bert_tf.configs.base import check_choice, check_range
from bert_tf.configs.tasks.base import TaskConfig


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
