"""The floating-point operations of a training step, counted from the sizes of the models' matrix products.

Shapes: B rows, L length, P predictions in a row, K sequences in a row, D hidden, I intermediate, E embedding size,
V vocabulary.
"""

from bert_tf.configs import BertConfig


def pretraining_step_flops(
    model: BertConfig, rows: int, max_seq_length: int, *, predictions: int, max_sequences_per_row: int = 1
) -> float:
    """Return the multiplications and additions in the matrix products of one pre-training step.

    A product [m, k] x [k, n] takes 2mkn operations, and its gradients take twice as many. A block has products of
    D x 3D, D x D, D x I and I x D for each token, and two of L x L x D for each row. Element-wise operations are left
    out; with them, a compiler counts a few per cent more.

    Args:
        model: sizes; `recompute` adds a second forward pass of each block.
        rows: B, on one device or on all devices.
        max_seq_length: L.
        predictions: P.
        max_sequences_per_row: K.
    """
    hidden, embedding = model.hidden_size, model.embedding_size or model.hidden_size
    masked_lm = 2 * rows * predictions * (hidden * embedding + embedding * model.vocab_size)
    next_sentence = 2 * rows * max_sequences_per_row * (hidden**2 + 2 * hidden)
    return encoder_step_flops(model, rows, max_seq_length) + 3.0 * (masked_lm + next_sentence)


def encoder_step_flops(model: BertConfig, rows: int, max_seq_length: int) -> float:
    """Return the operations of one step of the encoder without heads, as `pretraining_step_flops` counts them.

    This is an estimate for fine-tuning, whose heads take less than a thousandth of the operations.

    Args:
        model: sizes; `recompute` adds a second forward pass of each block.
        rows: B, on one device or on all devices.
        max_seq_length: L.
    """
    hidden, embedding = model.hidden_size, model.embedding_size or model.hidden_size
    tokens = rows * max_seq_length
    block = 2 * tokens * (4 * hidden**2 + 2 * hidden * model.intermediate_size)
    block += 2 * 2 * tokens * max_seq_length * hidden
    projection = 2 * tokens * embedding * hidden if embedding != hidden else 0
    passes = 4 if model.recompute else 3
    return float(passes * model.num_layers * block + 3 * projection)
