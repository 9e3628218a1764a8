"""Explain the answers to the texts of a file, as a page that colours each token by its part in the answer.

```bash
bert-tf explain --model_dir classifier --input texts.txt --output explanations.html
```

The page needs no network. It also shows the attention of each layer and head.
"""

import os
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_tf.utils import files, launching
from bert_tf.utils.arguments import renamed


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("model_dir", None, "A run, or published weights.", required=True)
    flags.DEFINE_string("task", None, "The task of published weights, if they do not say it, such as tagging.")
    flags.DEFINE_string("input", None, "A text file with one text a line (.txt), or a file of the task.", required=True)
    flags.DEFINE_string("output", None, "The page to write, such as explanations.html.", required=True)
    flags.DEFINE_string("png_dir", None, "A folder for one picture of each text; needs matplotlib.")
    flags.DEFINE_enum(
        "method",
        "integrated_gradients",
        ["integrated_gradients", "gradient_x_input", "attention_rollout", "occlusion"],
        "How the part of a token is computed.",
    )
    flags.DEFINE_string(
        "target", None, "The label that is explained, or a tagger's word; by default the model's choice."
    )
    flags.DEFINE_string("text_column", None, "The column of the texts, if it is not that of the training files.")
    flags.DEFINE_string("text_pair_column", None, "The column of the second texts, if it is not that of training.")
    flags.DEFINE_bool("attention", True, "Whether the page shows the attention.")
    flags.DEFINE_integer("limit", 20, "The number of texts to explain, from the beginning of the file.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 32, "The number of rows to compute at a time.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags and the texts, explain the answers, and write the page."""
    from bert_tf.serving.explanation_page import explanation_page
    from bert_tf.serving.predictor import load
    from bert_tf.utils.progress import progress_bar
    from experiments.prediction_inputs import read_inputs

    values = flags.FLAGS
    with renamed(folder="output"):
        files.require_writable_folder(os.path.dirname(values.output) or ".")
    if values.png_dir is not None:
        from experiments.explanation_plots import save_plots  # a missing matplotlib is told before the model is read
    if not values.input.startswith("tfds:") and not files.exists(values.input):
        raise FileNotFoundError(f"--input: no such file: {values.input!r}")
    with renamed(path="model_dir"):
        predictor = load(values.model_dir, values.task, batch_size=values.batch_size)
    columns = {name: str(values[name].value) for name in ("text_column", "text_pair_column") if values[name].value}
    texts = [_texts_of(example) for example in read_inputs(values.input, predictor, columns)[: values.limit]]
    is_word = predictor.description.task == "tagging" and values.target is not None and values.target.isdecimal()
    target = int(values.target) if is_word else values.target
    found, attention = [], []
    with progress_bar(label="explaining", unit="text", total=len(texts)) as bar:
        for one in texts:
            arguments = [[text] for text in one]
            found += predictor.explain(*arguments, method=values.method, target=target)
            if values.attention:
                attention += predictor.attention(*arguments)
            bar.update(1)
    about = f"{values.model_dir}, a model for {predictor.description.task}; {values.method.replace('_', ' ')}."
    page = explanation_page(found, texts, attention=attention if values.attention else None, about=about)
    files.write_text(values.output, page)
    if values.png_dir is not None:
        save_plots(found, values.png_dir)
    print(f"{values.output}: {len(found)} texts")


def _texts_of(example: Any) -> list[str]:
    """Return the text, or both texts, of an input."""
    from bert_tf.serving.worst_errors import texts_of

    if isinstance(example, str):
        return [example]
    return texts_of(example)


if __name__ == "__main__":
    launching.run(main, define_flags)
