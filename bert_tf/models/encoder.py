"""The Transformer encoder of BERT.

Shapes: B batch, L length, D hidden.
"""

from typing import Any

import keras
from keras import ops

from bert_tf.configs import BertConfig
from bert_tf.features import ORDER, Batch, Tensor
from bert_tf.layers.attention import attention_allowed
from bert_tf.layers.base import seed_part
from bert_tf.layers.embeddings import BertEmbeddings
from bert_tf.layers.heads import Pooler
from bert_tf.layers.transformer_block import TransformerBlock
from bert_tf.models.base import BertModel
from bert_tf.models.pooling import mean_vectors


@keras.saving.register_keras_serializable(package="bert_tf")
class BertEncoder(BertModel):
    """The encoder: embeddings, blocks and pooler (Devlin et al. 2018; google-research/bert `modeling.BertModel`).

    The constructor creates the weights, from truncated normals (`keras.utils.set_random_seed` makes them reproducible).

    Args:
        config: sizes and options; a `BertConfig` or its dictionary.

    >>> encoder = BertEncoder(BertConfig(vocab_size=30, hidden_size=8, num_layers=2, num_heads=2, intermediate_size=16))
    >>> outputs = encoder({"input_ids": keras.ops.ones((1, 6), "int32")})
    >>> outputs["sequence_output"].shape, outputs["pooled_output"].shape
    (TensorShape([1, 6, 8]), TensorShape([1, 8]))
    """

    def __init__(self, config: BertConfig | dict[str, Any], name: str = "encoder", **kwargs: Any) -> None:
        super().__init__(config, name=name, **kwargs)
        c = self.config
        self.embeddings = BertEmbeddings(
            vocab_size=c.vocab_size,
            hidden_size=c.hidden_size,
            max_position_embeddings=c.max_position_embeddings,
            type_vocab_size=c.type_vocab_size,
            dropout_rate=c.dropout_rate,
            layer_norm_epsilon=c.layer_norm_epsilon,
            initializer_range=c.initializer_range,
            position_embedding=c.position_embedding,
            position_initializer=c.position_initializer,
            embedding_size=c.embedding_size,
            dtype=self.dtype_policy,
            name="embeddings",
        )
        self.blocks = [
            TransformerBlock(
                hidden_size=c.hidden_size,
                num_heads=c.num_heads,
                intermediate_size=c.intermediate_size,
                hidden_act=c.hidden_act,
                dropout_rate=c.dropout_rate,
                attention_dropout_rate=c.attention_dropout_rate,
                layer_norm_epsilon=c.layer_norm_epsilon,
                initializer_range=c.initializer_range,
                attention_start="neighbours" if c.position_initializer == "neighbours" else "truncated_normal",
                attention_implementation=c.attention,
                recompute=c.recompute,
                dtype=self.dtype_policy,
                name=f"block_{number}",
            )
            for number in range(c.num_layers)
        ]
        self.pooler = Pooler(c.hidden_size, c.initializer_range, dtype=self.dtype_policy, name="pooler")
        self.build(self.input_shapes())

    def build(self, input_shape: Any = None) -> None:
        """Create all weights. They depend on the configuration alone."""
        if self.built:
            return
        shape = (None, None, self.config.hidden_size)
        self.embeddings.build((None, None))
        for block in self.blocks:
            block.build(shape)
        self.pooler.build((None, self.config.hidden_size))
        self.built = True

    def call(self, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Batch:
        """Encode a batch of rows.

        Args:
            inputs: `input_ids` int [B, L], and optionally `input_mask` int [B, L] (0 on padding, k on the tokens of the
                row's k-th sequence; 1 by default), `segment_ids` int [B, L] (0 by default), `position_ids` int [B, L]
                (0 to L - 1 by default) and `order` int [B, L] (by which a token reads no token of a larger number).
                See `bert_tf.features`.
            training: whether dropout is applied.
            seed: integer scalar from which all dropout masks are made, or one for each row, integers [B]; with None,
                each layer counts its own calls.

        Returns:
            `sequence_output` [B, L, D], and `pooled_output` [B, D] of the first token, both in the compute dtype.
        """
        return self.encoded(self.layer_outputs(inputs, training=training, seed=seed)[-1])

    def layer_outputs(self, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> list[Tensor]:
        """Return the embedded tokens, then the output of each block, [B, L, D] each; the arguments are those of `call`.

        The last one is the `sequence_output`.
        """
        input_ids = inputs["input_ids"]
        seed = self.seeds_of_rows(seed, inputs)
        input_mask = inputs.get("input_mask")
        if input_mask is None:
            input_mask = ops.ones_like(input_ids)
        segment_ids = inputs.get("segment_ids")
        if segment_ids is None:
            segment_ids = ops.zeros_like(input_ids)
        position_ids = inputs.get("position_ids")
        if position_ids is None:
            position_ids = ops.broadcast_to(ops.arange(ops.shape(input_ids)[1]), ops.shape(input_ids))
        # A fused kernel takes the numbers of the sequences, [B, L], instead of [B, 1, L, L].
        fused = self.config.attention == "fused"
        allowed = input_mask if fused else attention_allowed(input_mask, inputs.get(ORDER))
        outputs = [self.embeddings(input_ids, segment_ids, position_ids, training=training, seed=seed_part(seed, 0))]
        for number, block in enumerate(self.blocks, 1):
            outputs.append(block(outputs[-1], allowed, training=training, seed=seed_part(seed, number)))
        return outputs

    def encoded(self, sequence_output: Tensor) -> Batch:
        """Return what `call` returns, of the last block's output, [B, L, D]."""
        return {"sequence_output": sequence_output, "pooled_output": self.pooler(sequence_output[:, 0])}

    def pooled_vectors(self, encoded: Batch, inputs: Batch, *, pooling: str) -> Tensor:
        """Return the vector of each row that a head reads, [B, D] in the compute dtype.

        Args:
            encoded: this encoder's outputs.
            inputs: this encoder's inputs.
            pooling: `cls` for the pooled output of `[CLS]`; `mean` for the pooler applied to the mean of the vectors of
                the row's first sequence, which `[CLS]` belongs to.
        """
        pooled = encoded["pooled_output"]
        if pooling == "cls":
            return pooled
        return self.pooler(ops.cast(mean_vectors(encoded, inputs, ops), pooled.dtype))
