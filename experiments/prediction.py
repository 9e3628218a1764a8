"""The answers of `bert-tf predict`, `generate` and `complete`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bert_tf.examples import (
    ChoiceExample,
    QuestionExample,
    RerankingExample,
    Seq2SeqExample,
    TaggedExample,
    TextExample,
)
from bert_tf.serving.predictor import Predictor
from bert_tf.tasks.long_texts import CutReports
from bert_tf.utils.progress import progress_bar
from experiments.prediction_inputs import gives_vectors

_TOGETHER = 1024
_TOGETHER_IN_STEPS = 256


def answers(
    predictor: Predictor,
    inputs: Sequence[Any],
    *,
    top_k: int = 5,
    embed: bool = False,
    long_texts: str = "cut",
) -> Iterator[dict[str, Any]]:
    """Yield one JSON object for each input, in order: the input, and the answer of the predictor.

    Args:
        predictor: the model, as `bert_tf.load` returns it.
        inputs: texts or examples, as `prediction_inputs.read_inputs` returns them.
        top_k: the number of tokens that a pre-trained model gives for each mask.
        embed: whether to yield the vector of each text instead.
        long_texts: what becomes of long texts in vectors, as in `Predictor.embed`.
    """
    embed = gives_vectors(predictor, embed)
    cut = CutReports()
    with progress_bar(label="predicting", unit="input", total=len(inputs)) as bar:
        for start in range(0, len(inputs), _TOGETHER):
            some = inputs[start : start + _TOGETHER]
            with cut.collecting():
                found = _answers(predictor, some, top_k=top_k, embed=embed, long_texts=long_texts)
            for given, answer in zip(some, found, strict=True):
                yield _shown(given) | answer
            bar.update(len(some))
    cut.report()


def answers_to_texts(
    method: Callable[..., list[dict[str, Any]]], texts: Sequence[str], options: Mapping[str, Any], *, label: str
) -> Iterator[dict[str, Any]]:
    """Yield one JSON object for each text, in order: `text`, and what a method of the predictor answers in many steps.

    Args:
        method: `Predictor.generate` or `Predictor.complete`.
        texts: the texts.
        options: the method's options.
        label: the label of the progress bar.
    """
    cut = CutReports()
    with progress_bar(label=label, unit="text", total=len(texts)) as bar:
        for start in range(0, len(texts), _TOGETHER_IN_STEPS):
            some = texts[start : start + _TOGETHER_IN_STEPS]
            with cut.collecting():
                found = method(some, **options)
            yield from ({"text": text} | answer for text, answer in zip(some, found, strict=True))
            bar.update(len(some))
    cut.report()


def _answers(
    predictor: Predictor, inputs: Sequence[Any], *, top_k: int, embed: bool, long_texts: str
) -> list[dict[str, Any]]:
    if embed:
        vectors = predictor.embed([example.text for example in inputs], long_texts=long_texts)
        return [{"embedding": vector.tolist()} for vector in vectors]
    if predictor.task is None:
        return [{"masks": tokens} for tokens in predictor.fill_mask([example.text for example in inputs], top_k)]
    return predictor.tag(inputs) if isinstance(inputs[0], str) else predictor.predict(inputs)


def _shown(
    given: str | TextExample | TaggedExample | QuestionExample | Seq2SeqExample | ChoiceExample | RerankingExample,
) -> dict[str, Any]:
    if isinstance(given, QuestionExample | RerankingExample):
        return {}  # the answer names the question or the query
    if isinstance(given, ChoiceExample):
        return {"context": given.context} | ({"question": given.question} if given.question else {})
    if isinstance(given, str | TaggedExample | Seq2SeqExample):
        return {"text": given if isinstance(given, str) else given.text}
    return {"text": given.text} | ({} if given.text_pair is None else {"text_pair": given.text_pair})
