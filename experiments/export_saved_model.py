"""Export a trained or published model as a SavedModel that takes raw strings.

```bash
python -m experiments.export_saved_model --model_dir run2
```
"""

from collections.abc import Sequence
from functools import partial

from absl import flags

from bert_tf.serving.export import export_saved_model
from bert_tf.serving.options import PRECISIONS, QUANTIZATIONS, ExportOptions
from bert_tf.utils import launching
from data_pipelines.finetuning.labelled import read_examples


def main(_: Sequence[str]) -> None:
    """Read the flags, export, print the folder."""
    values = flags.FLAGS
    options = ExportOptions(
        values.precision,
        values.jit_compile,
        values.fixed_batch_size,
        values.top_k,
        tuple(values.litert),
        tuple(launching.whole_numbers(values.litert_lengths, "--litert_lengths")),
    )
    reader = None
    if values.eval_data:
        reader = partial(read_examples, values.eval_data, flag="--eval_data", strict=True)
    print(export_saved_model(values.model_dir, values.export_dir, options, values.weights_license, reader))


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Folder of the run, or of published weights.", required=True)
    flags.DEFINE_string("export_dir", None, "Folder of the versions; default: MODEL_DIR/export.")
    flags.DEFINE_string("precision", "float32", f"Of weights and products: {', '.join(PRECISIONS)}.")
    flags.DEFINE_bool("jit_compile", False, "Let XLA compile the model.")
    flags.DEFINE_integer("fixed_batch_size", None, "Compute so many rows of full length at a time, as TPUs want it.")
    flags.DEFINE_integer("top_k", 5, "Tokens for each [MASK], of a pre-trained model.")
    flags.DEFINE_list("litert", [], f"Files for LiteRT to write too: {', '.join(QUANTIZATIONS)}.")
    flags.DEFINE_list("litert_lengths", [], "Of each of them, files for one row of so many tokens, the quickest.")
    flags.DEFINE_string("eval_data", None, "Labelled file; the model card tells the scores of all that is exported.")
    flags.DEFINE_string("weights_license", None, "Licence of the weights, for the model card.")
    launching.run(main)
