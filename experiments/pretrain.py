"""Pre-train BERT on a record folder.

```bash
python -m experiments.pretrain --config experiments/configs/bert_base.py --train_data records --model_dir run
```
"""

import json
from collections.abc import Sequence

from absl import flags

from bert_tf.configs import PretrainingConfig
from bert_tf.training.phases import phases_of
from bert_tf.training.pretraining import pretrain
from bert_tf.utils import launching
from data_pipelines.input.record_folder import RecordFolder
from experiments import launch
from tpu_configs import preflight


def main(_: Sequence[str]) -> None:
    """Read the flags, pre-train, print the figures."""
    values = flags.FLAGS
    config = launch.config_from_flags(PretrainingConfig)
    if tpu := launch.tpu_from_flags():
        paths = {"--model_dir": values.model_dir, "--init_checkpoint": values.init_checkpoint}
        data = (values.train_data, values.eval_data)
        preflight.check_pretraining(tpu, values.topology, config, *data, paths, values.skip_corrupt)
    engine = launch.engine_from_flags([phase.train for phase in phases_of(config)])
    first, *others = values.train_data
    train_records = [RecordFolder(first, "--train_data", skip_corrupt=values.skip_corrupt)]
    same = (train_records[0].tokenizer, values.skip_corrupt)
    train_records += [RecordFolder(path, "--train_data", *same) for path in others]
    figures = pretrain(
        config,
        train_records,
        [RecordFolder(path, "--eval_data", *same) for path in values.eval_data],
        values.model_dir,
        engine,
        init_checkpoint=values.init_checkpoint,
        allow_random_heads=values.allow_random_heads,
    )
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    launch.define_training_flags("experiments/configs/bert_base.py")
    flags.DEFINE_list("train_data", None, "Record folder; with phases, one for each: 128,512.", required=True)
    flags.DEFINE_list("eval_data", [], "Record folders of held-out documents.")
    flags.DEFINE_bool("skip_corrupt", False, "Read all records first, and go on without those that cannot be used.")
    flags.DEFINE_string(
        "init_checkpoint", None, "Weights to start from: a run, Hugging Face, Google or KerasHub; a folder or a name."
    )
    flags.DEFINE_bool("allow_random_heads", False, "Start heads that --init_checkpoint lacks from random weights.")
    launching.run(main)
