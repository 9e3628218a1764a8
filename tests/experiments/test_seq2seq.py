"""Sequence to sequence from files to a trained model, from weights with a masked-LM head or without."""

import json
import logging
import subprocess
import sys

import numpy as np
import pytest
from small_model import SMALL, TASK_CONFIGS, write_run, write_vocab

from bert_tf.configs import FinetuningConfig, TrainConfig
from bert_tf.conversion.loading import load_encoder, load_pretrained
from bert_tf.models.weights import named_weights
from bert_tf.runs import folder as run_folder
from bert_tf.serving.predictor import load
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.training.finetuning import finetune
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine
from data_pipelines.finetuning.labelled import read_examples
from experiments import prediction, prediction_inputs
from experiments.evaluation import evaluate

TRAIN = TrainConfig(
    batch_size=8,
    learning_rate=1e-2,
    steps_per_loop=4,
    log_every=0,
    eval_batch_size=8,
    precision="float32",
    jit_compile=False,
)


@pytest.fixture
def pairs(tmp_path):
    words = ["miller", "river", "sailor", "boat"]
    path = tmp_path / "pairs.tsv"
    rows = [f"the {one} {two}\t{two} the {one}\n" for one in words for two in words]
    path.write_text("source\ttarget\n" + "".join(rows))
    return str(path)


@pytest.mark.parametrize("packed", [False, True])
def test_from_a_file_to_scores(packed, pairs, tmp_path):
    tokenizer = WordPieceTokenizer(str(write_vocab(tmp_path / "vocab.txt")))
    task = TASK_CONFIGS["seq2seq"].replace(packed=packed)
    model = SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1)
    config = FinetuningConfig(model=model, task=task, train=TRAIN, num_epochs=40, evals_per_epoch=0)
    examples, run = read_examples(pairs, task), str(tmp_path / "run")
    scores = finetune(config, examples, examples, run_dir=run, engine=TensorFlowEngine(), tokenizer=tokenizer)
    assert scores["token_accuracy"] > 0.5
    assert scores["perplexity"] == pytest.approx(np.exp(scores["seq2seq_loss"]), rel=1e-4)
    assert json.loads((tmp_path / "run" / "scores.json").read_text()) == scores
    again = evaluate(run, pairs, batch_size=5)
    assert again == pytest.approx({name: scores[name] for name in again}, rel=1e-4)


def _start_of(source, pairs, tmp_path):
    """Return the weights with which a fine-tuning starts."""
    still = TRAIN.replace(learning_rate=0.0)
    config = FinetuningConfig(task=TASK_CONFIGS["seq2seq"], train=still, num_epochs=0.5, evals_per_epoch=0)
    run = str(tmp_path / "started")
    examples = read_examples(pairs, config.task)
    finetune(config, examples, None, run_dir=run, engine=TensorFlowEngine(), init_checkpoint=source)
    return {name: weight.numpy() for name, weight in named_weights(run_folder.load_run(run)[0]).items()}


@pytest.mark.parametrize("form", ["run", "published"])
def test_the_head_of_a_pretraining_is_used(form, pairs, tmp_path, caplog):
    source = str(write_run(tmp_path / "source", "pretraining"))
    model, pretrained = load_pretrained(source, "pretraining")
    if form == "published":
        model.set_tokenizer(pretrained.tokenizer())
        source = str(tmp_path / "published")
        model.save_pretrained(source)
    found = _start_of(source, pairs, tmp_path)
    expected = {name: weight.numpy() for name, weight in named_weights(model).items() if name in found}
    assert {"masked_lm/dense/kernel", "masked_lm/layer_norm/gamma", "masked_lm/output_bias"} <= set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert "random weights" not in caplog.text


def test_an_encoder_alone_gets_a_new_head_with_a_warning(pairs, tmp_path, caplog):
    source = str(write_run(tmp_path / "source", "classification"))
    with caplog.at_level(logging.WARNING):
        found = _start_of(source, pairs, tmp_path)
    assert "has no head masked_lm: it starts from random weights" in caplog.text
    encoder = {name: weight.numpy() for name, weight in named_weights(load_encoder(source)).items()}
    for name in encoder:
        np.testing.assert_array_equal(found[name], encoder[name], err_msg=name)


def test_a_model_is_published_as_one_of_masked_tokens(tmp_path):
    model, pretrained = load_pretrained(str(write_run(tmp_path / "run", "seq2seq")))
    model.set_tokenizer(pretrained.tokenizer(), max_length=24, max_target_length=10)
    model.save_pretrained(str(tmp_path / "published"))
    config = json.loads((tmp_path / "published" / "config.json").read_text())
    assert config["architectures"] == ["BertForMaskedLM"]
    again, _ = load_pretrained(str(tmp_path / "published"), "seq2seq")
    for name, weight in named_weights(model).items():
        if not name.startswith("encoder/pooler/"):
            np.testing.assert_array_equal(named_weights(again)[name].numpy(), weight.numpy(), err_msg=name)


@pytest.mark.long  # three programs start
def test_the_command_writes_a_text_for_each_line(tmp_path):
    write_run(tmp_path / "run", "seq2seq")
    (tmp_path / "texts.txt").write_text("the old miller\nboat\n")
    (tmp_path / "texts.tsv").write_text("text\nthe old miller\nboat\n")
    flags = ["--model_dir", str(tmp_path / "run"), "--beams", "2", "--max_length", "5"]

    def run(name, output, *others):
        paths = ["--input", str(tmp_path / name), "--output", str(tmp_path / output)]
        return subprocess.run(
            [sys.executable, "-m", "experiments.generate", *flags, *paths, *others],
            capture_output=True,
            text=True,
            check=False,
        )

    for name, others in (("texts.txt", ()), ("texts.tsv", ("--source_column", "text"))):
        result = run(name, f"{name}.jsonl", *others)
        assert result.returncode == 0, result.stderr
        lines = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        assert [line["text"] for line in lines] == ["the old miller", "boat"]
        expected = load(str(tmp_path / "run")).generate(["the old miller", "boat"], beams=2, max_length=5)
        assert [line["generated"] for line in lines] == [answer["generated"] for answer in expected]
    refused = run("texts.txt", "no.jsonl", "--num_return", "3")
    assert refused.returncode != 0
    assert "--num_return must be from 1 to the 2" in refused.stderr


def test_predict_generates(tmp_path):
    predictor = load(str(write_run(tmp_path / "run", "seq2seq")))
    (tmp_path / "texts.txt").write_text("the old miller\nboat\n")
    inputs = prediction_inputs.read_inputs(str(tmp_path / "texts.txt"), predictor)
    answers = list(prediction.answers(predictor, inputs))
    assert [answer["text"] for answer in answers] == ["the old miller", "boat"]
    expected = predictor.generate(["the old miller", "boat"])
    assert [answer["generated"] for answer in answers] == [answer["generated"] for answer in expected]
