"""A record folder as training takes it: opened once, checked, then asked for batches."""

from typing import TYPE_CHECKING

import numpy as np

from bert_tf.configs import MaskingConfig
from bert_tf.tokenization import WordPieceTokenizer
from data_pipelines import input_pipeline, records

if TYPE_CHECKING:
    import tensorflow as tf


class RecordFolder:
    """Records, their vocabulary, and the batches that are read from them.

    Args:
        path: a folder that `create_pretraining_data` wrote.
        flag: where `path` came from, for messages.
        tokenizer: of the model that is to read the records; None takes the folder's own.

    Raises:
        FileNotFoundError: the folder, its manifest or a shard is missing.
        ValueError: the folder contradicts its manifest, or was made with another vocabulary than `tokenizer`'s.
    """

    def __init__(self, path: str, flag: str, tokenizer: WordPieceTokenizer | None = None) -> None:
        self.path = path
        self.flag = flag
        self.manifest = records.read_manifest(path, flag)
        if tokenizer is not None:
            records.check_vocabulary(self.manifest, tokenizer, flag)
        self.tokenizer = tokenizer or records.read_vocabulary(path, self.manifest, flag)
        self.max_seq_length = self.manifest.max_seq_length

    def identity(self) -> dict[str, int | str]:
        """What tells these records from others: their number and a digest of all shards."""
        return self.manifest.identity()

    def piece_counts(self) -> np.ndarray:
        """How often each piece of the vocabulary occurs in the records, int64 [pieces]."""
        return records.read_piece_counts(self.path)

    def training_dataset(
        self, masking: MaskingConfig, batch_size: int, seed: int, start_step: int = 0
    ) -> "tf.data.Dataset":
        """Endless batches from `start_step` on: see `input_pipeline.training_dataset`."""
        return input_pipeline.training_dataset(self.path, masking, batch_size, seed, start_step, flag=self.flag)

    def evaluation_dataset(self, masking: MaskingConfig, batch_size: int) -> "tf.data.Dataset":
        """Every record once, with masks that are always the same: see `input_pipeline.evaluation_dataset`."""
        return input_pipeline.evaluation_dataset(self.path, masking, batch_size, flag=self.flag)
