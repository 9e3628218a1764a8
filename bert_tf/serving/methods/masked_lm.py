"""The method of pre-trained models, which fills masks."""

from collections.abc import Sequence

import numpy as np

from bert_tf.serving.methods.base import BasePredictor, texts_of
from bert_tf.tasks.long_texts import report_cut
from bert_tf.tokenization.rows import RowOptions


class MaskedLMMethods(BasePredictor):
    """The method of pre-trained models."""

    def fill_mask(self, texts: Sequence[str], top_k: int = 5) -> list[list[list[tuple[str, float]]]]:
        """Return the likeliest tokens at each `[MASK]` of each text.

        Args:
            texts: any number of texts, with `[MASK]` for each token to predict.
            top_k: number of tokens for each mask.

        Returns:
            For each text, for each of its masks within the model's length, (token, probability) pairs, likeliest first.

        Raises:
            ValueError: the model has no masked-LM head, an item is not a string or has no `[MASK]`, or the vocabulary
                has fewer than `top_k` tokens.
        """
        self._require("fill_mask")
        from bert_tf.models.pretrainer import BertPretrainer

        tokenizer = self.tokenizer
        if not 1 <= top_k <= tokenizer.vocab_size:
            raise ValueError(
                f"`top_k` must be between 1 and the {tokenizer.vocab_size} tokens of the vocabulary. Received: {top_k}"
            )
        texts = texts_of("texts", texts)
        rows = tokenizer.encode_rows(texts, None, RowOptions(self._length, None), parse_special_tokens=["[MASK]"])
        encoded = rows.lists("input_ids")
        for number, ids in enumerate(encoded):
            if tokenizer.mask_id not in ids:
                raise ValueError(
                    f"`texts[{number}]` must hold [MASK] within the model's length. Received: {texts[number]!r}"
                )
        report_cut(rows.num_cut, len(texts), self._length, advice="A [MASK] that was cut off has no answer")
        results: list[list[list[tuple[str, float]]]] = [[]] * len(encoded)
        for indices, inputs in self._batches(self._rows(encoded, rows.lists("segment_ids"))):
            masks = [np.flatnonzero(ids == tokenizer.mask_id) for ids in inputs["input_ids"]]
            positions = np.zeros((len(masks), max(map(len, masks))), np.int32)
            for row, found in enumerate(masks):
                positions[row, : len(found)] = found
            logits = self._forward(inputs | {"masked_lm_positions": positions})["masked_lm_logits"]
            top = BertPretrainer.likeliest_tokens(logits, tokenizer.vocab_size, top_k)
            scores, tokens = (np.asarray(tensor) for tensor in top)
            for row, index in enumerate(indices):
                results[index] = [
                    [
                        (tokenizer.tokens[token], float(score))
                        for token, score in zip(tokens[row, number], scores[row, number], strict=True)
                    ]
                    for number in range(len(masks[row]))
                ]
        return results
