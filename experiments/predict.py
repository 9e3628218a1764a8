"""Answer each line or example of a file: a fine-tuned model does its task, a pre-trained one fills each [MASK].

```bash
bert-tf predict --model_dir classifier --input texts.txt --output answers.jsonl
```
"""

from collections.abc import Sequence

from absl import flags

from bert_tf.utils import files, json_text, launching
from bert_tf.utils.arguments import renamed


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("model_dir", None, "A run, an export, or published weights.", required=True)
    flags.DEFINE_string(
        "task", None, "The task of published weights that do not say it; or that of a model of several."
    )
    flags.DEFINE_string("input", None, "A text file with one text a line (.txt), or a file of the task.", required=True)
    flags.DEFINE_string("output", None, "The file to write: one JSON object a line.", required=True)
    flags.DEFINE_string("text_column", None, "The column of the texts, if it is not that of the training files.")
    flags.DEFINE_string("text_pair_column", None, "The column of the second texts, if it is not that of training.")
    flags.DEFINE_integer("top_k", 5, "The number of tokens to give for each [MASK].", lower_bound=1)
    flags.DEFINE_bool("embed", False, "Write the vector of each text instead, by the encoder of any model.")
    flags.DEFINE_enum(
        "long_texts", None, ["cut", "windows"], "Cut long texts for vectors (the default), or use windows."
    )
    flags.DEFINE_integer("batch_size", 32, "The number of rows to compute at a time.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags and the inputs, and write the answers."""
    from bert_tf.serving.predictor import MultiTaskPredictor, load
    from experiments.prediction import answers
    from experiments.prediction_inputs import check_long_texts, check_paths, read_inputs

    values = flags.FLAGS
    check_paths(values.input, values.output)
    with renamed(path="model_dir"):
        predictor = load(values.model_dir, values.task, batch_size=values.batch_size)
    if isinstance(predictor, MultiTaskPredictor) and not values.embed:
        raise ValueError(f"`task` must be one of {', '.join(predictor.predictors)}. Received: none")
    columns = {name: str(values[name].value) for name in ("text_column", "text_pair_column") if values[name].value}
    check_long_texts(values.long_texts, predictor, embed=values.embed)
    inputs = read_inputs(values.input, predictor, columns, embed=values.embed)
    found = answers(predictor, inputs, top_k=values.top_k, embed=values.embed, long_texts=values.long_texts or "cut")
    files.write_text(values.output, "".join(json_text.dumps(answer) + "\n" for answer in found))
    print(f"{values.output}: {len(inputs)} answers")


if __name__ == "__main__":
    launching.run(main, define_flags)
