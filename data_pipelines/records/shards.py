"""The records of an input shard, a pure function of (documents, vocabulary, configuration, shard number).

It runs in worker processes, which never import TensorFlow. It takes documents as strings and returns files as bytes.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from random import Random
from typing import Generic, TypeVar

import numpy as np

from bert_tf import features
from bert_tf.configs import MaskingConfig
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from data_pipelines.corpora.documents import Document, document_bytes
from data_pipelines.records import segmentation
from data_pipelines.records.manifest import MAX_RECORDS_PER_SHARD, BuiltShard, PreparationConfig, ShardInfo, token_dtype
from data_pipelines.records.packing import pack_rows
from data_pipelines.records.pairs import (
    IS_NEXT,
    SegmentPair,
    TokenizedDocuments,
    full_sentences,
    next_sentence_pairs,
    sentence_order_pairs,
    shuffled,
    tokenize_documents,
    used_tokens,
)
from data_pipelines.records.tfrecords import bytes_feature, example_bytes, int64_feature, tfrecord_bytes

Item = TypeVar("Item")

_MEGABYTE = 1_000_000
_SHARDS_A_SIZE = 16
_FIRST_SHARD_BYTES = 2 * _MEGABYTE
_LAST_SHARD_BYTES = 32 * _MEGABYTE


def shard_bytes(number: int) -> int:
    """Return the bytes of text in input shard `number`: 2 MB, doubled after every 16 shards, at most 32 MB.

    So small corpora have shards for every process, and large ones do not have thousands of needless files, although the
    size of the corpus is not known before it is read.
    """
    return min(_LAST_SHARD_BYTES, _FIRST_SHARD_BYTES << min(number // _SHARDS_A_SIZE, 30))


class DocumentGrouper(Generic[Item]):
    """A grouper of a stream of documents, or of what stands for them, into input shards of at least two documents each.

    The last full shard is held back, so that a small rest can join it. Random second segments come from the same shard,
    so each shard needs several documents.
    """

    def __init__(self) -> None:
        self.documents = 0
        self._finished = 0
        self._waiting: list[Item] = []
        self._current: list[Item] = []
        self._current_bytes = 0

    def add(self, document: Item, num_bytes: int) -> list[Item]:
        """Take the next document and its `document_bytes`, and return the next whole shard, or an empty list."""
        self.documents += 1
        self._current.append(document)
        self._current_bytes += num_bytes
        if self._current_bytes < shard_bytes(self._finished) or len(self._current) < 2:
            return []
        whole, self._waiting, self._current = self._waiting, self._current, []
        self._current_bytes = 0
        self._finished += 1
        return whole

    def finish(self) -> Iterator[list[Item]]:
        """Yield the last one or two shards."""
        if self._waiting and (len(self._current) < 2 or self._current_bytes < shard_bytes(self._finished) // 2):
            yield self._waiting + self._current
            return
        if self._waiting:
            yield self._waiting
        if self._current:
            yield self._current


class ShardBuilder:
    """A builder that tokenizes, pairs, shuffles, packs and serializes the documents of input shards."""

    def __init__(
        self,
        tokenizer: WordPieceTokenizer,
        config: PreparationConfig,
        segmenter: segmentation.Segmenter | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._config = config
        self._segmenter = segmenter
        self._dtype = token_dtype(tokenizer.vocab_size)

    def build(self, number: int, documents: Sequence[Document]) -> BuiltShard:
        """Return the record files of shard `number`.

        Raises:
            ValueError: the segmenter has another version here, or gives something else than the words of a text.
        """
        corpus = self._tokenized(documents)
        counts = {
            "documents": len(corpus.documents),
            "sentences": corpus.num_sentences,
            "tokens": len(corpus.tokens),
            "used": 0,
            "unknown": int(np.count_nonzero(corpus.tokens == self._tokenizer.unk_id)),
            "examples": 0,
            "labelled": 0,
            "random_next": 0,
            "predicted": 0,
        }
        shard_files: list[tuple[ShardInfo, bytes]] = []
        token_counts = np.zeros(self._tokenizer.vocab_size, np.int64)
        used = np.zeros(len(corpus.tokens), np.bool_)
        for duplicate in range(self._config.dupe_factor):
            sequences = self._sequences(corpus, Random(f"{self._config.seed}/shard {number}/pass {duplicate}"))
            used |= used_tokens(corpus, sequences)
            counts["examples"] += len(sequences)
            labels = [pair.label for pair in sequences if pair.label != features.NO_NEXT_SENTENCE_LABEL]
            counts["labelled"] += len(labels)
            counts["random_next"] += sum(label != IS_NEXT for label in labels)
            rows = self._rows(sequences)
            counts["predicted"] += self._predictions(rows)
            for first in range(0, len(rows), MAX_RECORDS_PER_SHARD):
                name = f"shard-{number:05d}-{len(shard_files):02d}.tfrecord"
                info, contents, occurrences = self._record_file(
                    name, corpus, rows[first : first + MAX_RECORDS_PER_SHARD]
                )
                shard_files.append((info, contents))
                token_counts += occurrences
        counts["used"] = int(np.count_nonzero(used))
        return BuiltShard(shard_files, token_counts, counts, sum(map(document_bytes, documents)))

    def _tokenized(self, documents: Sequence[Document]) -> TokenizedDocuments:
        if self._segmenter is None:
            return tokenize_documents(documents, self._tokenizer.encode_ragged)
        self._segmenter.require_version()
        sentences = [sentence for document in documents for sentence in document]
        ids, lengths, continues = segmentation.encode(self._tokenizer, self._segmenter, sentences)
        return dataclasses.replace(tokenize_documents(documents, lambda _: (ids, lengths)), continues=continues)

    def _sequences(self, corpus: TokenizedDocuments, generator: Random) -> list[SegmentPair]:
        make = {"nsp": next_sentence_pairs, "sop": sentence_order_pairs, "mlm": full_sentences}[self._config.objective]
        if make is next_sentence_pairs and len(corpus.documents) == 1:
            make = full_sentences  # there are no random second segments; the text is learnt from without a label
        sequences = make(
            corpus,
            self._config.max_seq_length,
            short_seq_prob=self._config.short_seq_prob,
            generator=generator,
        )
        return shuffled(sequences, generator)

    def _rows(self, sequences: list[SegmentPair]) -> list[list[SegmentPair]]:
        if self._config.max_sequences_per_row == 1:
            return [[pair] for pair in sequences]
        packed = pack_rows(
            (pair.num_tokens for pair in sequences),
            self._config.max_seq_length,
            max_sequences=self._config.max_sequences_per_row,
        )
        return [[sequences[number] for number in row] for row in packed]

    def _predictions(self, rows: list[list[SegmentPair]]) -> int:
        """Return how many tokens of the rows are predicted when they are masked at the default rate."""
        rate, length = MaskingConfig().masked_lm_rate, self._config.max_seq_length
        places = features.predictions_per_row(rate, length)
        by_length = features.predictions_by_length(rate, length, places)
        return sum(min(places, sum(by_length[pair.num_tokens] for pair in row)) for row in rows)

    def _record_file(
        self, name: str, corpus: TokenizedDocuments, rows: list[list[SegmentPair]]
    ) -> tuple[ShardInfo, bytes, np.ndarray]:
        """Return a file's entry in the manifest, its contents, and how often each token occurs in it."""
        size = self._dtype.itemsize
        tokens = corpus.tokens.astype(self._dtype).tobytes()
        cls = np.array(self._tokenizer.cls_id, self._dtype).tobytes()
        sep = np.array(self._tokenizer.sep_id, self._dtype).tobytes()
        padding = (0,) * self._config.max_sequences_per_row
        continues = None if corpus.continues is None else corpus.continues.tobytes()
        all_ids = []
        records = []
        for row in rows:
            ids = b""
            for first_start, first_length, second_start, second_length, _ in row:
                ids += cls + tokens[first_start * size : (first_start + first_length) * size] + sep
                if second_length:
                    ids += tokens[second_start * size : (second_start + second_length) * size] + sep
            all_ids.append(ids)
            rest = padding[len(row) :]
            entries = [
                bytes_feature(features.RECORD_INPUT_IDS, ids),
                int64_feature(features.RECORD_SEQUENCE_LENGTHS, (*[pair.num_tokens for pair in row], *rest)),
                int64_feature(features.RECORD_FIRST_SEGMENT_LENGTHS, (*[pair.first_length + 2 for pair in row], *rest)),
                int64_feature(features.RECORD_NEXT_SENTENCE_LABELS, (*[pair.label for pair in row], *rest)),
            ]
            if continues is not None:
                entries.append(bytes_feature(features.RECORD_CONTINUES, _continues_of(row, continues)))
            records.append(example_bytes(*entries))
        contents = tfrecord_bytes(records)
        occurrences = np.bincount(
            np.frombuffer(b"".join(all_ids), self._dtype), minlength=self._tokenizer.vocab_size
        ).astype(np.int64)
        info = ShardInfo(
            file_name=name,
            records=len(records),
            tokens=int(occurrences.sum()),
            bytes=len(contents),
            sha256=hashlib.sha256(contents).hexdigest(),
        )
        return info, contents, occurrences


def _continues_of(row: Sequence[SegmentPair], continues: bytes) -> bytes:
    """Return the bits of a row's tokens, 0 on special tokens, from a byte for each token of the corpus."""
    marks = b""
    for first_start, first_length, second_start, second_length, _ in row:
        marks += b"\0" + continues[first_start : first_start + first_length] + b"\0"
        if second_length:
            marks += continues[second_start : second_start + second_length] + b"\0"
    return np.packbits(np.frombuffer(marks, np.uint8), bitorder="little").tobytes()
