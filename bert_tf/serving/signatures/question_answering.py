"""The signatures of question answering, which cut long contexts into windows.

They do the steps of `tasks.question_answering.QuestionAnswering`, explained there, in graph operations.

Axes: B questions, R rows (windows), L length, M tokens in the longest window, K best answers.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from bert_tf.preprocessing.graph_tokenizer import Tokens, substrings
from bert_tf.serving.signatures.base import Signatures
from bert_tf.serving.static_shapes import Tensors
from bert_tf.tasks.question_answering import QuestionAnswering

_NOWHERE = -1


class _Windows(NamedTuple):
    """The parts of contexts in rows.

    Attributes:
        examples: int64 [R], the index of each window's question, ascending.
        tokens: int64 [R, None], the indices of its tokens among those of all contexts.
        positions: int64 [R], the position of its first context token in the row.
    """

    examples: tf.Tensor
    tokens: tf.RaggedTensor
    positions: tf.Tensor


class _Candidates(NamedTuple):
    """The candidate answers to all questions, each a vector [all candidates].

    Attributes:
        examples: int64, the index of the question.
        scores: float32, the sum of the logits of start and end.
        first: int64, the index of the first token among those of all contexts.
        last: int64, the index of the last token.
    """

    examples: tf.Tensor
    scores: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor


class QuestionAnswererSignatures(Signatures):
    """The signatures of a question answerer.

    `serving_default` returns `answers` string [B], a part of each context or "" for no answer, and its `starts` and
    `ends` int32 [B] in the context, -1 for no answer. These count characters (not bytes). The `n_best_size` best
    answers to each question, likeliest first, are `n_best_answers` string, `n_best_starts` and `n_best_ends` int32,
    and `n_best_scores` (the sum of the logits) and `n_best_probabilities` float32, all [B, K]. `num_answers` int32 [B]
    is their number. If questions may have no answer, `null_differences` float32 [B] is the score of no answer minus
    that of the best one.

    `token_ids` returns `start_logits` and `end_logits`, float32 [B, L].
    """

    model_kind = QuestionAnswering

    text_inputs = ("question", "context")

    def from_ids(self, inputs: Tensors) -> Tensors:
        """Return the class's outputs of `token_ids`."""
        return self.forward(inputs)

    def from_texts(self, question: tf.Tensor, context: tf.Tensor) -> Tensors:
        """Return the class's outputs of `serving_default`."""
        query = self.graph_tokenizer.tokenize(question)[:, : self.task.max_query_length]
        tokens = self.graph_tokenizer.tokenize_with_offsets(context)
        windows = self._windows(query, tokens.ids)
        slices = windows.tokens.with_values(tf.gather(tokens.ids.flat_values, windows.tokens.flat_values))
        logits = self.forward(self.rows(tf.gather(query, windows.examples), slices))
        nulls = logits["start_logits"][:, 0] + logits["end_logits"][:, 0]
        null_scores = tf.math.segment_min(nulls, windows.examples)  # every question has a window
        candidates = _sorted(self._candidates(windows, logits))
        return self._answers(context, tokens, candidates, null_scores)

    def _windows(self, query: tf.RaggedTensor, context: tf.RaggedTensor) -> _Windows:
        """Return the windows of all contexts, as in `tasks.long_texts.window_starts`."""
        room = self.max_seq_length - 3 - query.row_lengths()
        lengths = context.row_lengths()
        stride = tf.minimum(room, self.task.doc_stride)
        more = tf.maximum(lengths - room, 0)
        numbers = tf.ragged.range(1 + (more + stride - 1) // stride)  # [B, windows]
        examples = numbers.value_rowids()
        starts = numbers.flat_values * tf.gather(stride, examples)
        counts = tf.minimum(tf.gather(lengths, examples) - starts, tf.gather(room, examples))
        first = tf.gather(context.row_starts(), examples) + starts
        positions = tf.gather(query.row_lengths(), examples) + 2  # after [CLS] question [SEP]
        return _Windows(examples, tf.ragged.range(first, first + counts), positions)

    def _candidates(self, windows: _Windows, logits: Tensors) -> _Candidates:
        """Return the best pairs of start and end in each window, ordered by the ranks of start and end."""
        tokens = windows.tokens
        local = tf.ragged.range(tokens.row_lengths())
        positions = local.flat_values + tf.gather(windows.positions, local.value_rowids())
        indices = tf.stack([local.value_rowids(), positions], axis=1)

        def inside(name: str) -> tf.Tensor:
            return tf.gather_nd(logits[name], indices)

        none = tf.constant(float("-inf"))
        start_logits = tf.where(_has_most_context(tokens), inside("start_logits"), none)
        dense = [tokens.with_values(values).to_tensor(none) for values in (start_logits, inside("end_logits"))]
        count = tf.minimum(self.task.n_best_size, tf.shape(dense[0])[1])
        starts, ends = (tf.math.top_k(values, count) for values in dense)  # equal values keep their order
        scores = starts.values[:, :, None] + ends.values[:, None, :]  # [R, count, count]
        lengths = ends.indices[:, None, :] - starts.indices[:, :, None] + 1
        allowed = (lengths >= 1) & (lengths <= self.task.max_answer_length) & tf.math.is_finite(scores)
        found = tf.where(allowed)
        rows = found[:, 0]
        first_tokens = tf.gather(tf.concat([tokens.flat_values, [0]], axis=0), tf.gather(tokens.row_starts(), rows))
        return _Candidates(
            tf.gather(windows.examples, rows),
            tf.gather_nd(scores, found),
            first_tokens + tf.cast(tf.gather_nd(starts.indices, found[:, :2]), tf.int64),
            first_tokens + tf.cast(tf.gather_nd(ends.indices, found[:, ::2]), tf.int64),
        )

    def _answers(self, context: tf.Tensor, tokens: Tokens, candidates: _Candidates, null_scores: tf.Tensor) -> Tensors:
        size = self.task.n_best_size
        batch = tf.size(context, tf.int64)
        starts = tf.gather(tokens.starts.flat_values, candidates.first)
        ends = tf.gather(tokens.ends.flat_values, candidates.last)
        codes = tf.strings.unicode_decode(context, "UTF-8", errors="ignore")

        def by_example(values: tf.Tensor) -> tf.RaggedTensor:
            return tf.RaggedTensor.from_value_rowids(values, candidates.examples, batch, validate=False)

        texts = substrings(codes, by_example(starts), by_example(ends)).flat_values
        # Answers with the same text count once, with the best score.
        keys = tf.strings.join([tf.strings.as_string(candidates.examples), texts], " ")
        distinct, numbers = tf.unique(keys)
        order = tf.range(tf.size(keys))
        is_best = order == tf.gather(tf.math.unsorted_segment_min(order, numbers, tf.size(distinct)), numbers)
        counts = tf.math.bincount(
            tf.cast(tf.boolean_mask(candidates.examples, is_best), tf.int32), minlength=tf.cast(batch, tf.int32)
        )

        def n_best(values: tf.Tensor, default: Any) -> tf.Tensor:
            ragged = tf.RaggedTensor.from_row_lengths(tf.boolean_mask(values, is_best), counts, validate=False)
            return ragged[:, :size].to_tensor(default, shape=[None, size])

        n_best_starts = tf.cast(n_best(starts, tf.constant(_NOWHERE, tf.int64)), tf.int32)
        n_best_ends = tf.cast(n_best(ends, tf.constant(_NOWHERE, tf.int64)), tf.int32)
        scores = n_best(candidates.scores, float("-inf"))
        answers = n_best(texts, "")
        is_there = tf.math.is_finite(scores)
        competing = tf.concat([scores, null_scores[:, None]], axis=1) if self.task.unanswerable else scores
        probabilities = tf.where(is_there, tf.nn.softmax(competing)[:, :size], 0.0)
        differences = null_scores - scores[:, 0]  # infinite where there is no answer
        is_none = differences > (self.task.null_threshold if self.task.unanswerable else 3e38)
        outputs = {
            "answers": tf.where(is_none, "", answers[:, 0]),
            "starts": tf.where(is_none, _NOWHERE, n_best_starts[:, 0]),
            "ends": tf.where(is_none, _NOWHERE, n_best_ends[:, 0]),
            "n_best_answers": answers,
            "n_best_starts": n_best_starts,
            "n_best_ends": n_best_ends,
            "n_best_scores": tf.where(is_there, scores, 0.0),
            "n_best_probabilities": probabilities,
            "num_answers": tf.reduce_sum(tf.cast(is_there, tf.int32), axis=1),
        }
        return outputs | ({"null_differences": differences} if self.task.unanswerable else {})


def _has_most_context(tokens: tf.RaggedTensor) -> tf.Tensor:
    """Return whether no other window has more context around a token, bool [all windows' tokens].

    It computes in the precision of `tasks.question_answering.most_context`.

    Args:
        tokens: int64 [R, None], the indices of the tokens among those of all contexts.
    """
    flat = tokens.flat_values
    positions = tf.cast(tf.ragged.range(tokens.row_lengths()).flat_values, tf.float64)
    lengths = tf.cast(tf.gather(tokens.row_lengths(), tokens.value_rowids()), tf.float64)
    scores = tf.minimum(positions, lengths - 1 - positions) + tf.constant(0.01, tf.float64) * lengths
    total = tf.reduce_max(tf.concat([flat, [-1]], axis=0)) + 1
    is_best = scores == tf.gather(tf.math.unsorted_segment_max(scores, flat, total), flat)
    # The first of equally good windows counts.
    rows = tf.where(is_best, tokens.value_rowids(), tokens.nrows())
    return rows == tf.gather(tf.math.unsorted_segment_min(rows, flat, total), flat)


def _sorted(candidates: _Candidates) -> _Candidates:
    """Return the candidates grouped by question, the best first. Ties keep their order."""
    order = tf.argsort(candidates.scores, direction="DESCENDING", stable=True)
    order = tf.gather(order, tf.argsort(tf.gather(candidates.examples, order), stable=True))
    return _Candidates(*(tf.gather(values, order) for values in candidates))
