"""The inputs of `bert-tf predict`: texts, or examples of the model's task."""

import os
from typing import Any

from bert_tf.configs.tasks import ClassificationConfig, TaggingConfig, TextTaskConfig
from bert_tf.examples import TextExample
from bert_tf.serving.predictor import Predictor
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from data_pipelines.finetuning.labelled import read_examples
from data_pipelines.finetuning.tables import suffix_of


def check_paths(input_path: str, output_path: str) -> None:
    """Check, before a model is read, that the input exists and that the output can be written.

    Args:
        input_path: the file of --input, or a data set of TensorFlow Datasets.
        output_path: the file of --output.

    Raises:
        OSError: the folder of the output cannot be written to.
        FileNotFoundError: there is no such input.
    """
    with renamed(folder="output"):
        files.require_writable_folder(os.path.dirname(output_path) or ".")
    if not input_path.startswith("tfds:") and not files.exists(input_path):
        raise FileNotFoundError(f"--input: no such file: {input_path!r}")


def read_inputs(
    path: str, predictor: Predictor, columns: dict[str, str] | None = None, *, embed: bool = False
) -> list[Any]:
    """Return the inputs of a file: texts, or examples of the model's task.

    Args:
        path: a `.txt` file has one text a line; for a model of pairs two, separated by a tab. The task's reader reads
            all other files, without labels. Models that fill masks or embed take tables.
        predictor: the model that will answer.
        columns: `text_column` and `text_pair_column` of a table, if they differ from those of the training files.
        embed: whether vectors are wanted, which a model for any task gives to single texts.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, or does not suit the model.
    """
    embed = gives_vectors(predictor, embed)
    config = predictor.task.config if predictor.task else ClassificationConfig()
    pair = (columns or {}).get("text_pair_column")
    if embed:
        if pair is not None:
            raise ValueError(
                f"`text_pair_column` must not be given for vectors, which single texts have. Received: {pair!r}"
            )
        config = config.replace(text_pair_column=None) if isinstance(config, TextTaskConfig) else ClassificationConfig()
    if pair is not None and (predictor.task is None or predictor.description.takes_pairs is False):
        needed = "a model that was trained on pairs of texts"
        raise ValueError(f"`text_pair_column` needs {needed}. Received: {pair!r} for {predictor.source}")
    if columns and not isinstance(config, TextTaskConfig):
        raise ValueError(f"`{next(iter(columns))}` needs a model of texts. Received: a model for {config.kind}")
    config = config.replace(**columns) if columns else config
    if suffix_of(path) != ".txt" or not isinstance(config, TextTaskConfig | TaggingConfig):
        with renamed(path="input"):
            return list(read_examples(path, config, labelled=False).examples)
    texts = list(files.iterate_lines(path))
    if not texts:
        raise ValueError(f"`input` must have at least one line. Received: {path!r}")
    if isinstance(config, TaggingConfig):
        return texts
    return [_example(line, number, config.text_pair_column) for number, line in enumerate(texts, 1)]


def _example(line: str, number: int, pair_column: str | None) -> TextExample:
    if pair_column is None:
        return TextExample(line)
    if line.count("\t") != 1:
        raise ValueError(f"`input`, line {number}: must be two texts, separated by a tab. Received: {line!r}")
    return TextExample(*line.split("\t"))


def check_long_texts(long_texts: str | None, predictor: Predictor, *, embed: bool) -> None:
    """Check that windows are wanted for vectors only, because a fine-tuned model has a setting of its own.

    Raises:
        ValueError: `long_texts` is given, and answers are wanted.
    """
    if long_texts is not None and not gives_vectors(predictor, embed):
        raise ValueError(
            "`long_texts` is for vectors (--embed); a fine-tuned model treats long texts as `task.long_texts` said in "
            f"its training. Received: {long_texts!r} for {predictor.source}"
        )


def gives_vectors(predictor: Predictor, embed: bool) -> bool:
    """Return whether the answers are vectors: they are wanted, or the model gives nothing else."""
    return embed or predictor.description.task == "encoder"
