"""What holds for every test: an environment set before TensorFlow is imported, and a small corpus."""

import os
from pathlib import Path

import pytest

os.environ.update(
    CUDA_VISIBLE_DEVICES="-1",
    HF_HUB_OFFLINE="1",
    KERAS_BACKEND="tensorflow",
    TF_CPP_MIN_LOG_LEVEL="2",
    TF_ENABLE_ONEDNN_OPTS="1",
)
# Subprocesses that a test starts find the project from any folder.
REPOSITORY = Path(__file__).resolve().parent.parent
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))

LOGICAL_DEVICES = 4

_SUBJECTS = ("the old miller", "a young sailor", "her brother", "the quiet teacher", "every gardener", "our neighbour")
_VERBS = ("carried", "painted", "forgot", "repaired", "followed", "described")
_OBJECTS = ("the wooden boat", "a heavy lantern", "three red apples", "the narrow road", "an empty house", "the letter")
_PLACES = ("near the river", "before the storm", "in the market", "without a word", "at the end of summer")


@pytest.fixture(scope="session", autouse=True)
def _logical_devices() -> None:
    """Four devices on one CPU: tests of replicas need them, and computations on one of them are not changed."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * LOGICAL_DEVICES)


def corpus_documents(count: int) -> list[list[str]]:
    """`count` documents of 6 to 12 sentences each, always the same ones."""
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
    """One sentence a line, a blank line between documents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join("\n".join(document) for document in corpus_documents(count))
    path.write_text(text + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file of 60 documents, one sentence a line, blank lines between documents."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    write_corpus(path, 60)
    return path
