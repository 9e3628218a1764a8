"""The reader of questions on contexts, from the JSON of SQuAD 1.1 and 2.0."""

from collections.abc import Iterator
from typing import Any

from absl import logging

from bert_tf.examples import QuestionExample
from bert_tf.utils import files


def read_questions(path: str, *, labelled: bool = True, strict: bool = False) -> list[QuestionExample]:
    """Return the questions of a SQuAD file.

    The `answer_start` of an answer must be the position of its text in the context, counted in characters (code
    points). A warning gives the number of answers at wrong positions and shows the first. Training ignores them;
    evaluation compares texts only.

    Args:
        path: the file, local or remote.
        labelled: whether answers are read. If not, the file need not hold any.
        strict: whether a wrong `answer_start` is an error instead of a warning.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not JSON in SQuAD's format, an answer is at a wrong position and `strict` is set, or
            there is no question. The message names file and question.
    """
    if not path.lower().endswith(".json"):
        raise ValueError(f"`path` must name a file that ends in .json (SQuAD). Received: {path!r}")
    examples = list(_questions(path, labelled))
    wrong = [(example, answer) for example in examples for answer in example.answers if not example.holds(answer)]
    if wrong:
        example, (text, start) = wrong[0]
        received = example.context[start : start + len(text)]
        first = (
            f"{example.source}: `answer_start` must be the position of the answer {text!r} in the context. "
            f"Received: {start}, the position of {received!r}"
        )
        if strict:
            raise ValueError(first)
        logging.warning("%s: %d answers are not at their answer_start. The first: %s", path, len(wrong), first)
    if not examples:
        raise ValueError(f"`path` must name a file with at least one question. Received: {path!r}")
    return examples


def _questions(path: str, labelled: bool) -> Iterator[QuestionExample]:
    articles = _member(files.read_json(path), "data", list, path)
    for article_number, article in enumerate(articles):
        article_source = f"{path}, data[{article_number}]"
        title = article.get("title") if isinstance(article, dict) else None
        for number, paragraph in enumerate(_member(article, "paragraphs", list, article_source)):
            paragraph_source = f"{article_source}.paragraphs[{number}]"
            context = _member(paragraph, "context", str, paragraph_source)
            for question_number, question in enumerate(_member(paragraph, "qas", list, paragraph_source)):
                source = f"{paragraph_source}.qas[{question_number}]"
                yield _example(question, context, title=str(title or article_number), source=source, labelled=labelled)


def _example(values: Any, context: str, *, title: str, source: str, labelled: bool) -> QuestionExample:
    question = _member(values, "question", str, source)
    if not question.strip():
        raise ValueError(f"{source}, field 'question': must not be empty. Received: {question!r}")
    question_id = str(values.get("id", source))
    answers: list[tuple[str, int]] = []
    if labelled and not values.get("is_impossible", False):
        for number, answer in enumerate(_member(values, "answers", list, source)):
            answer_source = f"{source} ({question_id}).answers[{number}]"
            text = _member(answer, "text", str, answer_source)
            start = _member(answer, "answer_start", int, answer_source)
            if not text:
                raise ValueError(f"{answer_source}, field 'text': must not be empty. Received: {text!r}")
            answers.append((text, start))
    return QuestionExample(question, context, question_id, tuple(answers), labelled, title, f"{source} ({question_id})")


_KINDS = {list: "a list", str: "a string", int: "a whole number"}


def _member(values: Any, name: str, kind: type, source: str) -> Any:
    """Return a member of a JSON object, which must be of the type `kind`."""
    if not isinstance(values, dict) or not isinstance(values.get(name), kind):
        received = values.get(name) if isinstance(values, dict) else values
        raise ValueError(
            f"{source}: must be an object whose {name!r} is {_KINDS[kind]}. Received: {str(received)[:80]!r}"
        )
    return values[name]
