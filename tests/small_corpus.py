"""Small documents for tests, which are always the same and not worth keeping as files."""

from pathlib import Path

_SUBJECTS = ("the old miller", "a young sailor", "her brother", "the quiet teacher", "every gardener", "our neighbour")
_VERBS = ("carried", "painted", "forgot", "repaired", "followed", "described")
_OBJECTS = ("the wooden boat", "a heavy lantern", "three red apples", "the narrow road", "an empty house", "the letter")
_PLACES = ("near the river", "before the storm", "in the market", "without a word", "at the end of summer")


def corpus_documents(count: int) -> list[list[str]]:
    """Return `count` documents of 6 to 12 sentences each, always the same ones."""
    state = 1
    documents = []
    for _ in range(count):
        sentences = []
        state = state * 48271 % 2147483647
        for _ in range(6 + state % 7):
            words = []
            for choices in (_SUBJECTS, _VERBS, _OBJECTS, _PLACES):
                state = state * 48271 % 2147483647
                words.append(choices[state % len(choices)])
            sentence = " ".join(words)
            sentences.append(sentence[0].upper() + sentence[1:] + ".")
        documents.append(sentences)
    return documents


def write_corpus(path: Path, count: int) -> None:
    """Write documents with one sentence on each line and a blank line between documents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join("\n".join(document) for document in corpus_documents(count))
    path.write_text(text + "\n", encoding="utf-8")
