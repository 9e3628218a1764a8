"""Ask an exported SavedModel for each line of a file, through its `serving_default` signature.

```bash
bert-tf query-saved-model --saved_model export/1 --input texts.txt --output answers.jsonl
```

A line is a text or, for several inputs and in `.jsonl` files, a JSON object with a text for each input (for `choices` a
list): `{"question": "Who?", "context": "She did."}`. Only TensorFlow and TensorFlow Text are needed, as by a client.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags


def read_texts(path: str, names: Sequence[str], lists: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Return the texts of a file by the names of the signature's inputs; lists of texts for those in `lists`.

    Raises:
        ValueError: a line is not a JSON object with these texts; the message names the line.
    """
    import tensorflow as tf

    with tf.io.gfile.GFile(path) as file:
        lines = file.read().splitlines()
    if len(names) == 1 and not path.endswith(".jsonl"):
        return {names[0]: lines}
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        for name, column in columns.items():
            texts = row.get(name) if isinstance(row, dict) else None
            own = texts if name in lists else [texts]
            if not isinstance(own, list) or not all(isinstance(text, str) for text in own):
                rule = f"must be a JSON object with the texts {', '.join(names)}"
                raise ValueError(f"{path}, line {number}: {rule}. Received: {line[:80]!r}")
            column.append(texts)
    return columns


def query(signature: Any, texts: Mapping[str, Sequence[Any]], seed: int = 0) -> list[dict]:
    """Return the named outputs for each row of texts, as plain lists, numbers and strings.

    Args:
        signature: a signature of a loaded SavedModel.
        texts: lists of equal length by the names of the inputs.
        seed: the seed of every row, for a model that draws texts.
    """
    import tensorflow as tf

    columns = {name: tf.ragged.constant(list(column), tf.string) for name, column in texts.items()}
    inputs = {name: column.to_tensor("") if column.shape.rank == 2 else column for name, column in columns.items()}
    rows = len(next(iter(texts.values())))
    inputs |= {name: tf.fill([rows], seed) for name in signature.structured_input_signature[1] if name not in texts}
    outputs = signature(**inputs)

    def plain(value: object) -> object:
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value.decode() if isinstance(value, bytes) else value

    answers = {name: plain(tensor.numpy().tolist()) for name, tensor in sorted(outputs.items())}
    return [dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=True)]


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("saved_model", None, "The folder of one version of a SavedModel.", required=True)
    flags.DEFINE_string("input", None, "A file with one text a line, or JSON lines.", required=True)
    flags.DEFINE_string("output", None, "The file to write: one JSON object a line.", required=True)
    flags.DEFINE_integer("seed", 0, "The random seed, for a model that draws texts.", lower_bound=0)


def main(_: Sequence[str]) -> None:
    """Read the flags and the texts, and write the answers."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (registers the operations that the graph tokenizes with)

    try:
        loaded = tf.saved_model.load(flags.FLAGS.saved_model)  # must outlive its signatures
        signature = loaded.signatures["serving_default"]
        specs = signature.structured_input_signature[1]
        names = sorted(specs.keys() - {"seed"})  # that of a model that draws texts
        texts = read_texts(flags.FLAGS.input, names, [name for name in names if specs[name].shape.rank == 2])
        answers = query(signature, texts, flags.FLAGS.seed)
        with tf.io.gfile.GFile(flags.FLAGS.output, "w") as file:
            file.write("".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers))
    except (OSError, ValueError, tf.errors.OpError) as error:
        sys.exit(f"error: {getattr(error, 'message', error)}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
