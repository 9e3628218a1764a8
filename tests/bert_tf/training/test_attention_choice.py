"""Trainings with fused attention on an engine that has no kernel for it."""

import json

import pytest
from small_model import SMALL, write_run, write_vocab

from bert_tf.configs import FinetuningConfig, PretrainingConfig, TrainConfig
from bert_tf.configs.tasks import ClassificationConfig
from bert_tf.conversion.loading import load_pretrained
from bert_tf.examples import Examples, TextExample
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.training.attention_choice import attention_of
from bert_tf.training.finetuning import finetune
from bert_tf.training.pretraining import pretrain
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine

TRAIN = TrainConfig(
    num_steps=1, warmup_steps=0, batch_size=2, steps_per_loop=1, log_every=1, precision="float32", jit_compile=False
)
TEXTS = Examples([TextExample("a b", label="red"), TextExample("c d", label="blue")], "texts")
FUSED = SMALL.replace(attention="fused")


def _finetune(run, model, **options):
    task = ClassificationConfig(max_seq_length=8)
    config = FinetuningConfig(model=model, task=task, train=TRAIN, num_epochs=None, evals_per_epoch=0)
    return finetune(config, TEXTS, None, run_dir=str(run), engine=TensorFlowEngine(), **options)


def test_a_new_run_is_refused_before_anything_is_read(tmp_path):
    message = (
        r"`model.attention` must be plain.*JAX engine.*on a GPU or a TPU\. Received: fused, for an engine that found"
    )
    with pytest.raises(ValueError, match=message):
        _finetune(tmp_path / "run", FUSED, init_checkpoint="nowhere")
    with pytest.raises(ValueError, match=message):
        pretrain(
            PretrainingConfig(model=FUSED, train=TRAIN),
            [],
            None,
            run_dir=str(tmp_path / "run"),
            engine=TensorFlowEngine(),
        )
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_plain_attention(tmp_path, caplog):
    run = write_run(tmp_path / "run", "pretraining", attention="fused")
    assert attention_of(FUSED, TensorFlowEngine(), str(run)) == "plain"
    assert caplog.messages == [
        "The run goes on with plain attention: these devices have no kernel for fused attention."
    ]


@pytest.mark.long
def test_both_attentions_are_the_same_run(tmp_path, caplog):
    tokenizer = WordPieceTokenizer(str(write_vocab(tmp_path / "vocab.txt")))
    model = SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1)
    first = _finetune(tmp_path / "run", model, tokenizer=tokenizer)
    assert not [message for message in caplog.messages if "attention" in message]
    # The run has made its one step.
    assert _finetune(tmp_path / "run", model.replace(attention="fused"), tokenizer=tokenizer) == first
    assert [message for message in caplog.messages if "goes on with plain attention" in message]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["model"]["attention"] == "fused"


def test_an_engine_with_a_kernel_uses_it(tmp_path, monkeypatch):
    monkeypatch.setattr(TensorFlowEngine, "has_fused_attention", True)
    assert attention_of(FUSED, TensorFlowEngine(), str(tmp_path)) == "fused"
    assert attention_of(SMALL, TensorFlowEngine(), str(tmp_path)) == "plain"


def test_the_weights_of_a_run_with_fused_attention_start_other_models(tmp_path):
    run = write_run(tmp_path / "run", "pretraining", attention="fused")
    model, pretrained = load_pretrained(str(run), "encoder")
    assert model.config.attention == pretrained.config.attention == "plain"


def test_an_encoder_of_a_checkpoint_is_fine_tuned_with_the_attention_of_the_experiment(tmp_path, monkeypatch):
    checkpoint = write_run(tmp_path / "checkpoint", "pretraining", dropout_rate=0.1, attention_dropout_rate=0.1)
    monkeypatch.setattr(TensorFlowEngine, "has_fused_attention", True)
    # The run is described before its model is made, which TensorFlow refuses.
    with pytest.raises(ValueError, match="attention must be plain on this backend of Keras"):
        _finetune(tmp_path / "run", FUSED, init_checkpoint=str(checkpoint))
    found = json.loads((tmp_path / "run" / "config.json").read_text())["model"]
    names = ("attention", "attention_dropout_rate", "dropout_rate")
    assert [found[name] for name in names] == ["fused", 0.0, 0.1]
