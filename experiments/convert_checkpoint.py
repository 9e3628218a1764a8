"""Convert a BERT between the forms of Hugging Face, Google and KerasHub, and of this package's own runs.

```bash
python -m experiments.convert_checkpoint --input bert-base-uncased --format google --output_dir bert_base_google
python -m experiments.convert_checkpoint --input run --format huggingface --output_dir for_transformers
```
"""

from collections.abc import Sequence

from absl import flags

from bert_tf.conversion.convert import FORMATS, convert_checkpoint
from bert_tf.conversion.pretrained import MODELS
from bert_tf.utils import launching


def main(_: Sequence[str]) -> None:
    """Read the flags, convert, print what became of every tensor."""
    values = flags.FLAGS
    report = convert_checkpoint(
        values.input, values.output_dir, values.format, values.task, values.allow_random_heads, "--input"
    )
    print(report)
    print(values.output_dir)


if __name__ == "__main__":
    flags.DEFINE_string(
        "input",
        None,
        "Folder of a run, of Hugging Face, of a Google checkpoint or of a KerasHub preset; or a name on a hub.",
        required=True,
    )
    flags.DEFINE_string("output_dir", None, "New folder for the result.", required=True)
    flags.DEFINE_enum("format", None, sorted(FORMATS), "The result's form.", required=True)
    flags.DEFINE_enum("task", None, sorted(MODELS), "The model to write; default: the one that is there, as it is.")
    flags.DEFINE_bool("allow_random_heads", False, "Make heads that --task needs and --input lacks of random numbers.")
    launching.run(main)
