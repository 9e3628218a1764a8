"""Convert a BERT between the formats of Hugging Face, Google, KerasHub and this package's own runs.

```bash
bert-tf convert-checkpoint --input bert-base-uncased --format google --output_dir bert_base_google
bert-tf convert-checkpoint --input run --format huggingface --output_dir for_transformers
bert-tf convert-checkpoint --input run --vocab_file extended.txt --format huggingface --output_dir for_the_domain
```
"""

from collections.abc import Sequence

from absl import flags

from bert_tf.utils import launching
from bert_tf.utils.arguments import renamed

FORMATS = ("google", "huggingface", "keras_hub")
MODELS = (
    "classification",
    "encoder",
    "multi_label",
    "pretraining",
    "question_answering",
    "multiple_choice",
    "regression",
    "reranking",
    "retrieval",
    "seq2seq",
    "tagging",
)


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string(
        "input",
        None,
        "The model: a run, a Hugging Face folder, a Google checkpoint, a KerasHub preset, or a name on a hub.",
        required=True,
    )
    flags.DEFINE_string("output_dir", None, "The new folder to write.", required=True)
    flags.DEFINE_enum("format", None, FORMATS, "The format to write.", required=True)
    flags.DEFINE_enum("task", None, MODELS, "The model to write; by default the one that --input holds.")
    flags.DEFINE_bool(
        "allow_random_heads", False, "Whether heads that --task needs and --input lacks may start from random weights."
    )
    flags.DEFINE_string(
        "vocab_file", None, "An extended or reduced vocabulary (`create-vocab --extend`) for which the model is made."
    )


def main(_: Sequence[str]) -> None:
    """Read the flags, convert, and print the report about every tensor."""
    from bert_tf.conversion.convert import convert_checkpoint

    values = flags.FLAGS
    with renamed(path="input"):
        report = convert_checkpoint(
            values.input,
            values.output_dir,
            values.format,
            task=values.task,
            allow_random_heads=values.allow_random_heads,
            vocab_file=values.vocab_file,
        )
    print(report)
    print(values.output_dir)


if __name__ == "__main__":
    launching.run(main, define_flags)
