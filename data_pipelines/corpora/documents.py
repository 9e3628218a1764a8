"""Documents, the hash that decides which of them are held out, and the text files that hold them.

A document is a list of sentences. A text file has one sentence on each line and a blank line (`is_blank`) between
documents.
"""

import dataclasses
import hashlib
import marshal
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from bert_tf.tokenization import unicode_tables as ucd
from bert_tf.utils import files

Document = Sequence[str]
"""The sentences of a document."""

Item = TypeVar("Item")

# This version of marshal's format writes equal lists as equal bytes, and three times as fast as pickle. Later versions
# write references, which depend on which strings happen to be the same object.
_MARSHAL_VERSION = 2


def pack_documents(documents: Sequence[Document]) -> bytes:
    """Return the documents as bytes, which are equal exactly if the documents are equal."""
    return marshal.dumps([list(document) for document in documents], _MARSHAL_VERSION)


def unpack_documents(packed: bytes | memoryview) -> list[list[str]]:
    """Return the documents that were packed. The bytes must come from this program, since marshal trusts them."""
    return marshal.loads(packed)


def num_characters(document: Document) -> int:
    """Return the number of characters in the sentences of a document."""
    return sum(map(len, document))


def document_bytes(document: Document) -> int:
    """Return the document's size as UTF-8 text with a line end after each sentence."""
    return sum(1 + (len(line) if line.isascii() else len(line.encode("utf-8", "surrogatepass"))) for line in document)


def in_groups(items: Iterable[Item], characters_of: Callable[[Item], int], least: int) -> Iterator[list[Item]]:
    """Yield the items in lists, each of which ends with the item that brings it to `least` characters."""
    group: list[Item] = []
    characters = 0
    for item in items:
        group.append(item)
        characters += characters_of(item)
        if characters >= least:
            yield group
            group, characters = [], 0
    if group:
        yield group


def is_blank(text: str) -> bool:
    r"""Return whether no tokenizer keeps anything of a text: white space, controls and zero-width characters.

    This is the one definition of a blank line: such lines separate documents, and such sentences count nowhere.

    >>> is_blank(" \u200b\x1a"), is_blank("a")
    (True, False)
    """
    # Nearly every text is decided by its first character.
    return all(
        ucd.CHARACTER_CLASS[ord(character)] in (ucd.SPACE, ucd.DROPPED) or character.isspace() for character in text
    )


def without_blanks(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield the documents without their blank sentences, and leave out documents that have no other sentence."""
    for document in documents:
        kept = [sentence for sentence in document if not is_blank(sentence)]
        if kept:
            yield kept


def is_held_out(document: Document, fraction: float) -> bool:
    """Return whether a document belongs to the held-out part of its corpus.

    A hash of the document's text alone decides. The answer is therefore the same on every machine and in every run,
    and does not depend on the other documents. A document that is held out at one fraction is held out at every larger
    one.

    Args:
        document: its sentences.
        fraction: the share to hold out, from 0 (no document) to 1 (every document).

    Raises:
        ValueError: `fraction` is out of range.
    """
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"`fraction` must be between 0 and 1. Received: {fraction!r}")
    digest = hashlib.sha256("\n".join(document).encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


@dataclasses.dataclass(frozen=True)
class CorpusStatistics:
    """The size of a corpus.

    Attributes:
        documents: the number of documents.
        sentences: the number of sentences.
        words: the number of words, which are separated by white space.
        megabytes: the size of the file, in units of 10^6 bytes.
    """

    documents: int
    sentences: int
    words: int
    megabytes: float

    def __str__(self) -> str:
        return (
            f"{self.documents:,} documents, {self.sentences:,} sentences, {self.words:,} words, {self.megabytes:.2f} MB"
        )


def write_documents(documents: Iterable[Document], path: str) -> CorpusStatistics:
    """Write documents to a text file that `readers.read_documents` reads. The file appears whole or not at all.

    Args:
        documents: the documents, at least one.
        path: the file, local or remote.

    Returns:
        The size of the written corpus.

    Raises:
        ValueError: there is no document, or a sentence is empty or holds a line break.
        OSError: the file cannot be written.
    """
    count = sentences = words = size = 0
    with files.open_to_write(path) as file:
        for document in documents:
            for sentence in document:
                if is_blank(sentence) or "\n" in sentence or "\r" in sentence:
                    raise ValueError(
                        f"{path}: a sentence must hold text and no line break. Received: {sentence!r} in document "
                        f"{count + 1}"
                    )
            data = ("\n" if count else "").encode() + "".join(f"{sentence}\n" for sentence in document).encode()
            file.write(data)
            count += 1
            sentences += len(document)
            words += sum(len(sentence.split()) for sentence in document)
            size += len(data)
        if not count:
            raise ValueError(f"{path}: there must be at least one document to write. Received: none")
    return CorpusStatistics(count, sentences, words, size / 1e6)
