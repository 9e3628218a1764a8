"""The flags by which commands choose a tokenizer."""

from typing import Any

from absl import flags

from bert_tf.tokenization.options import MAX_WORD_CHARACTERS, TokenizerOptions
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files

_WORD_FLAGS = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")


def define_word_flags(of: str = "The vocabulary of --vocab_file") -> None:
    """Define the flags that say how text is cut into words."""
    flags.DEFINE_bool("do_lower_case", True, f"{of} is uncased: text is put in lower case and loses its accents.")
    flags.DEFINE_bool("strip_accents", None, f"{of} has no accents; by default as --do_lower_case says.")
    flags.DEFINE_bool("tokenize_chinese_chars", True, f"{of} has each ideograph as a word of its own.")


def define_flags() -> None:
    """Define the flags that, beside `--vocab_file`, describe a tokenizer."""
    define_word_flags()
    flags.DEFINE_integer(
        "max_input_chars_per_word",
        MAX_WORD_CHARACTERS,
        "The largest number of characters of a word; a longer one is [UNK].",
        lower_bound=1,
    )


def word_options(values: Any) -> TokenizerOptions:
    """Return the options of `define_word_flags`."""
    return TokenizerOptions(values.strip_accents, values.tokenize_chinese_chars)


def given_word_flags(values: Any) -> str:
    """Return those of the flags that were given, for a suggested command that must have them too."""
    given = [name for name in _WORD_FLAGS if values[name].present]
    return "".join(f" --{'' if values[name].value else 'no'}{name}" for name in given if values[name].value is not None)


def tokenizer_from_flags(values: Any) -> WordPieceTokenizer:
    """Return the tokenizer of `--vocab_file`, a vocabulary or the folder of a published tokenizer.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: the vocabulary cannot be used, or a flag contradicts the files of a folder.
    """
    if not files.is_folder(values.vocab_file):
        options = TokenizerOptions(values.strip_accents, values.tokenize_chinese_chars, values.max_input_chars_per_word)
        return WordPieceTokenizer(values.vocab_file, values.do_lower_case, options)
    tokenizer = tokenizer_at(values.vocab_file)
    stated = tokenizer.options.to_dict() | {"do_lower_case": tokenizer.do_lower_case}
    for name in (*_WORD_FLAGS, "max_input_chars_per_word"):
        if values[name].present and values[name].value != stated[name]:
            raise ValueError(
                f"--{name} must be as the folder of --vocab_file states it, {stated[name]}. "
                f"Received: {values[name].value}"
            )
    return tokenizer


def tokenizer_at(path: str, do_lower_case: bool = True) -> WordPieceTokenizer:
    """Return the tokenizer of a vocabulary file, or of the folder of a published tokenizer.

    Args:
        path: the file or folder.
        do_lower_case: whether the vocabulary of a file is uncased.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: the vocabulary cannot be used.
    """
    if files.is_folder(path):
        return WordPieceTokenizer.from_pretrained(path)
    return WordPieceTokenizer(path, do_lower_case)
