"""Retrieval: queries and the passages that answer them."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from bert_tf.configs import BertConfig
from bert_tf.configs.tasks import RetrievalConfig
from bert_tf.examples import RetrievalExample
from bert_tf.models.dual_encoder import BertDualEncoder
from bert_tf.objectives import objective
from bert_tf.scoring.retrieval import rank, retrieval_scores
from bert_tf.tasks.base import Task
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tokenization.wordpiece import WordPieceTokenizer


class Retrieval(Task[RetrievalExample]):
    """Vectors of queries and passages.

    A row of training is a query, its passage and its negatives, one behind the other. A row of evaluation is one text:
    each query and each passage once, so that every query can be compared with all passages.
    """

    kind = "retrieval"
    model_class = BertDualEncoder
    methods = ("embed", "search")
    config: RetrievalConfig

    def label_names(self, examples: Sequence[RetrievalExample]) -> tuple[str, ...]:
        """None; but there must be passages to tell apart."""
        if len(_passages(examples)) < 2:
            source = examples[0].source if examples else "no examples"
            raise ValueError(
                f"the training examples ({source} ...) must have at least two different passages in column "
                f"{self.config.passage_column!r}. Received: {examples[0].passage[:80] if examples else None!r}"
            )
        return ()

    def encode(
        self,
        examples: Sequence[RetrievalExample],
        labels: Sequence[str],
        tokenizer: WordPieceTokenizer,
        training: bool = False,
    ) -> EncodedExamples:
        """In training, rows of `features.retrieval_batch`; else one row a text.

        The places of those are (`query` or `passage`, its number among the different ones).
        """
        config = self.config
        query_ids, passage_ids = _numbered(_queries(examples)), _numbered(_passages(examples))
        queries = [tokenizer.encode_pair(text, None, config.max_query_length)[0] for text in query_ids]
        passages = [tokenizer.encode_pair(text, None, config.max_seq_length)[0] for text in passage_ids]
        if not training:
            texts = queries + passages
            places = [("query", number) for number in range(len(queries))]
            places += [("passage", number) for number in range(len(passages))]
            segments = [[0] * len(text) for text in texts]
            lengths = [length for length in config.bucket_lengths if length <= config.max_seq_length]
            return EncodedExamples.from_lists(
                texts, segments, tokenizer.pad_id, config.max_seq_length, lengths, places=places
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
        values = {
            "query_ids": np.array([query_ids[example.query] for example in examples], np.int32),
            "passage_ids": numbers,
            "passage_weights": weights,
        }
        ids = [[token for text in texts for token in text] for texts in rows]
        masks = [[number for number, text in enumerate(texts, 1) for _ in text] for texts in rows]
        positions = [[place for text in texts for place in range(len(text))] for texts in rows]
        return EncodedExamples.from_lists(
            ids,
            [[0] * len(row) for row in ids],
            tokenizer.pad_id,
            config.row_length,
            config.bucket_lengths,
            labels={"input_mask": (masks, "int32"), "position_ids": (positions, "int32")},
            values=values,
        )

    def make_model(self, encoder: BertConfig, labels: Sequence[str], dtype: str = "float32") -> keras.Model:
        """A `BertDualEncoder`."""
        config = self.config
        return BertDualEncoder(
            encoder, 2 + config.num_negatives, pooling=config.pooling, normalize=config.normalize, dtype=dtype
        )

    def objective(self, training: bool) -> objective.Objective:
        """The softmax over the passages of a batch; in evaluation there is no loss, ranks tell."""
        return objective.retrieval_objective(self.config.temperature) if training else objective.no_objective()

    def answers(
        self, examples: Sequence[RetrievalExample], rows: EncodedExamples, outputs: Sequence[Any], labels: Sequence[str]
    ) -> list[dict[str, Any]]:
        """For each example `query`; `passages`, the nearest, with their `score`; `ranks` of those that answer it."""
        queries, passages = _queries(examples), _passages(examples)
        vectors: dict[str, list[Any]] = {"query": [None] * len(queries), "passage": [None] * len(passages)}
        for (kind, number), output in zip(rows.places, outputs, strict=True):
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
        """See `scoring.retrieval.retrieval_scores`; each different query counts once."""
        ranks = {example.query: answer["ranks"] for example, answer in zip(examples, answers, strict=True)}
        return dict(retrieval_scores(list(ranks.values())))

    def main_score(self, labels: Sequence[str]) -> str:
        """`mrr_at_10`."""
        return "mrr_at_10"


def _queries(examples: Sequence[RetrievalExample]) -> list[str]:
    """The different ones, in order."""
    return list(dict.fromkeys(example.query for example in examples))


def _passages(examples: Sequence[RetrievalExample]) -> list[str]:
    """The different ones, negatives included, in order."""
    return list(dict.fromkeys(text for example in examples for text in (example.passage, *example.negatives)))


def _numbered(texts: Sequence[str]) -> dict[str, int]:
    return {text: number for number, text in enumerate(texts)}
