"""The task of retrieval: queries and the passages that answer them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bert_tf.configs import BertConfig
from bert_tf.configs.tasks import RetrievalConfig
from bert_tf.examples import RetrievalExample
from bert_tf.scoring.retrieval import rank, retrieval_scores
from bert_tf.tasks import natural_inputs
from bert_tf.tasks.base import Task
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.long_texts import report_cut, rows_of_texts
from bert_tf.tasks.model_kinds import Architectures, Encoder
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

if TYPE_CHECKING:
    import keras

    from bert_tf.models.dual_encoder import BertDualEncoder
    from bert_tf.objectives.objective import Objective


class Retrieval(Task[RetrievalExample]):
    """The task of retrieval: vectors of queries and passages.

    A row of training holds a query, its passage and its negatives, one after the other. A row of evaluation holds one
    text, each query and each passage once, so that every query can be compared with all passages.
    """

    kind = "retrieval"
    methods = ("embed", "search")
    pipeline_tag = "sentence-similarity"
    architectures: ClassVar[Architectures] = Encoder.architectures
    config_class = RetrievalConfig
    example_class = RetrievalExample
    target_weights = "passage_weights"
    joins_texts = True
    config: RetrievalConfig

    @classmethod
    def published_config(cls, max_seq_length: int, pooling: str) -> RetrievalConfig:
        """Return the settings of a published model, whose queries are no longer than its passages."""
        default = RetrievalConfig()
        length = min(default.max_query_length, max_seq_length)
        return default.replace(max_seq_length=max_seq_length, max_query_length=length)

    @classmethod
    def model_class(cls) -> "type[BertDualEncoder]":
        """Return `BertDualEncoder`."""
        from bert_tf.models.dual_encoder import BertDualEncoder

        return BertDualEncoder

    def label_names(self, examples: Sequence[RetrievalExample]) -> tuple[str, ...]:
        """Return no labels, after checking that there are different passages."""
        if len(_passages(examples)) < 2:
            source = examples[0].source if examples else "no examples"
            raise ValueError(
                f"the training examples ({source} ...) must have at least two different passages in column "
                f"{self.config.passage_column!r}. Received: {examples[0].passage[:80] if examples else None!r}"
            )
        return ()

    def examples_of(
        self, x: Any, y: Any = None, *, labels: Sequence[str], tokenizer: WordPieceTokenizer
    ) -> list[RetrievalExample]:
        """Return the examples of queries and passages, which need no targets."""
        return natural_inputs.retrieval_examples(x)

    def encode(
        self,
        examples: Sequence[RetrievalExample],
        labels: Sequence[str],
        tokenizer: WordPieceTokenizer,
        *,
        training: bool = False,
    ) -> EncodedExamples:
        """Encode the examples for `features.retrieval_batch` in training, else with one text in each row.

        The source of a row with one text is (`query` or `passage`, its index among the different ones).
        """
        config = self.config
        query_ids, passage_ids = _numbered(_queries(examples)), _numbered(_passages(examples))
        queries = _encoded(query_ids, tokenizer, config.max_query_length, what="queries", setting="max_query_length")
        passages = _encoded(passage_ids, tokenizer, config.max_seq_length, what="passages", setting="max_seq_length")
        if not training:
            texts = queries + passages
            sources = [("query", number) for number in range(len(queries))]
            sources += [("passage", number) for number in range(len(passages))]
            segments = [[0] * len(text) for text in texts]
            lengths = [length for length in config.bucket_lengths if length <= config.max_seq_length]
            return EncodedExamples.from_lists(
                texts,
                segments,
                pad_id=tokenizer.pad_id,
                max_seq_length=config.max_seq_length,
                bucket_lengths=lengths,
                sources=sources,
            )
        count = 1 + config.num_negatives
        numbers = np.zeros((len(examples), count), np.int32)
        weights = np.zeros((len(examples), count), np.float32)
        rows = []
        for row, example in enumerate(examples):
            own = [passage_ids[text] for text in (example.passage, *example.negatives)][:count]
            numbers[row, : len(own)] = own
            weights[row, : len(own)] = 1.0
            rows.append([queries[query_ids[example.query]], *(passages[number] for number in own)])
        features = {
            "query_ids": np.array([query_ids[example.query] for example in examples], np.int32),
            "passage_ids": numbers,
            "passage_weights": weights,
        }
        ids = [[token for text in texts for token in text] for texts in rows]
        masks = [[number for number, text in enumerate(texts, 1) for _ in text] for texts in rows]
        positions = [[position for text in texts for position in range(len(text))] for texts in rows]
        return EncodedExamples.from_lists(
            ids,
            [[0] * len(row) for row in ids],
            pad_id=tokenizer.pad_id,
            max_seq_length=config.row_length,
            bucket_lengths=config.bucket_lengths,
            token_features={"input_mask": (masks, "int32"), "position_ids": (positions, "int32")},
            example_features=features,
        )

    def make_model(self, encoder: BertConfig, labels: Sequence[str], dtype: str = "float32") -> "keras.Model":
        """Return a `BertDualEncoder`."""
        config = self.config
        return self.model_class()(
            encoder, 2 + config.num_negatives, pooling=config.pooling, normalize=config.normalize, dtype=dtype
        )

    def objective(self, training: bool) -> "Objective":
        """Return the softmax over the passages of a batch. Evaluation has no loss, because it ranks passages."""
        from bert_tf.objectives.objective import no_objective, retrieval_objective

        return retrieval_objective(self.config.temperature) if training else no_objective()

    def answers(
        self,
        examples: Sequence[RetrievalExample],
        rows: EncodedExamples,
        outputs: Sequence[Any],
        *,
        labels: Sequence[str],
    ) -> list[dict[str, Any]]:
        """Return `query`, the nearest `passages` with `score`, and the `ranks` of the right ones, for each example."""
        queries, passages = _queries(examples), _passages(examples)
        vectors: dict[str, list[Any]] = {"query": [None] * len(queries), "passage": [None] * len(passages)}
        for (kind, number), output in zip(rows.sources, outputs, strict=True):
            vectors[kind][number] = output[0]
        if not queries:
            return []
        passage_ids = _numbered(passages)
        right: dict[str, set[int]] = {query: set() for query in queries}
        for example in examples:
            right[example.query].add(passage_ids[example.passage])
        answers = {}
        ranked = rank(
            np.stack(vectors["query"]),
            np.stack(vectors["passage"]),
            [sorted(right[query]) for query in queries],
            top_k=self.config.top_k,
        )
        for query, ranks, nearest in zip(queries, *ranked, strict=True):
            named = [{"passage": passages[number], "score": score} for number, score in nearest]
            answers[query] = {"query": query, "ranks": ranks, "passages": named}
        return [answers[example.query] for example in examples]

    def scores(
        self, examples: Sequence[RetrievalExample], answers: Sequence[dict[str, Any]], labels: Sequence[str]
    ) -> dict[str, Any]:
        """Return `scoring.retrieval.retrieval_scores`, in which each different query counts once."""
        ranks = {example.query: answer["ranks"] for example, answer in zip(examples, answers, strict=True)}
        return dict(retrieval_scores(list(ranks.values())))

    def main_score(self, labels: Sequence[str]) -> str:
        """Return `mrr_at_10`."""
        return "mrr_at_10"


def _encoded(
    texts: Iterable[str], tokenizer: WordPieceTokenizer, longest: int, *, what: str, setting: str
) -> list[list[int]]:
    """Return the ids of texts, and warn if some were cut."""
    rows = rows_of_texts(list(texts), tokenizer, longest)
    advice = f"A larger `task.{setting}` may help"
    report_cut(rows.num_cut, len(rows.sources), longest, advice=advice, what=what)
    return rows.input_ids


def _queries(examples: Sequence[RetrievalExample]) -> list[str]:
    """Return the different queries, in order."""
    return list(dict.fromkeys(example.query for example in examples))


def _passages(examples: Sequence[RetrievalExample]) -> list[str]:
    """Return the different passages, negatives included, in order."""
    return list(dict.fromkeys(text for example in examples for text in (example.passage, *example.negatives)))


def _numbered(texts: Sequence[str]) -> dict[str, int]:
    return {text: number for number, text in enumerate(texts)}
