"""Learn a WordPiece vocabulary from text.

bert-tf create-vocab --input 'docs/*.txt' --vocab_size 30522 --output vocab.txt
bert-tf create-vocab --input 'docs/*.txt' --extend bert-base-uncased/vocab.txt --num_new 2000 --output extended.txt

The second form adds words of a domain to a published vocabulary; `bert-tf convert-checkpoint --vocab_file` then makes
the model that fits it.
"""

import functools
import os
import shlex
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_tf.tokenization import command_line
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files, launching
from bert_tf.utils.arguments import renamed
from data_pipelines import beam_word_counts, vocabulary
from data_pipelines.corpora import beam_stages, input_flags
from data_pipelines.vocabulary_extension import extend_vocab
from data_pipelines.word_counts import CountWords, count_words

_OF_NEW = ("vocab_size", "limit_alphabet", "num_unused", "user_tokens")
_OF_EXTENSION = ("num_new", "keep")


def define_flags() -> None:
    """Define the flags of this command."""
    input_flags.define()
    flags.DEFINE_string("output", None, "The vocabulary file to write, with one token on each line.", required=True)
    flags.DEFINE_integer("vocab_size", 30522, "The largest number of tokens, special tokens included.")
    command_line.define_word_flags("The vocabulary")
    flags.DEFINE_integer("min_frequency", 2, "Pairs of tokens that occur less often are not joined to a new token.")
    flags.DEFINE_integer(
        "limit_alphabet",
        None,
        "The largest number of distinct characters; the most frequent ones are kept. By default as many as "
        "cover 99.95% of the text and fit into the vocabulary.",
    )
    flags.DEFINE_integer(
        "num_unused",
        0,
        "The number of [unusedN] tokens, which later tokens may replace. With 99, [CLS], [SEP] and the other special "
        "tokens have the ids of the published vocabularies.",
    )
    flags.DEFINE_list("user_tokens", [], "Words that the vocabulary must contain, separated by commas.")
    flags.DEFINE_float(
        "holdout",
        0.0,
        "The share of documents that are held out, from which nothing is learnt; give the same share to "
        "create-pretraining-data.",
    )
    flags.DEFINE_string(
        "extend", None, "A vocabulary, or the folder of a published tokenizer, to which new tokens are added."
    )
    flags.DEFINE_integer("num_new", 2000, "With --extend, the largest number of new tokens.", lower_bound=0)
    flags.DEFINE_enum(
        "keep", "all", ["all", "used"], "With --extend, keep all of its tokens, or those that the text uses."
    )
    flags.DEFINE_integer(
        "num_workers", 0, "The number of processes; 0 for one a core. It does not change the vocabulary."
    )
    beam_stages.define_flags()


def main(_: Sequence[str]) -> None:
    """Read the flags, write the vocabulary and print how well it fits."""
    values = flags.FLAGS
    with renamed(folder="output"):
        files.require_writable_folder(os.path.dirname(values.output) or ".")
    wrong = _OF_NEW if values.extend is not None else _OF_EXTENSION
    if given := [name for name in wrong if values[name].present]:
        rule = "left out with" if wrong is _OF_NEW else "given together with"
        raise ValueError(f"`{given[0]}` must be {rule} `extend`. Received: {values[given[0]].value!r}")
    pipeline = beam_stages.pipeline_of(values.runner, values.beam_options)
    count: CountWords = count_words
    if pipeline is not None:
        staging_dir = f"{values.output}.staging"
        count = functools.partial(beam_word_counts.count_words, pipeline=pipeline, staging_dir=staging_dir)
    if values.extend is not None:
        _extend(values, count)
    else:
        with renamed(documents="input"):
            vocabulary.create_vocab(
                input_flags.read(values),
                values.vocab_size,
                output=values.output,
                do_lower_case=values.do_lower_case,
                options=command_line.word_options(values),
                min_frequency=values.min_frequency,
                limit_alphabet=values.limit_alphabet,
                num_unused=values.num_unused,
                user_tokens=values.user_tokens,
                holdout=values.holdout,
                num_workers=values.num_workers,
                count=count,
                warn=launching.warn,
            )
    inputs = " ".join(f"--input {shlex.quote(value)}" for value in values.input)
    rules = command_line.given_word_flags(values)
    launching.suggest(
        f"bert-tf create-pretraining-data {inputs} --vocab_file {shlex.quote(values.output)}{rules} "
        "--output_dir records"
    )


def _extend(values: Any, count: CountWords) -> None:
    """Extend the vocabulary of --extend."""
    with renamed(path="extend"):
        if files.is_folder(values.extend):
            tokenizer = command_line.tokenizer_at(values.extend)
        elif files.exists(values.extend):
            tokenizer = WordPieceTokenizer(values.extend, values.do_lower_case, command_line.word_options(values))
        else:
            raise FileNotFoundError(f"`path` must be a vocabulary or a folder. Received: {values.extend!r}")
    with renamed(documents="input"):
        extend_vocab(
            input_flags.read(values),
            tokenizer,
            values.num_new,
            keep=values.keep,
            output=values.output,
            min_frequency=values.min_frequency,
            holdout=values.holdout,
            num_workers=values.num_workers,
            count=count,
            warn=launching.warn,
        )


if __name__ == "__main__":
    launching.run(main, define_flags)
