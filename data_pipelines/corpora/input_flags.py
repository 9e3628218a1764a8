"""The flags that say which documents a command reads, and the reading of these documents.

With equal values of these flags, `create_vocab` and `create_pretraining_data` read the same documents in the same
order. With an equal `--holdout`, they hold out the same documents.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from data_pipelines.corpora import mixtures, readers
from data_pipelines.corpora.corpus import Corpus, Source

# NAME=GLOBS. A path that looks like this can be written with `./` before it.
_NAMED = re.compile(r"([A-Za-z0-9_-]+)=(.*)", re.S)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z]+)*")


class _DeduplicationParser(flags.EnumParser):
    """The parser of --deduplicate, whose value may be left out."""

    def __init__(self) -> None:
        super().__init__(mixtures.DEDUPLICATION)

    def parse(self, argument: str) -> str:
        return super().parse({"true": "exact", "false": "none"}.get(argument, argument))


def define() -> None:
    """Define the flags. Only a module that is launched may call this: launchers define flags of the same names."""
    flags.DEFINE_multi_string(
        "input",
        None,
        "The documents to read: comma-separated glob patterns of text files (one sentence on each line, a blank line "
        "between documents) or of JSON lines (.jsonl, .ndjson, .json), plain or compressed (.gz, .bz2, .zst), or data "
        "sets of TensorFlow Datasets as tfds:NAME. May be repeated, also as NAME=GLOBS, which names the corpora that "
        "--weights or --temperature mix.",
        required=True,
    )
    flags.DEFINE_enum(
        "sentences",
        "line",
        ["line", "split"],
        "The layout of the input. line: it has one sentence on each line; split: it is raw text, which is split into "
        "sentences.",
    )
    flags.DEFINE_list(
        "language",
        ["en"],
        "With --sentences=split, the language whose abbreviations end no sentence: an ISO 639 code such as de, or "
        "NAME=CODE,... for named corpora.",
    )
    flags.DEFINE_string(
        "text_field", "text", "The field that holds the text of a document in JSON lines and TFDS examples."
    )
    flags.DEFINE_string("tfds_dir", None, "The folder of TFDS data sets; TFDS's own folder if not given.")
    flags.DEFINE_string("tfds_split", "train", "The part of a TFDS data set to read, such as train[:10%].")
    flags.DEFINE_bool("clean", False, "Whether to repair Unicode and to drop control characters and HTML mark-up.")
    flags.DEFINE_flag(
        flags.Flag(
            _DeduplicationParser(),
            flags.ArgumentSerializer(),
            "deduplicate",
            "none",
            "Which documents to leave out. exact, or no value: those that are equal to an earlier one; near: those of "
            "which most runs of eight words are in earlier ones.",
            boolean=True,  # --deduplicate needs no value
        )
    )
    flags.DEFINE_integer(
        "min_document_length", 0, "The fewest characters of a document; shorter documents are left out."
    )
    flags.DEFINE_bool(
        "skip_unreadable",
        False,
        "Whether to leave out lines that are not UTF-8, and JSON lines whose text is null or missing, and count them.",
    )
    flags.DEFINE_list(
        "weights",
        None,
        "The shares of named corpora in the mixture, as NAME=NUMBER,... in any unit; small corpora are repeated and "
        "large ones subsampled.",
    )
    flags.DEFINE_float(
        "temperature",
        None,
        "The exponent of the shares of named corpora: a corpus of n sentences gets a share in proportion to "
        "n^(1/temperature), so that 1 keeps the natural shares.",
    )
    flags.DEFINE_integer("seed", 0, "The random seed.")


def read(values: Any) -> Corpus:
    """Return the documents that the flags name, which are read whenever they are iterated over.

    Args:
        values: `flags.FLAGS`, or an object with these flags and `num_workers` as attributes.

    Raises:
        ValueError: the flags contradict each other, or as `readers.read_documents`.
        FileNotFoundError: a pattern matches no file.
    """
    named = _named_corpora(values.input)
    languages = _languages(values.language, named)
    options = readers.ReadingOptions(
        sentences=values.sentences,
        language=languages[""],
        text_field=values.text_field,
        tfds_dir=values.tfds_dir,
        tfds_split=values.tfds_split,
        clean=values.clean,
        min_document_length=values.min_document_length,
        skip_unreadable=values.skip_unreadable,
    )
    weights = None if values.weights is None else _weights(values.weights)
    if not named and (weights is not None or values.temperature is not None):
        raise ValueError(
            "--weights and --temperature need corpora with names, given as --input NAME=GLOBS. Received: "
            f"--input {' --input '.join(values.input)}"
        )
    sources = {
        name: Source(
            patterns, dataclasses.replace(options, language=languages.get(name, options.language)), f"--input {name}"
        )
        for name, patterns in named.items()
    }
    corpus = Corpus(
        sources or {"": Source(",".join(values.input), options, "input")},
        name="input",
        weights=weights,
        temperature=values.temperature,
        deduplicate=values.deduplicate,
        seed=values.seed,
        num_workers=values.num_workers,
    )
    corpus.check()
    return corpus


def num_bytes(values: Any) -> int | None:
    """Return the size in bytes of the text that the flags name, or None if the sizes of the files do not give it.

    Args:
        values: as in `read`.

    Returns:
        The sum of the files' sizes, or None if a file is compressed, a data set is read, or corpora are mixed.

    Raises:
        ValueError: the flags contradict each other.
        FileNotFoundError: a pattern matches no file.
    """
    if values.weights is not None or values.temperature is not None:
        return None
    patterns = _named_corpora(values.input).values() or values.input
    with renamed(patterns="input"):
        paths = readers.text_files(",".join(patterns))
    return None if paths is None else sum(map(files.size, paths))


def _named_corpora(inputs: Sequence[str]) -> dict[str, str]:
    """Return the patterns of each named corpus, or an empty dictionary if no corpus has a name."""
    matches = [_NAMED.fullmatch(value) for value in inputs]
    named = {match[1]: match[2] for match in matches if match}
    if named and len(named) != len(inputs):
        raise ValueError(
            "--input must be NAME=GLOBS with a name of its own for every corpus, or have no names at all (write a path "
            f"as ./NAME=...). Received: --input {' --input '.join(inputs)}"
        )
    return named


def _languages(parts: Sequence[str], named: Mapping[str, str]) -> dict[str, str]:
    """Return the language of each named corpus, and under the name "" that of all others."""
    languages: dict[str, str] = {}
    for part in parts:
        name, is_named, code = (text.strip() for text in part.rpartition("="))
        if not _LANGUAGE.fullmatch(code) or name in languages or (is_named and name not in named):
            raise ValueError(
                "--language must be a code such as en, or NAME=CODE for corpora of --input NAME=GLOBS, each once. "
                f"Received: {','.join(parts)!r}, and corpora {', '.join(named) or 'without names'}"
            )
        languages[name] = code
    return {"": "en"} | languages


def _weights(parts: Sequence[str]) -> Mapping[str, float]:
    weights: dict[str, float] = {}
    for part in parts:
        name, _, number = part.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if value < 0 or not name.strip() or name.strip() in weights:
            raise ValueError(f"--weights must be NAME=NUMBER,..., each name once. Received: {','.join(parts)!r}")
        weights[name.strip()] = value
    return weights
