"""Questions on contexts: the JSON of SQuAD 1.1 and 2.0."""

from collections.abc import Iterator
from typing import Any

from absl import logging

from bert_tf.examples import QuestionExample
from bert_tf.utils import files


def read_questions(path: str, *, labelled: bool = True, strict: bool = False) -> list[QuestionExample]:
    """Return the questions of a SQuAD file.

    Each answer's `answer_start` must be the position of its text in the context, counted in characters (code points).
    Answers that stand elsewhere are counted, and a warning shows the first. Training ignores them; evaluation compares
    only texts.

    Args:
        path: the file, local or remote.
        labelled: whether answers are read; without, they need not exist.
        strict: whether a wrong `answer_start` is an error.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: The file is not JSON of SQuAD's form, an answer is wrong and `strict` is set, or there is no
            question. The message names file and question.
    """
    if not path.lower().endswith(".json"):
        raise ValueError(f"`path` must name a file that ends in .json (SQuAD). Received: {path!r}")
    examples = list(_questions(path, labelled))
    wrong = [(example, answer) for example in examples for answer in example.answers if not example.holds(answer)]
    if wrong:
        example, (text, start) = wrong[0]
        received = example.context[start : start + len(text)]
        first = (
            f"{example.source}: `answer_start` must be where the answer {text!r} stands. "
            f"Received: {start}, where {received!r} stands"
        )
        if strict:
            raise ValueError(first)
        logging.warning("%s: %d answers do not stand at their answer_start. The first: %s", path, len(wrong), first)
    if not examples:
        raise ValueError(f"`path` must name a file with at least one question. Received: {path!r}")
    return examples


def _questions(path: str, labelled: bool) -> Iterator[QuestionExample]:
    articles = _member(files.read_json(path), "data", list, path)
    for article_number, article in enumerate(articles):
        place = f"{path}, data[{article_number}]"
        title = article.get("title") if isinstance(article, dict) else None
        for number, paragraph in enumerate(_member(article, "paragraphs", list, place)):
            paragraph_place = f"{place}.paragraphs[{number}]"
            context = _member(paragraph, "context", str, paragraph_place)
            for question_number, question in enumerate(_member(paragraph, "qas", list, paragraph_place)):
                source = f"{paragraph_place}.qas[{question_number}]"
                yield _example(question, context, str(title or article_number), source, labelled)


def _example(values: Any, context: str, title: str, source: str, labelled: bool) -> QuestionExample:
    question = _member(values, "question", str, source)
    if not question.strip():
        raise ValueError(f"{source}, field 'question': must not be empty. Received: {question!r}")
    question_id = str(values.get("id", source))
    answers: list[tuple[str, int]] = []
    if labelled and not values.get("is_impossible", False):
        for number, answer in enumerate(_member(values, "answers", list, source)):
            place = f"{source} ({question_id}).answers[{number}]"
            text, start = _member(answer, "text", str, place), _member(answer, "answer_start", int, place)
            if not text:
                raise ValueError(f"{place}, field 'text': must not be empty. Received: {text!r}")
            answers.append((text, start))
    return QuestionExample(question, context, question_id, tuple(answers), labelled, title, f"{source} ({question_id})")


def _member(values: Any, name: str, kind: type, source: str) -> Any:
    if not isinstance(values, dict) or not isinstance(values.get(name), kind):
        received = values.get(name) if isinstance(values, dict) else values
        raise ValueError(f"{source}: must have a {kind.__name__} {name!r}. Received: {str(received)[:80]!r}")
    return values[name]
