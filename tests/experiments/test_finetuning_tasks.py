"""Each fine-tuning task from a file to a model with scores, answers and predictions, at debug size."""

import json

import numpy as np
import pytest
from small_model import SMALL, write_vocab

from bert_tf.configs import FinetuningConfig, TrainConfig
from bert_tf.configs.tasks import (
    ClassificationConfig,
    MultiLabelConfig,
    MultipleChoiceConfig,
    QuestionAnsweringConfig,
    RegressionConfig,
    RerankingConfig,
    RetrievalConfig,
    TaggingConfig,
)
from bert_tf.models.weights import named_weights
from bert_tf.runs import checkpoints
from bert_tf.runs import folder as run_folder
from bert_tf.serving.predictor import load
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.training.finetuning import finetune
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine
from data_pipelines.finetuning.labelled import read_examples
from experiments import prediction, prediction_inputs
from experiments.evaluation import evaluate

TRAIN = TrainConfig(
    batch_size=8,
    learning_rate=2e-2,
    steps_per_loop=4,
    log_every=0,
    eval_batch_size=8,
    precision="float32",
    jit_compile=False,
)
PLACES = ("river", "road")


def _table(label):
    rows = "".join(f"{place} the boat number {n}\t{label(place, n)}\n" for n in range(8) for place in PLACES)
    return "text\tlabel\n" + rows


def _squad():
    context = "the miller saw a boat on the river . the sailor saw a lantern near the road ."
    answers = [{"text": "boat", "answer_start": 17}]
    questions = [{"id": f"q{n}", "question": "the miller saw", "answers": answers} for n in range(8)]
    return json.dumps({"data": [{"title": "a", "paragraphs": [{"context": context, "qas": questions}]}]})


CASES = {
    "classification": ("train.tsv", _table(lambda place, n: place), ClassificationConfig(max_seq_length=24)),
    "multi_label": (
        "train.tsv",
        _table(lambda place, n: f"{place},odd" if n % 2 else place),
        MultiLabelConfig(max_seq_length=24),
    ),
    "regression": (
        "train.tsv",
        _table(lambda place, n: 0.5 if place == "road" else -0.5),
        RegressionConfig(max_seq_length=24),
    ),
    "tagging": (
        "train.conll",
        "the O\nriver B-PLACE\nboat O\n\nold B-PERSON\nmiller I-PERSON\nsaw O\nthe O\nroad B-PLACE\n\n" * 6,
        TaggingConfig(max_seq_length=8),
    ),
    "question_answering": (
        "train.json",
        _squad(),
        QuestionAnsweringConfig(max_seq_length=24, max_query_length=6, doc_stride=8),
    ),
    "retrieval": (
        "train.tsv",
        "query\tpassage\ttext\n"
        + "".join(
            f"the {letter} {place}\ta boat {letter} {place}\tboat\n" for letter in "abcdefgh" for place in PLACES
        ),
        RetrievalConfig(max_seq_length=12, max_query_length=8),
    ),
    "multiple_choice": (
        "train.jsonl",
        "".join(
            json.dumps(
                {"context": f"near the {PLACES[n % 2]} {n}", "choices": [*PLACES, "boat"][: 2 + n % 2], "label": n % 2}
            )
            + "\n"
            for n in range(16)
        ),
        MultipleChoiceConfig(max_seq_length=12),
    ),
    "reranking": (
        "train.tsv",
        "query\tpassage\tlabel\n"
        + "".join(
            f"the {letter} {place}\ta boat {other}\t{int(place == other)}\n"
            for letter in "abcdefgh"
            for place in PLACES
            for other in PLACES
        ),
        RerankingConfig(max_seq_length=16, group_size=4),
    ),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return WordPieceTokenizer(str(write_vocab(tmp_path_factory.mktemp("vocab") / "vocab.txt")))


def _finetune(folder, kind, tokenizer, **changes):
    name, text, task = CASES[kind]
    path = folder / name
    path.write_text(text, encoding="utf-8")
    examples = read_examples(str(path), task, strict=True)
    model = SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1)
    config = FinetuningConfig(**({"model": model, "task": task, "train": TRAIN, "num_epochs": 8} | changes))
    run = str(folder / "run")
    return path, run, finetune(config, examples, examples, run_dir=run, engine=TensorFlowEngine(), tokenizer=tokenizer)


WINDOWS = {"max_seq_length": 5, "long_texts": "windows"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "options"),
    [*((kind, {}) for kind in CASES), *((kind, WINDOWS) for kind in ("classification", "multi_label", "regression"))],
)
def test_from_a_file_to_scores_and_answers(kind, options, tmp_path, tokenizer):
    task = CASES[kind][2].replace(**options)
    path, run, metrics = _finetune(tmp_path, kind, tokenizer, task=task, evals_per_epoch=0)
    assert json.loads((tmp_path / "run" / "scores.json").read_text()) == metrics
    again = evaluate(run, str(path), batch_size=5)
    for name, value in again.items():
        if isinstance(value, float):
            assert value == pytest.approx(metrics[name], rel=1e-4, abs=1e-5), name
        else:
            assert value == metrics[name], name
    predictor = load(run)
    assert predictor.description.task == ("encoder" if kind == "retrieval" else kind)
    inputs = prediction_inputs.read_inputs(str(path), predictor)
    answers = list(prediction.answers(predictor, inputs))
    assert len(answers) == len(inputs)
    if predictor.task is not None and kind != "question_answering":
        scores = predictor.task.scores(read_examples(str(path), task).examples, answers, predictor.description.labels)
        for name, value in scores.items():
            if isinstance(value, float):
                assert value == pytest.approx(metrics[name], rel=1e-4, abs=1e-5), name
    _check_answer(kind, answers[0], predictor)


@pytest.mark.long
def test_windows_learn_what_stands_at_the_end_of_long_texts(tmp_path, tokenizer):
    path = tmp_path / "train.tsv"
    rows = [
        f"{'the old miller saw a boat ' * (1 + n % 3)}near the {place}\t{place}\n"
        for n in range(12)
        for place in PLACES
    ]
    path.write_text("text\tlabel\n" + "".join(rows))
    model = SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1)
    accuracy = {}
    for long_texts in ("cut", "windows"):
        task = ClassificationConfig(max_seq_length=8, long_texts=long_texts, window_pooling="max")
        config = FinetuningConfig(model=model, task=task, train=TRAIN, num_epochs=20, evals_per_epoch=0)
        examples, run = read_examples(str(path), task), str(tmp_path / long_texts)
        metrics = finetune(config, examples, examples, run_dir=run, engine=TensorFlowEngine(), tokenizer=tokenizer)
        accuracy[long_texts] = metrics["accuracy"]
    assert accuracy["cut"] == 0.5
    assert accuracy["windows"] > 0.9


@pytest.mark.long
@pytest.mark.parametrize("kind", ["multi_label", "tagging"])
def test_class_weights_and_focal_losses_train(kind, tmp_path, tokenizer):
    task = CASES[kind][2].replace(balanced_classes=True, focal_gamma=2.0)
    train = TRAIN.replace(jit_compile=True, gradient_accumulation_steps=2)
    _, run, metrics = _finetune(tmp_path, kind, tokenizer, task=task, train=train, num_epochs=2, evals_per_epoch=0)
    assert np.isfinite(metrics[f"{kind}_loss"])
    assert load(run).description.task_config == task


def _check_answer(kind, answer, predictor):
    if kind == "classification":
        assert sum(answer["probabilities"].values()) == pytest.approx(1.0)
        assert answer["label"] in PLACES
    elif kind == "multi_label":
        assert set(answer["labels"]) <= {"odd", *PLACES}
    elif kind == "regression":
        assert np.isfinite(predictor.score(["the road"])[0])
    elif kind == "retrieval":
        assert np.linalg.norm(answer["embedding"]) == pytest.approx(1.0, abs=1e-5)
    elif kind == "multiple_choice":
        assert answer["choice"] in PLACES
        assert "near the" in answer["context"]
    elif kind == "reranking":
        found = predictor.rerank("the road", ["a boat road", "a boat river"], top_k=1)
        assert found[0]["passage"] in ("a boat road", "a boat river")
    elif kind == "tagging":
        text = "Old  miller, saw the river."
        [found] = predictor.tag([text])
        assert found["words"] == ["Old", "miller", ",", "saw", "the", "river", "."]
        assert all(text[span["start"] : span["end"]] == span["text"] for span in found["spans"])
    else:
        context = "A miller, a boat."
        [found] = predictor.answer(["the miller saw"], [context])
        assert found["answer"] == context[found["start"] : found["end"]]


@pytest.mark.long
def test_early_stopping_keeps_the_best_and_a_second_start_changes_nothing(tmp_path, tokenizer):
    still = TRAIN.replace(learning_rate=0.0)  # no evaluation is better than the first
    _, run, metrics = _finetune(tmp_path, "regression", tokenizer, train=still, num_epochs=9, patience=2)
    assert metrics["best_step"] == 2
    assert checkpoints.newest_checkpoint(run).step == 6, "stopped after two evaluations without a better one"
    assert run_folder.load_run(run)[0].regression.dense.kernel.shape == (16, 1)
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    _, _, second = _finetune(tmp_path, "regression", tokenizer, train=still, num_epochs=9, patience=2)
    assert second == metrics
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before


@pytest.mark.long
def test_layers_that_start_anew(tmp_path, tokenizer):
    _, first, _ = _finetune(tmp_path, "classification", tokenizer, num_epochs=0.1, evals_per_epoch=0)
    name, _, task = CASES["classification"]
    examples = read_examples(str(tmp_path / name), task)
    still = TRAIN.replace(learning_rate=0.0, seed=9)
    config = FinetuningConfig(task=task, train=still, num_epochs=0.1, evals_per_epoch=0, reinitialize_layers=1)
    finetune(config, examples, None, run_dir=str(tmp_path / "anew"), engine=TensorFlowEngine(), init_checkpoint=first)
    old, new = (named_weights(run_folder.load_run(run)[0]) for run in (first, str(tmp_path / "anew")))
    same = {name for name in old if np.array_equal(old[name].numpy(), new[name].numpy())}
    kernels = {name for name in old if name.endswith("kernel")}
    assert not same & kernels, "the only block, the pooler and the head are new"
    assert {name for name in old if name.startswith("encoder/embeddings/")} <= same
    with pytest.raises(ValueError, match="`reinitialize_layers` must be at most the encoder's 1 layers"):
        finetune(
            config.replace(reinitialize_layers=2),
            examples,
            None,
            run_dir=str(tmp_path / "more"),
            engine=Distribution(),
            init_checkpoint=first,
        )
