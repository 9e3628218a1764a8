"""What the readers of labelled files give: one dataclass a kind of task."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from bert_tf.utils.ideographs import is_ideograph


@dataclasses.dataclass(frozen=True)
class TextExample:
    """A text, or a pair of texts.

    Attributes:
        text_pair: None for a task on single texts.
        label: a class's name, a tuple of names (multi-label), a number (regression); None where the file was read
            without labels.
        group: what must stay together when a file is split; None for no group.
        source: file and line, for messages.
    """

    text: str
    text_pair: str | None = None
    label: Any = None
    group: str | None = None
    source: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True)
class TaggedExample:
    """A sentence of words, each with a tag.

    Attributes:
        text: the original text.
        word_offsets: (start, end) of each word in `text`.
        tags: one a word; None where the file was read without tags.
        group: as in `TextExample`.
        source: file and line, for messages.
    """

    text: str
    word_offsets: tuple[tuple[int, int], ...]
    tags: tuple[str, ...] | None = None
    group: str | None = None
    source: str = dataclasses.field(default="", compare=False)

    @classmethod
    def from_words(
        cls, words: list[str], tags: list[str] | None = None, group: str | None = None, source: str = ""
    ) -> "TaggedExample":
        """The example whose text is `words` with a space between, but none between two ideographs.

        >>> TaggedExample.from_words(["New", "York"]).word_offsets
        ((0, 3), (4, 8))
        >>> TaggedExample.from_words(["北", "京", "2008", "年"]).text
        '北京 2008 年'
        """
        text = ""
        offsets = []
        for word in words:
            if text and not (is_ideograph(text[-1]) and is_ideograph(word[0])):
                text += " "
            offsets.append((len(text), len(text) + len(word)))
            text += word
        return cls(text, tuple(offsets), None if tags is None else tuple(tags), group, source)

    @property
    def words(self) -> list[str]:
        """The words."""
        return [self.text[start:end] for start, end in self.word_offsets]


@dataclasses.dataclass(frozen=True)
class QuestionExample:
    """A question on a context.

    Attributes:
        question_id: by which answers are reported.
        answers: the acceptable answers, (text, its first character in `context`); () for a question that has none.
        labelled: whether `answers` is known; an empty one then says that the context holds no answer.
        group: the article's title.
        source: file and place, for messages.
    """

    question: str
    context: str
    question_id: str = ""
    answers: tuple[tuple[str, int], ...] = ()
    labelled: bool = True
    group: str | None = None
    source: str = dataclasses.field(default="", compare=False)

    def holds(self, answer: tuple[str, int]) -> bool:
        """Whether the answer's text stands in the context where it says."""
        text, start = answer
        return start >= 0 and self.context.startswith(text, start)


@dataclasses.dataclass(frozen=True)
class RetrievalExample:
    """A query and a passage that answers it.

    Attributes:
        negatives: passages that do not, though they look so.
        group: as in `TextExample`.
        source: file and line, for messages.
    """

    query: str
    passage: str
    negatives: tuple[str, ...] = ()
    group: str | None = None
    source: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples of one kind, and where they come from.

    Attributes:
        examples: at least one.
        path: file, data set or part of one, for messages and for the run's description.
    """

    examples: Sequence[Any]
    path: str
