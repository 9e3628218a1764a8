"""The inputs and the answers of `bert-tf predict`."""

from collections.abc import Iterator, Sequence
from typing import Any

from bert_tf.configs.tasks import ClassificationConfig, TaggingConfig, TextTaskConfig
from bert_tf.examples import QuestionExample, TaggedExample, TextExample
from bert_tf.serving.predictor import Predictor
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from bert_tf.utils.progress import progress_bar
from data_pipelines.finetuning.labelled import read_examples
from data_pipelines.finetuning.tables import suffix_of

_TOGETHER = 1024


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
    embed = embed or predictor.description.task == "encoder"
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


def answers(
    predictor: Predictor, inputs: Sequence[Any], *, top_k: int = 5, embed: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield one JSON object for each input, in order: the input, and the answer of the predictor.

    Args:
        predictor: the model, as `bert_tf.load` returns it.
        inputs: texts or examples, as `read_inputs` returns them.
        top_k: the number of tokens that a pre-trained model gives for each mask.
        embed: whether to yield the vector of each text instead.
    """
    with progress_bar(label="predicting", unit="input", total=len(inputs)) as bar:
        for start in range(0, len(inputs), _TOGETHER):
            some = inputs[start : start + _TOGETHER]
            if embed or predictor.description.task == "encoder":
                vectors = predictor.embed([example.text for example in some])
                found: list[dict[str, Any]] = [{"embedding": vector.tolist()} for vector in vectors]
            elif predictor.task is None:
                found = [{"masks": tokens} for tokens in predictor.fill_mask([one.text for one in some], top_k)]
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
