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

# Slots beyond the predictions that a row's sequences share: words that do not fit, and spans that start where another
# is, leave a slot empty.
_SPARE_SLOTS = 16

# Greater than every rank.
_NOWHERE = 1 << 30


def choose_tokens(
    lengths: tf.Tensor, first_lengths: tf.Tensor, wanted: tf.Tensor, row_length: int, uniform: tf.Tensor
) -> tf.Tensor:
    """Return tokens of text, each subset of a sequence's as likely as any other of its size.

    Args:
        lengths: int32 [B, K], tokens of each sequence with `[CLS]` and `[SEP]`.
        first_lengths: int32 [B, K], of them those of `[CLS] A [SEP]`.
        wanted: int32 [B, K], how many to choose of each sequence, in a row at most P.
        row_length: L.
        uniform: float32 [B, P] in [0, 1).

    Returns:
        The positions, int32 [B, P], in random order within a sequence; then L where there are no more.
    """
    starts = tf.cumsum(lengths, axis=1, exclusive=True)
    tokens = tf.maximum(lengths - _num_specials(lengths, first_lengths), 0)
    chosen = tf.minimum(wanted, tokens)
    # Ranks begin at a sequence's position, so that those of different sequences differ.
    index, (base, population, limit, first) = _over_slots(
        chosen, [starts, tokens, chosen, first_lengths - 2], uniform.shape[1]
    )
    ranks = _without_replacement(index, base, population, limit, uniform)
    # After [CLS], and after the [SEP] that follows the first segment.
    positions = ranks + 1 + tf.cast(ranks - base >= first, tf.int32)
    return tf.transpose(tf.minimum(positions, row_length))


def choose_words(
    input_ids: tf.Tensor,
    lengths: tf.Tensor,
    first_lengths: tf.Tensor,
    wanted: tf.Tensor,
    predictions: int,
    token_kinds: tf.Tensor,
    uniform: tf.Tensor,
    span_words: tf.Tensor | None = None,
    mean_span_words: float = 1.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Choose whole words, or spans of words, in random order until each sequence has the tokens that it wants.

    Without `span_words` a word that is longer than what is left is skipped. With `span_words` a span whose first word
    is taken already is skipped; a span ends where its segment or the next span begins, and the last one where the
    sequence has all it wants.

    Args:
        input_ids: int32 [B, L].
        lengths: as in `choose_tokens`.
        first_lengths: as there.
        wanted: as there.
        predictions: P.
        token_kinds: int8 [V], `TEXT`, `CONTINUATION` or `SPECIAL`.
        uniform: float32 [B, R] in [0, 1), R = `num_slots`.
        span_words: int32 [B, R], words in the span that each slot tries.
        mean_span_words: their mean, as in `num_slots`.

    Returns:
        The positions, int32 [B, P], word by word in the order in which they were taken, then L and more where there are
        no more; and the slot of the word or span that each position belongs to, int32 [B, P], R where there are no
        more.
    """
    batch, length = tf.shape(input_ids)[0], input_ids.shape[1]
    num_slots_, num_sequences = uniform.shape[1], lengths.shape[1]
    row_starts = length * tf.range(batch)[:, None]

    # Units are words and specials; a `##` token behind a special, left by truncation, begins a word of its own.
    kinds = tf.gather_nd(token_kinds, input_ids[:, :, None])  # half as long as `tf.gather` for single elements
    behind_special = tf.pad(kinds[:, :-1] == SPECIAL, [[0, 0], [1, 0]], constant_values=True)
    begins = tf.reshape((kinds != CONTINUATION) | behind_special, [-1])
    unit_positions = tf.pad(tf.cast(tf.where(begins)[:, 0], tf.int32), [[0, 1]], constant_values=_NOWHERE)

    ends = tf.cumsum(lengths, axis=1)
    starts = ends - lengths
    seps = starts + tf.maximum(first_lengths - 1, 0)
    bounds = tf.reshape(tf.stack([starts, seps, ends]) + row_starts, [-1])
    cls_unit, sep_unit, end_unit = tf.unstack(
        tf.reshape(tf.searchsorted(unit_positions, bounds), [3, batch, num_sequences])
    )
    words = tf.maximum(end_unit - cls_unit - _num_specials(lengths, first_lengths), 0)
    # In double precision, as in `num_slots`, so that a row's slots are never more than those.
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
    """Return R of `choose_words`: enough slots for what each sequence wants, and some to spare."""
    # Rounding up adds less than one for each sequence.
    tries = predictions if mean_span_words == 1 else int(predictions * _slots_a_token(mean_span_words)) + num_sequences
    return tries + num_sequences * _spare_slots(num_sequences)


def _slots_a_token(mean_span_words: float) -> float:
    """Return 1 for words; for spans enough that short and overlapping ones hardly matter."""
    return min(1.0, 1.5 / mean_span_words)


def _spare_slots(num_sequences: int) -> int:
    return max(1, _SPARE_SLOTS // num_sequences)


TEXT, CONTINUATION, SPECIAL = range(3)
"""Kinds of tokens: one that begins a word, one that continues it (`##...`), `[CLS]` and `[SEP]`."""


def _num_specials(lengths: tf.Tensor, first_lengths: tf.Tensor) -> tf.Tensor:
    """Count the special tokens of each sequence: `[CLS]`, and one `[SEP]` a segment."""
    return tf.where(lengths > first_lengths, 3, 2)


def _over_slots(slots: tf.Tensor, fields: Sequence[tf.Tensor], total: int) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Return a row's slots, dealt to its sequences, the last sequence first.

    Args:
        slots: int32 [B, K], slots of each sequence.
        fields: int32 [B, K] each.
        total: R.

    Returns:
        The number of a slot among those of its sequence, and the fields of its sequence, 0 in slots of none: [R, B], or
        [R, 1] and [1, B], which are broadcast, for K = 1.
    """
    numbers = tf.range(total)[:, None]
    if slots.shape[1] == 1:
        return numbers, [tf.transpose(field) for field in fields]
    backward = tf.reverse(slots, [1])
    ends = tf.cumsum(backward, axis=1)
    # [B, K, 1 + fields], and zeros for slots of no sequence.
    table = tf.stack([ends - backward, *(tf.reverse(field, [1]) for field in fields)], axis=2)
    table = tf.pad(table, [[0, 0], [0, 1], [0, 0]])
    of_slot = tf.searchsorted(ends, tf.broadcast_to(tf.range(total), [tf.shape(slots)[0], total]), side="right")
    first_slot, *values = tf.unstack(tf.transpose(tf.gather(table, of_slot, batch_dims=1), [2, 1, 0]))
    return numbers - first_slot, values


def _without_replacement(
    index: tf.Tensor, base: tf.Tensor, population: tf.Tensor, limit: tf.Tensor, uniform: tf.Tensor
) -> tf.Tensor:
    """Draw random ranks, `base` and up: in each sequence the start of a random permutation of its population.

    Slot i draws one of the n - i ranks that slots before it left over. Going backwards, a rank among what the first i
    slots left becomes one among what the first i - 1 left: one more, if that slot's is not greater (a Lehmer code).
    Sequences come last first, so that the ranks of the later slots are smaller than those of another sequence.

    Args:
        index: number of the slot in its sequence, int32 [R, B] or broadcastable, as all that follow.
        base: lowest rank of the sequence.
        population: number of its ranks.
        limit: slots of the sequence that draw.
        uniform: float32 [B, R].

    Returns:
        int32 [R, B]; `_NOWHERE` and more in slots that do not draw.
    """
    left = population - index
    drawn = tf.cast(tf.transpose(uniform) * tf.cast(left, tf.float32), tf.int32)
    # Rounding may reach the bound that a number below 1 leaves out.
    drawn = base + tf.minimum(drawn, left - 1)
    drawn = tf.where(index < limit, drawn, _NOWHERE)
    # All later slots at once step back from slot to slot, so that step n compares slot i with slot i - n.
    ranks, done = drawn, []
    for distance in range(1, drawn.shape[0]):
        done.append(ranks[:1])
        ranks = ranks[1:]
        ranks += tf.cast(ranks >= drawn[: drawn.shape[0] - distance], tf.int32)
    return tf.concat([*done, ranks], axis=0)


class _Room:
    """The number of tokens that each sequence still wants, slot by slot.

    Args:
        index: number of each slot in its sequence, int32 [R, B] or [R, 1].
        want: what the slot's sequence wants, int32 [R, B] or [1, B].
        num_slots: R.
    """

    def __init__(self, index: tf.Tensor, want: tf.Tensor, num_slots: int) -> None:
        self._one_sequence = want.shape[0] == 1
        self._want = tf.unstack(want)
        self._begins = [] if self._one_sequence else tf.unstack(index == 0, num_slots)
        self._left = self._want[0]

    def before(self, slot: int) -> tf.Tensor:
        """Return what is left for a slot, int32 [B]; slots ask in their order."""
        if not self._one_sequence:
            self._left = tf.where(self._begins[slot], self._want[slot], self._left)
        return self._left

    def take(self, tokens: tf.Tensor) -> None:
        """Subtract what the slot took."""
        self._left -= tokens


def _accept_words(begin: tf.Tensor, end: tf.Tensor, room: _Room) -> tf.Tensor:
    """Return the ends of the words that are taken, and for the others their begins, all [R, B].

    In each sequence a word is taken if it is not longer than what is left.
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
            # This span stops where a span that was taken begins; inside of one, it is not taken.
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
