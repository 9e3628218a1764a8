"""A fine-tuning that is started again on examples that have changed since."""

import dataclasses

import pytest
from small_checkpoints import hf_encoder, write_hf

from bert_tf.configs import FinetuningConfig, TrainConfig
from bert_tf.configs.tasks import ClassificationConfig
from bert_tf.examples import Examples, TextExample
from bert_tf.training.finetuning import finetune
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine

TRAIN = TrainConfig(
    num_steps=1, warmup_steps=0, batch_size=2, steps_per_loop=1, log_every=0, precision="float32", jit_compile=False
)
CONFIG = FinetuningConfig(task=ClassificationConfig(max_seq_length=8), train=TRAIN, num_epochs=None)
TEXTS = [TextExample("a b", label="red"), TextExample("c d", label="blue")]
SWAPPED = [dataclasses.replace(text, label=other.label) for text, other in zip(TEXTS, TEXTS[::-1], strict=True)]


def test_a_finished_run_does_not_answer_for_other_examples(tmp_path):
    source = write_hf(tmp_path / "hf", hf_encoder())

    def run(train, evaluation):
        return finetune(
            CONFIG,
            Examples(train, "train.tsv"),
            Examples(evaluation, "eval.tsv"),
            run_dir=str(tmp_path / "run"),
            engine=TensorFlowEngine(),
            init_checkpoint=source,
        )

    run(TEXTS, TEXTS)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.json*")}
    with pytest.raises(ValueError, match=r"changed examples of train \(train\.tsv\)$"):
        run(SWAPPED, TEXTS)
    with pytest.raises(ValueError, match=r"changed examples of train \(train\.tsv\), eval \(eval\.tsv\)$"):
        run(SWAPPED, TEXTS[:1])
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.json*")} == before
