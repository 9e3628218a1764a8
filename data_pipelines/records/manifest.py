"""Record folders: TFRecord shards, their manifest (`manifest.json`) and the vocabulary that they need.

folder/
  shard-00000-00.tfrecord ...   one tf.train.Example a row (bert_tf/features.py), unmasked and unpadded
  token_counts.npy              int64 [V]: how often each token occurs in the rows, special tokens included
  vocab.txt                     the vocabulary, one token a line
  manifest.json                 written last: a folder is complete when it exists

data_pipelines/records/writer.py writes these files, and explains the others that exist while it does.
"""

import dataclasses
import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bert_tf.configs import Config, ConfigError
from bert_tf.configs.base import check_choice
from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.tokenization.vocab_files import first_difference
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from data_pipelines.records.foreign_records import refuse_google_records
from data_pipelines.records.segmentation import NO_SEGMENTER, Segmenter
from data_pipelines.records.tfrecords import read_tfrecords

FORMAT_VERSION = 1
SEGMENTED_FORMAT_VERSION = 2
"""The format of records that hold the words of a segmenter. It differs in one feature (`features.RECORD_CONTINUES`)."""
MAX_RECORDS_PER_SHARD = 100_000
MAX_SEQUENCES_PER_ROW = 64
MAX_SEQ_LENGTH = 32_768
"""The longest row; attention takes memory in proportion to its square."""
MANIFEST_FILE = "manifest.json"
VOCABULARY_FILE = "vocab.txt"
TOKEN_COUNTS_FILE = "token_counts.npy"
HELD_OUT_FOLDER = "heldout"
OBJECTIVES = ("nsp", "sop", "mlm")
"""The kinds of sequences (`PreparationConfig.objective`)."""


def token_dtype(vocab_size: int) -> np.dtype:
    """Return the type of a token id on disk: little-endian uint16, or int32 from 65,536 tokens on."""
    return np.dtype("<u2" if vocab_size < 65536 else "<i4")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreparationConfig(Config):
    """The settings that, with the text and the vocabulary, decide the bytes of a record folder.

    Attributes:
        max_seq_length: L, the number of tokens in a row, special tokens included.
        max_sequences_per_row: K; 1 for rows of one sequence, more to pack several.
        objective: `nsp` for next-sentence pairs, `sop` for pairs in order or swapped (ALBERT), `mlm` for full sentences
            without pairs.
        short_seq_prob: the share of documents that are cut into shorter sequences than a row can hold.
        dupe_factor: the number of passes over the documents, each with other random splits and pairs.
        seed: the seed of every random choice.
        deduplicate: which duplicates were left out when the documents were read (`none`, `exact` or `near`). It only
            says so: `create_pretraining_data` takes the documents as they come.
    """

    max_seq_length: int = 128
    max_sequences_per_row: int = 1
    objective: str = "nsp"
    short_seq_prob: float = 0.1
    dupe_factor: int = 1
    seed: int = 0
    deduplicate: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective not in OBJECTIVES:
            raise ConfigError(f"`objective` must be {', '.join(OBJECTIVES)}. Received: {self.objective!r}")
        check_choice("deduplicate", self.deduplicate, ("none", "exact", "near"))
        shortest = 3 if self.objective == "mlm" else 5
        for name, low in (
            ("max_seq_length", shortest),
            ("max_sequences_per_row", 1),
            ("dupe_factor", 1),
            ("seed", 0),
        ):
            if getattr(self, name) < low:
                raise ConfigError(f"`{name}` must be at least {low}. Received: {getattr(self, name)!r}")
        for name, high in (("max_seq_length", MAX_SEQ_LENGTH), ("max_sequences_per_row", MAX_SEQUENCES_PER_ROW)):
            if getattr(self, name) > high:
                raise ConfigError(f"`{name}` must be at most {high}. Received: {getattr(self, name)!r}")
        if not 0.0 <= self.short_seq_prob <= 1.0:
            raise ConfigError(f"`short_seq_prob` must be between 0 and 1. Received: {self.short_seq_prob!r}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardInfo(Config):
    """A shard as it should be on disk. Its `tokens` are those of its rows, special tokens included."""

    file_name: str
    records: int
    tokens: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Statistics(Config):
    """Counts of the text and the records of a folder.

    Attributes:
        documents, sentences, tokens: counts of the text, without special tokens, in one pass whatever the dupe factor.
        examples: the number of sequences in all records.
        records: the number of rows.
        random_next_share: the share of the sequences with a next-sentence label whose second segment is random; with
            the objective `sop`, whose segments are swapped.
        unknown_share: the share of the text's tokens that are `[UNK]`.
        row_fill: the share of the rows' positions that hold a token and not padding.
        used_share: the share of the text's tokens that are in at least one row; None where it was not counted.
        expected_masked_share: the share of the rows' tokens that masking at the default rate predicts
            (`configs.MaskingConfig`, strategy `token`); None if it was not counted.
    """

    documents: int
    sentences: int
    tokens: int
    examples: int
    records: int
    random_next_share: float
    unknown_share: float
    row_fill: float
    expected_masked_share: float | None = None
    used_share: float | None = None

    def __str__(self) -> str:
        return (
            f"{self.documents:,} documents, {self.sentences:,} sentences, {self.tokens:,} tokens "
            f"({self.unknown_share:.2%} [UNK]"
            + (f", {self.used_share:.1%} in rows" if self.used_share is not None else "")
            + f") -> {self.examples:,} sequences in {self.records:,} rows, "
            f"{self.row_fill:.1%} filled; random or swapped next: {self.random_next_share:.1%}"
            + (f"; to be masked: {self.expected_masked_share:.1%}" if self.expected_masked_share is not None else "")
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest(PreparationConfig):
    """The description of a record folder, as `manifest.json` holds it.

    Attributes:
        segmenter: the name of the segmenter that found the words of the text, or "none".
        segmenter_version: its packages and their versions, or "".
    """

    format_version: int
    vocab_hash: str
    vocab_size: int
    do_lower_case: bool
    unicode_version: str
    statistics: Statistics
    shards: tuple[ShardInfo, ...]
    tokenizer_options: TokenizerOptions = dataclasses.field(default_factory=TokenizerOptions)
    segmenter: str = NO_SEGMENTER
    segmenter_version: str = ""

    @property
    def is_segmented(self) -> bool:
        """True if the records hold the words of a segmenter."""
        return self.format_version == SEGMENTED_FORMAT_VERSION

    @property
    def num_records(self) -> int:
        """The number of rows in all shards."""
        return sum(shard.records for shard in self.shards)

    def identity(self) -> dict[str, int | str]:
        """Return the number of records and a digest of all shards, which distinguish these records from others."""
        digest = hashlib.sha256("".join(shard.sha256 for shard in self.shards).encode())
        return {"records": self.num_records, "sha256": digest.hexdigest()}


def read_manifest(folder: str, *, allow_damage: bool = False) -> Manifest:
    """Return the manifest of a complete record folder whose shards are all there.

    Args:
        folder: a folder that `create_pretraining_data` wrote.
        allow_damage: whether a shard may have another size than the manifest says.

    Raises:
        FileNotFoundError: there is no manifest, or a shard is missing.
        ValueError: the manifest has another format, or a shard has another size than the manifest says.
    """
    path = os.path.join(folder, MANIFEST_FILE)
    if not files.exists(path):
        refuse_google_records(folder)
        raise FileNotFoundError(
            f"`folder` must hold {MANIFEST_FILE}. It is not a record folder, or its preparation was interrupted and "
            f"`bert-tf create-pretraining-data` must run again. Received: {folder!r}"
        )
    values = files.read_json(path)
    version = values.get("format_version") if isinstance(values, dict) else None
    if version == FORMAT_VERSION and not files.exists(os.path.join(folder, TOKEN_COUNTS_FILE)):
        raise ValueError(
            f"`folder` must hold {TOKEN_COUNTS_FILE}. An earlier version of this package wrote the folder: prepare it "
            f"again with `bert-tf create-pretraining-data`. Received: {folder!r}"
        )
    if version not in (FORMAT_VERSION, SEGMENTED_FORMAT_VERSION):
        raise ValueError(
            f"`folder`: {path} must have format_version {FORMAT_VERSION} or {SEGMENTED_FORMAT_VERSION}. "
            f"Received: {version!r}"
        )
    try:
        manifest = Manifest.from_dict(values)
    except (ConfigError, TypeError) as error:  # TypeError: a field is missing
        raise ValueError(f"`folder`: {path} is not the manifest of a record folder: {error}") from None
    # On object stores each request takes tens of milliseconds, so many are made at once.
    paths = [os.path.join(folder, shard.file_name) for shard in manifest.shards]
    with ThreadPoolExecutor(16) as pool:
        sizes = list(pool.map(_file_size, paths))
    for shard_path, shard, size in zip(paths, manifest.shards, sizes, strict=True):
        if size is None:
            raise FileNotFoundError(f"`folder`: a shard of the manifest is missing. Received: {shard_path!r}")
        if size != shard.bytes and not allow_damage:
            found, _ = read_tfrecords(files.read_bytes(shard_path))
            raise ValueError(
                f"`folder`: {shard_path} must have {shard.bytes} bytes and {shard.records} records, as its manifest "
                f"says. Received: {size} bytes, which can be read up to record {len(found)}"
            )
    return manifest


def read_vocabulary(folder: str, manifest: Manifest) -> WordPieceTokenizer:
    """Return the tokenizer that made the folder's records, from its copy of the vocabulary.

    Raises:
        FileNotFoundError: the copy is missing.
        ValueError: the copy is not the vocabulary of the manifest.
    """
    vocab_file = os.path.join(folder, VOCABULARY_FILE)
    tokenizer = WordPieceTokenizer(vocab_file, manifest.do_lower_case, manifest.tokenizer_options)
    if tokenizer.vocab_hash != manifest.vocab_hash:
        raise ValueError(
            f"`folder`: {vocab_file} must be the vocabulary of its manifest "
            f"({_short(manifest.vocab_hash)}). Received: {tokenizer.vocab_size} tokens, {_short(tokenizer.vocab_hash)}"
        )
    return tokenizer


def read_token_counts(folder: str) -> np.ndarray:
    """Return how often each token occurs in the folder's rows, int64 [V], special tokens included.

    Raises:
        FileNotFoundError: the folder has no such file.
        ValueError: the file is damaged.
    """
    path = os.path.join(folder, TOKEN_COUNTS_FILE)
    stream = io.BytesIO(files.read_bytes(path))
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("another version of the format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        # np.load would take the memory that the header declares before it misses the numbers.
        if len(shape) != 1 or dtype != np.int64 or shape[0] * dtype.itemsize != len(stream.getbuffer()) - stream.tell():
            raise ValueError(f"it declares {dtype} {list(shape)}")
    except ValueError as error:
        raise ValueError(f"{path} must hold the counts of all tokens, int64 [V]. Received: {error}") from None
    return np.frombuffer(stream.getbuffer()[stream.tell() :], np.int64)


def check_vocabulary(folder: str, manifest: Manifest, tokenizer: WordPieceTokenizer) -> None:
    """Refuse records that were made with another vocabulary, casing or Unicode version than `tokenizer`'s.

    Args:
        folder: the folder of the records, with a copy of their vocabulary.
        manifest: its manifest.
        tokenizer: the tokenizer of the model.

    Raises:
        ValueError: they differ. The message names both, and the first token that differs.
    """
    of_records = (manifest.vocab_hash, manifest.do_lower_case, manifest.unicode_version)
    if of_records == (tokenizer.vocab_hash, tokenizer.do_lower_case, tokenizer.unicode_version):
        return
    difference = first_difference(tokenizer.tokens, read_vocabulary(folder, manifest).tokens)
    raise ValueError(
        "`manifest`: records must be made with the model's vocabulary. The model has "
        + _vocabulary(tokenizer)
        + ". Received: "
        + _vocabulary(manifest)
        + f"; {difference or 'the tokens are the same'}"
    )


def _vocabulary(of: Manifest | WordPieceTokenizer) -> str:
    options = of.tokenizer_options if isinstance(of, Manifest) else of.options
    parts = [
        _short(of.vocab_hash),
        "uncased" if of.do_lower_case else "cased",
        *([str(options)] if options.changes() else []),
        f"Unicode {of.unicode_version}",
    ]
    return f"{of.vocab_size} tokens ({', '.join(parts)})"


def _short(sha256: str) -> str:
    return f"sha256 {sha256[:12]}"


def _file_size(path: str) -> int | None:
    try:
        return files.size(path)
    except FileNotFoundError:
        return None


def record_settings(
    config: PreparationConfig, tokenizer: WordPieceTokenizer, segmenter: Segmenter | None = None
) -> dict[str, Any]:
    """Return the fields of the manifest that say how records are made."""
    # Without these, shards that an earlier version began have the same fingerprints.
    options: dict[str, Any] = {"tokenizer_options": tokenizer.options.to_dict()} if tokenizer.options.changes() else {}
    if segmenter is not None:
        options |= {"segmenter": segmenter.name, "segmenter_version": segmenter.version}
    settings = config.to_dict()
    if settings["deduplicate"] == "none":
        del settings["deduplicate"]
    return (
        settings
        | options
        | {
            "format_version": FORMAT_VERSION if segmenter is None else SEGMENTED_FORMAT_VERSION,
            "vocab_hash": tokenizer.vocab_hash,
            "vocab_size": tokenizer.vocab_size,
            "do_lower_case": tokenizer.do_lower_case,
            "unicode_version": tokenizer.unicode_version,
        }
    )


@dataclasses.dataclass(frozen=True)
class BuiltShard:
    """The result of one input shard: whole TFRecord files, ready to be written, and its part of the statistics.

    Attributes:
        shard_files: the entry in the manifest and the contents of each file.
        token_counts: int64 [V], how often each token occurs in the rows.
        counts: the counts to be summed over the shards: documents, sentences, tokens, used, unknown, examples,
            labelled, random_next, predicted (see `Statistics.used_share` and `expected_masked_share`).
        input_bytes: the size of the text, for the progress bar.
    """

    shard_files: list[tuple[ShardInfo, bytes]]
    token_counts: np.ndarray
    counts: dict[str, int]
    input_bytes: int
