"""Ask a SavedModel: each line of a file through its `serving_default` signature.

Needs TensorFlow and TensorFlow Text only, nothing of this project: what a client of TF Serving sees.

```bash
python -m experiments.query_saved_model --saved_model export/1 --input texts.txt --output answers.jsonl
```
"""

import json
import sys
from collections.abc import Sequence

from absl import app, flags


def query(saved_model: str, texts: Sequence[str]) -> list[dict]:
    """The named outputs for each text, as plain lists, numbers and strings.

    Args:
        saved_model: folder of one version.
        texts: the signature's `text`.
    """
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (registers the operations that the graph tokenizes with)

    outputs = tf.saved_model.load(saved_model).signatures["serving_default"](text=tf.constant(list(texts)))

    def plain(value: object) -> object:
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value.decode() if isinstance(value, bytes) else value

    columns = {name: plain(tensor.numpy().tolist()) for name, tensor in sorted(outputs.items())}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def main(_: Sequence[str]) -> None:
    """Read the flags and the texts, write the answers."""
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(flags.FLAGS.input) as file:
            texts = file.read().splitlines()
        answers = query(flags.FLAGS.saved_model, texts)
        with tf.io.gfile.GFile(flags.FLAGS.output, "w") as file:
            file.write("".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers))
    except (OSError, UnicodeDecodeError, tf.errors.OpError) as error:
        sys.exit(f"error: {getattr(error, 'message', error)}")


if __name__ == "__main__":
    flags.DEFINE_string("saved_model", None, "Folder of one version of a SavedModel.", required=True)
    flags.DEFINE_string("input", None, "Texts, one a line.", required=True)
    flags.DEFINE_string("output", None, "File for the answers, one JSON object a line.", required=True)
    app.run(main)
