"""Answer for each line of a file: what the run's task asks for; a pre-trained model fills each [MASK].

```bash
python -m experiments.predict --model_dir run2 --input texts.txt --output answers.jsonl
```
"""

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from bert_tf import files, launching
from bert_tf.examples import QuestionExample, TaggedExample, TextExample
from bert_tf.progress import progress_bar
from bert_tf.serving.predictor import Predictor, load
from data_pipelines.finetuning.labelled import read_examples

_TOGETHER = 1024


def read_inputs(path: str, predictor: Predictor) -> list[Any]:
    """What is to be answered: texts, or examples of the model's task.

    Args:
        path: `.txt`: texts, one a line; for a model of pairs, two with a tab between; for a tagger they are cut into
            words. Other files are those of the task, whose labels are not read (and need not be there).
        predictor: of the model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is nothing in it, or it does not suit the model.
    """
    config = predictor.task.config if predictor.task else None
    if config is not None and (not path.endswith(".txt") or config.kind == "question_answering"):
        return list(read_examples(path, config, "--input", labelled=False).examples)
    texts = list(files.iterate_lines(path))
    if not texts:
        raise ValueError(f"--input must have at least one line. Received: {path!r}")
    if config is None or config.kind == "tagging":
        return texts
    return [_example(line, number, config.text_pair_column) for number, line in enumerate(texts, 1)]


def _example(line: str, number: int, pair_column: str | None) -> TextExample:
    if pair_column is None:
        return TextExample(line)
    if line.count("\t") != 1:
        raise ValueError(f"--input, line {number}: must be two texts with a tab between. Received: {line!r}")
    return TextExample(*line.split("\t"))


def answers(predictor: Predictor, inputs: Sequence[Any], top_k: int = 5) -> Iterator[dict[str, Any]]:
    """One JSON object an input, in order: the input, and what the task's method of `Predictor` answers.

    Args:
        predictor: of `bert_tf.load`.
        inputs: of `read_inputs`.
        top_k: for a pre-trained model: pieces for each mask.
    """
    for start in progress_bar(range(0, len(inputs), _TOGETHER), label="predicting", unit="batch"):
        some = inputs[start : start + _TOGETHER]
        if predictor.task is None:
            found: list[dict[str, Any]] = [{"masks": masks} for masks in predictor.fill_mask(some, top_k)]
        else:
            found = predictor.tag(some) if isinstance(some[0], str) else predictor.predict(some)
        for given, answer in zip(some, found, strict=True):
            yield _shown(given) | answer


def _shown(given: str | TextExample | TaggedExample | QuestionExample) -> dict[str, Any]:
    if isinstance(given, QuestionExample):
        return {}  # the answer names the question
    if isinstance(given, str | TaggedExample):
        return {"text": given if isinstance(given, str) else given.text}
    return {"text": given.text} | ({} if given.text_pair is None else {"text_pair": given.text_pair})


def main(_: Sequence[str]) -> None:
    """Read the flags and the inputs, write the answers."""
    values = flags.FLAGS
    files.require_writable_folder(os.path.dirname(values.output) or ".", "--output")
    predictor = load(values.model_dir)
    inputs = read_inputs(values.input, predictor)
    lines = [json.dumps(answer, ensure_ascii=False) for answer in answers(predictor, inputs, values.top_k)]
    files.write_text(values.output, "\n".join(lines) + "\n")
    print(f"{values.output}: {len(lines)} answers")


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Folder of the run.", required=True)
    flags.DEFINE_string("input", None, "Texts, one a line (.txt), or a file of the model's task.", required=True)
    flags.DEFINE_string("output", None, "File for the answers, one JSON object a line.", required=True)
    flags.DEFINE_integer("top_k", 5, "For a pre-trained model: pieces for each [MASK].", lower_bound=1)
    launching.run(main)
