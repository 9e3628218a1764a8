"""The records of a pre-training: what the launcher and `bert_tf.pretrain` share."""

from collections.abc import Sequence
from functools import partial

from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils.arguments import renamed
from data_pipelines.input.record_folder import RecordFolder
from data_pipelines.records.manifest import check_vocabulary


def open_records(
    train_data: Sequence[str | RecordFolder], eval_data: Sequence[str | RecordFolder], *, skip_corrupt: bool = False
) -> tuple[list[RecordFolder], list[RecordFolder]]:
    """Return the record folders for training and evaluation, all of which have the vocabulary of the first.

    Args:
        train_data: the record folder of each phase, as a path or opened.
        eval_data: the same for evaluation; () for none.
        skip_corrupt: whether folders that are given as paths are read whole, to leave out records that cannot be used.

    Raises:
        FileNotFoundError: a folder is missing or not complete.
        ValueError: a folder cannot be used, or has another vocabulary. The message names `train_data` or `eval_data`.
    """
    first, *others = train_data
    with renamed(path="train_data"):
        found = [first if isinstance(first, RecordFolder) else RecordFolder(first, skip_corrupt=skip_corrupt)]
        open_folder = partial(_opened, tokenizer=found[0].tokenizer, skip_corrupt=skip_corrupt)
        found += map(open_folder, others)
    with renamed(path="eval_data"):
        return found, list(map(open_folder, eval_data))


def _opened(data: str | RecordFolder, *, tokenizer: WordPieceTokenizer, skip_corrupt: bool) -> RecordFolder:
    if isinstance(data, RecordFolder):
        with renamed(manifest="path"):
            check_vocabulary(data.path, data.manifest, tokenizer)
        return data
    return RecordFolder(data, tokenizer=tokenizer, skip_corrupt=skip_corrupt)
