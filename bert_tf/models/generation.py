"""The generation of targets by a model for sequence to sequence: one loop on the device, of any backend.

Shapes: B sources, G hypotheses of each, R of them returned, S length of the sources, T length of the targets, V
vocabulary.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from bert_tf.configs.decoding import DecodingOptions
from bert_tf.features import Batch, Tensor
from bert_tf.models import decoding
from bert_tf.models.decoding import NEVER
from bert_tf.models.incremental import Sources, empty_targets, longer_targets, read_sources, read_token

State = dict[str, Any]
"""The state of a search between two tokens.

    number: int32 [], the number of tokens so far.
    tokens, slots: int32 [B, G, T], the hypotheses, and where their keys and values are (`incremental.read_token`).
    totals: float32 [B, G], their log-probabilities.
    open: bool [B, G], whether each goes on.
    lengths: int32 [B, G], of samples alone.
    ended: of beams alone, the best that ended: `tokens` [B, R, T], `totals`, `scores`, `lengths` [B, R].
    num_ended: int32 [B], of beams alone.
    targets: keys and values.
"""


_LEAST_ROOM = 16


def _rooms(max_length: int) -> list[int]:
    """Return the numbers of tokens whose keys and values are kept, for the parts of a search one after another.

    Most targets end long before `max_length`. A step costs what its room does, filled or not, so that the room begins
    small and is doubled.
    """
    rooms = [max_length]
    while rooms[0] >= 2 * _LEAST_ROOM:
        rooms.insert(0, -(-rooms[0] // 2))
    return rooms


class Generation:
    """The search for the targets of sources, which ends when all have ended.

    Args:
        model: a `BertSeq2Seq`.
        options: the options.
        allowed: the tokens that may be generated, bool [V]; not all of them.
        end: the id of `[SEP]`.
    """

    def __init__(self, model: keras.Model, options: DecodingOptions, allowed: np.ndarray, end: int) -> None:
        self.model, self.options, self.end = model, options, end
        self.allowed = allowed

    def __call__(self, inputs: Batch) -> dict[str, Tensor]:
        """Return the targets of sources.

        Args:
            inputs: `input_ids`, `input_mask`, `segment_ids` and `position_ids`, int32 [B, S], of one source in each
                row; for samples also `seeds`, int32 [B, 1].

        Returns:
            The best targets, the best first, or the samples: `tokens` int32 [B, R, T], 0 after the end; `lengths` int32
            [B, R], with `[SEP]`; `log_probabilities` and `scores`, float32 [B, R]. A row without tokens has targets
            without tokens. A score is `NEVER` if there are fewer than R targets at all.
        """
        rooms = _rooms(self.options.max_length)
        seeds, sources, state = self.start(inputs, rooms[0])

        def body(state: State) -> State:
            return self.step(sources, inputs["input_mask"], seeds, state)

        for room in rooms:
            state["targets"] = longer_targets(state["targets"], room)

            def goes_on(state: State, room: int = room) -> Tensor:
                return ops.logical_and(self.goes_on(state), state["number"] <= room)

            state = ops.while_loop(goes_on, body, state)
        return self.results(state)

    def start(self, inputs: Batch, room: int | None = None) -> tuple[Tensor, Sources, State]:
        """Return the state after the first token of each target.

        Args:
            inputs: as in `__call__`.
            room: the number of tokens whose keys and values have room in the state; None for all.

        Returns:
            The seeds of the sources, uint32 [B], zeros for beams; what is known of the sources; and the state.
        """
        logits, sources = read_sources(self.model, inputs)
        options, batch = self.options, ops.shape(logits)[0]
        seeds = ops.zeros((batch,), "uint32")
        if options.sampled:
            seeds = decoding.text_seeds(inputs["seeds"][:, 0], inputs["input_ids"], inputs["input_mask"])
        group, length = options.beams, options.max_length
        # All hypotheses are equal at first: in beam search, only one of them is continued.
        totals = [0.0] + [0.0 if options.sampled else NEVER] * (group - 1)
        state = {
            "number": ops.convert_to_tensor(0, "int32"),
            "tokens": ops.zeros((batch, group, length), "int32"),
            "slots": ops.zeros((batch, group, length), "int32"),
            "totals": ops.broadcast_to(ops.convert_to_tensor(totals, "float32"), (batch, group)),
            "open": ops.broadcast_to(ops.any(inputs["input_mask"] > 0, axis=1, keepdims=True), (batch, group)),
            "targets": empty_targets(self.model.encoder, batch, group, room or length),
        }
        if options.sampled:
            state["lengths"] = ops.zeros((batch, group), "int32")
        else:
            returned = options.num_return
            state["num_ended"] = ops.zeros((batch,), "int32")
            state["ended"] = {
                "tokens": ops.zeros((batch, returned, length), "int32"),
                "totals": ops.zeros((batch, returned), "float32"),
                "scores": ops.full((batch, returned), NEVER, dtype="float32"),
                "lengths": ops.zeros((batch, returned), "int32"),
            }
        first = ops.broadcast_to(logits[:, None], (batch, group, logits.shape[-1]))
        return seeds, sources, self._chosen(first, seeds, state)

    def step(self, sources: Sources, source_mask: Tensor, seeds: Tensor, state: State) -> State:
        """Return the state after one more token of each target.

        Args:
            sources: from `start`.
            source_mask: int32 [B, S], 0 on padding.
            seeds: uint32 [B], from `start`.
            state: the state before.
        """
        place = state["number"] - 1
        last = ops.take(state["tokens"], place, axis=2)
        logits, targets = read_token(self.model, sources, source_mask, state["targets"], last, state["slots"], place)
        return self._chosen(logits, seeds, state | {"targets": targets})

    def goes_on(self, state: State) -> Tensor:
        """Return whether a hypothesis goes on, bool []."""
        return ops.logical_and(ops.any(state["open"]), state["number"] < self.options.max_length)

    def results(self, state: State) -> dict[str, Tensor]:
        """Return the targets, as `__call__` does."""
        options, penalty = self.options, self.options.length_penalty
        if options.sampled:
            lengths, totals = state["lengths"], state["totals"]
            scores = decoding.normalized_scores(totals, ops.cast(lengths, "float32"), penalty)
            found = {"tokens": state["tokens"], "totals": totals, "scores": scores, "lengths": lengths}
            found = {name: value[:, : options.num_return] for name, value in found.items()}
        else:
            # Those that have not ended are cut at the largest length.
            lengths = ops.full_like(state["tokens"][:, :, 0], options.max_length)
            found = decoding.merged(state["ended"], self._candidates(state, state["open"], lengths), options.num_return)
        within = ops.arange(options.max_length, dtype="int32") < ops.expand_dims(found["lengths"], -1)
        return {
            "tokens": ops.where(within, found["tokens"], 0),
            "lengths": found["lengths"],
            "log_probabilities": found["totals"],
            "scores": found["scores"],
        }

    def _candidates(self, state: State, ended: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return hypotheses as those that ended, with the score `NEVER` where bool `ended` [B, K] is False."""
        normalized = decoding.normalized_scores(
            state["totals"], ops.cast(lengths, "float32"), self.options.length_penalty
        )
        scores = ops.where(ended, normalized, ops.cast(NEVER, "float32"))
        return {"tokens": state["tokens"], "totals": state["totals"], "scores": scores, "lengths": lengths}

    def _chosen(self, logits: Tensor, seeds: Tensor, state: State) -> State:
        """Return the state with the tokens that are chosen by the logits, float32 [B, G, V]."""
        number, options = state["number"], self.options
        masked = decoding.permitted(logits, self.allowed, state["tokens"], number, options.no_repeat_ngram)
        choose = self._sampled if options.sampled else self._continued
        return choose(logits, masked, seeds, state) | {"number": number + 1, "targets": state["targets"]}

    def _sampled(self, logits: Tensor, masked: Tensor, seeds: Tensor, state: State) -> State:
        number, is_open = state["number"], state["open"]
        uniform = decoding.uniform_numbers(seeds, self.options.beams, number)
        chosen = decoding.drawn_tokens(masked, self.options, uniform)
        log_probabilities = decoding.last_axis_at(logits, chosen) - ops.logsumexp(logits, axis=-1)
        return {
            "tokens": decoding.with_token(state["tokens"], chosen, number),
            "slots": self._with_own_slot(state["slots"], number),
            "totals": state["totals"] + ops.where(is_open, log_probabilities, 0.0),
            "open": ops.logical_and(is_open, chosen != self.end),
            "lengths": state["lengths"] + ops.cast(is_open, "int32"),
        }

    def _continued(self, logits: Tensor, masked: Tensor, seeds: Tensor, state: State) -> State:
        number, group = state["number"], self.options.beams
        best, parents, chosen = decoding.best_continuations(state["totals"], logits, masked)
        going = ops.any(state["open"], axis=1, keepdims=True)
        possible = ops.logical_and(best > NEVER, going)
        ends = ops.equal(chosen, self.end)
        # Of the best G continuations, those with [SEP] have ended; of all, the best G others go on.
        before = decoding.rows_at(state["tokens"], parents[:, :group])
        ended = ops.logical_and(ends, possible)[:, :group]
        candidates = {"tokens": decoding.with_token(before, chosen[:, :group], number), "totals": best[:, :group]}
        more = self._candidates(candidates, ended, ops.ones_like(parents[:, :group]) * (number + 1))
        num_ended = state["num_ended"] + ops.sum(ops.cast(ended, "int32"), axis=1)
        others = ops.where(ops.logical_and(possible, ops.logical_not(ends)), best, ops.cast(NEVER, "float32"))
        totals, kept = ops.top_k(others, group)
        kept = ops.cast(kept, "int32")
        parents, chosen = decoding.rows_at(parents, kept), decoding.rows_at(chosen, kept)
        return {
            "tokens": decoding.with_token(decoding.rows_at(state["tokens"], parents), chosen, number),
            "slots": self._with_own_slot(decoding.rows_at(state["slots"], parents), number),
            "totals": totals,
            "open": ops.logical_and(totals > NEVER, ops.expand_dims(num_ended, 1) < group),
            "num_ended": num_ended,
            "ended": decoding.merged(state["ended"], more, self.options.num_return),
        }

    def _with_own_slot(self, slots: Tensor, number: Tensor) -> Tensor:
        """Return the slots [B, G, T] with each hypothesis's own at index `number`."""
        own = ops.broadcast_to(ops.arange(self.options.beams, dtype="int32"), ops.shape(slots)[:2])
        return decoding.with_token(slots, own, number)
