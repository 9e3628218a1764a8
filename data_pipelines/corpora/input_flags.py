"""Define the flags that say which documents a command reads, and read those documents.

With the same values of these flags, `create_vocab` and `create_pretraining_data` read the same documents in the same
order; with the same `--holdout` they hold out the same ones.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.arguments import renamed, renamed_items
from data_pipelines.corpora import mixtures, readers

# A path that starts like this can be written with `./` before it.
_NAMED = re.compile(r"([A-Za-z0-9_-]+)=(.*)", re.S)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z]+)*")


def define() -> None:
    """Define the flags. Only from a module that is launched: launchers share names of flags."""
    flags.DEFINE_multi_string(
        "input",
        None,
        "What to read: comma-separated globs of text files (one sentence a line, blank lines between documents) and of "
        "JSON lines (.jsonl, .ndjson, .json), plain or compressed (.gz, .bz2, .zst), and TFDS data sets as tfds:NAME. "
        "Given several times, all of it; as NAME=GLOBS several times, corpora for --weights or --temperature.",
        required=True,
    )
    flags.DEFINE_enum(
        "sentences",
        "line",
        ["line", "split"],
        "line: the input has one sentence a line; split: split it into sentences.",
    )
    flags.DEFINE_list(
        "language",
        ["en"],
        "With --sentences=split: the language whose abbreviations count (ISO 639), or NAME=CODE,... of each corpus.",
    )
    flags.DEFINE_string("text_field", "text", "The field of JSON lines and TFDS examples that holds the document.")
    flags.DEFINE_string("tfds_dir", None, "Where TFDS data sets lie; by default TFDS's own folder.")
    flags.DEFINE_string("tfds_split", "train", "The part of a TFDS data set to read, such as train[:10%].")
    flags.DEFINE_bool("clean", False, "Repair Unicode, drop control characters and HTML mark-up.")
    flags.DEFINE_bool("deduplicate", False, "Leave out documents that are exactly like an earlier one.")
    flags.DEFINE_integer("min_document_length", 0, "Leave out documents of fewer characters.")
    flags.DEFINE_list(
        "weights", None, "Share of each corpus, as NAME=NUMBER,...: small corpora are repeated, large ones subsampled."
    )
    flags.DEFINE_float(
        "temperature", None, "Shares of the corpora from their sizes n as n^(1/temperature); 1 keeps them as they are."
    )
    flags.DEFINE_integer("seed", 0, "The seed of every random choice.")


def read(values: Any) -> Iterator[Sequence[str]]:
    """Return the documents that the flags name.

    Args:
        values: `flags.FLAGS`, or an object with these flags and `num_workers` as attributes.

    Raises:
        ValueError: flags that do not fit each other, or as `readers.read_documents`.
        FileNotFoundError: a pattern matches no file. Both come before the first document where possible.
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
    )
    weights = None if values.weights is None else _weights(values.weights)
    if not named:
        if weights is not None or values.temperature is not None:
            raise ValueError(
                "--weights and --temperature need corpora with names, --input NAME=GLOBS for each. "
                f"Received: --input {' --input '.join(values.input)}"
            )
        documents = _read_corpus(",".join(values.input), "input", options, values.num_workers)
        return mixtures.without_duplicates(documents) if values.deduplicate else documents
    mixtures.check_shares(list(named), weights, values.temperature)
    by_name = {}
    for name, patterns in named.items():
        own = dataclasses.replace(options, language=languages.get(name, options.language))
        by_name[name] = functools.partial(_read_corpus, patterns, f"--input {name}", own, values.num_workers)
    for reader in by_name.values():
        reader()  # raise now for a corpus that cannot be read, not when its turn comes
    return mixtures.mixed_documents(
        by_name,
        weights=weights,
        temperature=values.temperature,
        deduplicate=values.deduplicate,
        seed=values.seed,
    )


def _read_corpus(patterns: str, name: str, options: readers.ReadingOptions, num_workers: int) -> Iterator[list[str]]:
    """Return the documents of one corpus, with errors that call its patterns by `name`."""
    with renamed(patterns=name):
        documents = readers.read_documents(patterns, options, num_workers=num_workers)
    return renamed_items(documents, patterns=name)


def num_bytes(values: Any) -> int | None:
    """Return the bytes of text that the flags name; None if file sizes do not tell it (compression, TFDS or shares)."""
    if values.weights is not None or values.temperature is not None:
        return None
    patterns = _named_corpora(values.input).values() or values.input
    with renamed(patterns="input"):
        paths = readers.text_files(",".join(patterns))
    return None if paths is None else sum(map(files.size, paths))


def _named_corpora(inputs: Sequence[str]) -> dict[str, str]:
    """Return the patterns of each named corpus; empty if no corpus has a name."""
    matches = [_NAMED.fullmatch(value) for value in inputs]
    named = {match[1]: match[2] for match in matches if match}
    if named and len(named) != len(inputs):
        raise ValueError(
            "--input must be NAME=GLOBS with a name of its own for every corpus, or have no name at all (./NAME=... is "
            f"a path). Received: --input {' --input '.join(inputs)}"
        )
    return named


def _languages(parts: Sequence[str], named: Mapping[str, str]) -> dict[str, str]:
    """Return the language of each named corpus; "" names that of the others."""
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
