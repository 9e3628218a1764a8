"""The method of models that choose."""

from collections.abc import Sequence
from typing import Any

from bert_tf.examples import ChoiceExample
from bert_tf.serving.methods.base import BasePredictor, items_of, texts_of


class MultipleChoiceMethods(BasePredictor):
    """The method of models for multiple choice."""

    def choose(
        self,
        contexts: str | Sequence[str],
        choices: Sequence[str] | Sequence[Sequence[str]],
        questions: str | Sequence[str] | None = None,
    ) -> Any:
        """Return the likeliest choice for a context, or for each of several contexts.

        Args:
            contexts: a text, or any number of texts.
            choices: the choices for the one context, at least two; or a list of choices for each context. Their numbers
                may differ, from each other and from those in training.
            questions: a question about the one context, or one about each context ("" for none), which precedes its
                choices. None for no questions.

        Returns:
            For one context, `{"index": index in choices, "choice": text, "probabilities": [a number for each choice]}`;
            for several, a list of such answers in their order.

        Raises:
            ValueError: the model is not one for multiple choice, an item is not a string, the numbers differ, or there
                are fewer than two choices.
        """
        self._require("choose")
        answers = self.predict(choice_examples(contexts, choices, questions))
        return answers[0] if isinstance(contexts, str) else answers


def choice_examples(
    contexts: str | Sequence[str],
    choices: Sequence[str] | Sequence[Sequence[str]],
    questions: str | Sequence[str] | None,
) -> list[ChoiceExample]:
    """Return the examples of `MultipleChoiceMethods.choose`, whose arguments and errors these are."""
    one = isinstance(contexts, str)
    found = texts_of("contexts", [contexts] if isinstance(contexts, str) else contexts)
    lists = [choices] if one else items_of("choices", choices)
    asked = None if questions is None else texts_of("questions", [questions] if one else questions)  # type: ignore[list-item]
    for name, items in (("choices", lists), ("questions", asked)):
        if items is not None and len(items) != len(found):
            raise ValueError(f"`{name}` must be as many as `contexts`. Received: {len(items)} and {len(found)}")
    examples = []
    for number, (context, given) in enumerate(zip(found, lists, strict=True)):
        name = "choices" if one else f"choices[{number}]"
        texts = texts_of(name, given)
        if len(texts) < 2:
            raise ValueError(f"`{name}` must hold at least two choices. Received: {given!r:.100}")
        if "" in texts:
            raise ValueError(f"`{name}[{texts.index('')}]` must not be empty. Received: {given!r:.100}")
        examples.append(ChoiceExample(context, tuple(texts), question=asked[number] if asked else ""))
    return examples
