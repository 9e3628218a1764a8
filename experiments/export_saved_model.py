"""Export a trained model as a SavedModel that takes raw strings.

```bash
python -m experiments.export_saved_model --model_dir run2
```
"""

from collections.abc import Sequence

from absl import flags

from bert_tf import launching
from bert_tf.serving.export import export_saved_model


def main(_: Sequence[str]) -> None:
    """Read the flags, export, print the folder."""
    print(export_saved_model(flags.FLAGS.model_dir, flags.FLAGS.export_dir))


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Folder of the run.", required=True)
    flags.DEFINE_string("export_dir", None, "Folder of the versions; default: MODEL_DIR/export.")
    launching.run(main)
