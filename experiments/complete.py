"""Fill the spans of masks in each text of a file, such as "The meeting was [MASK:8] by the board".

```sh
bert-tf complete --model_dir run --input texts.txt --output completed.jsonl
```

`predict` gives tokens for each `[MASK]` alone; here, tokens suit each other. `--temperature`, `--top_k`, `--top_p` and
`--seed` draw tokens at random instead of taking the most probable ones.
"""

from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_tf.utils import files, json_text, launching
from bert_tf.utils.arguments import renamed

_OPTIONS = ("steps", "schedule", "order", "temperature", "top_k", "top_p", "seed", "num_return")


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("model_dir", None, "A pre-training run, its export, or published weights.", required=True)
    flags.DEFINE_string("input", None, "A text file with one text a line (.txt), or a table.", required=True)
    flags.DEFINE_string("output", None, "The file to write: one JSON object a line.", required=True)
    flags.DEFINE_string("text_column", None, "The column of the texts in a table; text by default.")
    flags.DEFINE_integer("steps", None, "The number of steps for a text's masks; by default each step fills one.")
    flags.DEFINE_enum(
        "schedule", "cosine", ["cosine", "linear"], "Steps fill ever more masks (cosine), or as many each (linear)."
    )
    flags.DEFINE_enum("order", "confidence", ["confidence", "left_to_right", "random"], "Which masks are filled first.")
    flags.DEFINE_float("temperature", None, "Draw tokens, with logits divided by this number.")
    flags.DEFINE_integer("top_k", None, "Draw tokens from so many most probable ones.")
    flags.DEFINE_float("top_p", None, "Draw tokens from the most probable ones whose probabilities sum to this.")
    flags.DEFINE_integer("seed", None, "Draw tokens, with this random seed.")
    flags.DEFINE_integer("num_return", 1, "The number of completions of each text, if they are drawn.")
    flags.DEFINE_integer("batch_size", 32, "The number of rows to compute at a time.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags and the texts, and write the completions."""
    from bert_tf.serving.predictor import load
    from bert_tf.tokenization.masked_spans import masked_text
    from experiments.prediction import answers_to_texts
    from experiments.prediction_inputs import check_paths, read_inputs

    values = flags.FLAGS
    check_paths(values.input, values.output)
    with renamed(path="model_dir"):
        predictor = load(values.model_dir, batch_size=values.batch_size)
    options: dict[str, Any] = {name: values[name].value for name in _OPTIONS}
    predictor.complete([], **options)  # a wrong model or option is refused before the file is read
    columns = {"text_column": values.text_column} if values.text_column else {}
    texts = [example.text for example in read_inputs(values.input, predictor, columns)]
    for number, text in enumerate(texts, 1):
        masked_text(text, f"`input`, text {number}")
    found = answers_to_texts(predictor.complete, texts, options, label="completing")
    files.write_text(values.output, "".join(json_text.dumps(answer) + "\n" for answer in found))
    print(f"{values.output}: {len(texts)} texts")


if __name__ == "__main__":
    launching.run(main, define_flags)
