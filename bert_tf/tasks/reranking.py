"""The task of reranking: queries, and the passages to rank for them by a cross-encoder."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from absl import logging
from scipy.special import expit

from bert_tf.configs import BertConfig
from bert_tf.configs.tasks import RerankingConfig
from bert_tf.examples import RerankingExample
from bert_tf.scoring.retrieval import ranking_scores
from bert_tf.tasks import natural_inputs
from bert_tf.tasks.base import Task
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.long_texts import report_cut, rows_of_texts
from bert_tf.tasks.model_kinds import Architectures
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

if TYPE_CHECKING:
    import keras

    from bert_tf.models.reranker import BertReranker
    from bert_tf.objectives.objective import Objective

_MISSING = -1  # the place of a missing passage in its example
_Row = tuple[int, int]


class Reranking(Task[RerankingExample]):
    """The task of reranking: the relevance of a passage to a query.

    A row is a pair of a query and a passage. In training with a pairwise or listwise loss, the rows of a query follow
    each other, `group_size` of them: missing ones are rows without a text, whose weight is 0.
    """

    kind = "reranking"
    heads = ("encoder/pooler", "reranking")
    keeps_head = True
    has_pooling = True
    methods = ("rerank",)
    output = "logits"
    problem_type = "regression"  # of one label, as for the classes of `transformers`
    pipeline_tag = "text-ranking"
    architectures: ClassVar[Architectures] = {"BertForSequenceClassification": heads}
    config_class = RerankingConfig
    example_class = RerankingExample
    target = "label_values"
    target_weights = "label_weights"
    config: RerankingConfig

    @classmethod
    def model_class(cls) -> "type[BertReranker]":
        """Return `BertReranker`."""
        from bert_tf.models.reranker import BertReranker

        return BertReranker

    def label_names(self, examples: Sequence[RerankingExample]) -> tuple[str, ...]:
        """Return no labels, after checking that there are passages of different relevance."""
        if len({relevance for example in examples for relevance in example.relevances or ()}) < 2:
            source = examples[0].source if examples else "no examples"
            raise ValueError(
                f"the training examples ({source} ...) must have passages of at least two different relevances. "
                f"Received: {examples[0].relevances if examples else None}"
            )
        return ()

    def examples_of(
        self, x: Any, y: Any = None, *, labels: Sequence[str], tokenizer: WordPieceTokenizer
    ) -> list[RerankingExample]:
        """Return the examples of queries and their passages, and of the relevances of these."""
        return natural_inputs.reranking_examples(x, y)

    def encode(
        self,
        examples: Sequence[RerankingExample],
        labels: Sequence[str],
        tokenizer: WordPieceTokenizer,
        *,
        training: bool = False,
    ) -> EncodedExamples:
        """Encode the examples for `features.reranking_batch`. The source of a row is the index of its example.

        Raises:
            ValueError: in training, a query has no passages that its loss can tell apart, or with the loss `binary` a
                relevance exceeds `max_relevance`.
        """
        config = self.config
        group_size = config.rows_together if training else 1
        if training:
            self._check(examples)
        places: list[_Row] = []
        for number, example in enumerate(examples):
            if group_size == 1:
                places += [(number, place) for place in range(len(example.passages))]
            else:
                for group in _groups(example.relevances or (), group_size):
                    group += [_MISSING] * (group_size - len(group))
                    places += [(number, place) for place in group]
        if group_size > 1:
            _report_left_out(examples, places)
        real = [(number, place) for number, place in places if place != _MISSING]
        texts = rows_of_texts(
            [examples[number].query for number, _ in real],
            tokenizer,
            config.max_seq_length,
            second=[examples[number].passages[place] for number, place in real],
        )
        advice = "A larger `task.max_seq_length` may help"
        report_cut(texts.num_cut, len(real), config.max_seq_length, advice=advice, what="pairs of query and passage")
        rows = iter(zip(texts.input_ids, texts.segment_ids, strict=True))
        empty = [tokenizer.cls_id, tokenizer.sep_id], [0, 0]
        encoded = [next(rows) if place != _MISSING else empty for _, place in places]
        relevances = [_relevance(examples[number], place) for number, place in places]
        weights = [place != _MISSING and examples[number].labelled for number, place in places]
        return EncodedExamples.from_lists(
            [ids for ids, _ in encoded],
            [segments for _, segments in encoded],
            pad_id=tokenizer.pad_id,
            max_seq_length=config.max_seq_length,
            bucket_lengths=config.bucket_lengths,
            example_features={
                "label_values": np.array(relevances, np.float32),
                "label_weights": np.array(weights, np.float32),
            },
            sources=[number for number, _ in places],
            group_size=group_size,
        )

    def _check(self, examples: Sequence[RerankingExample]) -> None:
        """Check that the loss can learn from the relevances of each query."""
        loss = self.config.loss
        for example in examples:
            relevances = example.relevances or ()
            source = example.source or "an example"
            if loss == "binary" and max(relevances) > self.config.max_relevance:
                raise ValueError(
                    f"{source}: a relevance must be at most `task.max_relevance`, {self.config.max_relevance:g}, for "
                    f"`task.loss` binary. Received: {max(relevances):g}, for the query {example.query!r:.80}"
                )
            if loss != "binary" and not max(relevances) > 0:
                raise ValueError(
                    f"{source}: a query must have a passage of a relevance above 0 for `task.loss` {loss}. "
                    f"Received: none among {len(relevances)}, for the query {example.query!r:.80}"
                )

    def make_model(self, encoder: BertConfig, labels: Sequence[str], dtype: str = "float32") -> "keras.Model":
        """Return a `BertReranker`."""
        return self.model_class()(
            encoder, dropout_rate=self.config.dropout_rate, pooling=self.config.pooling, dtype=dtype
        )

    def objective(self, training: bool) -> "Objective":
        """Return the loss of the configuration; for evaluation, whose rows come one by one, the pointwise one."""
        from bert_tf.objectives.objective import ranking_objective

        config = self.config
        loss = config.loss if training else "binary"
        return ranking_objective(loss, group_size=config.rows_together, margin=config.margin, most=config.max_relevance)

    def answers(
        self,
        examples: Sequence[RerankingExample],
        rows: EncodedExamples,
        outputs: Sequence[Any],
        *,
        labels: Sequence[str],
    ) -> list[dict[str, Any]]:
        """Return `query` and its `passages`, best first, each with `index`, `passage` and `score`, for each example.

        Passages of the same score keep their order.
        """
        logits = iter(outputs)
        answers = []
        for example in examples:
            own = np.array(list(itertools.islice(logits, len(example.passages))), np.float32)
            scores = self.scores_of(own)
            order = np.argsort(-own, kind="stable").tolist()
            passages = [{"index": n, "passage": example.passages[n], "score": float(scores[n])} for n in order]
            answers.append({"query": example.query, "passages": passages})
        return answers

    def scores_of(self, logits: np.ndarray) -> np.ndarray:
        """Return the scores of outputs of the model, in the same shape and dtype."""
        return expit(logits) if self.config.activation == "sigmoid" else logits

    def scores(
        self, examples: Sequence[RerankingExample], answers: Sequence[dict[str, Any]], labels: Sequence[str]
    ) -> dict[str, Any]:
        """Return `scoring.retrieval.ranking_scores` of the queries that have a relevant passage."""
        rankings, relevant = [], []
        for example, answer in zip(examples, answers, strict=True):
            relevances = example.relevances or ()
            if any(relevance > 0 for relevance in relevances):
                rankings.append([relevances[passage["index"]] for passage in answer["passages"]])
                relevant.append(relevances)
        return dict(ranking_scores(rankings, relevant))

    def main_score(self, labels: Sequence[str]) -> str:
        """Return `mrr_at_10`."""
        return "mrr_at_10"


def _relevance(example: RerankingExample, place: int) -> float:
    return 0.0 if place == _MISSING or example.relevances is None else example.relevances[place]


def _groups(relevances: Sequence[float], size: int) -> Iterator[list[int]]:
    """Yield the groups of at most `size` passages of a query, each as their indices, the relevant ones first.

    If they do not fit into one group, at most half of a group is relevant, and the others fill all groups in turn.
    """
    relevant = sorted((n for n, relevance in enumerate(relevances) if relevance > 0), key=lambda n: -relevances[n])
    others = [n for n, relevance in enumerate(relevances) if not relevance > 0]
    if len(relevances) <= size or len(relevant) <= size // 2:
        yield [*relevant, *others][:size]
        return
    start = 0
    for first in range(0, len(relevant), max(1, size // 2)):
        some = relevant[first : first + max(1, size // 2)]
        room = min(size - len(some), len(others))
        yield some + [others[(start + n) % len(others)] for n in range(room)]
        start += room


def _report_left_out(examples: Sequence[RerankingExample], places: Sequence[_Row]) -> None:
    """Say how many passages no group has room for."""
    total = sum(len(example.passages) for example in examples)
    kept = len({row for row in places if row[1] != _MISSING})
    if kept < total:
        logging.info("%d of %d passages are left out: a larger `task.group_size` takes more", total - kept, total)
