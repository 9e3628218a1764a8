"""Answer for each line of a file: what the model's task asks for; a pre-trained model fills each [MASK], or embeds.

```bash
python -m experiments.predict --model_dir run2 --input texts.txt --output answers.jsonl
```
"""

import json
import os
from collections.abc import Sequence

from absl import flags

from bert_tf.serving.predictor import load
from bert_tf.utils import files, launching
from experiments.prediction import answers, read_inputs


def main(_: Sequence[str]) -> None:
    """Read the flags and the inputs, write the answers."""
    values = flags.FLAGS
    files.require_writable_folder(os.path.dirname(values.output) or ".", "--output")
    if not values.input.startswith("tfds:") and not files.exists(values.input):
        raise FileNotFoundError(f"--input: no such file: {values.input!r}")  # before the model is read
    predictor = load(values.model_dir, values.batch_size, "--model_dir")
    columns = {name: str(values[name].value) for name in ("text_column", "text_pair_column") if values[name].value}
    inputs = read_inputs(values.input, predictor, columns)
    found = answers(predictor, inputs, values.top_k, values.embed)
    files.write_text(values.output, "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in found))
    print(f"{values.output}: {len(inputs)} answers")


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "A run, an export, or published weights.", required=True)
    flags.DEFINE_string("input", None, "Texts, one a line (.txt), or a file of the model's task.", required=True)
    flags.DEFINE_string("output", None, "File for the answers, one JSON object a line.", required=True)
    flags.DEFINE_string("text_column", None, "Of a table, where it is not that of the training files.")
    flags.DEFINE_string("text_pair_column", None, "The same for the second texts of pairs.")
    flags.DEFINE_integer("top_k", 5, "For a pre-trained model: tokens for each [MASK].", lower_bound=1)
    flags.DEFINE_bool("embed", False, "For a pre-trained model: each text's vector instead.")
    flags.DEFINE_integer("batch_size", 32, "Rows at a time.", lower_bound=1)
    launching.run(main)
