"""Examples from what people hold in a notebook: texts, pairs, words, questions and passages, with their labels.

Each function takes a task's inputs `x` and targets `y` as Keras's `fit` does, and names the item at fault.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_tf.examples import (
    ChoiceExample,
    QuestionExample,
    RerankingExample,
    RetrievalExample,
    Seq2SeqExample,
    TaggedExample,
    TextExample,
)
from bert_tf.tasks.natural_targets import check_number
from bert_tf.tokenization.texts import list_of_texts

_PLURAL = {
    "text": "texts",
    "text_pair": "pairs",
    "question": "questions",
    "context": "contexts",
    "query": "queries",
    "passage": "passages",
}


def text_examples(x: Any) -> list[TextExample]:
    """Return the examples of texts or pairs, without labels.

    Args:
        x: a list, tuple, array or column of texts, or a list of pairs; a tuple `(texts, pairs)` of two such; a
            dictionary or table of `text` and perhaps `text_pair`; or examples.

    Raises:
        ValueError: an item is not a text, or the numbers of first and second texts differ.
    """
    if _are(TextExample, x):
        return list(x)
    if isinstance(x, list) and x and all(isinstance(item, list | tuple) and len(item) == 2 for item in x):
        x = ([item[0] for item in x], [item[1] for item in x])
    first, second = _columns(x, ("text", "text_pair"), optional=1)
    if second is None:
        return [TextExample(text, source=f"`x[{number}]`") for number, text in enumerate(first)]
    return [
        TextExample(text, pair, source=f"`x[{number}]`")
        for number, (text, pair) in enumerate(zip(first, second, strict=True))
    ]


def tagged_examples(x: Any, split_words: Any) -> list[TaggedExample]:
    """Return the examples of words, without tags.

    Args:
        x: a list whose items are lists of words, or texts, which `split_words` splits; or examples.
        split_words: a function from a text to the start and end of each of its words.

    Raises:
        ValueError: an item is neither.
    """
    if _are(TaggedExample, x):
        return list(x)
    if isinstance(x, str | bytes | Mapping) or not hasattr(x, "__len__"):
        raise ValueError(f"`x` must be a list of lists of words. Received: {x!r:.100}")
    examples = []
    for number, item in enumerate(x):
        source = f"`x[{number}]`"
        if isinstance(item, str):
            examples.append(TaggedExample(item, tuple(split_words(item)), source=source))
            continue
        words = item.tolist() if isinstance(item, np.ndarray) else item
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{source} must be a list of words, or a text. Received: {item!r:.100}")
        examples.append(TaggedExample.from_words(list(words), source=source))
    return examples


def question_examples(x: Any, y: Any) -> list[QuestionExample]:
    """Return the examples of questions, with answers if `y` is given.

    Args:
        x: a tuple `(questions, contexts)`, a dictionary or table of `question` and `context`, or examples.
        y: for each question its answers, as SQuAD has them, `{"text": [...], "answer_start": [...]}`, or one `(text,
            start)`, where start is the index of the answer's first character in the context; None or an empty list for
            a question without an answer. `y` itself is None for questions whose answers are not known.

    Raises:
        ValueError: an item is not a text or an answer, an answer is not in its context, or the numbers differ.
    """
    if _are(QuestionExample, x):
        return list(x)
    questions, contexts = _columns(x, ("question", "context"))
    answers = [None] * len(questions) if y is None else check_number(y, len(questions))
    examples = []
    for number, (question, context, given) in enumerate(zip(questions, contexts or (), answers, strict=True)):
        example = QuestionExample(
            question,
            context,
            question_id=str(number),
            answers=() if y is None else _answers(number, given),
            labelled=y is not None,
            source=f"`x[{number}]`",
        )
        for answer in example.answers:
            if not example.holds(answer):
                raise ValueError(f"`y[{number}]` must be in the context at its start. Received: {answer!r:.100}")
        examples.append(example)
    return examples


def retrieval_examples(x: Any) -> list[RetrievalExample]:
    """Return the examples of queries and the passages that answer them.

    Args:
        x: a tuple `(queries, passages)`, or `(queries, passages, negatives)` with a list of passages for each query; a
            dictionary or table of `query`, `passage` and perhaps `negatives`; or examples.

    Raises:
        ValueError: an item is not a text, or the numbers differ.
    """
    if _are(RetrievalExample, x):
        return list(x)
    negatives: Any = None
    if isinstance(x, tuple) and len(x) == 3:
        *x, negatives = x
        x = tuple(x)
    elif (isinstance(x, Mapping) or hasattr(x, "columns")) and "negatives" in x:
        negatives = x["negatives"]
        x = {name: x[name] for name in x if name != "negatives"}
    queries, passages = _columns(x, ("query", "passage"))
    wrong = [()] * len(queries) if negatives is None else check_number(negatives, len(queries), "negatives")
    return [
        RetrievalExample(
            query, passage, tuple(list_of_texts(f"negatives[{number}]", list(others))), source=f"`x[{number}]`"
        )
        for number, (query, passage, others) in enumerate(zip(queries, passages or (), wrong, strict=True))
    ]


def reranking_examples(x: Any, y: Any = None) -> list[RerankingExample]:
    """Return the examples of queries and the passages to rank for each, with their relevances if `y` is given.

    Args:
        x: a tuple `(queries, passages)` with a list of passages for each query; or examples.
        y: for each query a list of its passages' relevances; None for none, or for examples that have theirs.

    Raises:
        ValueError: an item is not a text, a relevance is not a number of at least 0, or the numbers differ.
    """
    if _are(RerankingExample, x):
        if y is not None:
            raise ValueError("`y` must be left out with examples, which hold their relevances")
        return list(x)
    if not isinstance(x, tuple) or len(x) != 2 or isinstance(x[1], str | bytes):
        raise ValueError(f"`x` must be a tuple (queries, lists of passages). Received: a {type(x).__name__}")
    queries = list_of_texts("x[0]", x[0])
    lists = [list_of_texts(f"x[1][{number}]", some) for number, some in enumerate(x[1])]
    if len(lists) != len(queries) or not all(lists):
        raise ValueError(
            f"`x[1]` must have a list of passages for each of {len(queries)} queries, none of them empty. "
            f"Received: lists of {', '.join(str(len(some)) for some in lists[:8])} passages"
        )
    values = [None] * len(queries) if y is None else check_number(y, len(queries))
    return [
        RerankingExample(query, tuple(some), _relevances(number, given, len(some)), source=f"`x[{number}]`")
        for number, (query, some, given) in enumerate(zip(queries, lists, values, strict=True))
    ]


def _relevances(number: int, given: Any, count: int) -> tuple[float, ...] | None:
    if given is None:
        return None
    values = check_number(given, count, f"y[{number}]")
    if not all(isinstance(value, int | float) and math.isfinite(value) and value >= 0 for value in values):
        raise ValueError(f"`y[{number}]` must be finite numbers of at least 0. Received: {given!r:.100}")
    return tuple(map(float, values))


def seq2seq_examples(x: Any, y: Any) -> list[Seq2SeqExample]:
    """Return the examples of sources, with targets if `y` is given.

    Args:
        x: a list, array or column of texts; or examples.
        y: the target of each, as texts; None for no targets.

    Raises:
        ValueError: an item is not a text, or the numbers differ.
    """
    if _are(Seq2SeqExample, x):
        return list(x)
    sources = list_of_texts("x", x)
    targets = [None] * len(sources) if y is None else list_of_texts("y", check_number(y, len(sources)))
    return [
        Seq2SeqExample(source, target, source=f"`x[{number}]`")
        for number, (source, target) in enumerate(zip(sources, targets, strict=True))
    ]


def choice_examples(x: Any, y: Any) -> list[ChoiceExample]:
    """Return the examples of contexts and choices, with the right choices if `y` is given.

    Args:
        x: a tuple `(contexts, choices)` with a list of choices for each context, or `(contexts, choices, questions)`; a
            dictionary or table of `context`, `choices` and perhaps `question`; or examples.
        y: the index of each right choice, counted from 0; None for none.

    Raises:
        ValueError: an item is not a text, a context has fewer than two choices, an index is not that of a choice, or
            the numbers differ.
    """
    if _are(ChoiceExample, x):
        examples = list(x)
    else:
        if isinstance(x, Mapping) or hasattr(x, "columns"):
            x = tuple(x[name] for name in ("context", "choices", "question") if name in x)
        if not isinstance(x, tuple) or not 2 <= len(x) <= 3 or any(isinstance(part, str | bytes) for part in x):
            raise ValueError(f"`x` must be a tuple (contexts, choices), or with questions. Received: {x!r:.100}")
        contexts = list_of_texts("x[0]", x[0])
        lists = check_number(x[1], len(contexts), "x[1]")
        questions = list_of_texts("x[2]", check_number(x[2], len(contexts), "x[2]")) if len(x) > 2 else None
        examples = []
        for number, (context, given) in enumerate(zip(contexts, lists, strict=True)):
            choices = tuple(list_of_texts(f"x[1][{number}]", given))
            if len(choices) < 2:
                raise ValueError(f"`x[1][{number}]` must hold at least two choices. Received: {given!r:.100}")
            question = questions[number] if questions else ""
            examples.append(ChoiceExample(context, choices, question=question, source=f"`x[{number}]`"))
    if y is None:
        return examples
    labelled = []
    for number, (example, label) in enumerate(zip(examples, check_number(y, len(examples)), strict=True)):
        whole = isinstance(label, int | np.integer) and not isinstance(label, bool)
        if not whole or not 0 <= label < len(example.choices):
            last = len(example.choices) - 1
            raise ValueError(f"`y[{number}]` must be the index of a choice, from 0 to {last}. Received: {label!r}")
        labelled.append(dataclasses.replace(example, label=int(label)))
    return labelled


def _are(kind: type, x: Any) -> bool:
    return isinstance(x, list | tuple) and bool(x) and all(isinstance(item, kind) for item in x)


def _columns(x: Any, names: tuple[str, str], optional: int = 0) -> tuple[list[str], list[str] | None]:
    """Return the two columns of an input; None for the second if `optional` is 1 and it is not given."""
    if isinstance(x, Mapping) or hasattr(x, "columns"):
        found = list(x)
        if not set(names[: 2 - optional]) <= set(found) or not set(found) <= set(names):
            wanted = " and ".join(f"`{name}`" for name in names[: 2 - optional])
            perhaps = f", and perhaps `{names[1]}`" if optional else ""
            raise ValueError(f"`x` must have the columns {wanted}{perhaps}. Received: {', '.join(map(str, found))}")
        x = tuple(x[name] for name in names if name in found)
        x = x if len(x) > 1 else x[0]
    if not isinstance(x, tuple):
        if not optional:
            raise ValueError(
                f"`x` must be a tuple ({_PLURAL[names[0]]}, {_PLURAL[names[1]]}). Received: a {type(x).__name__}"
            )
        return list_of_texts("x", x), None
    if len(x) != 2 or any(isinstance(part, str | bytes) for part in x):
        raise ValueError(
            f"`x` must be {'a list of texts, or ' * optional}a tuple ({_PLURAL[names[0]]}, {_PLURAL[names[1]]}) of two "
            f"lists. Received: a tuple of {len(x)}, {x!r:.100}"
        )
    first, second = (list_of_texts(f"x[{number}]", part) for number, part in enumerate(x))
    if len(first) != len(second):
        raise ValueError(f"`x[1]` must have as many texts as `x[0]`, {len(first)}. Received: {len(second)}")
    return first, second


def _answers(number: int, given: Any) -> tuple[tuple[str, int], ...]:
    """Return the answers that one item of `y` holds."""
    if given is None:
        return ()
    if isinstance(given, Mapping):
        texts, starts = given.get("text"), given.get("answer_start")
        if isinstance(texts, str):
            texts, starts = [texts], [starts]
        if texts is not None and starts is not None and len(texts) == len(starts):
            given = list(zip(list(texts), list(starts), strict=True))
    elif isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str):
        given = [given]
    if not isinstance(given, list | tuple) or not all(
        isinstance(item, list | tuple)
        and len(item) == 2
        and isinstance(item[0], str)
        and isinstance(item[1], int | np.integer)
        for item in given
    ):
        raise ValueError(
            f"`y[{number}]` must be {{'text': [...], 'answer_start': [...]}}, or (text, start). "
            f"Received: {given!r:.100}"
        )
    return tuple((text, int(start)) for text, start in given)
