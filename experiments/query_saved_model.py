"""Ask an exported SavedModel for each line of a file, through its `serving_default` signature.

Needs TensorFlow and TensorFlow Text only, nothing of this project: what a client of TF Serving sees.

```bash
python -m experiments.query_saved_model --saved_model export/1 --input texts.txt --output answers.jsonl
```

A line is a text; of models that take more than one, and in files that end in `.jsonl`, a JSON object with a text by the
name of each input: `{"question": "Who?", "context": "She did."}`.
"""

import json
import sys
from collections.abc import Mapping, Sequence

from absl import app, flags


def read_texts(path: str, names: Sequence[str]) -> dict[str, list[str]]:
    """The texts of a file, by the signature's inputs.

    Raises:
        ValueError: a line is no JSON object of them; the message names it.
    """
    import tensorflow as tf

    with tf.io.gfile.GFile(path) as file:
        lines = file.read().splitlines()
    if len(names) == 1 and not path.endswith(".jsonl"):
        return {names[0]: lines}
    columns: dict[str, list[str]] = {name: [] for name in names}
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        for name, column in columns.items():
            if not isinstance(row, dict) or not isinstance(row.get(name), str):
                raise ValueError(
                    f"{path}, line {number}: must be a JSON object with the texts {', '.join(names)}. "
                    f"Received: {line[:80]!r}"
                )
            column.append(row[name])
    return columns


def query(signature: object, texts: Mapping[str, Sequence[str]]) -> list[dict]:
    """The named outputs for each row of texts, as plain lists, numbers and strings.

    Args:
        signature: of a loaded SavedModel.
        texts: by the names of its inputs, as many of each.
    """
    import tensorflow as tf

    inputs = {name: tf.constant(list(column), tf.string) for name, column in texts.items()}
    outputs = signature(**inputs)  # type: ignore[operator]

    def plain(value: object) -> object:
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value.decode() if isinstance(value, bytes) else value

    columns = {name: plain(tensor.numpy().tolist()) for name, tensor in sorted(outputs.items())}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("saved_model", None, "The folder of one version of a SavedModel.", required=True)
    flags.DEFINE_string("input", None, "A file with one text a line, or JSON lines.", required=True)
    flags.DEFINE_string("output", None, "The file to write: one JSON object a line.", required=True)


def main(_: Sequence[str]) -> None:
    """Read the flags and the texts, write the answers."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (registers the operations that the graph tokenizes with)

    try:
        loaded = tf.saved_model.load(flags.FLAGS.saved_model)  # must outlive its signatures
        signature = loaded.signatures["serving_default"]
        texts = read_texts(flags.FLAGS.input, sorted(signature.structured_input_signature[1]))
        answers = query(signature, texts)
        with tf.io.gfile.GFile(flags.FLAGS.output, "w") as file:
            file.write("".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers))
    except (OSError, ValueError, tf.errors.OpError) as error:
        sys.exit(f"error: {getattr(error, 'message', error)}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
