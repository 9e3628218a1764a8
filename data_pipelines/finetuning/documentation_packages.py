"""Make a labelled task that every machine has: which package does a paragraph of documentation come from?

Split by module, with the same hash as pre-training's held-out documents: at the same fraction, a module that is
evaluated on is neither in the labelled training set nor in the pre-training text.
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
"""The word that replaces every package's name: a plain one, so that a sentence stays a sentence."""

MIN_CLASSES = 6
_MIN_WORDS = 12  # in a paragraph, names of packages not counted
_MIN_FULLNESS = 0.5  # the share of a cap that a class should reach: classes of very different size unbalance the task
_MAX_OVERLAP = 0.2  # the share of a paragraph's eight-word runs that may stand in another paragraph
# What people call a package beside its own name.
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
    """A paragraph with its package's names replaced, and the package."""

    text: str
    label: str


@dataclasses.dataclass(frozen=True)
class PackageTask:
    """The training and the evaluation part of the task, each in an order that mixes the classes."""

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
    num_classes: int = 8,
    max_train_per_class: int = 250,
    max_evaluation_per_class: int = 150,
) -> PackageTask:
    """Build the task from `corpora.python_documentation`'s modules.

    Classes are the packages with most paragraphs where they have fewest (in training or evaluation, measured
    against the caps). Paragraphs keep at least 12 words once the names of packages are replaced; one that shares over a
    fifth of its eight-word runs with another is dropped, across classes and parts, evaluation served first. What
    exceeds a cap is left out by the hash of its text, so the choice is spread over modules and stable.

    Args:
        modules: the documentation.
        holdout_fraction: as in pre-training (`corpora.is_held_out`): the share of modules to evaluate on.
        num_classes: classes wanted; fewer, but at least 6, where fewer packages reach half of both caps.
        max_train_per_class: training examples of a class, at most.
        max_evaluation_per_class: evaluation examples of a class, at most.

    Raises:
        ValueError: a number is out of range, or fewer than 6 packages have paragraphs in both parts.
    """
    if num_classes < MIN_CLASSES or min(max_train_per_class, max_evaluation_per_class) < 1:
        raise ValueError(
            f"`num_classes` must be at least {MIN_CLASSES} and both caps at least 1. Received: num_classes="
            f"{num_classes}, max_train_per_class={max_train_per_class}, "
            f"max_evaluation_per_class={max_evaluation_per_class}"
        )
    train_texts, evaluation_texts = _texts_by_package(modules, holdout_fraction)
    labels = _fullest_packages(
        train_texts, evaluation_texts, num_classes, max_train_per_class, max_evaluation_per_class
    )
    names = package_name_pattern(labels)
    duplicates = NearDuplicateFilter(_MAX_OVERLAP)
    evaluation = _examples(evaluation_texts, labels, names, duplicates, max_evaluation_per_class)
    train = _examples(train_texts, labels, names, duplicates, max_train_per_class)
    return PackageTask(labels, train, evaluation)


def write_package_task(task: PackageTask, folder: str) -> tuple[str, str]:
    """Write `train.tsv` and `dev.tsv` (header `text`, `label`) into `folder`, and return their paths."""
    paths = os.path.join(folder, "train.tsv"), os.path.join(folder, "dev.tsv")
    for path, examples in zip(paths, (task.train, task.evaluation), strict=True):
        rows = "".join(f"{example.text}\t{example.label}\n" for example in examples)
        files.write_text(path, f"text\tlabel\n{rows}")
    return paths


def package_name_pattern(packages: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for the names that give the packages away.

    The package's own name in its spellings (`keras_hub`, `keras-hub`, `Keras Hub`, `KerasHub`), and a small table
    of what people call it (`np`, `tf`, `hf`). Names of five letters or more are found inside identifiers too
    (`KerasTensor`), shorter ones between letters' ends only (`tf_export`, but not `utf`). Case does not count.
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
    """Return `text` with every match of `names` replaced by `library`, and repetitions joined.

    >>> mask_package_names("A KerasTensor is no tf.Tensor of utf8.", package_name_pattern(["keras", "tensorflow"]))
    'A libraryTensor is no library.Tensor of utf8.'
    """
    return re.sub(rf"\b{MASK_WORD}(?:[\s._/-]+{MASK_WORD}\b)+", MASK_WORD, names.sub(MASK_WORD, text))


_Texts = dict[str, list[str]]  # paragraphs by package


def _texts_by_package(modules: Iterable[ModuleDocumentation], holdout_fraction: float) -> tuple[_Texts, _Texts]:
    """Return the paragraphs that are long enough, of training and of held-out modules."""
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
    train: _Texts, evaluation: _Texts, num_classes: int, train_cap: int, evaluation_cap: int
) -> list[str]:
    shared = sorted(set(train) & set(evaluation))
    if len(shared) < MIN_CLASSES:
        raise ValueError(
            f"at least {MIN_CLASSES} packages must have documentation both in training and in held-out modules. "
            f"Received: {len(shared)} ({', '.join(shared) or 'none'})"
        )

    def fullness(package: str) -> float:
        return min(1.0, len(train[package]) / train_cap, len(evaluation[package]) / evaluation_cap)

    fullest = sorted(shared, key=lambda package: (-fullness(package), -len(train[package])))
    full_enough = sum(fullness(package) >= _MIN_FULLNESS for package in shared)
    return sorted(fullest[: min(num_classes, max(MIN_CLASSES, full_enough))])


def _examples(
    texts: _Texts, labels: Sequence[str], names: re.Pattern[str], duplicates: NearDuplicateFilter, cap: int
) -> list[PackageExample]:
    """Return at most `cap` examples of each label in the order of a hash, none a near-duplicate for `duplicates`."""
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
