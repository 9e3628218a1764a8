"""The reader of questions on contexts, from the JSON of SQuAD 1.1 and 2.0."""

from collections.abc import Iterable, Iterator
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
    articles = enumerate(_member(files.read_json(path), "data", list, path))
    rows = ((f"{path}, data[{number}]", article) for number, article in articles)
    examples = questions_of_rows(rows, path=path, labelled=labelled, strict=strict)
    if not examples:
        raise ValueError(f"`path` must name a file with at least one question. Received: {path!r}")
    return examples


def questions_of_rows(
    rows: Iterable[tuple[str, Any]], *, path: str, labelled: bool = True, strict: bool = False
) -> list[QuestionExample]:
    """Return the questions of rows, each of which is an article of a SQuAD file, or a single question.

    A single question has the fields `question`, `context`, `answers` and, if it has them, `id` and `title`. Its answers
    are a list as in the files, or the columns `text` and `answer_start`, as the data sets of Hugging Face have them.

    Args:
        rows: each row with its source, for messages.
        path: the file or data set, for messages.
        labelled: see `read_questions`.
        strict: see `read_questions`.

    Raises:
        ValueError: a row has not these fields, or an answer is at a wrong position and `strict` is set.
    """
    examples = [
        example
        for number, (source, row) in enumerate(rows)
        for example in (
            [_single_question(row, source, labelled)]
            if isinstance(row, dict) and {"question", "context"} & row.keys()
            else _questions_of_article(row, number, source, labelled)
        )
    ]
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
    return examples


def _questions_of_article(article: Any, number: int, article_source: str, labelled: bool) -> Iterator[QuestionExample]:
    title = article.get("title") if isinstance(article, dict) else None
    for paragraph_number, paragraph in enumerate(_member(article, "paragraphs", list, article_source)):
        paragraph_source = f"{article_source}.paragraphs[{paragraph_number}]"
        context = _member(paragraph, "context", str, paragraph_source)
        for question_number, question in enumerate(_member(paragraph, "qas", list, paragraph_source)):
            source = f"{paragraph_source}.qas[{question_number}]"
            yield _example(question, context, title=str(title or number), source=source, labelled=labelled)


def _single_question(row: dict[str, Any], source: str, labelled: bool) -> QuestionExample:
    answers, title = row.get("answers"), row.get("title")
    if isinstance(answers, dict):
        texts, starts = (_member(answers, name, list, f"{source}.answers") for name in ("text", "answer_start"))
        if len(texts) != len(starts):
            raise ValueError(
                f"{source}.answers: must have an answer_start for each text. "
                f"Received: {len(texts)} texts, {len(starts)} starts"
            )
        pairs = zip(texts, starts, strict=True)
        row = row | {"answers": [{"text": text, "answer_start": start} for text, start in pairs]}
    context = _member(row, "context", str, source)
    group = None if title is None else str(title)
    return _example(row, context, title=group, source=source, labelled=labelled)


def _example(values: Any, context: str, *, title: str | None, source: str, labelled: bool) -> QuestionExample:
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
