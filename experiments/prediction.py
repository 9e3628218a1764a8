"""What `experiments.predict` asks a model, and what it writes."""

from collections.abc import Iterator, Sequence
from typing import Any

from bert_tf.configs.tasks import ClassificationConfig, TaggingConfig, TextTaskConfig
from bert_tf.examples import QuestionExample, TaggedExample, TextExample
from bert_tf.serving.predictor import Predictor
from bert_tf.utils import files
from bert_tf.utils.progress import progress_bar
from data_pipelines.finetuning.labelled import read_examples
from data_pipelines.finetuning.tables import suffix_of

_TOGETHER = 1024


def read_inputs(path: str, predictor: Predictor, columns: dict[str, str] | None = None) -> list[Any]:
    """What is to be answered: texts, or examples of the model's task.

    Args:
        path: `.txt`: texts, one a line; for a model of pairs, two with a tab between; for a tagger they are cut into
            words. Other files, and all files of other tasks, are read by the task's reader, without labels (which need
            not be there); for a model that fills masks or embeds, tables.
        predictor: of the model.
        columns: `text_column`, `text_pair_column` of a table, where they are not those of the training files.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is nothing in it, or it does not suit the model.
    """
    config = predictor.task.config if predictor.task else ClassificationConfig()
    if columns and not isinstance(config, TextTaskConfig):
        raise ValueError(f"--{next(iter(columns))} suits models of texts. Received: for a model for {config.kind}")
    config = config.replace(**columns) if columns else config
    if suffix_of(path) != ".txt" or not isinstance(config, TextTaskConfig | TaggingConfig):
        return list(read_examples(path, config, "--input", labelled=False).examples)
    texts = list(files.iterate_lines(path))
    if not texts:
        raise ValueError(f"--input must have at least one line. Received: {path!r}")
    if isinstance(config, TaggingConfig):
        return texts
    return [_example(line, number, config.text_pair_column) for number, line in enumerate(texts, 1)]


def _example(line: str, number: int, pair_column: str | None) -> TextExample:
    if pair_column is None:
        return TextExample(line)
    if line.count("\t") != 1:
        raise ValueError(f"--input, line {number}: must be two texts with a tab between. Received: {line!r}")
    return TextExample(*line.split("\t"))


def answers(
    predictor: Predictor, inputs: Sequence[Any], top_k: int = 5, embed: bool = False
) -> Iterator[dict[str, Any]]:
    """One JSON object an input, in order: the input, and what the task's method of `Predictor` answers.

    Args:
        predictor: of `bert_tf.load`.
        inputs: of `read_inputs`.
        top_k: for a pre-trained model: tokens for each mask.
        embed: for a pre-trained model: a vector instead.
    """
    with progress_bar(label="predicting", unit="input", total=len(inputs)) as bar:
        for start in range(0, len(inputs), _TOGETHER):
            some = inputs[start : start + _TOGETHER]
            if embed or predictor.description.task == "encoder":
                vectors = predictor.embed([example.text for example in some])
                found: list[dict[str, Any]] = [{"embedding": vector.tolist()} for vector in vectors]
            elif predictor.task is None:
                masks = predictor.fill_mask([example.text for example in some], top_k)
                found = [{"masks": tokens} for tokens in masks]
            else:
                found = predictor.tag(some) if isinstance(some[0], str) else predictor.predict(some)
            for given, answer in zip(some, found, strict=True):
                yield _shown(given) | answer
            bar.update(len(some))


def _shown(given: str | TextExample | TaggedExample | QuestionExample) -> dict[str, Any]:
    if isinstance(given, QuestionExample):
        return {}  # the answer names the question
    if isinstance(given, str | TaggedExample):
        return {"text": given if isinstance(given, str) else given.text}
    return {"text": given.text} | ({} if given.text_pair is None else {"text_pair": given.text_pair})
