"""The method of question answerers."""

from collections.abc import Sequence
from typing import Any

from bert_tf.examples import QuestionExample
from bert_tf.serving.methods.base import BasePredictor, texts_of


class QuestionAnsweringMethods(BasePredictor):
    """The method of question answerers."""

    def answer(self, questions: Sequence[str], contexts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the answer to each question, a part of its context.

        Args:
            questions: any number of texts.
            contexts: the context of each question.

        Returns:
            For each question, `answer` ("" for none), its `start` and `end` in the context, and `n_best`, the likeliest
            answers with `text`, `start`, `end`, `score` (the sum of the logits) and `probability`.

        Raises:
            ValueError: the model is not one of question answering, an item is not a string, or the numbers differ.
        """
        self._require("answer")
        questions, contexts = texts_of("questions", questions), texts_of("contexts", contexts)
        if len(questions) != len(contexts):
            raise ValueError(
                f"`contexts` must be as many as `questions`. Received: {len(contexts)} and {len(questions)}"
            )
        return self.predict(
            [
                QuestionExample(question, context, str(number), labelled=False)
                for number, (question, context) in enumerate(zip(questions, contexts, strict=True))
            ]
        )
