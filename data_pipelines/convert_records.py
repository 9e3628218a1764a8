"""Convert records to and from Google's format: the kind of input decides the direction.

```bash
bert-tf convert-records --from records --to google.tfrecord
bert-tf convert-records --from 'google*.tfrecord' --vocab_file vocab.txt --to records
```
"""

import os
from collections.abc import Sequence

from absl import flags

from bert_tf.configs import MaskingConfig
from bert_tf.tokenization import command_line
from bert_tf.tokenization.reachability import vocabulary_warnings
from bert_tf.utils import files, launching
from bert_tf.utils.arguments import renamed
from bert_tf.utils.file_patterns import matching_files
from data_pipelines.records.manifest import MANIFEST_FILE


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("from", None, "A record folder, or globs of Google's TFRecord files (.gz too).", required=True)
    flags.DEFINE_string("to", None, "The TFRecord file or the record folder to write.", required=True)
    flags.DEFINE_string("vocab_file", None, "The vocabulary of Google's records, which writing a folder needs.")
    command_line.define_flags()
    flags.DEFINE_bool("overwrite", False, "Whether a complete record folder may be replaced.")
    flags.DEFINE_float("masked_lm_rate", 0.15, "When a folder is read, the share of tokens to predict.")
    flags.DEFINE_integer(
        "max_predictions_per_seq",
        None,
        "When a folder is read, the largest number of predictions in a row; by default it follows from the rate.",
    )
    flags.DEFINE_enum(
        "masking",
        "token",
        ["token", "whole_word", "ngram", "span"],
        "When a folder is read, the unit that is masked: single tokens, whole words, n-grams or spans of words.",
    )
    flags.DEFINE_integer(
        "dupe_factor",
        1,
        "When a folder is read, the number of copies of each record, each with other masks.",
        lower_bound=1,
    )
    flags.DEFINE_bool("skip_corrupt", False, "Whether to leave out records that cannot be used, when a folder is read.")


def main(_: Sequence[str]) -> None:
    """Read the flags, convert, and print the number of records."""
    from data_pipelines.input.google_records import export_google_records, import_google_records
    from data_pipelines.input.record_folder import RecordFolder

    values = flags.FLAGS
    source, target = values.get_flag_value("from", ""), values.to  # `from` is a word of Python
    if files.exists(os.path.join(source, MANIFEST_FILE)):
        masking = MaskingConfig(
            masked_lm_rate=values.masked_lm_rate,
            max_predictions_per_seq=values.max_predictions_per_seq,
            strategy=values.masking,
        )
        with renamed(path="from", folder="from"):
            folder = RecordFolder(source, skip_corrupt=values.skip_corrupt)
            written = export_google_records(folder, target, masking, dupe_factor=values.dupe_factor)
    else:
        with renamed(patterns="from"):
            matching_files(source)  # missing files are reported before what else Google's records need
        if not values.vocab_file:
            raise ValueError("--vocab_file must name the vocabulary of Google's records. Received: none")
        tokenizer = command_line.tokenizer_from_flags(values)
        for contradiction in vocabulary_warnings(tokenizer):
            launching.warn(contradiction)
        with renamed(patterns="from", output_dir="to"):
            written = import_google_records(source, tokenizer, target, overwrite=values.overwrite)
    print(f"{target}: {written:,} records")


if __name__ == "__main__":
    launching.run(main, define_flags)
