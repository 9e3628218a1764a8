"""The conversion of a BERT from one published format to another."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from bert_tf.conversion import google, huggingface, keras_hub
from bert_tf.conversion.hub_card import ModelCard
from bert_tf.conversion.loading import load_pretrained, read_pretrained, warn_of_surprises
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.conversion.report import ConversionReport
from bert_tf.conversion.vocabularies import with_vocabulary
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

FORMATS: dict[str, Callable[[Pretrained, str], None]] = {
    "huggingface": huggingface.write,
    "google": google.write,
    "keras_hub": keras_hub.write,
}
"""The writer of each format."""


def _writer(output_format: str) -> Callable[[Pretrained, str], None]:
    if output_format not in FORMATS:
        raise ValueError(f"`output_format` must be one of {', '.join(FORMATS)}. Received: {output_format!r}")
    return FORMATS[output_format]


def convert_checkpoint(
    path: Any,
    output_dir: str,
    output_format: str,
    *,
    task: str | None = None,
    allow_random_heads: bool = False,
    vocab_file: str | None = None,
) -> ConversionReport:
    """Read a BERT in any known format and write it in another.

    Args:
        path: the weights, as in `loading.read_pretrained`.
        output_dir: a new or an empty folder; appears whole or not at all.
        output_format: `huggingface`, `google` or `keras_hub`.
        task: the task of the model to write, as in `loading.load_pretrained`; None to write the weights as they are.
        allow_random_heads: whether a head that `task` needs and `path` lacks may start from random numbers, with seed
            0.
        vocab_file: an extended or a reduced vocabulary for which the model is made (`vocabularies.with_vocabulary`).

    Returns:
        The report of what happened to every tensor.

    Raises:
        FileNotFoundError: nothing has this name.
        ValueError: files are damaged, weights are missing, or the format does not support such a model.
        OSError: the folder cannot be written.
    """
    write = _writer(output_format)
    if task is None:
        pretrained = read_pretrained(path)
        warn_of_surprises(pretrained)
    else:
        keras.utils.set_random_seed(0)
        model, read = load_pretrained(path, task, allow_random_heads=allow_random_heads)
        tokenizer = read.tokenizer() if read.tokens is not None else None
        pretrained = Pretrained.of_model(model, tokenizer, read.labels)
        pretrained.report = read.report
    if vocab_file is not None:
        pretrained = with_vocabulary(pretrained, vocab_file)
    write(pretrained, output_dir)
    return pretrained.report


def save_pretrained(
    model: Any,
    output_dir: str,
    output_format: str = "huggingface",
    *,
    tokenizer: WordPieceTokenizer | None = None,
    labels: Sequence[str] = (),
    card: ModelCard | None = None,
) -> None:
    """Write a model of `bert_tf.models` for other libraries.

    >>> save_pretrained(encoder, "for_others", tokenizer=tokenizer)  # doctest: +SKIP

    Args:
        model: any model of `bert_tf.models`.
        output_dir: a new or an empty folder; appears whole or not at all.
        output_format: `huggingface`, `google` or `keras_hub`.
        tokenizer: the tokenizer of its vocabulary; None for the model's own, or to write only the weights.
        labels: names of a classifier's classes, by id; () for the model's own.
        card: what the page of a folder for the hub (`huggingface`) says beside what follows from the model.

    Raises:
        ValueError: the format does not support such a model, or has no page.
        OSError: the folder cannot be written.
    """
    write = _writer(output_format)
    pretrained = Pretrained.of_model(model, tokenizer, labels)
    if card is None:
        write(pretrained, output_dir)
    elif output_format == "huggingface":
        huggingface.write(pretrained, output_dir, card)
    else:
        raise ValueError(f"`card` must be None for another format than huggingface. Received: {output_format!r}")
