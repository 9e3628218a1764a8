"""Heads that start at their neighbours attend to them, and their values start like BERT's."""

import keras
import numpy as np
import pytest

from bert_tf.configs import BertConfig, ConfigError
from bert_tf.layers.initializers import NEIGHBOUR_WAVELENGTH, NeighbourHeads, sinusoids
from bert_tf.models.encoder import BertEncoder

HIDDEN, HEADS, LENGTH = 64, 4, 40


def test_each_head_reads_most_from_its_offset():
    kernel = np.array(NeighbourHeads(HEADS, stddev=0.02, gain=3.0)((HIDDEN, 3 * HIDDEN)))
    positions = sinusoids(LENGTH, HIDDEN, NEIGHBOUR_WAVELENGTH)
    query, key, value = np.split(positions @ kernel, 3, axis=1)
    size = HIDDEN // HEADS
    for head, offset in enumerate((-1, 1, -2, 2)):
        columns = slice(head * size, (head + 1) * size)
        scores = query[:, columns] @ key[:, columns].T
        inner = np.arange(2, LENGTH - 2)
        np.testing.assert_array_equal(scores[inner].argmax(axis=1), inner + offset)
    assert abs(kernel[:, 2 * HIDDEN :].std() - 0.02 * 0.88) < 0.002  # a truncated normal is narrower than its stddev
    assert value.std() > 0


def test_every_block_of_the_encoder_starts_at_neighbours():
    config = BertConfig(
        vocab_size=20,
        hidden_size=HIDDEN,
        num_layers=2,
        num_heads=HEADS,
        intermediate_size=32,
        position_initializer="neighbours",
    )
    keras.utils.set_random_seed(0)
    encoder = BertEncoder(config)
    expected = np.array(NeighbourHeads(HEADS)((HIDDEN, 3 * HIDDEN)))[:, : 2 * HIDDEN]
    kernels = [np.array(block.attention.query_key_value.kernel) for block in encoder.blocks]
    for kernel in kernels:
        np.testing.assert_array_equal(kernel[:, : 2 * HIDDEN], expected)
    assert not np.array_equal(kernels[0], kernels[1])  # each block has values of its own
    table = np.array(encoder.embeddings.position_embeddings.embeddings)
    np.testing.assert_allclose(
        table, sinusoids(512, HIDDEN, NEIGHBOUR_WAVELENGTH) * 0.02 * np.sqrt(2), rtol=1e-5, atol=1e-8
    )


def test_the_initializer_is_made_again_and_refuses_odd_heads():
    again = NeighbourHeads.from_config(NeighbourHeads(2, 0.1, gain=2.0, longest=50.0).get_config())
    assert again.get_config() == {"num_heads": 2, "stddev": 0.1, "gain": 2.0, "longest": 50.0}
    with pytest.raises(ValueError, match=r"even size.*hidden_size=6, num_heads=2"):
        NeighbourHeads(2)((6, 18))


@pytest.mark.parametrize(
    "changes", [{"position_embedding": "sinusoidal"}, {"embedding_size": 32}, {"hidden_size": 12, "num_heads": 4}]
)
def test_a_configuration_unfit_for_neighbours_is_refused(changes):
    sizes = {"hidden_size": HIDDEN, "num_heads": HEADS} | changes
    with pytest.raises(ConfigError, match="neighbours needs"):
        BertConfig(position_initializer="neighbours", **sizes)
