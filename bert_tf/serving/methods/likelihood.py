"""The methods of pre-trained models that say how likely a text is, by masking each of its tokens in turn.

Shapes: R rows, P predictions in a row.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bert_tf.features import encoder_batch
from bert_tf.serving.methods.base import BasePredictor, texts_of
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.long_texts import CutReports, report_cut
from bert_tf.tokenization.rows import RowOptions
from bert_tf.utils.progress import progress_bar

MASKS = ("token", "word_l2r", "whole_word")
"""The masks while a token is scored.

Masked is the token alone (`token`: Salazar et al. 2020, "Masked Language Model Scoring"), the token and those that
follow it in its word (`word_l2r`), or all of its word (`whole_word`). The last two are PLL-word-l2r and PLL-whole-word
of Kauf and Ivanova 2023, "A Better Way to Do Masked Language Model Scoring": `token` scores long words too
high, because the rest of a word gives the masked token away.
"""

_BATCHES_AT_A_TIME = 16  # Rows of so many batches are in memory together, sorted by length.
_TEXTS_AT_A_TIME = 1024


class _Row(NamedTuple):
    """A row with masks: the index of its text, its ids, and the positions that are predicted."""

    text: int
    ids: list[int]
    positions: list[int]


class LikelihoodMethods(BasePredictor):
    """The methods that score texts by the masked-LM head."""

    def log_likelihood(
        self, texts: Sequence[str], *, mask: str = "token", tokens: bool = False
    ) -> list[dict[str, Any]]:
        """Return the pseudo-log-likelihood of each text: the sum over its tokens, each predicted from all others.

        This ranks texts, such as the hypotheses of a speech recognizer. It is not the logarithm of a probability of the
        text: its values do not sum to 1 over all texts. `[CLS]` and `[SEP]` are not scored.

        Args:
            texts: any number of texts. Those that exceed the model's length are cut, with a warning.
            mask: what is masked while a token is scored, one of `MASKS`.
            tokens: whether to return the log-likelihood of each token too.

        Returns:
            For each text its `log_likelihood` (natural logarithm; 0.0 for a text without tokens) and `num_tokens`. With
            `tokens`, also `tokens`: a list of dictionaries of `token` and `log_likelihood`.

        Raises:
            ValueError: the model has no masked-LM head, an item is not a string, or there is no such `mask`.
        """
        self._require("log_likelihood")
        if mask not in MASKS:
            raise ValueError(f"`mask` must be one of {', '.join(MASKS)}. Received: {mask!r}")
        texts = texts_of("texts", texts)
        rows = self.tokenizer.encode_rows(texts, None, RowOptions(self._length, None))
        report_cut(rows.num_cut, len(texts), self._length, advice="Tokens that were cut off are not scored")
        encoded = rows.lists("input_ids")
        found = [np.zeros(len(ids)) for ids in encoded]  # log-likelihoods by position
        for some in self._masked(encoded, mask):
            self._score(encoded, some, found)
        answers: list[dict[str, Any]] = []
        for ids, values in zip(encoded, found, strict=True):
            answer: dict[str, Any] = {"log_likelihood": float(values.sum()), "num_tokens": len(ids) - 2}
            if tokens:
                answer["tokens"] = [
                    {"token": self.tokenizer.tokens[index], "log_likelihood": float(value)}
                    for index, value in zip(ids[1:-1], values[1:-1], strict=True)
                ]
            answers.append(answer)
        return answers

    def perplexity(self, texts: Sequence[str], *, mask: str = "token") -> float:
        """Return the pseudo-perplexity of all texts together: exp(-(sum of log-likelihoods) / (number of tokens)).

        Perplexities of models with different vocabularies cannot be compared, since their tokens differ.

        Args:
            texts: the texts.
            mask: as in `log_likelihood`.

        Raises:
            ValueError: as in `log_likelihood`, or no text has a token.
        """
        self._require("perplexity")
        answers = self.log_likelihood(texts, mask=mask)
        num_tokens = sum(answer["num_tokens"] for answer in answers)
        if not num_tokens:
            raise ValueError(f"`texts` must have at least one token. Received: {texts!r:.100}")
        return math.exp(-sum(answer["log_likelihood"] for answer in answers) / num_tokens)

    def _masked(self, encoded: Sequence[list[int]], mask: str) -> Iterator[list[_Row]]:
        """Yield the rows of all texts, from long ones to short ones, in lists of about 16 batches."""
        some: list[_Row] = []
        for text in sorted(range(len(encoded)), key=lambda index: -len(encoded[index])):
            ids = encoded[text]
            for masked, positions in self._masks(ids, mask):
                row = list(ids)
                row[masked] = [self.tokenizer.mask_id] * (masked.stop - masked.start)
                some.append(_Row(text, row, positions))
            if len(some) >= _BATCHES_AT_A_TIME * self.batch_size:
                yield some
                some = []
        if some:
            yield some

    def _masks(self, ids: Sequence[int], mask: str) -> Iterator[tuple[slice, list[int]]]:
        """Yield the positions that are masked and those that are predicted, for each row of a text."""
        continues = self._continues[np.asarray(ids[1:-1], np.int64)]
        starts = [1, *(np.flatnonzero(~continues[1:]) + 2).tolist(), len(ids) - 1]
        for start, end in itertools.pairwise(starts):
            if mask == "whole_word" and start < end:
                yield slice(start, end), list(range(start, end))
            elif mask != "whole_word":
                for position in range(start, end):
                    yield slice(position, end if mask == "word_l2r" else position + 1), [position]

    @cached_property
    def _continues(self) -> np.ndarray:
        """The mask of the tokens that continue a word, bool [vocabulary]."""
        return np.array([token.startswith("##") for token in self.tokenizer.tokens], bool)

    def _score(self, encoded: Sequence[list[int]], some: Sequence[_Row], found: Sequence[np.ndarray]) -> None:
        """Write the log-likelihoods of the rows' predicted tokens into `found`."""
        from bert_tf.models.pretrainer import BertPretrainer

        positions = np.zeros((len(some), max(len(row.positions) for row in some)), np.int32)
        targets = np.zeros_like(positions)
        for number, row in enumerate(some):
            positions[number, : len(row.positions)] = row.positions
            targets[number, : len(row.positions)] = [encoded[row.text][position] for position in row.positions]
        rows = EncodedExamples.from_lists(
            [row.ids for row in some],
            [[0] * len(row.ids) for row in some],
            pad_id=self.tokenizer.pad_id,
            max_seq_length=self._length,
            example_features={"masked_lm_positions": positions},
        )
        names = (*encoder_batch(None, None), "masked_lm_positions")
        for indices, batch in rows.batches(self.batch_size, fill=False):
            logits = self._forward({name: batch[name] for name in names})["masked_lm_logits"]
            values = np.asarray(BertPretrainer.log_probabilities_of(logits, targets[indices]))
            for index, scores in zip(indices, values, strict=True):
                row = some[index]
                found[row.text][row.positions] = scores[: len(row.positions)]


def log_likelihoods(predictor: LikelihoodMethods, texts: Sequence[str], **options: Any) -> Iterator[dict[str, Any]]:
    """Yield the answer of `Predictor.log_likelihood` to each text, in order, and show the progress."""
    cut = CutReports()
    with progress_bar(label="scoring", unit="text", total=len(texts)) as bar:
        for start in range(0, len(texts), _TEXTS_AT_A_TIME):
            some = texts[start : start + _TEXTS_AT_A_TIME]
            with cut.collecting():
                found = predictor.log_likelihood(some, **options)
            yield from found
            bar.update(len(some))
    cut.report()
