"""The record folder as training uses it: it is opened and checked once, and then gives batches."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from bert_tf.configs import MaskingConfig, MixtureConfig
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils.arguments import renamed
from bert_tf.utils.ideographs import is_written_without_spaces
from data_pipelines.input import pipeline
from data_pipelines.records import verification
from data_pipelines.records.manifest import (
    MANIFEST_FILE,
    TOKEN_COUNTS_FILE,
    check_vocabulary,
    read_manifest,
    read_token_counts,
    read_vocabulary,
)

if TYPE_CHECKING:
    import tensorflow as tf

_BIDIRECTIONAL = MixtureConfig()
_MOST_UNSPACED_SHARE = 0.02
"""The share of tokens without spaces between words above which masks of words need a segmenter."""


class RecordFolder:
    """Records, their vocabulary, and the batches that are read from them.

    Args:
        path: a folder that `create_pretraining_data` wrote.
        tokenizer: the tokenizer of the model that reads the records; None for the folder's own.
        skip_corrupt: whether to read all records once, print how many cannot be used, and replace these by empty rows
            of weight 0. If not, the first such record stops the reading.

    Raises:
        FileNotFoundError: the folder, its manifest or a shard is missing.
        ValueError: the folder contradicts its manifest, or was made with a vocabulary that is not `tokenizer`'s.
    """

    def __init__(self, path: str, *, tokenizer: WordPieceTokenizer | None = None, skip_corrupt: bool = False) -> None:
        self.path = path
        with renamed(folder="path", manifest="path"):
            self.manifest = read_manifest(path, allow_damage=skip_corrupt)
            if tokenizer is not None:
                check_vocabulary(path, self.manifest, tokenizer)
            self.tokenizer = tokenizer or read_vocabulary(path, self.manifest)
        self.max_seq_length = self.manifest.max_seq_length
        self.max_sequences_per_row = self.manifest.max_sequences_per_row
        self._skipped = self._find_skipped() if skip_corrupt else None

    def _find_skipped(self) -> dict[str, list[tuple[int, int]]]:
        """Return the stretches of records that cannot be used, by shard, and print one on each line."""
        skipped: dict[str, list[tuple[int, int]]] = {}
        count = 0
        for fault in verification.find_faults(self.path, self.manifest, self.tokenizer):
            print(fault)
            count += fault.records
            if fault.records:
                skipped.setdefault(os.path.basename(fault.path), []).append((fault.first_record, fault.records))
        total = self.manifest.num_records
        print(f"{self.path}: {count:,} of {total:,} records are skipped: empty rows of weight 0 take their place")
        if count == total:
            raise ValueError(f"`path` must hold a record that can be used. Received: {self.path!r}, all of it corrupt")
        return skipped

    @contextmanager
    def naming_bad_records(self) -> Iterator[None]:
        """Turn errors of reading these records, also those during training, into an error that names the record.

        A pipeline's own errors do not name shard and record, so the folder is read once more to find the fault.

        Raises:
            ValueError: a record cannot be used. The message names shard and record.
        """
        import tensorflow as tf

        try:
            yield
        except (
            tf.errors.DataLossError,
            tf.errors.InvalidArgumentError,
            tf.errors.FailedPreconditionError,
            UnicodeDecodeError,  # the message about a record that is no Example quotes its bytes
        ):
            if self._skipped is None:
                verification.require_sound(self.path, self.manifest, self.tokenizer)
            raise

    def identity(self) -> dict[str, int | str]:
        """Return the number of records and a digest of all shards, which distinguish these records from others."""
        return self.manifest.identity()

    def token_counts(self) -> np.ndarray:
        """Return how often each token of the vocabulary occurs in the records, int64 [tokens]."""
        counts = read_token_counts(self.path)
        tokens = sum(shard.tokens for shard in self.manifest.shards)
        if counts.sum() != tokens:
            raise ValueError(
                f"the shards of {os.path.join(self.path, MANIFEST_FILE)} must have the "
                f"{counts.sum()} tokens that {TOKEN_COUNTS_FILE} counts. Received: {tokens}"
            )
        return counts

    def training_dataset(
        self,
        masking: MaskingConfig,
        batch_size: int,
        *,
        seed: int,
        start_step: int = 0,
        input_pipeline_id: int = 0,
        num_input_pipelines: int = 1,
        mixture: MixtureConfig = _BIDIRECTIONAL,
    ) -> "tf.data.Dataset":
        """Return endless training batches, or one pipeline's part of them (`pipeline.training_dataset`).

        A warning is given if `masking` asks for words that the records do not hold (`_warn_of_words`).

        Raises:
            ValueError: the mixture has rows of sequence to sequence, and no sequence of the records has a second
                segment.
        """
        self._check_pairs("mixture", mixture)
        self._warn_of_words(masking.strategy)
        return pipeline.training_dataset(
            self.path,
            masking,
            batch_size,
            seed=seed,
            start_step=start_step,
            input_pipeline_id=input_pipeline_id,
            num_input_pipelines=num_input_pipelines,
            skipped=self._skipped,
            mixture=mixture,
        )

    def _warn_of_words(self, strategy: str) -> None:
        """Warn if the records lack the words that a strategy chooses, or hold words of a segmenter that it ignores."""
        if self.manifest.is_segmented:
            if strategy == "token":
                warnings.warn(
                    f"{self.path}: `masking.strategy` token does not use the words of {self.manifest.segmenter} that "
                    f"the records hold, as whole_word, ngram and span do. Received: {self.path!r}",
                    stacklevel=3,
                )
            return
        if strategy == "token":
            return
        counts, tokens = self.token_counts(), self.tokenizer.tokens
        unspaced = [is_written_without_spaces(token.removeprefix("##")[:1] or " ") for token in tokens]
        share = counts[np.array(unspaced)].sum() / max(1, counts.sum())
        if strategy == "whole_word" and not counts[np.array(self.tokenizer.continuation)].any():
            warnings.warn(
                f"{self.path}: `masking.strategy` whole_word chooses as token does here: no record holds a token that "
                f"continues a word (`##...`), as in Chinese text (see --segmenter). Received: {self.path!r}",
                stacklevel=3,
            )
        elif share > _MOST_UNSPACED_SHARE:
            warnings.warn(
                f"{self.path}: `masking.strategy` {strategy} knows no words in {share:.0%} of the tokens, whose script "
                "sets no spaces between words: --segmenter of `bert-tf create-pretraining-data` finds them. "
                f"Received: {self.path!r}",
                stacklevel=3,
            )

    def _check_pairs(self, name: str, mixture: MixtureConfig) -> None:
        if mixture.seq2seq and self.manifest.objective == "mlm":
            raise ValueError(
                f"`{name}.seq2seq` must be 0 for records of full sentences (--objective mlm), which have no second "
                f"segment to generate. Received: {mixture.seq2seq:g}, for {self.path!r}"
            )

    def describe_batch(self, batch_size: int, seed: int, step: int) -> str:
        """Return a text that lists, by shard, the records in the batch that `training_dataset` gives for a step."""
        by_shard: dict[str, list[int]] = {}
        for shard, number in pipeline.records_of_batch(self.path, batch_size, seed=seed, step=step):
            by_shard.setdefault(shard, []).append(number)
        return "; ".join(
            f"records {', '.join(map(str, sorted(numbers)))} of {os.path.join(self.path, shard)}"
            for shard, numbers in sorted(by_shard.items())
        )

    def evaluation_dataset(
        self, masking: MaskingConfig, batch_size: int, seed: int = 0, *, mixture: MixtureConfig = _BIDIRECTIONAL
    ) -> "tf.data.Dataset":
        """Return every record once, with masks that are always the same (`pipeline.evaluation_dataset`).

        Raises:
            ValueError: as in `training_dataset`.
        """
        self._check_pairs("eval_mixture", mixture)
        return pipeline.evaluation_dataset(
            self.path, masking, batch_size, seed=seed, skipped=self._skipped, mixture=mixture
        )
