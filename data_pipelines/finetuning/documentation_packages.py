"""A labelled task that every machine has: the package that a paragraph of documentation comes from.

The task is split by module, with the hash that also holds out documents of pre-training. With equal fractions, a module
of the evaluation part is neither in the labelled training part nor in the text of pre-training.
"""

import collections
import dataclasses
import hashlib
import os
import re
from collections.abc import Iterable, Sequence

from bert_tf.utils import files
from data_pipelines.corpora.deduplication import NearDuplicateFilter, normalized_words
from data_pipelines.corpora.documentation import ModuleDocumentation
from data_pipelines.corpora.documents import is_held_out

MASK_WORD = "library"
"""The plain word that replaces the names of packages, so that a sentence stays a sentence."""

MIN_CLASSES = 6
"""The fewest classes of the task."""
_MIN_WORDS = 12  # the fewest words of a paragraph, without the names of packages
_MIN_FULLNESS = 0.5  # the share of its caps that a class should reach, so that classes are of similar size
_MAX_OVERLAP = 0.2  # the largest share of a paragraph's eight-word runs that may occur in another paragraph
# Other names of a package.
_ALIASES = {
    "_pytest": ("pytest", "py.test"),
    "absl": ("abseil",),
    "attr": ("attrs",),
    "google": ("protobuf", "protocol buffer", "protocol buffers", "proto", "protos"),
    "huggingface_hub": ("hugging face hub", "hugging face", "huggingface", "hf", "hub"),
    "jax": ("jnp",),
    "keras_hub": ("keras_nlp", "keras nlp", "hub"),
    "numpy": ("np",),
    "pandas": ("pd",),
    "pip": ("pypi",),
    "python": ("cpython", "pythonic", "py", "pep"),
    "sklearn": ("scikit-learn", "scikit learn", "scikit"),
    "tensorflow": ("tf", "tf1", "tf2", "tensor flow"),
    "tensorflow_datasets": ("tfds", "tf datasets"),
    "tensorflow_text": ("tf_text", "tftext", "tf text"),
    "torch": ("pytorch",),
}


@dataclasses.dataclass(frozen=True)
class PackageExample:
    """A labelled paragraph.

    Attributes:
        text: the paragraph, in which the names of packages are replaced.
        label: the package.
    """

    text: str
    label: str


@dataclasses.dataclass(frozen=True)
class PackageTask:
    """The training part and the evaluation part of the task.

    Attributes:
        labels: the names of the classes, sorted.
        train: the training examples, in an order that mixes the classes.
        evaluation: the evaluation examples, in an order that mixes the classes.
    """

    labels: list[str]
    train: list[PackageExample]
    evaluation: list[PackageExample]

    def __str__(self) -> str:
        train, evaluation = (
            collections.Counter(example.label for example in part) for part in (self.train, self.evaluation)
        )
        counts = ", ".join(f"{label} {train[label]} + {evaluation[label]}" for label in self.labels)
        return f"{len(self.train):,} training and {len(self.evaluation):,} evaluation examples ({counts})"


def package_task(
    modules: Sequence[ModuleDocumentation],
    holdout_fraction: float,
    *,
    num_classes: int = 8,
    max_train_per_class: int = 250,
    max_evaluation_per_class: int = 150,
) -> PackageTask:
    """Build the task from the documentation of modules.

    A package's fullness is the share of its caps that its paragraphs fill, in the part where this share is smaller. The
    fullest packages become the classes. A paragraph has at least 12 words without the names of packages. It is dropped
    if it shares more than a fifth of its eight-word runs with another paragraph of any class or part; of two such
    paragraphs, the evaluation part keeps its own. Paragraphs beyond a cap are left out in the order of a hash of their
    texts, so that the choice is stable and spread over the modules.

    Args:
        modules: the documentation (`documentation.python_documentation`).
        holdout_fraction: the share of modules in the evaluation part, as in pre-training (`documents.is_held_out`).
        num_classes: the number of classes. The task has fewer, but at least 6, if fewer packages fill half of both
            caps.
        max_train_per_class: the largest number of training examples of a class.
        max_evaluation_per_class: the largest number of evaluation examples of a class.

    Raises:
        ValueError: a number is out of range, or fewer than 6 packages have paragraphs in both parts.
    """
    if num_classes < MIN_CLASSES or min(max_train_per_class, max_evaluation_per_class) < 1:
        raise ValueError(
            f"`num_classes` must be at least {MIN_CLASSES}, and `max_train_per_class` and `max_evaluation_per_class` "
            f"must be at least 1. Received: num_classes={num_classes}, max_train_per_class={max_train_per_class}, "
            f"max_evaluation_per_class={max_evaluation_per_class}"
        )
    train_texts, evaluation_texts = _texts_by_package(modules, holdout_fraction)
    labels = _fullest_packages(
        train_texts,
        evaluation_texts,
        num_classes,
        train_cap=max_train_per_class,
        evaluation_cap=max_evaluation_per_class,
    )
    names = package_name_pattern(labels)
    duplicates = NearDuplicateFilter(_MAX_OVERLAP)
    evaluation = _examples(evaluation_texts, labels, names, duplicates=duplicates, cap=max_evaluation_per_class)
    train = _examples(train_texts, labels, names, duplicates=duplicates, cap=max_train_per_class)
    return PackageTask(labels, train, evaluation)


def write_package_task(task: PackageTask, folder: str) -> tuple[str, str]:
    """Write the parts as `train.tsv` and `dev.tsv`, with the columns `text` and `label`, and return their paths.

    Args:
        task: the task.
        folder: the folder of the files, local or remote, which is made if it is missing.

    Raises:
        OSError: a file cannot be written.
    """
    paths = os.path.join(folder, "train.tsv"), os.path.join(folder, "dev.tsv")
    for path, examples in zip(paths, (task.train, task.evaluation), strict=True):
        rows = "".join(f"{example.text}\t{example.label}\n" for example in examples)
        files.write_text(path, f"text\tlabel\n{rows}")
    return paths


def package_name_pattern(packages: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for the names that give the packages away.

    It matches the spellings of the package's own name (`keras_hub`, `keras-hub`, `Keras Hub`, `KerasHub`) and its other
    names from a small table (`np`, `tf`, `hf`), in any case. Names of five letters or more also match inside
    identifiers (`KerasTensor`); shorter ones match only where no letter is next to them (`tf_export`, but not `utf`).
    """
    names = set()
    for package in packages:
        own = package.strip("_")
        names |= {own.replace("_", mark) for mark in ("_", "-", " ", "")} | set(_ALIASES.get(package, ()))
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    parts = [
        re.escape(name) if len(re.sub(r"\W|_", "", name)) >= 5 else rf"(?<![^\W\d_]){re.escape(name)}(?![^\W\d_])"
        for name in longest_first
    ]
    return re.compile("|".join(parts), re.IGNORECASE)


def mask_package_names(text: str, names: re.Pattern[str]) -> str:
    """Return `text` with every match of `names` replaced by `library`, and repetitions of this word joined.

    >>> mask_package_names("A KerasTensor is no tf.Tensor of utf8.", package_name_pattern(["keras", "tensorflow"]))
    'A libraryTensor is no library.Tensor of utf8.'
    """
    return re.sub(rf"\b{MASK_WORD}(?:[\s._/-]+{MASK_WORD}\b)+", MASK_WORD, names.sub(MASK_WORD, text))


_Texts = dict[str, list[str]]  # paragraphs by package


def _texts_by_package(modules: Iterable[ModuleDocumentation], holdout_fraction: float) -> tuple[_Texts, _Texts]:
    """Return the paragraphs of at least 12 words, first those of training modules, then those of held-out modules."""
    held_in: _Texts = collections.defaultdict(list)
    held_out: _Texts = collections.defaultdict(list)
    for module in modules:
        texts = held_out if is_held_out(module.document, holdout_fraction) else held_in
        for paragraph in module.paragraphs:
            words = " ".join(paragraph).split()
            if len(words) >= _MIN_WORDS:
                texts[module.package].append(" ".join(words))
    return held_in, held_out


def _fullest_packages(
    train: _Texts, evaluation: _Texts, num_classes: int, *, train_cap: int, evaluation_cap: int
) -> list[str]:
    """Return the packages that fill their caps best, sorted by name."""
    shared = sorted(set(train) & set(evaluation))
    if len(shared) < MIN_CLASSES:
        raise ValueError(
            f"`modules` must hold at least {MIN_CLASSES} packages with documentation in both training and held-out "
            f"modules. Received: {len(shared)} ({', '.join(shared) or 'none'})"
        )

    def fullness(package: str) -> float:
        return min(1.0, len(train[package]) / train_cap, len(evaluation[package]) / evaluation_cap)

    fullest = sorted(shared, key=lambda package: (-fullness(package), -len(train[package])))
    full_enough = sum(fullness(package) >= _MIN_FULLNESS for package in shared)
    return sorted(fullest[: min(num_classes, max(MIN_CLASSES, full_enough))])


def _examples(
    texts: _Texts, labels: Sequence[str], names: re.Pattern[str], *, duplicates: NearDuplicateFilter, cap: int
) -> list[PackageExample]:
    """Return at most `cap` examples of each label that `duplicates` admits, in the order of a hash."""
    examples = []
    for label in labels:
        kept = 0
        for text in sorted(texts[label], key=_text_hash):
            masked = mask_package_names(text, names)
            words = [word for word in normalized_words(masked) if word != MASK_WORD]
            if len(words) >= _MIN_WORDS and duplicates.admit(" ".join(words)):
                examples.append(PackageExample(masked, label))
                kept += 1
                if kept == cap:
                    break
    return sorted(examples, key=lambda example: _text_hash(example.text))


def _text_hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
