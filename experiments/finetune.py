"""Fine-tune a pre-trained BERT on labelled texts, tagged words, questions, passages or pairs of source and target.

```bash
bert-tf finetune --config classification --train_file train.tsv --eval_file dev.tsv --init_checkpoint run \
    --model_dir classifier
```

Train with three seeds for each point of the paper's grid, or split one file into three parts:

```sh
bert-tf finetune ... --seeds 0,1,2 --grid train.learning_rate=5e-5,3e-5,2e-5 --grid train.batch_size=16,32
bert-tf finetune ... --train_file all.tsv --split 80/10/10
```
"""

from collections.abc import Sequence

from absl import flags

from bert_tf.configs import FinetuningConfig
from bert_tf.scoring.seq2seq import check_packages
from bert_tf.tokenization import command_line
from bert_tf.utils import json_text, launching
from bert_tf.utils.arguments import renamed
from experiments import engine_flag, launch


def define_flags() -> None:
    """Define the flags of this command."""
    launch.define_training_flags("classification")
    flags.DEFINE_string(
        "train_file",
        None,
        "Labelled examples: .tsv, .csv, .jsonl, .conll, .json (SQuAD), tfds:NAME[SPLIT], or texts SOURCES,TARGETS.",
        required=True,
    )
    flags.DEFINE_string("eval_file", None, "Labelled examples to evaluate on during training.")
    flags.DEFINE_string("test_file", None, "Labelled examples that are scored once, at the end.")
    flags.DEFINE_string("split", None, "Split --train_file into these shares instead, such as 80/10/10 or 80/20.")
    flags.DEFINE_integer("split_seed", 0, "The random seed of --split.")
    flags.DEFINE_bool("strict", False, "Whether to stop at an answer that is not found at its answer_start.")
    flags.DEFINE_list("seeds", [], "Run once for each of these seeds, such as 0,1,2, in a folder of its own.")
    flags.DEFINE_multi_string(
        "grid", [], "Run once for each value, such as train.learning_rate=5e-5,3e-5; may be repeated."
    )
    flags.DEFINE_string(
        "init_checkpoint", None, "The encoder to start from: a run, or weights of Hugging Face, Google or KerasHub."
    )
    flags.DEFINE_bool("allow_random_heads", False, "Start a pooler that --init_checkpoint lacks from random weights.")
    flags.DEFINE_string(
        "vocab_file", None, "Start from random weights instead, with this vocabulary, or tokenizer's folder."
    )
    flags.DEFINE_bool("differentially_private", False, "Clip each example's gradient and add noise (field `privacy`).")
    command_line.define_flags()


def main(_: Sequence[str]) -> None:
    """Read the flags and files, fine-tune once or for each seed and setting, and print the scores."""
    config = launch.config_from_flags(FinetuningConfig)
    if flags.FLAGS.differentially_private:
        config = config.replace(privacy=config.privacy.replace(enabled=True))
    with renamed(metrics="task.generation_metrics"):
        check_packages(config.generation_metrics)  # in the first second
    engine_flag.choose_backend()
    from bert_tf.training.sweeps import parse_grid
    from data_pipelines.finetuning.labelled import read_parts
    from experiments.finetuning import finetune
    from experiments.python.results import SweepResult
    from tpu_configs import preflight

    values = flags.FLAGS
    if tpu := launch.tpu_from_flags():
        names = ("train_file", "eval_file", "test_file", "vocab_file", "init_checkpoint", "model_dir")
        paths = {f"--{name}": getattr(values, name) for name in names}
        preflight.check_finetuning(tpu, values.topology, config, paths=paths, do_lower_case=values.do_lower_case)
    engine = launch.engine_from_flags([config.train])
    paths = {"train": values.train_file, "eval": values.eval_file, "test": values.test_file}
    parts = read_parts(config.task, paths, split=values.split, split_seed=values.split_seed, strict=values.strict)
    result = finetune(
        config,
        parts,
        run_dir=values.model_dir,
        engine=engine,
        seeds=launching.whole_numbers(values.seeds, "seeds"),
        grid=parse_grid(values.grid),
        init_checkpoint=values.init_checkpoint,
        tokenizer=command_line.tokenizer_from_flags(values) if values.vocab_file else None,
        data=paths | {"split": values.split, "split_seed": values.split_seed},
        allow_random_heads=values.allow_random_heads,
    )
    print(json_text.dumps(result.summary if isinstance(result, SweepResult) else result.scores, indent=2))
    if not isinstance(result, SweepResult):
        generates = config.task.kind == "seq2seq"
        following = "generate --input texts.txt --output texts.jsonl" if generates else "export-saved-model"
        launching.suggest(f"bert-tf {following} --model_dir {values.model_dir}")


if __name__ == "__main__":
    launching.run(main, define_flags)
