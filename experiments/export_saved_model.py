"""Export a trained or published model as a SavedModel that takes raw strings.

```bash
bert-tf export-saved-model --model_dir classifier
```
"""

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from absl import flags

from bert_tf.examples import Examples
from bert_tf.serving.options import GENERATION_OPTIONS, PRECISIONS, QUANTIZATIONS, ExportOptions
from bert_tf.utils import launching
from bert_tf.utils.arguments import renamed
from bert_tf.utils.keras_backend import VARIABLE
from experiments.generation_flags import define_generation_flags


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("model_dir", None, "The folder of the run, or published weights.", required=True)
    flags.DEFINE_string(
        "task", None, "The task of published weights that do not say it; or the one of several to export."
    )
    flags.DEFINE_string("export_dir", None, "The folder that holds the numbered versions; MODEL_DIR/export by default.")
    flags.DEFINE_string("precision", "float32", f"The precision of weights and products: {', '.join(PRECISIONS)}.")
    flags.DEFINE_bool("jit_compile", False, "Whether XLA compiles the model.")
    flags.DEFINE_integer(
        "fixed_batch_size", None, "Compute batches of exactly this many rows of full length, which TPUs need."
    )
    flags.DEFINE_integer(
        "top_k", None, "The number of tokens given for each [MASK], 5 by default; for seq2seq as in `generate`."
    )
    flags.DEFINE_list("litert", [], f"The LiteRT files to write as well: {', '.join(QUANTIZATIONS)}.")
    flags.DEFINE_list(
        "litert_lengths", [], "Write LiteRT files for one row of exactly this many tokens each, such as 16,128."
    )
    flags.DEFINE_bool("onnx", False, "Whether to write a file for ONNX Runtime as well.")
    flags.DEFINE_string("eval_data", None, "A labelled file; the model card shows the scores of everything exported.")
    flags.DEFINE_string("weights_license", None, "The licence of the weights, for the model card.")
    define_generation_flags()


def _read_eval_data(path: str, config: Any) -> Examples:
    """Return the labelled examples of `--eval_data`, read as the exported task needs."""
    from data_pipelines.finetuning.labelled import read_examples

    with renamed(path="eval_data"):
        return read_examples(path, config, strict=True)


def main(_: Sequence[str]) -> None:
    """Read the flags, export, and print the folder of the new version."""
    os.environ[VARIABLE] = "tensorflow"  # TensorFlow alone makes exports, whatever `keras.json` says
    from bert_tf.serving.export import export_saved_model

    values = flags.FLAGS
    options = ExportOptions(
        values.precision,
        values.jit_compile,
        values.fixed_batch_size,
        values.top_k,
        tuple(values.litert),
        tuple(launching.whole_numbers(values.litert_lengths, "litert_lengths")),
        values.onnx,
        **{name: values[name].value for name in GENERATION_OPTIONS if name != "top_k"},
    )
    reader = None
    if values.eval_data:
        reader = partial(_read_eval_data, values.eval_data)
    with renamed(path="model_dir"):
        version = export_saved_model(
            values.model_dir,
            values.export_dir,
            options,
            task=values.task,
            license_name=values.weights_license,
            read_examples=reader,
        )
    print(version)
    launching.suggest(f"bert-tf query-saved-model --saved_model {version} --input texts.txt --output answers.jsonl")


if __name__ == "__main__":
    launching.run(main, define_flags)
