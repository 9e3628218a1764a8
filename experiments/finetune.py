"""Fine-tune a pre-trained BERT on labelled texts or pairs of texts.

```bash
python -m experiments.finetune --config experiments/configs/classification.py --train_file train.tsv \
    --eval_file dev.tsv --init_checkpoint run --model_dir run2
```
"""

import json
from collections.abc import Sequence

from absl import flags

from bert_tf import launching
from bert_tf.configs import FinetuningConfig
from bert_tf.tokenization import WordPieceTokenizer
from bert_tf.training.finetuning import finetune
from data_pipelines.finetuning.classification import LabelledFile
from experiments import launch


def main(_: Sequence[str]) -> None:
    """Read the flags, fine-tune, print the figures."""
    values = flags.FLAGS
    config = launch.load_config(values.config, FinetuningConfig, values.set)
    vocab_file = values.vocab_file
    figures = finetune(
        config,
        LabelledFile(values.train_file, config.task, "--train_file"),
        LabelledFile(values.eval_file, config.task, "--eval_file") if values.eval_file else None,
        values.model_dir,
        launch.distribution_from_flags(),
        values.init_checkpoint,
        WordPieceTokenizer(vocab_file, do_lower_case=values.do_lower_case) if vocab_file else None,
    )
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    launch.define_training_flags("experiments/configs/classification.py")
    flags.DEFINE_string("train_file", None, "Labelled examples: .tsv, .csv or .jsonl with a header.", required=True)
    flags.DEFINE_string("eval_file", None, "The same, to evaluate on.")
    flags.DEFINE_string("init_checkpoint", None, "Folder of the run whose encoder to start from.")
    flags.DEFINE_string("vocab_file", None, "Instead: the vocabulary for a start from random weights, as a control.")
    flags.DEFINE_bool("do_lower_case", True, "With --vocab_file: whether it is uncased.")
    launching.run(main)
