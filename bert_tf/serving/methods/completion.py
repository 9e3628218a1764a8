"""The method of pre-trained models that fills spans of masks, several tokens that suit each other.

Shapes: B texts, P masks that a step predicts, V vocabulary.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bert_tf.serving.methods.base import BasePredictor, texts_of
from bert_tf.serving.unmasking import Unmasking, UnmaskingOptions
from bert_tf.tasks.long_texts import report_cut
from bert_tf.tokenization.generated import generated_tokens
from bert_tf.tokenization.masked_spans import MaskedText, masked_text
from bert_tf.tokenization.rows import RowOptions


class _Row(NamedTuple):
    """A text to complete: the positions of its masks, where `##` tokens may stand, and the masks' state."""

    positions: np.ndarray
    may_continue: np.ndarray
    state: Unmasking


class CompletionMethods(BasePredictor):
    """The method of pre-trained models that fills spans of masks."""

    def complete(
        self,
        texts: Sequence[str],
        *,
        steps: int | None = None,
        schedule: str = "cosine",
        order: str = "confidence",
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        num_return: int = 1,
    ) -> list[dict[str, Any]]:
        """Return each text with tokens instead of its masks, which are filled in several steps.

        Each step predicts the masks that are left and fills some of them, so that a token suits those before it in
        this order, as in MaskGIT (Chang et al. 2022). Filled masks are never masked again, unlike in Mask-Predict
        (Ghazvininejad et al. 2019). The special tokens, `[UNK]` and `[unusedN]` are never chosen.

        Args:
            texts: any number of texts, each with `[MASK:n]` for n tokens or `[MASK]` for one, at any number of places.
                A `##` token is chosen only directly after a word or another mask, without a space.
            steps: number of steps in which the masks of a text are filled, several at a time; None for one at a time.
            schedule: how many masks a step fills: ever more with `cosine`, as many in each with `linear`.
            order: which masks a step fills: those with the most probable tokens (`confidence`), the leftmost
                (`left_to_right`), or some at random (`random`).
            temperature: divisor of the logits. With this, `top_k`, `top_p` or `seed` tokens are drawn; by default the
                most probable ones are taken.
            top_k: tokens are drawn from so many most probable ones.
            top_p: tokens are drawn from the most probable ones whose probabilities sum to this (Holtzman et al. 2020).
            seed: random seed, which fixes the completions of a text whatever other texts are asked.
            num_return: number of completions of each text, if anything is drawn.

        Returns:
            For each text, `completed`, the text around the spans as it was given; `filled`, the text of each span;
            `tokens`, its tokens; and `log_probability`, the sum of the logarithms of the probabilities that the model
            gave the tokens in the steps that chose them. With `num_return` above 1, also `alternatives`: a list of such
            dictionaries, the most probable first.

        Raises:
            ValueError: the model has no masked-LM head, an item is not a string or has no mask, a mask lies outside
                the model's length, or an option is out of range.
        """
        self._require("complete")
        options = UnmaskingOptions(
            steps=steps,
            schedule=schedule,
            order=order,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            num_return=num_return,
        )
        texts = texts_of("texts", texts)
        masked = [masked_text(text, f"`texts[{number}]`") for number, text in enumerate(texts)]
        for number, one in enumerate(masked):
            if sum(one.counts) + 2 > self._length:  # before a text of so many masks is made
                raise self._too_long(number, one)
        rows = self.tokenizer.encode_rows(
            [one.expanded() for one in masked], None, RowOptions(self._length, None), parse_special_tokens=["[MASK]"]
        )
        encoded = rows.lists("input_ids")
        positions = [np.flatnonzero(np.array(ids) == self.tokenizer.mask_id) for ids in encoded]
        for number, (one, found) in enumerate(zip(masked, positions, strict=True)):
            if len(found) != sum(one.counts):
                raise self._too_long(number, one)
        report_cut(rows.num_cut, len(texts), self._length, advice="The masks are filled without what was cut off")

        asked = [number for number in range(len(texts)) for _ in range(num_return)]
        random = [one for text in texts for one in _generators(text, options)]
        states = [Unmasking(len(positions[number]), options, one) for number, one in zip(asked, random, strict=True)]
        ids = [encoded[number] for number in asked]
        for indices, inputs in self._batches(self._rows(ids, [[0] * len(row) for row in ids])):
            self._unmask(
                inputs,
                [
                    _Row(positions[asked[index]], np.array(masked[asked[index]].may_continue()), states[index])
                    for index in indices
                ],
            )
        answers = [self._answer(masked[number], state) for number, state in zip(asked, states, strict=True)]
        return [_best_first(answers[start : start + num_return]) for start in range(0, len(answers), num_return)]

    def _too_long(self, number: int, text: MaskedText) -> ValueError:
        masks = sum(text.counts)
        return ValueError(
            f"`texts[{number}]` must have its masks within the model's {self._length} tokens, [CLS] and [SEP] "
            f"included. Received: {masks} mask{'s' * (masks > 1)}, the first after {text.parts[0]!r:.60}"
        )

    def _unmask(self, inputs: dict[str, np.ndarray], rows: Sequence[_Row]) -> None:
        """Fill the masks of a batch, step by step."""
        ids = inputs["input_ids"].copy()
        while not all(row.state.done for row in rows):
            candidates = [row.state.candidates() for row in rows]
            widest = max(map(len, candidates))
            # Few shapes: the model is compiled for each, on some backends.
            positions = np.zeros((len(rows), 1 << (widest - 1).bit_length()), np.int32)
            for number, (row, masks) in enumerate(zip(rows, candidates, strict=True)):
                positions[number, : len(masks)] = row.positions[masks]
            outputs = self._forward(inputs | {"input_ids": ids, "masked_lm_positions": positions})
            logits = np.asarray(outputs["masked_lm_logits"])
            ids = ids.copy()  # a backend may still read the array that it was given
            for number, (row, masks) in enumerate(zip(rows, candidates, strict=True)):
                if len(masks):
                    allowed = self._filling & (row.may_continue[masks, None] | ~self._continuing)
                    filled = row.state.fill(masks, logits[number, : len(masks)], allowed)
                    ids[number, row.positions[filled]] = row.state.tokens[filled]

    @cached_property
    def _filling(self) -> np.ndarray:
        """The mask of the tokens that masks may become, bool [V]."""
        allowed = generated_tokens(self.tokenizer, self.description.model.vocab_size)
        allowed[self.tokenizer.sep_id] = False
        return allowed

    @cached_property
    def _continuing(self) -> np.ndarray:
        """The mask of the `##` tokens, bool [V]."""
        continuing = np.zeros(self.description.model.vocab_size, bool)
        continuing[: len(self.tokenizer)] = self.tokenizer.continuation
        return continuing

    def _answer(self, text: MaskedText, state: Unmasking) -> dict[str, Any]:
        tokens = [self.tokenizer.tokens[index] for index in state.tokens]
        ends = np.cumsum(text.counts)
        spans = [tokens[end - count : end] for end, count in zip(ends, text.counts, strict=True)]
        completed, filled = text.filled(spans, self.tokenizer.words)
        return {"completed": completed, "filled": filled, "tokens": spans, "log_probability": state.log_probability}


def _generators(text: str, options: UnmaskingOptions) -> list[np.random.Generator]:
    """Return a generator for each completion of a text, which the seed and the text determine."""
    entropy = None
    if options.seed is not None:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        entropy = [int(options.seed), int.from_bytes(digest, "little")]
    return [np.random.default_rng(one) for one in np.random.SeedSequence(entropy).spawn(options.num_return)]


def _best_first(answers: list[dict[str, Any]]) -> dict[str, Any]:
    answers = sorted(answers, key=lambda answer: -answer["log_probability"])
    return answers[0] if len(answers) == 1 else answers[0] | {"alternatives": answers}
