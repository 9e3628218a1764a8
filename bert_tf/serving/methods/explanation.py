"""The methods that explain an answer: the share of each token in it, and the attention among the tokens.

Shapes: L length.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from absl import logging

from bert_tf.features import encoder_batch
from bert_tf.serving.methods.base import BasePredictor, texts_of
from bert_tf.tasks.long_texts import report_cut
from bert_tf.tokenization.rows import RowOptions

if TYPE_CHECKING:
    from bert_tf.serving.attribution import Attributor

METHODS = ("integrated_gradients", "gradient_x_input", "attention_rollout", "occlusion")
BASELINES = ("mask", "pad")
_FIRST_STEPS = 16


class _Row(NamedTuple):
    """A row of one text or pair.

    Attributes:
        texts: the text, or both texts of a pair.
        inputs: the encoder's inputs, int32 [1, L].
        offsets: int [L, 2], start and end of each token in its text.
        special: bool [L], True for `[CLS]` and `[SEP]`.
    """

    texts: tuple[str, ...]
    inputs: dict[str, np.ndarray]
    offsets: np.ndarray
    special: np.ndarray


class _Chosen(NamedTuple):
    """The answer that is explained: its name, its values' indices, the head's inputs, and a position for rollout."""

    name: str
    indices: list[int]
    head_inputs: dict[str, np.ndarray]
    position: int = 0


class ExplanationMethods(BasePredictor):
    """The methods that explain answers."""

    def explain(
        self,
        texts: Sequence[str],
        text_pairs: Sequence[str] | None = None,
        *,
        method: str = "integrated_gradients",
        target: str | int | None = None,
        baseline: str = "mask",
    ) -> list[dict[str, Any]]:
        """Return the part that each token has in a model's answer to each text or pair.

        What is explained is a logit (a number, for regression): that of a class or label, of the tag of a word, of the
        token at the first `[MASK]`, or the sum of those of an answer's start and end.

        - `integrated_gradients` (Sundararajan et al. 2017): the difference between the value and that of the baseline
          is divided among the tokens. The sum misses it by at most 1 %, or a warning says so.
        - `gradient_x_input` (Shrikumar et al. 2016): the product of gradient and embedding. One pass.
        - `occlusion` (Zeiler and Fergus 2014): the value less that with the token replaced by `[MASK]`. One row a
          token.
        - `attention_rollout` (Abnar and Zuidema 2020): how far a token reaches the position of the answer through the
          attention of all layers. It does not depend on the class, and is never negative.

        Args:
            texts: any number of texts; questions, for a model that answers them. They are cut to the model's length.
            text_pairs: as many second texts; contexts, for a model that answers questions.
            method: one of `METHODS`.
            target: the label of a classifier; the token at the first `[MASK]`; the index of the word of a tagger. None
                for the model's own answer (a tagger's first word with another tag than `O`, or its first word).
            baseline: the ids that replace the tokens at the start of integrated gradients: `mask` or `pad`.

        Returns:
            For each text `target` (its name), `value`, and `tokens`: a list of dictionaries of `token`, `text` (0 or 1,
            the second of a pair), `start`, `end` and `attribution`, `[CLS]` and `[SEP]` included. With integrated
            gradients, also `baseline_value` and `gap` (a share of the difference).

        Raises:
            ValueError: the model is an encoder alone, generates or retrieves, is an export, or an argument is wrong.
        """
        if method not in METHODS:
            raise ValueError(f"`method` must be one of {', '.join(METHODS)}. Received: {method!r}")
        if baseline not in BASELINES:
            raise ValueError(f"`baseline` must be one of {', '.join(BASELINES)}. Received: {baseline!r}")
        attributor = self._attributor
        choose = self._chooser(target)
        found = []
        for number, row in enumerate(self._explained_rows(texts, text_pairs)):
            chosen = choose(self, row, number, target)
            found.append(self._explanation(attributor, row, chosen, method, baseline))
        return found

    def attention(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return the attention probabilities of all layers and heads for each text or pair.

        Args:
            texts: any number of texts.
            text_pairs: as many second texts.

        Returns:
            For each text `tokens`, as `explain` returns them but without attributions, and `weights`, float32
            [layers, heads, L, L]: the share of each key (last axis) for each query.

        Raises:
            ValueError: the model is an export, an item is not a text, or the numbers of texts differ.
        """
        attributor = self._attributor
        return [
            {"tokens": self._tokens(row), "weights": attributor.attention(row.inputs)}
            for row in self._explained_rows(texts, text_pairs)
        ]

    @cached_property
    def _attributor(self) -> "Attributor":
        import keras

        from bert_tf.serving.attribution import Attributor

        if not isinstance(self.model, keras.Model):
            raise ValueError(
                "an explanation needs the model itself, a run or published weights, because an export has no "
                f"gradients. Received: {self._described()}"
            )
        return Attributor(self.model, self.batch_size)

    def _explained_rows(self, texts: Sequence[str], text_pairs: Sequence[str] | None) -> list[_Row]:
        """Return the rows of texts or pairs."""
        first = texts_of("texts", texts)
        second = None if text_pairs is None else texts_of("text_pairs", text_pairs)
        if second is not None and len(second) != len(first):
            raise ValueError(f"`text_pairs` must be as many as `texts`. Received: {len(second)} and {len(first)}")
        takes_pairs = self.description.task == "question_answering" or self.description.takes_pairs
        if takes_pairs and second is None:
            raise ValueError(f"`text_pairs` must be given for {self._described()}. Received: none")
        if second is not None and takes_pairs is False:
            raise ValueError(f"`text_pairs` must be left out for {self._described()}. Received: {len(second)}")
        masks = ["[MASK]"] if self.description.task == "pretraining" else False
        rows = self.tokenizer.encode_rows(
            first, second, RowOptions(self._length, None), parse_special_tokens=masks, return_offsets=True
        )
        report_cut(rows.num_cut, len(first), self._length, advice="Tokens that were cut off have no part in the answer")
        names = ("input_ids", "segment_ids", "offsets", "special_tokens_mask")
        found = []
        for number, values in enumerate(zip(*(rows.lists(name) for name in names), strict=True)):
            ids, segments, offsets, special = (np.asarray(value, np.int32) for value in values)
            inputs = {
                "input_ids": ids[None],
                "input_mask": np.ones_like(ids)[None],
                "segment_ids": segments[None],
                "position_ids": np.arange(len(ids), dtype=np.int32)[None],
            }
            both = (first[number],) if second is None else (first[number], second[number])
            ordered = {name: inputs[name] for name in encoder_batch(None, None)}
            found.append(_Row(both, ordered, offsets.reshape(-1, 2), special > 0))
        return found

    def _explanation(
        self, attributor: "Attributor", row: _Row, chosen: _Chosen, method: str, baseline: str
    ) -> dict[str, Any]:
        from bert_tf.serving.attribution import LARGEST_GAP, Target

        target = Target(row.inputs | chosen.head_inputs, np.asarray(chosen.indices, np.int32))
        more: dict[str, Any] = {}
        if method == "integrated_gradients":
            filler = self.tokenizer.mask_id if baseline == "mask" else self.tokenizer.pad_id
            ids = np.where(row.special, row.inputs["input_ids"], filler).astype(np.int32)
            attributions, at_start, gap = attributor.integrated_gradients(target, ids, _FIRST_STEPS)
            more = {"baseline_value": at_start, "gap": gap}
            if gap > LARGEST_GAP:
                logging.warning(
                    "The attributions to %r miss the difference of the outputs by %.1f %%",
                    row.texts[0][:60],
                    100.0 * gap,
                )
        elif method == "gradient_x_input":
            attributions = attributor.gradient_x_input(target)
        elif method == "occlusion":
            is_mask = row.inputs["input_ids"][0] == self.tokenizer.mask_id
            attributions = attributor.occlusion(target, self.tokenizer.mask_id, np.flatnonzero(~row.special & ~is_mask))
        else:
            attributions = attributor.rollout(row.inputs, chosen.position)
        tokens = [
            token | {"attribution": float(value)} for token, value in zip(self._tokens(row), attributions, strict=True)
        ]
        return {"target": chosen.name, "value": attributor.value(target), **more, "tokens": tokens}

    def _tokens(self, row: _Row) -> list[dict[str, Any]]:
        ids, segments = row.inputs["input_ids"][0].tolist(), row.inputs["segment_ids"][0].tolist()
        return [
            {"token": self.tokenizer.tokens[index], "text": segment, "start": int(start), "end": int(end)}
            for index, segment, (start, end) in zip(ids, segments, row.offsets, strict=True)
        ]

    def _chooser(self, target: Any) -> Any:
        """Return the function that chooses what is explained, by the model's task."""
        task = self.description.task
        if task not in _CHOOSERS:
            raise ValueError(f"`explain` needs a model for {', '.join(_CHOOSERS)}. Received: {self._described()}")
        if target is not None and task in ("regression", "question_answering"):
            raise ValueError(f"`target` must be None for {self._described()}. Received: {target!r}")
        return _CHOOSERS[task]

    def _outputs(self, inputs: Mapping[str, np.ndarray]) -> Any:
        return self._forward(dict(inputs))


def _of_class(predictor: ExplanationMethods, row: _Row, number: int, target: Any) -> _Chosen:
    labels = predictor.description.labels
    if target is None:
        index = int(np.asarray(predictor._outputs(row.inputs))[0].argmax())
    elif target in labels:
        index = labels.index(target)
    else:
        raise ValueError(f"`target` must be a label, {', '.join(labels)}, or None. Received: {target!r}")
    return _Chosen(labels[index] if labels else str(index), [index], {})


def _of_number(predictor: ExplanationMethods, row: _Row, number: int, target: Any) -> _Chosen:
    return _Chosen("value", [0], {})


def _of_mask(predictor: ExplanationMethods, row: _Row, number: int, target: Any) -> _Chosen:
    tokenizer = predictor.tokenizer
    masks = np.flatnonzero(row.inputs["input_ids"][0] == tokenizer.mask_id)
    if not len(masks):
        raise ValueError(
            f"`texts[{number}]` must hold [MASK] within the model's length. Received: {row.texts[0]!r:.100}"
        )
    head_inputs = {"masked_lm_positions": masks[None, :1].astype(np.int32)}
    if target is None:
        logits = np.asarray(predictor._outputs(row.inputs | head_inputs)["masked_lm_logits"])[0, 0]
        index = int(logits[: tokenizer.vocab_size].argmax())
    elif target in tokenizer.tokens:
        index = tokenizer.tokens.index(target)
    else:
        raise ValueError(f"`target` must be a token of the vocabulary, or None. Received: {target!r}")
    return _Chosen(tokenizer.tokens[index], [index], head_inputs, int(masks[0]))


def _of_word(predictor: ExplanationMethods, row: _Row, number: int, target: Any) -> _Chosen:
    labels = predictor.description.labels
    words = predictor.tokenizer.word_offsets(row.texts[0])
    starts = {
        int(start): position
        for position, (start, _) in reversed(list(enumerate(row.offsets)))
        if not row.special[position]
    }
    positions = [starts[start] for start, _ in words if start in starts]
    logits = np.asarray(predictor._outputs(row.inputs))[0]
    if target is not None and (
        isinstance(target, bool) or not isinstance(target, int) or not 0 <= target < len(positions)
    ):
        raise ValueError(
            f"`target` must be the index of a word, from 0 to {len(positions) - 1}, or None. Received: {target!r}"
        )
    if not positions:
        raise ValueError(f"`texts[{number}]` must have at least one word. Received: {row.texts[0]!r:.100}")
    tags = logits[positions].argmax(axis=-1).tolist()
    word = next((word for word, tag in enumerate(tags) if labels[tag] != "O"), 0) if target is None else target
    name = f"{labels[tags[word]]} of {row.texts[0][slice(*words[word])]!r}"
    return _Chosen(name, [positions[word] * len(labels) + tags[word]], {}, positions[word])


def _of_answer(predictor: ExplanationMethods, row: _Row, number: int, target: Any) -> _Chosen:
    outputs = predictor._outputs(row.inputs)
    start_logits, end_logits = (np.asarray(outputs[name])[0] for name in ("start_logits", "end_logits"))
    inside = (row.inputs["segment_ids"][0] == 1) & ~row.special
    if not inside.any():
        raise ValueError(f"`text_pairs[{number}]` must have at least one token. Received: {row.texts[1]!r:.100}")
    scores = np.where(inside[:, None] & inside[None, :], start_logits[:, None] + end_logits[None, :], -np.inf)
    scores = np.where(np.triu(np.ones_like(scores, bool)), scores, -np.inf)
    start, end = np.unravel_index(int(scores.argmax()), scores.shape)
    name = row.texts[1][row.offsets[start][0] : row.offsets[end][1]]
    # All values of a row are those of `end_logits`, then those of `start_logits`.
    return _Chosen(name, [int(end), len(inside) + int(start)], {}, int(start))


_CHOOSERS = {
    "classification": _of_class,
    "multi_label": _of_class,
    "regression": _of_number,
    "pretraining": _of_mask,
    "tagging": _of_word,
    "question_answering": _of_answer,
}

EXPLAINED_TASKS = tuple(_CHOOSERS)
"""The tasks whose answers can be explained."""
