"""Records of google-research/bert, which are refused with the command that converts them."""

import os

from bert_tf.utils import files
from bert_tf.utils.decompression import decompressed
from bert_tf.utils.file_patterns import matching_files

_FILES_LOOKED_AT = 20
_START_BYTES = 1 << 16
_FEATURE = b"masked_lm_positions"  # in each of Google's records, and in none of ours


def refuse_google_records(path: str) -> None:
    """Refuse TFRecord files of google-research/bert, and single files, in the place of a record folder.

    Args:
        path: what was given as a record folder: a folder, a file or a glob.

    Raises:
        ValueError: it is a file, or a folder or glob of Google's records.
    """
    is_folder = files.is_folder(path)
    try:
        found = matching_files(os.path.join(path, "*") if is_folder else path)
    except OSError:  # the folder is empty, or there is nothing of this name
        return
    if any(_is_google_record_file(file) for file in found[:_FILES_LOOKED_AT]):
        pattern = os.path.join(path, "*") if is_folder else path
        raise ValueError(
            "`folder` must be a record folder. These are the masked TFRecords of google-research/bert, which "
            f"`bert-tf convert-records --from '{pattern}' --vocab_file VOCAB --to records` converts. Received: {path!r}"
        )
    if not is_folder:
        raise ValueError(
            "`folder` must be a record folder, which `bert-tf create-pretraining-data` makes of text. Received a file: "
            f"{path!r}"
        )


def _is_google_record_file(path: str) -> bool:
    with files.open_to_read(path) as file:
        start = file.read(_START_BYTES)
    try:
        return _FEATURE in next(iter(decompressed([start], path)), b"")
    except ValueError:  # its name says that it is compressed, but it is not
        return False
