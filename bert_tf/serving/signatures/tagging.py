"""The signatures of taggers: a tag for each word of a raw text, and the spans that the tags form.

Axes: B texts, W words, S spans, R rows, L length, C tags.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf.preprocessing.graph_tokenizer import Tokens, substrings
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.signatures.base import Signatures
from bert_tf.serving.static_shapes import Tensors
from bert_tf.tasks.tagging import OUTSIDE, Tagging
from bert_tf.tokenization.wordpiece import WordPieceTokenizer


class TaggerSignatures(Signatures):
    """The signatures of a tagger.

    `serving_default` returns `words` and `tags` string [B, W], the `starts` and `ends` int32 [B, W] of the words, and
    `num_words` int32 [B]. Texts are split into words as in `Predictor.tag`. Empty words pad the shorter texts. Starts
    and ends count characters (not bytes) of the text. `probabilities` and `logits` float32 [B, W, C] are in the order
    of `labels.txt`. If the tags form spans, it also returns `span_labels` and `span_texts` string [B, S], `span_starts`
    and `span_ends` int32 [B, S], and `num_spans` int32 [B]. A text longer than a row is cut between words into several
    rows.

    `token_ids` returns `labels` string [B, L], the likeliest tag at each token, `probabilities` and `logits`.
    """

    model_kind = Tagging

    def __init__(
        self, model: Any, description: ModelDescription, tokenizer: WordPieceTokenizer, *, options: ExportOptions
    ) -> None:
        super().__init__(model, description, tokenizer, options=options)
        labels = description.labels
        self.tags = tf.constant(labels)
        self.outside = labels.index(OUTSIDE) if OUTSIDE in labels else 0
        scheme = Tagging(self.task).scheme(labels)
        self.has_spans = scheme.marks_spans
        if not self.has_spans:
            return
        # The table says whether a tag begins a span after another tag. Index -1 means no tag before.
        begins = np.zeros((len(labels) + 1, len(labels)), np.bool_)
        for second, tag in enumerate(labels):
            begins[-1, second] = bool(scheme.spans([tag]))
            for first, before in enumerate(labels):
                begins[first, second] = any(start == 1 for _, start, _ in scheme.spans([before, tag]))
        self.begins = tf.constant(begins)
        self.in_span = tf.constant(begins[-1])
        self.span_labels = tf.constant([scheme.meanings[tag][1] for tag in labels])

    def from_ids(self, inputs: Tensors) -> Tensors:
        """Return the class's outputs of `token_ids`."""
        logits = self.forward(inputs)
        return {
            "labels": tf.gather(self.tags, tf.argmax(logits, axis=-1)),
            "probabilities": tf.nn.softmax(logits),
            "logits": logits,
        }

    def from_texts(self, text: tf.Tensor) -> Tensors:
        """Return the class's outputs of `serving_default`."""
        words, offsets = self.graph_tokenizer.words_with_offsets(text)
        # Each word is tokenized on its own, as in training.
        tokens = self.graph_tokenizer.tokenize(words.flat_values)[:, : self.max_seq_length - 2]
        counts = tokens.row_lengths()
        logits = self._word_logits(tokens, words.row_splits)  # [all words, C]
        best = tf.argmax(logits, axis=-1)
        # A word without tokens was in no row.
        tag_ids = words.with_values(tf.where(counts > 0, best, tf.constant(self.outside, tf.int64)))
        outputs = {
            "words": words.to_tensor(""),
            "tags": tf.ragged.map_flat_values(lambda ids: tf.gather(self.tags, ids), tag_ids).to_tensor(""),
            "starts": tf.cast(offsets.starts.to_tensor(), tf.int32),
            "ends": tf.cast(offsets.ends.to_tensor(), tf.int32),
            "num_words": tf.cast(words.row_lengths(), tf.int32),
            "probabilities": words.with_values(tf.nn.softmax(logits)).to_tensor(),
            "logits": words.with_values(logits).to_tensor(),
        }
        return outputs | self._spans(text, tag_ids, offsets) if self.has_spans else outputs

    def _word_logits(self, tokens: tf.RaggedTensor, text_splits: tf.Tensor) -> tf.Tensor:
        """Return the logits at each word's first token, float32 [all words, C].

        Args:
            tokens: int32 [all words, None].
            text_splits: int64 [B + 1], the indices of words at which texts begin and end.
        """
        row_words = _row_words(tokens.row_splits, text_splits, self.max_seq_length - 2)  # [R]
        first_tokens = tf.gather(tokens.row_splits, row_words)
        splits = tf.concat([first_tokens, tokens.row_splits[-1:]], axis=0)
        inputs = self.rows(tf.RaggedTensor.from_row_splits(tokens.flat_values, splits, validate=False))
        rows = tf.searchsorted(row_words, tf.range(tokens.nrows()), side="right", out_type=tf.int64) - 1
        positions = tokens.row_starts() - tf.gather(first_tokens, rows) + 1  # after [CLS]
        return tf.gather_nd(self.forward(inputs), tf.stack([rows, positions], axis=1))

    def _spans(self, text: tf.Tensor, tag_ids: tf.RaggedTensor, offsets: Tokens) -> Tensors:
        flat = tag_ids.flat_values
        no_tag = tf.constant(self.begins.shape[0] - 1, tf.int64)
        before = tf.concat([no_tag[None], flat[:-1]], axis=0)[: tf.size(flat)]
        is_first = tf.ragged.range(tag_ids.row_lengths()).flat_values == 0
        begins = tf.gather_nd(self.begins, tf.stack([tf.where(is_first, no_tag, before), flat], axis=1))
        first = tf.where(begins)[:, 0]
        inside = tf.where(tf.gather(self.in_span, flat))[:, 0]
        last = tf.math.segment_max(inside, tf.gather(tf.cumsum(tf.cast(begins, tf.int64)), inside) - 1)
        texts = tf.RaggedTensor.from_value_rowids(
            tf.gather(offsets.starts.flat_values, first), tf.gather(tag_ids.value_rowids(), first), tag_ids.nrows()
        )
        ends = texts.with_values(tf.gather(offsets.ends.flat_values, last))
        labels = texts.with_values(tf.gather(self.span_labels, tf.gather(flat, first)))
        codes = tf.strings.unicode_decode(text, "UTF-8", errors="ignore")
        return {
            "span_labels": labels.to_tensor(""),
            "span_texts": substrings(codes, texts, ends).to_tensor(""),
            "span_starts": tf.cast(texts.to_tensor(), tf.int32),
            "span_ends": tf.cast(ends.to_tensor(), tf.int32),
            "num_spans": tf.cast(texts.row_lengths(), tf.int32),
        }


def _row_words(token_splits: tf.Tensor, text_splits: tf.Tensor, room: int) -> tf.Tensor:
    """Return the index of the first word of each row, int64 [R]. A row takes as many words of one text as fit.

    It follows the rule of `tasks.tagging.Tagging.encode`. A text without words has a row of its own.

    Args:
        token_splits: int64 [W + 1], where words begin and end among the tokens; none is longer than `room`.
        text_splits: int64 [B + 1], the indices of words at which texts begin and end.
        room: number of tokens in a row.
    """

    def is_left(words: tf.Tensor, *_: Any) -> tf.Tensor:
        return tf.reduce_any(words < text_splits[1:])

    def next_rows(words: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Each step adds one row to every text, up to the last word that ends within the room.
        limits = tf.gather(token_splits, words) + room
        after = tf.searchsorted(token_splits[1:], limits, side="right", out_type=tf.int64)
        words = tf.minimum(after, text_splits[1:])
        more = tf.boolean_mask(words, words < text_splits[1:])
        return words, tf.concat([rows, more], axis=0)

    starts = text_splits[:-1]
    shapes = (starts.shape, tf.TensorShape([None]))
    return tf.sort(tf.while_loop(is_left, next_rows, (starts, starts), shape_invariants=shapes)[1])
