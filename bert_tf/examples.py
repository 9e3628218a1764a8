"""The examples that readers of labelled files make: one dataclass for each kind of task."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.utils.ideographs import is_ideograph

DIGESTS = "digests"
"""The key of a run's data under which the digests of its examples stand, by part: `train`, `eval` and `test`."""


@dataclasses.dataclass(frozen=True)
class TextExample:
    """A text or a pair of texts.

    Attributes:
        text: the text.
        text_pair: the second text of a pair; None for a task on single texts.
        label: name of a class, tuple of names (multi-label), or number (regression); None if the file was read
            without labels.
        group: examples of one group stay together when a file is split; None for no group.
        source: file and line, for messages.
    """

    text: str
    text_pair: str | None = None
    label: Any = None
    group: str | None = None
    source: str = dataclasses.field(default="", compare=False)

    def without_label(self) -> "TextExample":
        """Return the example without its label, so that a label unknown to the model raises no error."""
        return dataclasses.replace(self, label=None)


@dataclasses.dataclass(frozen=True)
class TaggedExample:
    """A sentence of words, each of which has a tag.

    Attributes:
        text: the original text.
        word_offsets: start and end of each word in `text`.
        tags: the tag of each word; None if the file was read without tags.
        group: see `TextExample`.
        source: file and line, for messages.
    """

    text: str
    word_offsets: tuple[tuple[int, int], ...]
    tags: tuple[str, ...] | None = None
    group: str | None = None
    source: str = dataclasses.field(default="", compare=False)

    @classmethod
    def from_words(
        cls, words: list[str], tags: list[str] | None = None, *, group: str | None = None, source: str = ""
    ) -> "TaggedExample":
        """Make an example whose text is the words, with spaces between them but not between two ideographs.

        >>> TaggedExample.from_words(["New", "York"]).word_offsets
        ((0, 3), (4, 8))
        >>> TaggedExample.from_words(["北", "京", "2008", "年"]).text
        '北京 2008 年'
        """
        text = ""
        offsets = []
        for word in words:
            if text and not (word and is_ideograph(text[-1]) and is_ideograph(word[0])):
                text += " "
            offsets.append((len(text), len(text) + len(word)))
            text += word
        return cls(text, tuple(offsets), None if tags is None else tuple(tags), group, source)

    def without_label(self) -> "TaggedExample":
        """Return the example without its tags, as `TextExample.without_label`."""
        return dataclasses.replace(self, tags=None)

    @property
    def words(self) -> list[str]:
        """The words, in order."""
        return [self.text[start:end] for start, end in self.word_offsets]


@dataclasses.dataclass(frozen=True)
class QuestionExample:
    """A question about a context.

    Attributes:
        question: the question.
        context: the text that may hold the answer.
        question_id: name of the question in reports of answers.
        answers: the acceptable answers, each with the index of its first character in `context`; () if there are none.
        labelled: whether `answers` is known; if so, () means that the context holds no answer.
        group: title of the article; see `TextExample`.
        source: file and position in it, for messages.
    """

    question: str
    context: str
    question_id: str = ""
    answers: tuple[tuple[str, int], ...] = ()
    labelled: bool = True
    group: str | None = None
    source: str = dataclasses.field(default="", compare=False)

    def without_label(self) -> "QuestionExample":
        """Return the example without its answers, as `TextExample.without_label`."""
        return dataclasses.replace(self, answers=(), labelled=False)

    def holds(self, answer: tuple[str, int]) -> bool:
        """Return whether the context holds the text of an answer at the answer's index."""
        text, start = answer
        return start >= 0 and self.context.startswith(text, start)


@dataclasses.dataclass(frozen=True)
class RetrievalExample:
    """A query and a passage that answers it.

    Attributes:
        query: the query.
        passage: a passage that answers it.
        negatives: passages that only seem to answer it.
        group: see `TextExample`.
        source: file and line, for messages.
    """

    query: str
    passage: str
    negatives: tuple[str, ...] = ()
    group: str | None = None
    source: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True)
class RerankingExample:
    """A query and the passages to rank for it.

    Attributes:
        query: the query.
        passages: the passages, at least one.
        relevances: the relevance of each passage, at least 0, and 0 for one that does not answer the query; None if the
            file was read without labels.
        group: see `TextExample`.
        source: file and line, for messages.
    """

    query: str
    passages: tuple[str, ...]
    relevances: tuple[float, ...] | None = None
    group: str | None = None
    source: str = dataclasses.field(default="", compare=False)

    @property
    def labelled(self) -> bool:
        """True if the relevances are known."""
        return self.relevances is not None

    def without_label(self) -> "RerankingExample":
        """Return the example without its relevances, as `TextExample.without_label`."""
        return dataclasses.replace(self, relevances=None)


@dataclasses.dataclass(frozen=True)
class Seq2SeqExample:
    """A source text and the target text that is to be generated from it.

    Attributes:
        text: the source.
        target: the target; None if the file was read without targets.
        group: see `TextExample`.
        other_targets: further targets that are as good, such as other translations; () for none.
        source: file and line, for messages.
    """

    text: str
    target: str | None = None
    group: str | None = None
    other_targets: tuple[str, ...] = ()
    source: str = dataclasses.field(default="", compare=False)

    @property
    def references(self) -> tuple[str, ...]:
        """All targets, which generated texts are compared with; () if none is known."""
        return () if self.target is None else (self.target, *self.other_targets)

    @property
    def labelled(self) -> bool:
        """True if the target is known."""
        return self.target is not None

    def without_label(self) -> "Seq2SeqExample":
        """Return the example without its targets, as `TextExample.without_label`."""
        return dataclasses.replace(self, target=None, other_targets=())


@dataclasses.dataclass(frozen=True)
class ChoiceExample:
    """A context and choices, of which one suits it.

    Attributes:
        context: the context.
        choices: the choices, at least two.
        label: the index of the right choice; None if the file was read without labels.
        question: the text that precedes every choice: a question about the context, or the beginning of an ending; ""
            for none.
        group: see `TextExample`.
        source: file and line, for messages.
    """

    context: str
    choices: tuple[str, ...]
    label: int | None = None
    question: str = ""
    group: str | None = None
    source: str = dataclasses.field(default="", compare=False)

    def without_label(self) -> "ChoiceExample":
        """Return the example without its label, as `TextExample.without_label`."""
        return dataclasses.replace(self, label=None)

    def second_text(self, index: int) -> str:
        """Return the text that follows the context in the sequence of a choice: the question, if any, and the choice.

        >>> ChoiceExample("She took the boat.", ("rows.", "sleeps."), question="Then she").second_text(0)
        'Then she rows.'
        """
        return f"{self.question} {self.choices[index]}" if self.question else self.choices[index]


@dataclasses.dataclass(frozen=True)
class NBestList:
    """The hypotheses of a recognizer or a translator for one input.

    Attributes:
        id: the name of the input.
        texts: the hypotheses, at least one. A hypothesis may be empty.
        scores: the score of each hypothesis, a log-probability or any number that is larger for better ones.
        reference: the right text, if it is known.
        source: file and line, for messages.
    """

    id: str
    texts: tuple[str, ...]
    scores: tuple[float, ...]
    reference: str | None = None
    source: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples of one kind, and their source.

    Attributes:
        examples: the examples, at least one.
        path: file, data set or part of a data set, for messages and for the description of the run.
    """

    examples: Sequence[Any]
    path: str

    def digest(self) -> str:
        """Return a digest of what is learnt or scored: it changes with every text, label and group, and their order.

        Where the examples were read is not part of it, so that a file may be moved, or compressed.
        """
        digest = hashlib.sha256()
        for example in self.examples:
            content = [getattr(example, field.name) for field in dataclasses.fields(example) if field.compare]
            digest.update(json.dumps(content).encode() + b"\n")
        return digest.hexdigest()

    def of_task(self, name: str) -> "Examples":
        """Return the examples of one task by its name: these, whose task needs no name."""
        return self


@dataclasses.dataclass(frozen=True)
class ExamplesByTask(Examples):
    """The examples of several tasks.

    Attributes:
        examples: the examples of all tasks.
        path: the sources, `NAME=SOURCE,NAME=SOURCE`.
        by_task: the examples of each task by its name.
    """

    by_task: Mapping[str, Examples]

    @classmethod
    def of(cls, by_task: Mapping[str, Examples]) -> "ExamplesByTask":
        """Return the examples of these tasks."""
        path = ",".join(f"{name}={examples.path}" for name, examples in by_task.items())
        return cls([example for examples in by_task.values() for example in examples.examples], path, dict(by_task))

    def digest(self) -> str:
        """Return a digest of the tasks' names and of the digests of their examples."""
        parts = {name: examples.digest() for name, examples in self.by_task.items()}
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def of_task(self, name: str) -> Examples:
        """Return the examples of one task."""
        return self.by_task[name]
