"""Answer for each line of a file: labels from a classifier, pieces for each [MASK] from a pre-trained model.

```bash
python -m experiments.predict --model_dir run2 --input texts.txt --output answers.jsonl
```
"""

import json
import os
from collections.abc import Iterator, Sequence

from absl import flags

from bert_tf import files, launching
from bert_tf.progress import progress_bar
from bert_tf.serving.predictor import Predictor, load

_LINES_TOGETHER = 1024


def answers(predictor: Predictor, texts: Sequence[str], top_k: int = 5) -> Iterator[dict]:
    """One JSON object a text, in order.

    For a classifier `text` (and `text_pair`, from behind a tab), `label`, `probabilities`; for a pre-trained model
    `text` and `masks`, a list of [piece, probability] pairs for each `[MASK]`.

    Args:
        predictor: of `bert_tf.load`.
        texts: one line each.
        top_k: pieces for each mask.
    """
    for start in progress_bar(range(0, len(texts), _LINES_TOGETHER), label="predicting", unit="batch"):
        lines = texts[start : start + _LINES_TOGETHER]
        if predictor.description.task == "pretraining":
            for text, masks in zip(lines, predictor.fill_mask(lines, top_k), strict=True):
                yield {"text": text, "masks": masks}
        elif predictor.description.experiment["task"]["text_pair_column"] is None:
            for text, answer in zip(lines, predictor.classify(lines), strict=True):
                yield {"text": text} | answer
        else:
            for number, line in enumerate(lines, start + 1):
                if line.count("\t") != 1:
                    raise ValueError(
                        f"--input, line {number}: must be two texts with a tab between. Received: {line!r}"
                    )
            first, second = zip(*(line.split("\t") for line in lines), strict=True)
            for text, pair, answer in zip(first, second, predictor.classify(first, second), strict=True):
                yield {"text": text, "text_pair": pair} | answer


def main(_: Sequence[str]) -> None:
    """Read the flags and the texts, write the answers."""
    values = flags.FLAGS
    files.require_writable_folder(os.path.dirname(values.output) or ".", "--output")
    texts = list(files.iterate_lines(values.input))
    if not texts:
        raise ValueError(f"--input must have at least one line. Received: {values.input!r}")
    lines = [json.dumps(answer, ensure_ascii=False) for answer in answers(load(values.model_dir), texts, values.top_k)]
    files.write_text(values.output, "\n".join(lines) + "\n")
    print(f"{values.output}: {len(lines)} answers")


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Folder of the run.", required=True)
    flags.DEFINE_string(
        "input", None, "Texts, one a line; for a model of pairs, two with a tab between.", required=True
    )
    flags.DEFINE_string("output", None, "File for the answers, one JSON object a line.", required=True)
    flags.DEFINE_integer("top_k", 5, "For a pre-trained model: pieces for each [MASK].", lower_bound=1)
    launching.run(main)
