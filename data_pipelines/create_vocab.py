"""Learn a WordPiece vocabulary from text.

python -m data_pipelines.create_vocab --input 'docs/*.txt' --vocab_size 30522 --output vocab.txt
"""

import os
import shlex
from collections.abc import Sequence

from absl import flags

from bert_tf.utils import files, launching
from bert_tf.utils.arguments import renamed
from data_pipelines import vocabulary
from data_pipelines.corpora import input_flags


def define_flags() -> None:
    """Define the flags of this command."""
    input_flags.define()
    flags.DEFINE_string("output", None, "The vocabulary file to write, one token a line.", required=True)
    flags.DEFINE_integer("vocab_size", 30522, "Tokens at most, special tokens included.")
    flags.DEFINE_bool("do_lower_case", True, "Whether the vocabulary is uncased.")
    flags.DEFINE_integer("min_frequency", 2, "A pair that occurs less often is not joined to a token.")
    flags.DEFINE_integer("limit_alphabet", 1000, "Characters at most, the most frequent ones.")
    flags.DEFINE_integer("num_unused", 0, "Places [unusedN] for later tokens; 99 gives the published special ids.")
    flags.DEFINE_list("user_tokens", [], "Words that the vocabulary must hold, separated by commas.")
    flags.DEFINE_float("holdout", 0.0, "Share of documents not to learn from; as for create_pretraining_data.")
    flags.DEFINE_integer("num_workers", 0, "Processes; 0 for one a core. The vocabulary is the same.")


def main(_: Sequence[str]) -> None:
    """Read the flags, write the vocabulary, print how well it fits."""
    values = flags.FLAGS
    with renamed(folder="output"):
        files.require_writable_folder(os.path.dirname(values.output) or ".")
    vocabulary.create_vocab(
        input_flags.read(values),
        values.vocab_size,
        output=values.output,
        do_lower_case=values.do_lower_case,
        min_frequency=values.min_frequency,
        limit_alphabet=values.limit_alphabet,
        num_unused=values.num_unused,
        user_tokens=values.user_tokens,
        holdout=values.holdout,
        num_workers=values.num_workers,
    )
    launching.suggest(
        f"bert-tf create-pretraining-data --input {shlex.join(values.input)} --vocab_file {values.output} "
        "--output_dir records"
    )


if __name__ == "__main__":
    launching.run(main, define_flags)
