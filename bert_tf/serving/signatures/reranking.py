"""The signatures of rerankers.

Axes: B pairs of a query and a passage, Q queries, P passages of each.
"""

from typing import Any

import tensorflow as tf

from bert_tf.serving.signatures.base import Signatures
from bert_tf.serving.static_shapes import Tensors
from bert_tf.tasks.reranking import Reranking

_LOWEST = -3.0e38


class RerankerSignatures(Signatures):
    """The signatures of a reranker.

    `serving_default` takes pairs, `query` and `passage` string [B], and returns `scores` and `logits`, float32 [B].
    `rerank` takes `query` string [Q] and `passages` string [Q, P], and returns `scores` float32 [Q, P], in the order of
    the passages. There "" fills up a shorter list: its score is the lowest.
    """

    model_kind = Reranking

    text_inputs = ("query", "passage")

    def from_ids(self, inputs: Tensors) -> Tensors:
        """Return the class's outputs of `token_ids`."""
        logits = self.forward(inputs)
        return {"scores": tf.sigmoid(logits) if self.task.activation == "sigmoid" else logits, "logits": logits}

    def from_texts(self, query: tf.Tensor, passage: tf.Tensor) -> Tensors:
        """Return the class's outputs of `serving_default`."""
        tokenize = self.graph_tokenizer.tokenize
        return self.from_ids(self.rows(tokenize(query), tokenize(passage)))

    def signatures(self) -> dict[str, Any]:
        """Return the functions to save, keyed by the names of their signatures."""

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, "query"),
                tf.TensorSpec([None, None], tf.string, "passages"),
            ],
            autograph=False,
        )
        def rerank(query: tf.Tensor, passages: tf.Tensor) -> Tensors:
            shape = tf.shape(passages)
            queries = tf.reshape(tf.broadcast_to(query[:, None], shape), [-1])
            scores = tf.reshape(self.from_texts(queries, tf.reshape(passages, [-1]))["scores"], shape)
            return {"scores": tf.where(tf.equal(passages, ""), _LOWEST, scores)}

        return super().signatures() | {"rerank": rerank}
