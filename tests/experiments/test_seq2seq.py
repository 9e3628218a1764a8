"""Sequence to sequence from files to a trained model, from weights with a masked-LM head or without."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_model import SMALL, TASK_CONFIGS, write_run, write_vocab

from bert_tf.configs import FinetuningConfig, TrainConfig
from bert_tf.conversion.loading import load_encoder, load_pretrained
from bert_tf.models.weights import named_weights
from bert_tf.runs import folder as run_folder
from bert_tf.scoring.seq2seq import generation_scores
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


@pytest.mark.parametrize("packed", [pytest.param(False, marks=pytest.mark.long), True])
def test_from_a_file_to_scores(packed, pairs, tmp_path):
    tokenizer = WordPieceTokenizer(str(write_vocab(tmp_path / "vocab.txt")))
    task = TASK_CONFIGS["seq2seq"].replace(packed=packed, generation_metrics=("exact_match", "distinct_1"))
    model = SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1)
    config = FinetuningConfig(
        model=model, task=task, train=TRAIN, num_epochs=40, evals_per_epoch=0, metric="exact_match"
    )
    examples, run = read_examples(pairs, task), str(tmp_path / "run")
    scores = finetune(config, examples, examples, run_dir=run, engine=TensorFlowEngine(), tokenizer=tokenizer)
    assert scores["token_accuracy"] > 0.5
    assert scores["perplexity"] == pytest.approx(np.exp(scores["seq2seq_loss"]), rel=1e-4)
    assert json.loads((tmp_path / "run" / "scores.json").read_text()) == scores
    again = evaluate(run, pairs, batch_size=5)
    assert again == pytest.approx({name: scores[name] for name in again}, rel=1e-4)
    generated = load(run).generate([example.text for example in examples.examples], beams=1)
    right = [one["generated"] == example.target for one, example in zip(generated, examples.examples, strict=True)]
    assert 0.0 < scores["exact_match"] == np.mean(right)


METRICS = ["rougeL", "bleu", "chrf"]


def test_the_best_weights_are_chosen_by_a_metric_of_generated_texts(pairs, tmp_path, caplog):
    pytest.importorskip("rouge_score", reason="pip install -r tests/packages.txt")
    tokenizer = WordPieceTokenizer(str(write_vocab(tmp_path / "vocab.txt")))
    model = SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1)
    task, run = TASK_CONFIGS["seq2seq"], str(tmp_path / "run")
    config = FinetuningConfig(model=model, task=task, train=TRAIN, num_epochs=8, evals_per_epoch=1, metric="rougeL")
    examples = read_examples(pairs, task)
    with caplog.at_level(logging.INFO):
        scores = finetune(config, examples, examples, run_dir=run, engine=TensorFlowEngine(), tokenizer=tokenizer)
    found = [evaluation["rougeL"] for evaluation in _evaluations(run)]
    assert len(set(found)) > 1
    assert scores["rougeL"] == max(found)
    assert scores["best_step"] == 2 * (1 + found.index(max(found)))
    # The run computes it again, and the command others too.
    assert evaluate(run, pairs)["rougeL"] == pytest.approx(max(found))
    others = evaluate(run, pairs, generation_metrics=METRICS)
    assert set(METRICS) <= set(others)
    assert others["rougeL"] == pytest.approx(max(found))
    assert "distinct_1" not in others
    with_beams = evaluate(run, pairs, generation_metrics=["exact_match", "chrf"], beams=4)
    generated = load(run).generate([example.text for example in examples.examples])
    texts = [answer["generated"] for answer in generated]
    expected = generation_scores([example.references for example in examples.examples], texts, lower_case=True)
    assert with_beams["chrf"] == pytest.approx(expected["chrf"])
    with pytest.raises(ValueError, match=r"`generation_metrics` must be one of rouge1, .*Received: 'meteor'"):
        evaluate(run, pairs, generation_metrics=["meteor"])


def _evaluations(run):
    lines = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "eval"]


_EVALUATION = """
import json, sys
from experiments.evaluation import evaluate
print(json.dumps(evaluate(sys.argv[1], sys.argv[2], generation_metrics=sys.argv[3:])))
"""


@pytest.mark.long  # another backend starts and compiles
def test_jax_generates_what_tensorflow_scores(pairs, tmp_path):
    pytest.importorskip("jax")
    pytest.importorskip("rouge_score", reason="pip install -r tests/packages.txt")
    run = str(write_run(tmp_path / "run", "seq2seq"))
    command = [sys.executable, "-c", _EVALUATION, run, pairs, *METRICS]
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    expected = evaluate(run, pairs, generation_metrics=METRICS)
    assert json.loads(result.stdout) == pytest.approx(expected, rel=1e-4)


_WITHOUT_PACKAGE = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *others: None if name == "rouge_score" else found(name, *others)
from bert_tf.utils import launching
from experiments import {command}
try:
    launching.run({command}.main, {command}.define_flags)
finally:
    print(sorted({{"keras", "tensorflow", "jax"}} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("command", "name", "flags"),
    [
        (
            "finetune",
            "`task.generation_metrics`",
            ["--config=summarization", "--set=metric=rougeL", "--train_file=a.tsv", "--model_dir=out"],
        ),
        ("evaluate", "--generation_metrics", ["--generation_metrics=rougeL", "--eval_data=a.tsv", "--model_dir=out"]),
    ],
)
def test_a_missing_package_is_named_before_anything_is_imported(command, name, flags, tmp_path):
    program = _WITHOUT_PACKAGE.format(command=command)
    result = subprocess.run(
        [sys.executable, "-c", program, *flags], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: {name} must be metrics whose packages are installed; rougeL needs rouge_score")
    assert "pip install 'bert_tf[generation]'" in line
    assert result.stdout.strip() == "[]"


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
