"""Predictors that several threads ask at once answer as they answer one thread."""

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from small_model import SMALL, shake, write_run

from bert_tf.models.encoder import BertEncoder
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.runs.descriptions import EmbeddingSettings, ModelDescription
from bert_tf.serving import litert, litert_export
from bert_tf.serving.export import export_saved_model
from bert_tf.serving.predictor import Predictor, load

THREADS = 4
SENTENCE = "the old miller found a young sailor near the river and forgot the letter in the boat"
TEXTS = [" ".join(SENTENCE.split()[start : start + size]) for start in range(4) for size in (1, 3, 5, 8, 11)] * 2
TASKS = {
    "classification": "classify",
    "multi_label": "classify",
    "regression": "score",
    "tagging": "tag",
    "question_answering": "answer",
    "reranking": "rerank",
    "retrieval": "embed",
}


def _ask(predictor, method, text):
    if method == "tag":
        return predictor.tag([text.split()])
    if method == "answer":
        return predictor.answer(["the old miller"], [text])
    if method == "rerank":
        return predictor.rerank(text, TEXTS[:3])
    if method == "fill_mask":
        return predictor.fill_mask([f"{text} [MASK]"], top_k=3)
    if method == "search":
        return predictor.search([text], TEXTS[:3], top_k=2)
    return getattr(predictor, method)([text])


def _numbers(value):
    """Return the numbers of an answer, in order, and all else in it."""
    if isinstance(value, dict):
        value = [part for item in value.items() for part in item]
    if isinstance(value, list | tuple | np.ndarray):
        parts = [_numbers(each) for each in value]
        return [number for numbers, _ in parts for number in numbers], [rest for _, rest in parts]
    return ([float(value)], None) if isinstance(value, float | np.floating) else ([], value)


def _check(fresh, method):
    """Check the answers of a predictor that no one has asked before, so that its functions are traced meanwhile."""
    predictor = fresh()
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(functools.partial(_ask, predictor, method), TEXTS))
    alone = fresh()
    for text, answer in zip(TEXTS, found, strict=True):
        (numbers, rest), (expected, expected_rest) = _numbers(answer), _numbers(_ask(alone, method, text))
        assert rest == expected_rest, text
        np.testing.assert_allclose(numbers, expected, atol=1e-5, err_msg=text)


@pytest.mark.parametrize("task", TASKS)
def test_runs(tmp_path, task):
    _check(functools.partial(load, str(write_run(tmp_path, task))), TASKS[task])


@pytest.mark.long
@pytest.mark.parametrize("lengths", [(), (4, 8, 16)], ids=["any length", "fixed lengths"])
@pytest.mark.parametrize("task", TASKS)
def test_litert_files(tmp_path, task, lengths):
    source = load(str(write_run(tmp_path / "run", task)))
    kind, file = source.description.task, str(tmp_path / litert.file_name("float32"))
    litert_export.write_litert(source.model, kind, file)
    for length in lengths:
        litert_export.write_litert(
            source.model, kind, str(tmp_path / litert.file_name("float32", length)), length=length
        )
    _check(lambda: Predictor(litert.LiteModel(file, kind), source.description, source.tokenizer), TASKS[task])


@pytest.mark.long
def test_savedmodels(tmp_path):
    pytest.importorskip("tensorflow_text")
    path = export_saved_model(str(write_run(tmp_path / "run", "classification")), str(tmp_path / "export"))
    _check(functools.partial(load, path), "classify")


@pytest.mark.parametrize("method", ["embed", "search", "fill_mask"])
def test_keras_models(tmp_path, method):
    tokenizer = load(str(write_run(tmp_path, "classification"))).tokenizer
    config = SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1)
    model = (BertPretrainer if method == "fill_mask" else BertEncoder)(config)
    shake(model)
    description = ModelDescription(
        task="pretraining" if method == "fill_mask" else "encoder",
        model=config,
        do_lower_case=True,
        vocab_hash=tokenizer.vocab_hash,
        max_seq_length=24,
        labels=(),
        task_config=None,
        embedding=EmbeddingSettings(),
        has_pooler=True,
        data={},
    )
    _check(lambda: Predictor(model, description, tokenizer), method)
