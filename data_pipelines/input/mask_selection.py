"""The choice of the positions to predict: tokens, whole words, n-grams or spans, for whole batches at once.

Nothing here sorts, or draws for all L positions of a row: sampling without replacement needs a random number only for
each position that is chosen, and a row's words are found in one list of the whole batch. This is several times as fast
as sorting the row by random scores. Positions come in the order in which they were drawn.

Axes: B batch, L length, K sequences in a row, P predictions in a row, R slots in which tokens, words or spans are tried
one after the other. Tensors over slots are [R, B], so that a step from slot to slot works on neighbouring memory.
"""

from collections.abc import Sequence

import tensorflow as tf

# A position and a second small number (a length, a slot) in one int32.
_POSITION_BITS = 16
MAX_ROW_LENGTH = 1 << (_POSITION_BITS - 2)

# The number of extra slots that a row's sequences share, because words that do not fit, and spans that start inside
# another span, leave their slot empty.
_SPARE_SLOTS = 16

# This number is greater than every rank.
_NOWHERE = 1 << 30


def choose_tokens(
    lengths: tf.Tensor, first_lengths: tf.Tensor, *, wanted: tf.Tensor, row_length: int, uniform: tf.Tensor
) -> tf.Tensor:
    """Choose tokens of text. In each sequence, all subsets of one size are equally likely.

    Args:
        lengths: int32 [B, K], the number of tokens in each sequence, `[CLS]` and `[SEP]` included.
        first_lengths: int32 [B, K], the number of tokens in the `[CLS] A [SEP]` of each sequence.
        wanted: int32 [B, K], the number of tokens to choose in each sequence, in a row at most P.
        row_length: L.
        uniform: float32 [B, P], random numbers in [0, 1).

    Returns:
        The positions, int32 [B, P], in random order within a sequence. Unused entries at the end are L.
    """
    starts = tf.cumsum(lengths, axis=1, exclusive=True)
    tokens = tf.maximum(lengths - _num_specials(lengths, first_lengths), 0)
    chosen = tf.minimum(wanted, tokens)
    # The ranks of a sequence begin at its position, so that different sequences have different ranks.
    index, (base, population, limit, first) = _over_slots(
        chosen, [starts, tokens, chosen, first_lengths - 2], uniform.shape[1]
    )
    ranks = _without_replacement(index, base, population, limit, uniform)
    # Positions skip [CLS], and in the second segment also the [SEP] before it.
    positions = ranks + 1 + tf.cast(ranks - base >= first, tf.int32)
    return tf.transpose(tf.minimum(positions, row_length))


def choose_words(
    input_ids: tf.Tensor,
    lengths: tf.Tensor,
    first_lengths: tf.Tensor,
    *,
    wanted: tf.Tensor,
    predictions: int,
    token_kinds: tf.Tensor,
    uniform: tf.Tensor,
    continues: tf.Tensor | None = None,
    span_words: tf.Tensor | None = None,
    mean_span_words: float = 1.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Choose whole words, or spans of words, in random order until each sequence has the tokens that it wants.

    Without `span_words`, a word with more tokens than the sequence still wants is skipped. With `span_words`, a span
    whose first word is taken already is skipped. A span ends where its segment ends, where another span begins, or
    where the sequence has all the tokens that it wants.

    Args:
        input_ids: int32 [B, L].
        lengths: as in `choose_tokens`.
        first_lengths: as in `choose_tokens`.
        wanted: as in `choose_tokens`.
        predictions: P.
        token_kinds: int8 [V], the kind of each token: `TEXT`, `CONTINUATION` or `SPECIAL`.
        uniform: float32 [B, R], random numbers in [0, 1), where R is `num_slots`.
        continues: integer [B, L], 1 on tokens that continue a word; None if `CONTINUATION` tokens do.
        span_words: int32 [B, R], the number of words in the span that each slot tries; None for whole words.
        mean_span_words: the mean number of words in a span, as in `num_slots`.

    Returns:
        The positions, int32 [B, P], in the order in which words were taken; unused entries at the end are L or more.
        And the slot of the word or span that each position belongs to, int32 [B, P]; unused entries are R.
    """
    batch, length = tf.shape(input_ids)[0], input_ids.shape[1]
    num_slots_, num_sequences = uniform.shape[1], lengths.shape[1]
    row_starts = length * tf.range(batch)[:, None]

    # Units are words and special tokens. After a special token, a rest that truncation left of a word is a word.
    kinds = tf.gather_nd(token_kinds, input_ids[:, :, None])  # takes half the time of `tf.gather` for single elements
    behind_special = tf.pad(kinds[:, :-1] == SPECIAL, [[0, 0], [1, 0]], constant_values=True)
    begins = behind_special | (kinds != CONTINUATION if continues is None else (continues == 0) | (kinds == SPECIAL))
    begins = tf.reshape(begins, [-1])
    unit_positions = tf.pad(tf.cast(tf.where(begins)[:, 0], tf.int32), [[0, 1]], constant_values=_NOWHERE)

    ends = tf.cumsum(lengths, axis=1)
    starts = ends - lengths
    seps = starts + tf.maximum(first_lengths - 1, 0)
    bounds = tf.reshape(tf.stack([starts, seps, ends]) + row_starts, [-1])
    cls_unit, sep_unit, end_unit = tf.unstack(
        tf.reshape(tf.searchsorted(unit_positions, bounds), [3, batch, num_sequences])
    )
    words = tf.maximum(end_unit - cls_unit - _num_specials(lengths, first_lengths), 0)
    # The precision is that of `num_slots`, so that a row never has more slots than `num_slots` gives.
    tries = tf.cast(tf.math.ceil(tf.cast(wanted, tf.float64) * _slots_a_token(mean_span_words)), tf.int32)
    slots = tf.where(wanted > 0, tries + _spare_slots(num_sequences), 0)
    index, (base, population, limit, first_words, first_end, second_end, want) = _over_slots(
        slots, [cls_unit, words, tf.minimum(slots, words), sep_unit - cls_unit - 1, seps, ends - 1, wanted], num_slots_
    )
    ranks = _without_replacement(index, base, population, limit, uniform)
    tried = ranks < _NOWHERE
    in_first = ranks - base < first_words
    unit = tf.where(tried, ranks + tf.where(in_first, 1, 2), 0)
    next_unit = unit + (1 if span_words is None else tf.transpose(span_words))
    row_starts = tf.transpose(row_starts)
    begin = tf.gather(unit_positions, unit) - row_starts
    end = tf.gather(unit_positions, tf.minimum(next_unit, tf.size(unit_positions) - 1)) - row_starts
    end = tf.where(tried, tf.minimum(end, tf.where(in_first, first_end, second_end)), begin)

    room = _Room(index, want, num_slots_)
    accept = _accept_words if span_words is None else _accept_spans
    return _tokens_of(begin, accept(begin, end, room), predictions, length)


def num_slots(predictions: int, num_sequences: int, mean_span_words: float = 1.0) -> int:
    """Return R of `choose_words`: enough slots for the tokens that each sequence wants, and some to spare."""
    # Rounding up adds less than one for each sequence.
    tries = predictions if mean_span_words == 1 else int(predictions * _slots_a_token(mean_span_words)) + num_sequences
    return tries + num_sequences * _spare_slots(num_sequences)


def _slots_a_token(mean_span_words: float) -> float:
    """Return the slots for a wanted token: 1 for words, and for spans enough to make up for short and skipped ones."""
    return min(1.0, 1.5 / mean_span_words)


def _spare_slots(num_sequences: int) -> int:
    return max(1, _SPARE_SLOTS // num_sequences)


TEXT, CONTINUATION, SPECIAL = range(3)
"""Kinds of tokens: one that begins a word, one that continues it (`##...`), `[CLS]` and `[SEP]`."""


def _num_specials(lengths: tf.Tensor, first_lengths: tf.Tensor) -> tf.Tensor:
    """Return the number of special tokens in each sequence: `[CLS]`, and one `[SEP]` a segment."""
    return tf.where(lengths > first_lengths, 3, 2)


def _over_slots(slots: tf.Tensor, fields: Sequence[tf.Tensor], total: int) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Deal a row's slots to its sequences, the last sequence first.

    Args:
        slots: int32 [B, K], the number of slots of each sequence.
        fields: values of each sequence, int32 [B, K] each.
        total: R.

    Returns:
        The number of each slot among the slots of its sequence, and the fields of that sequence, which are 0 in slots
        without a sequence. The shape is [R, B]; for K = 1 it is [R, 1] and [1, B], which are broadcast.
    """
    numbers = tf.range(total)[:, None]
    if slots.shape[1] == 1:
        return numbers, [tf.transpose(field) for field in fields]
    backward = tf.reverse(slots, [1])
    ends = tf.cumsum(backward, axis=1)
    # [B, K, 1 + fields], and zeros for slots without a sequence.
    table = tf.stack([ends - backward, *(tf.reverse(field, [1]) for field in fields)], axis=2)
    table = tf.pad(table, [[0, 0], [0, 1], [0, 0]])
    of_slot = tf.searchsorted(ends, tf.broadcast_to(tf.range(total), [tf.shape(slots)[0], total]), side="right")
    first_slot, *values = tf.unstack(tf.transpose(tf.gather(table, of_slot, batch_dims=1), [2, 1, 0]))
    return numbers - first_slot, values


def _without_replacement(
    index: tf.Tensor, base: tf.Tensor, population: tf.Tensor, limit: tf.Tensor, uniform: tf.Tensor
) -> tf.Tensor:
    """Draw random ranks from `base` on: in each sequence, the start of a random permutation of its population.

    Slot i draws one of the n - i ranks that the slots before it left over. Going backwards, a rank among those that the
    first i slots left becomes a rank among those that the first i - 1 slots left: it grows by one if the rank of the
    slot between is not greater (a Lehmer code). The last sequence comes first, so that the ranks of later slots are
    smaller than those of other sequences.

    Args:
        index: the number of each slot in its sequence, int32 [R, B] or broadcastable, as are all that follow.
        base: the lowest rank of the sequence.
        population: the number of ranks of the sequence.
        limit: the number of slots of the sequence that draw.
        uniform: float32 [B, R], random numbers in [0, 1).

    Returns:
        The ranks, int32 [R, B]; slots that do not draw hold `_NOWHERE` or more.
    """
    left = population - index
    drawn = tf.cast(tf.transpose(uniform) * tf.cast(left, tf.float32), tf.int32)
    # Rounding may reach the excluded upper bound.
    drawn = base + tf.minimum(drawn, left - 1)
    drawn = tf.where(index < limit, drawn, _NOWHERE)
    # All later slots step back at once, so that step n compares slot i with slot i - n.
    ranks, done = drawn, []
    for distance in range(1, drawn.shape[0]):
        done.append(ranks[:1])
        ranks = ranks[1:]
        ranks += tf.cast(ranks >= drawn[: drawn.shape[0] - distance], tf.int32)
    return tf.concat([*done, ranks], axis=0)


class _Room:
    """The number of tokens that each sequence still wants, slot by slot.

    Args:
        index: the number of each slot in its sequence, int32 [R, B] or [R, 1].
        want: the number of tokens that the slot's sequence wants, int32 [R, B] or [1, B].
        num_slots: R.
    """

    def __init__(self, index: tf.Tensor, want: tf.Tensor, num_slots: int) -> None:
        self._one_sequence = want.shape[0] == 1
        self._want = tf.unstack(want)
        self._begins = [] if self._one_sequence else tf.unstack(index == 0, num_slots)
        self._left = self._want[0]

    def before(self, slot: int) -> tf.Tensor:
        """Return the number of tokens left for a slot, int32 [B]. It must be called slot by slot, in their order."""
        if not self._one_sequence:
            self._left = tf.where(self._begins[slot], self._want[slot], self._left)
        return self._left

    def take(self, tokens: tf.Tensor) -> None:
        """Subtract the number of tokens that the slot took."""
        self._left -= tokens


def _accept_words(begin: tf.Tensor, end: tf.Tensor, room: _Room) -> tf.Tensor:
    """Return the end of each word that is taken, and the begin of each other word, [R, B].

    A word is taken if it has no more tokens than its sequence still wants.
    """
    taken = []
    for slot, size in enumerate(tf.unstack(end - begin)):
        size = tf.where(size <= room.before(slot), size, 0)
        room.take(size)
        taken.append(size)
    return begin + tf.stack(taken)


def _accept_spans(begin: tf.Tensor, end: tf.Tensor, room: _Room) -> tf.Tensor:
    """Do the same as `_accept_words` for spans, which may overlap."""
    ends: list[tf.Tensor] = []
    for slot, (this, stop) in enumerate(zip(tf.unstack(begin), tf.unstack(end), strict=True)):
        if ends:
            others, other_ends = begin[:slot], tf.stack(ends)
            # A span stops where a span that was taken begins. It is not taken if it begins inside one.
            bounds = tf.where(others > this, others, tf.where(this < other_ends, this, _NOWHERE))
            bounds = tf.where(other_ends > others, bounds, _NOWHERE)
            stop = tf.minimum(stop, tf.reduce_min(bounds, axis=0))
        stop = tf.minimum(stop, this + room.before(slot))
        room.take(stop - this)
        ends.append(stop)
    return tf.stack(ends)


def _tokens_of(begin: tf.Tensor, end: tf.Tensor, predictions: int, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the positions [begin, end) of all slots, and the slot of each position: [B, P]."""
    stretches = tf.transpose(begin * (1 << _POSITION_BITS) + (end - begin))
    sizes = stretches & ((1 << _POSITION_BITS) - 1)
    number = tf.range(begin.shape[0]) * (1 << _POSITION_BITS)
    firsts = number + tf.bitwise.right_shift(stretches, _POSITION_BITS)
    # One more stretch, after the row, fills the positions for predictions.
    filler = begin.shape[0] * (1 << _POSITION_BITS) + length
    firsts = tf.pad(firsts, [[0, 0], [0, 1]], constant_values=filler)
    sizes = tf.concat([sizes, predictions - tf.reduce_sum(sizes, axis=1, keepdims=True)], axis=1)
    firsts, sizes = tf.reshape(firsts, [-1]), tf.reshape(sizes, [-1])
    positions = tf.reshape(tf.ragged.range(firsts, firsts + sizes).flat_values, [-1, predictions])
    return positions & ((1 << _POSITION_BITS) - 1), tf.bitwise.right_shift(positions, _POSITION_BITS)
