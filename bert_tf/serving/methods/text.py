"""The methods of models with one answer for each text or pair: a class, labels or a number."""

from collections.abc import Sequence
from typing import Any

from bert_tf.examples import TextExample
from bert_tf.serving.methods.base import BasePredictor, texts_of


class TextMethods(BasePredictor):
    """The methods of classifiers and regressors."""

    def classify(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return the class of each text, or pair of texts, and the probabilities of all classes.

        Args:
            texts: any number of texts.
            text_pairs: as many second texts, for a model that was trained on pairs, which needs them. Published weights
                do not say what they were trained on, and take both.

        Returns:
            For each text, in the caller's order, `{"label": name, "probabilities": {name: probability}}`. A multi-label
            model gives `{"labels": [name, ...], "probabilities": {name: probability}}`, where each label has a
            probability of its own.

        Raises:
            ValueError: the model is not a classifier, an item is not a string, the numbers of texts differ, or the
                model was trained on pairs and is asked with single texts, or the other way round.
        """
        self._require("classify")
        return self.predict(self._pairs(texts, text_pairs))

    def score(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[float]:
        """Return the number that a regression model predicts for each text, or pair of texts.

        Args:
            texts: any number of texts.
            text_pairs: as many second texts, for a model that was trained on pairs, which needs them. Published weights
                do not say what they were trained on, and take both.

        Raises:
            ValueError: the model is not a regressor, an item is not a string, the numbers of texts differ, or the
                model was trained on pairs and is asked with single texts, or the other way round.
        """
        self._require("score")
        return [answer["value"] for answer in self.predict(self._pairs(texts, text_pairs))]

    def _pairs(self, texts: Sequence[str], text_pairs: Sequence[str] | None) -> list[TextExample]:
        """Return the texts, or pairs of texts, as examples."""
        first = texts_of("texts", texts)
        takes_pairs = self.description.takes_pairs
        if text_pairs is None:
            if takes_pairs:
                raise ValueError(
                    "`text_pairs` must be given, because the model was trained on pairs of texts. "
                    f"Received: none, for {self._described()}"
                )
            return [TextExample(text) for text in first]
        second = texts_of("text_pairs", text_pairs)
        if takes_pairs is False:
            raise ValueError(
                "`text_pairs` must be left out, because the model was trained on single texts. "
                f"Received: {len(second)} for {self._described()}"
            )
        self.description.model.check_fits(self.tokenizer.vocab_size, num_segments=2)
        if len(second) != len(first):
            raise ValueError(f"`text_pairs` must be as many as `texts`. Received: {len(second)} and {len(first)}")
        return [TextExample(text, pair) for text, pair in zip(first, second, strict=True)]
