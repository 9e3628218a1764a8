import numpy as np
import pytest

from bert_tf.features import pretraining_batch
from experiments.benchmarks.synthetic_batches import synthetic_batches, tokens_per_batch


@pytest.mark.parametrize("sequences", [0, 1, 4])
def test_batches_fit_the_contract(sequences):
    arrays = synthetic_batches(5, 64, predictions=10, vocab_size=1500, count=2, sequences=sequences)
    for name, feature in pretraining_batch(5, 64, 10, max_sequences_per_row=max(1, sequences)).items():
        shape = tuple(size or 0 for size in feature.shape)
        assert (arrays[name].shape, arrays[name].dtype) == ((2, *shape), np.dtype(feature.dtype)), name
    mask, weights = arrays["input_mask"], arrays["masked_lm_weights"]
    np.testing.assert_array_equal(arrays["next_sentence_weights"].sum(-1), mask.max(-1))
    np.testing.assert_array_equal(arrays["position_ids"] == 0, (np.diff(mask, prepend=0) != 0) | (mask == 0))
    numbers = np.take_along_axis(mask, arrays["masked_lm_positions"], -1)
    assert numbers[weights > 0].min() > 0  # no padding is predicted
    for row in range(5):
        places = arrays["masked_lm_positions"][0, row][weights[0, row] > 0]
        assert len(set(places.tolist())) == len(places) > 0
        assert not set(places.tolist()) & set(arrays["next_sentence_positions"][0, row].tolist())
    assert not np.array_equal(arrays["input_ids"][0], arrays["input_ids"][1])


def test_packed_rows_hold_more_text_than_padded_rows():
    full, padded, packed = (
        synthetic_batches(16, 128, predictions=20, vocab_size=1500, count=4, sequences=sequences)
        for sequences in (0, 1, 8)
    )
    assert tokens_per_batch(full) == 16 * 128
    assert 0.4 < tokens_per_batch(padded) / (16 * 128) < 0.65
    assert tokens_per_batch(packed) / (16 * 128) > 0.9
    assert packed["input_mask"].max() > 1 == padded["input_mask"].max()


def test_the_seed_decides():
    first, again, other = (
        synthetic_batches(2, 32, predictions=5, vocab_size=1500, count=1, sequences=1, seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first["input_ids"], again["input_ids"])
    assert not np.array_equal(first["input_ids"], other["input_ids"])
