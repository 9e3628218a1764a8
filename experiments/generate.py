"""Generate a text for each text of a file, such as its summary or its translation.

```sh
bert-tf generate --model_dir summarizer --input texts.txt --output summaries.jsonl
```

`--temperature`, `--top_k`, `--top_p` and `--seed` draw texts at random instead of searching for the likeliest.
"""

from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_tf.serving.options import GENERATION_OPTIONS
from bert_tf.utils import files, json_text, launching
from bert_tf.utils.arguments import renamed
from experiments.generation_flags import define_generation_flags

_OPTIONS = (*GENERATION_OPTIONS, "seed")


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("model_dir", None, "A run of sequence to sequence, its export, or weights.", required=True)
    flags.DEFINE_string("task", None, "The task of published weights, seq2seq, or that of a model of several.")
    flags.DEFINE_string("input", None, "A text file with one source a line (.txt), or a table.", required=True)
    flags.DEFINE_string("output", None, "The file to write: one JSON object a line.", required=True)
    flags.DEFINE_string("source_column", None, "The column of the sources, if it is not that of the training files.")
    flags.DEFINE_integer("top_k", None, "Draw texts from so many likeliest tokens at each step.")
    flags.DEFINE_integer("seed", None, "Draw texts, with this random seed.")
    define_generation_flags()
    flags.DEFINE_integer("batch_size", 32, "The number of hypotheses to compute at a time.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags and the sources, and write the texts."""
    from bert_tf.serving.predictor import load
    from data_pipelines.finetuning.labelled import read_examples
    from experiments.prediction import answers_to_texts
    from experiments.prediction_inputs import check_paths

    values = flags.FLAGS
    check_paths(values.input, values.output)
    with renamed(path="model_dir"):
        predictor = load(values.model_dir, values.task, batch_size=values.batch_size).predictor_with("generate")
    options: dict[str, Any] = {name: values[name].value for name in _OPTIONS}
    predictor.generate([], **options)  # a wrong model or option is refused before the file is read
    assert predictor.task is not None
    columns = {"source_column": values.source_column} if values.source_column else {}
    with renamed(path="input"):
        examples = read_examples(values.input, predictor.task.config.replace(**columns), labelled=False).examples
    texts = [example.text for example in examples]
    found = answers_to_texts(predictor.generate, texts, options, label="generating")
    files.write_text(values.output, "".join(json_text.dumps(answer) + "\n" for answer in found))
    print(f"{values.output}: {len(examples)} texts")


if __name__ == "__main__":
    launching.run(main, define_flags)
