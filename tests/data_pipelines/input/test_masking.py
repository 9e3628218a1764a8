import numpy as np
import pytest
import tensorflow as tf

from bert_tf import features
from bert_tf.configs import MaskingConfig
from data_pipelines.input.masking import MaskingVocabulary, PartOfBatches, encoder_features, mask_batch, num_predictions

PAD, UNK, CLS, SEP, MASK = range(5)
VOCAB_SIZE = 1000
FIRST_CONTINUATION = 600  # tokens from here on are `##` tokens
VOCABULARY = MaskingVocabulary(
    vocab_size=VOCAB_SIZE,
    cls_id=CLS,
    sep_id=SEP,
    mask_id=MASK,
    continuation=tuple(token >= FIRST_CONTINUATION for token in range(VOCAB_SIZE)),
)
SEED = tf.constant([7, 3], tf.int64)


def make_rows(sequences: list[list[tuple[int, int, int]]], length: int, slots: int, seed: int = 0):
    """Rows of sequences given as (tokens of A, tokens of B or 0, label), with random tokens."""
    generator = np.random.default_rng(seed)
    input_ids = np.zeros((len(sequences), length), np.int32)
    fields = np.zeros((3, len(sequences), slots), np.int32)
    for row, members in enumerate(sequences):
        place = 0
        for k, (first, second, label) in enumerate(members):
            text = generator.integers(5, VOCAB_SIZE, first + second)
            tokens = [CLS, *text[:first], SEP] + ([*text[first:], SEP] if second else [])
            input_ids[row, place : place + len(tokens)] = tokens
            fields[:, row, k] = len(tokens), first + 2, label
            place += len(tokens)
    names = ("sequence_lengths", "first_segment_lengths", "next_sentence_labels")
    return {"input_ids": tf.constant(input_ids)} | {name: tf.constant(f) for name, f in zip(names, fields, strict=True)}


def random_rows(batch: int, length: int, slots: int, seed: int = 0):
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(batch):
        row, left = [], length
        for _ in range(slots):
            if left < 5:
                break
            first = int(generator.integers(1, left - 3))
            second = int(generator.integers(0, left - 3 - first + 1))
            row.append((first, second, int(generator.integers(0, 2))))
            left -= first + second + (3 if second else 2)
        rows.append(row)
    return make_rows(rows, length, slots, seed)


def test_encoder_features_of_a_packed_row():
    features_ = encoder_features(make_rows([[(2, 3, 1), (1, 0, -1)], [(1, 1, 0)]], 14, 3))
    actual = {name: value.numpy().tolist() for name, value in features_.items() if name != "input_ids"}
    assert actual == {
        "input_mask": [[1] * 8 + [2] * 3 + [0] * 3, [1] * 5 + [0] * 9],
        "segment_ids": [[0] * 4 + [1] * 4 + [0] * 6, [0] * 3 + [1] * 2 + [0] * 9],
        "position_ids": [[0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 0, 0, 0], [0, 1, 2, 3, 4] + [0] * 9],
        "next_sentence_positions": [[0, 0, 0], [0, 0, 0]],
        "next_sentence_labels": [[1, 0, 0], [0, 0, 0]],
        "next_sentence_weights": [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
    }


def test_second_sequences_are_found_at_their_cls():
    rows = make_rows([[(2, 3, 1), (2, 2, 0), (1, 1, 1)]], 30, 4)
    batch = encoder_features(rows)
    assert batch["next_sentence_positions"].numpy().tolist() == [[0, 8, 15, 0]]
    assert batch["next_sentence_labels"].numpy().tolist() == [[1, 0, 1, 0]]
    assert batch["next_sentence_weights"].numpy().tolist() == [[1, 1, 1, 0]]


def test_one_row_of_one_sequence_is_the_same_packed_or_not():
    members = [[(5, 7, 1)], [(9, 0, -1)], [(1, 1, 0)]]
    one = encoder_features(make_rows(members, 20, 1))
    many = encoder_features(make_rows(members, 20, 4))
    for name in features.encoder_batch(None, None):
        np.testing.assert_array_equal(one[name], many[name])


STRATEGIES = ("token", "whole_word", "ngram", "span")
CASES = [pytest.param(strategy, slots, id=f"{strategy}-{slots}") for strategy in STRATEGIES for slots in (1, 4)]


def masked(strategy: str, slots: int, batch: int = 300, length: int = 64, **changes):
    rows = random_rows(batch, length, slots)
    masking = MaskingConfig(strategy=strategy, **changes)
    predictions = num_predictions(masking, length)
    return rows, predictions, mask_batch(rows, masking, predictions=predictions, vocabulary=VOCABULARY, seed=SEED)


@pytest.mark.parametrize(("strategy", "slots"), CASES)
def test_the_batch_is_what_the_contract_says(strategy, slots):
    _, predictions, batch = masked(strategy, slots)
    contract = features.pretraining_batch(300, 64, predictions, max_sequences_per_row=slots)
    assert {name: features.Feature(tuple(v.shape), v.dtype.name) for name, v in batch.items()} == contract


@pytest.mark.parametrize(("strategy", "slots"), CASES)
def test_positions_ids_and_weights_belong_together(strategy, slots):
    rows, _, batch = masked(strategy, slots)
    originals = rows["input_ids"].numpy()
    positions, ids, weights = (batch[f"masked_lm_{name}"].numpy() for name in ("positions", "ids", "weights"))
    assert set(np.unique(weights)) == {0.0, 1.0}
    for row in range(len(originals)):
        used = weights[row] > 0
        assert len(set(positions[row][used])) == used.sum()
        assert np.all(np.diff(weights[row]) <= 0)  # unused places last
        assert not positions[row][~used].any()
        assert not ids[row][~used].any()
        np.testing.assert_array_equal(ids[row][used], originals[row][positions[row][used]])
        assert not np.isin(ids[row][used], (PAD, CLS, SEP)).any()
        # Nothing but the chosen places changes.
        untouched = np.ones(64, bool)
        untouched[positions[row][used]] = False
        np.testing.assert_array_equal(batch["input_ids"].numpy()[row][untouched], originals[row][untouched])


def expected_count(length: int, predictions: int, rate: float = 0.15) -> int:
    return min(predictions, max(1, round(rate * length)))


@pytest.mark.parametrize("length", range(5, 129, 3))
def test_a_sequence_gets_its_count(length):
    rows = make_rows([[(1, length - 4, 0)]] * 3, 128, 1)
    batch = mask_batch(rows, MaskingConfig(), predictions=20, vocabulary=VOCABULARY, seed=SEED)
    assert batch["masked_lm_weights"].numpy().sum(axis=1).tolist() == [expected_count(length, 20)] * 3


def test_max_predictions_caps_the_count():
    rows = make_rows([[(50, 70, 0)]], 128, 1)
    masking = MaskingConfig(max_predictions_per_seq=7)
    assert num_predictions(masking, 128) == 7
    assert (
        mask_batch(rows, masking, predictions=7, vocabulary=VOCABULARY, seed=SEED)["masked_lm_weights"].numpy().sum()
        == 7
    )


def test_a_high_rate_masks_every_token_of_text():
    rows = make_rows([[(3, 2, 0)]], 16, 1)
    batch = mask_batch(rows, MaskingConfig(masked_lm_rate=1.0), predictions=16, vocabulary=VOCABULARY, seed=SEED)
    used = batch["masked_lm_weights"].numpy()[0] > 0
    assert sorted(batch["masked_lm_positions"].numpy()[0][used].tolist()) == [1, 2, 3, 5, 6]


def test_packed_sequences_get_their_counts_each():
    rows = make_rows([[(20, 17, 0), (10, 7, 1), (30, 0, 0)]] * 4, 128, 4)
    batch = mask_batch(rows, MaskingConfig(), predictions=20, vocabulary=VOCABULARY, seed=SEED)
    sequence = tf.gather(batch["input_mask"], batch["masked_lm_positions"], batch_dims=1).numpy()
    for row in range(4):
        used = batch["masked_lm_weights"].numpy()[row] > 0
        counts = np.bincount(sequence[row][used], minlength=4)[1:]
        assert counts.tolist() == [expected_count(40, 20), expected_count(20, 20), expected_count(32, 20)]


def test_packed_sequences_share_the_predictions_of_a_row():
    rows = make_rows([[(20, 17, 0), (20, 17, 1), (20, 17, 0)]], 128, 4)
    batch = mask_batch(rows, MaskingConfig(max_predictions_per_seq=9), predictions=9, vocabulary=VOCABULARY, seed=SEED)
    sequence = tf.gather(batch["input_mask"], batch["masked_lm_positions"], batch_dims=1).numpy()
    assert batch["masked_lm_weights"].numpy().sum() == 9
    assert np.bincount(sequence[0])[1:].tolist() == [3, 3, 3]


def words_of(ids: np.ndarray) -> np.ndarray:
    """Number of each place's word, counted in plain Python; -1 for places without text."""
    words, number = [], -1
    for place, token in enumerate(ids):
        if token in (PAD, CLS, SEP):
            words.append(-1)
            continue
        joins = token >= FIRST_CONTINUATION and words[place - 1] >= 0
        number += not joins
        words.append(number)
    return np.array(words)


@pytest.mark.parametrize("slots", [1, 4])
def test_words_are_chosen_whole(slots):
    rows, predictions, batch = masked("whole_word", slots)
    counts = []
    for row, ids in enumerate(rows["input_ids"].numpy()):
        words = words_of(ids)
        used = batch["masked_lm_weights"].numpy()[row] > 0
        chosen = batch["masked_lm_positions"].numpy()[row][used]
        whole = np.flatnonzero(np.isin(words, words[chosen]))
        np.testing.assert_array_equal(np.sort(chosen), whole)
        lengths = rows["sequence_lengths"].numpy()[row]
        counts.append(used.sum() / min(predictions, sum(expected_count(n, predictions) for n in lengths if n)))
    # A sequence of long words can stay short of its count, most do not.
    assert np.mean(counts) > 0.9
    assert max(counts) <= 1.0


def test_words_that_do_not_fit_are_passed_over_for_those_that_do():
    # One place to fill; a word of four tokens and one of one token: whatever comes first, only the short one fits.
    ids = [CLS, 10, 700, 701, 702, 11, SEP]
    row = {
        "input_ids": tf.constant([ids] * 64),
        "sequence_lengths": tf.constant([[7]] * 64),
        "first_segment_lengths": tf.constant([[7]] * 64),
        "next_sentence_labels": tf.constant([[-1]] * 64),
    }
    batch = mask_batch(row, MaskingConfig(strategy="whole_word"), predictions=2, vocabulary=VOCABULARY, seed=SEED)
    assert set(batch["masked_lm_positions"].numpy()[:, 0].tolist()) == {5}
    assert batch["masked_lm_weights"].numpy().tolist() == [[1.0, 0.0]] * 64


def chi_square(observed: np.ndarray, expected: np.ndarray) -> float:
    return float(((observed - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("strategy", ["token", "whole_word", "ngram"])
def test_shares_of_mask_random_and_kept(strategy):
    rows = make_rows([[(60, 65, 0)]] * 4000, 128, 1)
    batch = mask_batch(rows, MaskingConfig(strategy=strategy), predictions=20, vocabulary=VOCABULARY, seed=SEED)
    used = batch["masked_lm_weights"].numpy() > 0
    ids = batch["masked_lm_ids"].numpy()[used]
    now = tf.gather(batch["input_ids"], batch["masked_lm_positions"], batch_dims=1).numpy()[used]
    is_mask, kept = now == MASK, now == ids
    observed = np.array([is_mask.sum(), (~is_mask & ~kept).sum(), kept.sum()])
    # A random token is [MASK] or the token itself once in V each.
    once = 0.1 / VOCAB_SIZE
    expected = used.sum() * np.array([0.8 + once, 0.1 - 2 * once, 0.1 + once])
    assert chi_square(observed, expected) < 18.4  # 2 degrees of freedom, p = 0.0001

    random = now[~is_mask & ~kept]
    tenths = np.bincount(random * 10 // VOCAB_SIZE, minlength=10)
    assert chi_square(tenths, np.full(10, len(random) / 10)) < 33.7  # 9 degrees of freedom, p = 0.0001


def test_every_position_is_chosen_equally_often():
    rows = make_rows([[(29, 30, 0)]] * 8000, 62, 1)
    batch = mask_batch(rows, MaskingConfig(), predictions=10, vocabulary=VOCABULARY, seed=SEED)
    used = batch["masked_lm_weights"].numpy() > 0
    counts = np.bincount(batch["masked_lm_positions"].numpy()[used], minlength=62)
    assert counts[[0, 30, 61]].tolist() == [0, 0, 0]
    text = np.delete(counts, [0, 30, 61])
    # Without replacement within a row, so the statistic is a little smaller than of independent draws.
    assert chi_square(text, np.full(59, text.mean())) < 112.0  # 58 degrees of freedom, p = 0.0001


def test_shares_are_configurable():
    rows = make_rows([[(60, 65, 0)]] * 50, 128, 1)
    kept = mask_batch(
        rows, MaskingConfig(mask_share=0.0, random_share=0.0), predictions=20, vocabulary=VOCABULARY, seed=SEED
    )
    np.testing.assert_array_equal(kept["input_ids"], rows["input_ids"])
    all_masked = mask_batch(
        rows, MaskingConfig(mask_share=1.0, random_share=0.0), predictions=20, vocabulary=VOCABULARY, seed=SEED
    )
    assert (all_masked["input_ids"].numpy() == MASK).sum() == 50 * 19


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_eager_function_and_dataset_agree(strategy):
    rows = random_rows(24, 48, slots=4)
    masking = MaskingConfig(strategy=strategy)

    def mask(some_rows):
        return mask_batch(some_rows, masking, predictions=8, vocabulary=VOCABULARY, seed=SEED)

    eager = mask(rows)
    compiled = tf.function(mask)(rows)
    dataset = next(iter(tf.data.Dataset.from_tensors(rows).map(mask)))
    for name in eager:
        np.testing.assert_array_equal(eager[name], compiled[name])
        np.testing.assert_array_equal(eager[name], dataset[name])


@pytest.mark.parametrize(("strategy", "slots"), CASES)
def test_parts_of_a_batch_get_the_masks_of_the_whole(strategy, slots):
    rows = random_rows(12, 48, slots)
    masking = MaskingConfig(strategy=strategy)
    whole = mask_batch(rows, masking, predictions=8, vocabulary=VOCABULARY, seed=SEED)
    for first in range(0, 12, 4):
        part = {name: value[first : first + 4] for name, value in rows.items()}
        alone = mask_batch(
            part, masking, predictions=8, vocabulary=VOCABULARY, seed=SEED, part=PartOfBatches(4, first, 12)
        )
        for name in whole:
            np.testing.assert_array_equal(whole[name][first : first + 4], alone[name])


def test_other_seeds_give_other_masks():
    rows = random_rows(24, 48, 1)
    first, second = (
        mask_batch(rows, MaskingConfig(), predictions=8, vocabulary=VOCABULARY, seed=tf.constant([7, step], tf.int64))[
            "masked_lm_positions"
        ]
        for step in (0, 1)
    )
    assert (first.numpy() != second.numpy()).any()


def first_spans(strategy: str, **changes) -> np.ndarray:
    """How many spans that were chosen first in their rows have 0, 1, 2, ... words, in rows of one-token words."""
    rows = make_rows([[(998, 0, -1)]] * 4000, 1000, 1)
    rows["input_ids"] = tf.where(rows["input_ids"] >= FIRST_CONTINUATION, 9, rows["input_ids"])
    masking = MaskingConfig(strategy=strategy, masked_lm_rate=0.02, **changes)
    # Places come in the order in which they were chosen, so a row begins with its first span, which nothing cuts.
    places = mask_batch(rows, masking, predictions=20, vocabulary=VOCABULARY, seed=SEED)["masked_lm_positions"].numpy()
    return np.bincount(1 + np.argmax(np.diff(places, axis=1) != 1, axis=1))


GEOMETRIC = 0.8 ** np.arange(10)  # Joshi et al. 2020: p = 0.2, at most 10 words


@pytest.mark.parametrize(
    ("strategy", "changes", "weights", "limit"),  # the limit: p = 0.0001
    [
        ("ngram", {}, [6, 3, 2], 18.4),
        ("ngram", {"max_span_words": 2}, [2, 1], 15.1),
        ("span", {}, GEOMETRIC, 33.7),
        ("span", {"max_span_words": 2}, GEOMETRIC[:2], 15.1),
    ],
)
def test_spans_have_the_published_lengths(strategy, changes, weights, limit):
    counts = first_spans(strategy, **changes)[1 : len(weights) + 1]
    assert counts.sum() >= 3980  # few seem longer, because the next span is their neighbour
    assert chi_square(counts, counts.sum() * np.array(weights) / np.sum(weights)) < limit


def test_a_geometric_distribution_that_ends_at_once_gives_single_words():
    assert first_spans("span", span_probability=1.0)[1] >= 3980  # few are followed by a neighbour


@pytest.mark.parametrize("strategy", ["ngram", "span"])
@pytest.mark.parametrize("slots", [1, 4])
def test_spans_begin_with_words_and_fill_the_row(strategy, slots):
    rows, predictions, batch = masked(strategy, slots)
    mask = batch["input_mask"].numpy()
    for row, ids in enumerate(rows["input_ids"].numpy()):
        words = words_of(ids)
        chosen = batch["masked_lm_positions"].numpy()[row][batch["masked_lm_weights"].numpy()[row] > 0]
        for k, length in enumerate(rows["sequence_lengths"].numpy()[row]):
            if length:
                wanted = min(predictions, max(1, round(0.15 * length)))
                assert (mask[row][chosen] == k + 1).sum() <= wanted
        # A token inside a word is chosen only behind the token before it.
        for place in chosen:
            assert words[place] != words[place - 1] or place - 1 in chosen
    assert batch["masked_lm_weights"].numpy().sum() > 0.9 * sum(
        min(predictions, sum(expected_count(n, predictions) for n in row if n))
        for row in rows["sequence_lengths"].numpy()
    )


def test_the_tokens_of_a_span_meet_one_fate():
    rows = make_rows([[(60, 65, 0)]] * 200, 128, 1)
    masking = MaskingConfig(strategy="span", mask_share=0.5, random_share=0.0)
    batch = mask_batch(rows, masking, predictions=20, vocabulary=VOCABULARY, seed=SEED)
    now = tf.gather(batch["input_ids"], batch["masked_lm_positions"], batch_dims=1).numpy() == MASK
    positions = batch["masked_lm_positions"].numpy()
    neighbours = (np.diff(positions, axis=1) == 1) & (batch["masked_lm_weights"].numpy()[:, 1:] > 0)
    assert now[batch["masked_lm_weights"].numpy() > 0].mean() == pytest.approx(0.5, abs=0.05)
    # Two spans may be neighbours; tokens with fates of their own would differ half the time.
    assert (now[:, 1:] != now[:, :-1])[neighbours].mean() < 0.1
