"""The method of taggers."""

from collections.abc import Sequence
from typing import Any

from bert_tf.examples import TaggedExample
from bert_tf.serving.methods.base import BasePredictor, items_of


class TaggingMethods(BasePredictor):
    """The method of taggers."""

    def tag(self, texts: Sequence[str | Sequence[str]]) -> list[dict[str, Any]]:
        """Return the tags of each text's words, and the spans that they make.

        Args:
            texts: any number of texts or lists of words. A text is split into words at spaces and around punctuation
                and ideographs, as by `BasicTokenizer`.

        Returns:
            For each text, `{"words": [...], "tags": [...], "spans": [{"label", "text", "start", "end"}]}`. Start and
            end count characters of the text, or of the given words joined by spaces.

        Raises:
            ValueError: the model is not a tagger, or an item is neither a string nor a list of strings.
        """
        self._require("tag")
        return self.predict([self._tagged(number, text) for number, text in enumerate(items_of("texts", texts))])

    def _tagged(self, number: int, text: str | Sequence[str]) -> TaggedExample:
        if isinstance(text, str):
            return TaggedExample(text, tuple(self.tokenizer.word_offsets(text)))
        if not isinstance(text, list | tuple) or not all(isinstance(word, str) for word in text):
            raise ValueError(f"`texts[{number}]` must be a text or a list of words. Received: {text!r:.100}")
        return TaggedExample.from_words(list(text))
