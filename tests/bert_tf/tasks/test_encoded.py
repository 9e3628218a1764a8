import numpy as np
import pytest

from bert_tf.tasks.encoded import EncodedExamples, default_bucket_lengths
from bert_tf.training.encoded_batches import batch_gatherer, batches_together, steps_per_epoch, training_dataset


def numbered(count, longest=40, max_seq_length=64, seed=0, buckets=()):
    """EncodedExamples of random lengths; every token of row n is n + 1."""
    lengths = np.random.default_rng(seed).integers(3, longest + 1, count)
    return EncodedExamples.from_lists(
        [[number + 1] * length for number, length in enumerate(lengths)],
        [[0] * (length - 1) + [1] for length in lengths],
        pad_id=0,
        max_seq_length=max_seq_length,
        bucket_lengths=buckets,
        token_features={"tag_weights": ([[1.0] * length for length in lengths], "float32")},
        example_features={"label_ids": np.arange(count, dtype=np.int32), "label_weights": np.ones(count, np.float32)},
    )


def taken(rows, batch_size, steps, seed=5, start=0):
    return list(training_dataset(rows, batch_size, seed=seed, start_step=start).take(steps).as_numpy_iterator())


def test_bucket_lengths():
    assert default_bucket_lengths(128) == (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128)
    assert default_bucket_lengths(5) == (5,)
    assert numbered(3, 10, 64, buckets=(32, 16)).bucket_lengths == (16, 32, 64)
    assert numbered(3).in_one_length().bucket_lengths == (64,)


def test_every_row_once_in_order_of_length():
    rows = numbered(21)
    seen = []
    for indices, batch in rows.batches(4):
        real = indices >= 0
        assert batch["input_ids"].shape == (4, batch["input_mask"].shape[1])
        np.testing.assert_array_equal(batch["label_weights"], real)
        np.testing.assert_array_equal(batch["input_mask"].sum(axis=1)[real], rows.lengths[indices[real]])
        np.testing.assert_array_equal(batch["input_ids"][:, 0][real], indices[real] + 1)
        assert batch["input_mask"].shape[1] - batch["input_mask"].sum(axis=1).max() < 8
        seen += indices[real].tolist()
    assert sorted(seen) == list(range(21))


def test_training_batches_are_those_of_numpy():
    rows = numbered(10)
    for batch in taken(rows, 4, 3):
        real = batch["label_weights"] > 0
        indices = np.where(real, batch["label_ids"], -1)
        expected = rows.batch(indices, batch["input_ids"].shape[1])
        for name, array in expected.items():
            np.testing.assert_array_equal(batch[name][real], array[real], err_msg=name)
        assert batch["tag_weights"][~real].sum() == 0


def test_positions_of_fillers_are_those_of_their_short_batch():
    lengths = [20, 5, 4]
    rows = EncodedExamples.from_lists(
        [[1] * length for length in lengths],
        [[0] * length for length in lengths],
        pad_id=0,
        max_seq_length=24,
        bucket_lengths=(8,),
        example_features={"next_token_positions": np.array([[18, 19], [3, 4], [3, 0]], np.int32)},
    )
    numbers = np.array([2, -1])
    for batch in (rows.batch(numbers, 8), batch_gatherer(rows, 2)(numbers)):
        assert batch["input_ids"].shape == (2, 8)
        # The filler repeats the first row, which is longer than the batch.
        np.testing.assert_array_equal(batch["next_token_positions"], [[3, 0], [7, 7]])
    [whole, rest] = [batch["next_token_positions"].tolist() for _, batch in rows.batches(2)]
    assert (whole, rest) == ([[18, 19], [3, 4]], [[3, 0], [7, 7]])


@pytest.mark.parametrize(("count", "batch_size"), [(10, 4), (3, 8), (8, 4)])
def test_training_batches_depend_on_seed_and_step_alone(count, batch_size):
    rows = numbered(count)
    steps = steps_per_epoch(rows, batch_size)
    whole = taken(rows, batch_size, 3 * steps)
    for epoch in range(3):
        ids = [
            row
            for batch in whole[epoch * steps : (epoch + 1) * steps]
            for row, weight in zip(batch["label_ids"], batch["label_weights"], strict=True)
            if weight
        ]
        assert sorted(ids) == list(range(count))
    for start in (1, steps, 2 * steps + 1):
        for late, batch in zip(taken(rows, batch_size, 3 * steps - start, start=start), whole[start:], strict=True):
            np.testing.assert_array_equal(late["input_ids"], batch["input_ids"])


def test_orders_differ_by_epoch_and_seed():
    rows = numbered(40)

    def order(seed, start):
        return tuple(np.concatenate([batch["label_ids"] for batch in taken(rows, 8, 5, seed, start)]))

    assert len({order(1, 0), order(1, 5), order(2, 0)}) == 3
    assert order(1, 5 * 10**6) == order(1, 5 * 10**6)


def test_short_rows_do_not_pay_for_long_ones():
    rows = numbered(512, longest=60)
    places = sum(batch["input_ids"].size for batch in taken(rows, 8, 64))
    assert places < 1.25 * rows.lengths.sum()
    assert {batch["input_ids"].shape for batch in taken(rows.in_one_length(), 8, 4)} == {(8, 64)}


def test_each_run_goes_from_long_rows_to_short_ones():
    rows = numbered(512, longest=60)
    steps = steps_per_epoch(rows, 8)
    together = batches_together(steps)
    assert (steps, together) == (64, 16)
    for epoch in (0, 3):
        batches = taken(rows, 8, steps, start=epoch * steps)
        lengths = np.concatenate([batch["input_mask"].sum(axis=1) for batch in batches]).reshape(-1, together * 8)
        assert (np.diff(lengths, axis=1) <= 0).all()
        assert (lengths[:, 0] > lengths[:, -1]).all()


def test_rows_of_one_origin_are_no_batch_of_their_own():
    """As questions on a paragraph, whose rows have nearly one length."""
    origins, batch_size = 32, 4
    lengths = np.repeat(8 * np.arange(1, origins + 1), batch_size)
    rows = EncodedExamples.from_lists(
        [[1] * length for length in lengths], [[0] * length for length in lengths], pad_id=0, max_seq_length=256
    )
    rows.example_features["label_ids"] = np.repeat(np.arange(origins, dtype=np.int32), batch_size)
    batches = [batch["label_ids"].tolist() for batch in taken(rows, batch_size, 4 * origins)]
    assert sum(len(set(batch)) == 1 for batch in batches) < len(batches) / 10
    assert batches_together(origins) == 8
    assert batches_together(3) == 1
    assert batches_together(10**6) == 64


def test_numbers_out_of_range():
    with pytest.raises(ValueError, match="batch_size=0"):
        training_dataset(numbered(3), 0, seed=0)
    with pytest.raises(ValueError, match="start_step=-1"):
        training_dataset(numbered(3), 2, seed=0, start_step=-1)
    with pytest.raises(ValueError, match="at least one row"):
        training_dataset(numbered(0), 2, seed=0)
