"""Input shards: the documents that one call of the shard function turns into record files.

Shards are cut in the order of the stream. Training and held-out shards are numbered separately. The documents of a
shard depend on the stream alone, never on the process or machine that builds the shard.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from data_pipelines.corpora.documents import (
    Document,
    document_bytes,
    is_held_out,
    pack_documents,
    unpack_documents,
    without_blanks,
)
from data_pipelines.records.manifest import BuiltShard, PreparationConfig, record_settings
from data_pipelines.records.segmentation import Segmenter
from data_pipelines.records.shards import DocumentGrouper, ShardBuilder

Item = TypeVar("Item")

# Changes whenever the same documents and settings give other records or counts, so that a run continues none of an
# interrupted run of an earlier version.
_RECORDS_VERSION = 2


class InputShard(NamedTuple):
    """Documents from which records are built.

    Attributes:
        held_out: whether the documents are held out.
        number: the number of the shard in its part, from 0.
        packed_documents: the documents packed by `pack_documents`, which take a fifth of the strings' memory.
    """

    held_out: bool
    number: int
    packed_documents: bytes


def input_shards(documents: Iterable[Document], holdout: float, objective: str) -> Iterator[InputShard]:
    """Yield the documents in shards. Memory holds two shards.

    Args:
        documents: the documents, which are read once. Blank sentences, and documents without other sentences, are left
            out.
        holdout: as for `cut_into_shards`, from what `documents.is_held_out` says.
        objective: as for `cut_into_shards`.

    Raises:
        ValueError: as `cut_into_shards`.
    """
    described = (
        (document, bool(holdout) and is_held_out(document, holdout), document_bytes(document))
        for document in without_blanks(documents)
    )
    for held_out, number, group in cut_into_shards(described, holdout, objective):
        yield InputShard(held_out, number, pack_documents(group))


def cut_into_shards(
    documents: Iterable[tuple[Item, bool, int]], holdout: float, objective: str
) -> Iterator[tuple[bool, int, list[Item]]]:
    """Yield whether a shard is held out, its number in its part, and its documents, for all shards of a stream.

    Args:
        documents: documents, or what stands for them, with whether each is held out, and its size in bytes.
        holdout: the share of documents that is held out.
        objective: `nsp`, which needs two documents in each part; the others need one.

    Raises:
        ValueError: there are too few documents. It is raised when all of them have been read.
    """
    groupers: tuple[DocumentGrouper[Item], DocumentGrouper[Item]] = (DocumentGrouper(), DocumentGrouper())
    numbers = [0, 0]

    def shard(held_out: bool, group: list[Item]) -> tuple[bool, int, list[Item]]:
        numbers[held_out] += 1
        return held_out, numbers[held_out] - 1, group

    for document, held_out, num_bytes in documents:
        group = groupers[held_out].add(document, num_bytes)
        if group:
            yield shard(held_out, group)
    least = 2 if objective == "nsp" else 1
    for held_out in (False, True) if holdout else (False,):
        found = groupers[held_out].documents
        if found < least:
            what = "`holdout` must leave" if holdout else "`documents` must hold"
            part = "held-out" if held_out else "training"
            raise ValueError(
                f"{what} at least {least} {part} documents for the objective {objective} (blank lines separate "
                f"documents). Received: {found} of {groupers[0].documents + groupers[1].documents} documents"
                + (f" with a holdout of {holdout}" if holdout else "")
            )
    for held_out in (False, True):
        for group in groupers[held_out].finish():
            yield shard(held_out, group)


def fingerprint(settings: Mapping[str, Any], shard: InputShard) -> str:
    """Return the SHA-256 of all that decides a shard's records: settings (`record_settings`), number and documents."""
    digest = hashlib.sha256(json.dumps([_RECORDS_VERSION, settings, shard.number], sort_keys=True).encode())
    digest.update(shard.packed_documents)
    return digest.hexdigest()


class ShardFunction:
    """The function from an input shard to its records, the same in every process and on every machine.

    Args:
        tokenizer: the tokenizer of the vocabulary.
        config: the settings of the training shards.
        held_out_config: the settings of the held-out shards.
        segmenter: the segmenter whose words the records hold; None for none.
    """

    def __init__(
        self,
        tokenizer: WordPieceTokenizer,
        config: PreparationConfig,
        held_out_config: PreparationConfig,
        segmenter: Segmenter | None = None,
    ) -> None:
        configs = (config, held_out_config)
        self._builders = tuple(ShardBuilder(tokenizer, config, segmenter) for config in configs)
        self._settings = tuple(record_settings(config, tokenizer, segmenter) for config in configs)

    def settings(self, held_out: bool) -> dict[str, Any]:
        """Return the settings of the training or the held-out shards (`record_settings`)."""
        return self._settings[held_out]

    def fingerprint(self, shard: InputShard) -> str:
        """Return the shard's fingerprint, as the function `fingerprint` does."""
        return fingerprint(self._settings[shard.held_out], shard)

    def build(self, shard: InputShard) -> BuiltShard:
        """Return the shard's record files, which are not written yet."""
        return self._builders[shard.held_out].build(shard.number, unpack_documents(shard.packed_documents))

    def build_unless_standing(self, task: tuple[InputShard, str | None]) -> tuple[str, BuiltShard | None]:
        """Return the shard's fingerprint, and its records unless finished ones have the same fingerprint."""
        shard, standing = task
        made_from = self.fingerprint(shard)
        return made_from, None if made_from == standing else self.build(shard)
