"""Files that Keras and its converters write of every model, after `fit` and in fresh processes."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from launch_many import run_program
from small_model import SMALL

from bert_tf.models.classifier import BertClassifier
from bert_tf.models.dual_encoder import BertDualEncoder
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.multi_label_classifier import BertMultiLabelClassifier
from bert_tf.models.multiple_choice import BertMultipleChoice
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.models.question_answerer import BertQuestionAnswerer
from bert_tf.models.regressor import BertRegressor
from bert_tf.models.token_classifier import BertTokenClassifier

TINY = SMALL.replace(num_layers=1, hidden_size=8, num_heads=2, intermediate_size=16)
MODELS = {
    "encoder": lambda: BertEncoder(TINY),
    "classifier": lambda: BertClassifier(TINY, num_classes=3),
    "mean_classifier": lambda: BertClassifier(TINY, num_classes=3, pooling="mean"),
    "token_classifier": lambda: BertTokenClassifier(TINY, num_classes=3),
    "question_answerer": lambda: BertQuestionAnswerer(TINY),
    "dual_encoder": lambda: BertDualEncoder(TINY),
    "pretrainer": lambda: BertPretrainer(TINY),
    # Their heads are dense layers of the pooled output, as a classifier's.
    "multi_label_classifier": lambda: BertMultiLabelClassifier(TINY, num_classes=3),
    "regressor": lambda: BertRegressor(TINY),
    "multiple_choice": lambda: BertMultipleChoice(TINY),
}


def _inputs(model):
    """Padded rows with every input that the model's exports take."""
    random = np.random.default_rng(0)
    rows = {name: random.integers(1, 6, (3, 8)) for name in model.input_shapes()}
    rows["input_mask"] = np.arange(8) < random.integers(3, 8, (3, 1))
    rows["segment_ids"] = rows["segment_ids"] % 2
    return {name: array.astype(np.int32) for name, array in rows.items()}


def _flat(outputs):
    if isinstance(outputs, dict):
        return [np.asarray(outputs[name]) for name in sorted(outputs)]
    return [np.asarray(outputs)]


def _equal(outputs, others):
    for one, other in zip(_flat(outputs), _flat(others), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.fixture(scope="module", params=MODELS)
def trained(request):
    """A model that Keras has fitted, with inputs and its outputs of them."""
    model = MODELS[request.param]()
    traced = request.param in ("classifier", "pretrainer")  # one with a single output and one with several
    inputs = _inputs(model)
    outputs = model(inputs)
    targets = {name: 0.0 * tensor for name, tensor in outputs.items()} if isinstance(outputs, dict) else 0.0 * outputs
    model.compile("sgd", loss=tf.nest.map_structure(lambda _: "mse", outputs), run_eagerly=not traced)
    model.fit(inputs, targets, verbose=0)
    return model, inputs, model.predict(inputs, verbose=0)


def test_export_serves_every_batch_size_and_length(trained, tmp_path):
    model, inputs, outputs = trained
    model.export(str(tmp_path), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path))
    _equal(loaded.serve(inputs), outputs)
    shorter = {name: array[:2, :5] for name, array in inputs.items()}
    _equal(loaded.serve(shorter), model(shorter))


def test_a_model_that_was_never_called_is_exported(tmp_path):
    model = MODELS["classifier"]()
    model.export(str(tmp_path), verbose=False)
    inputs = _inputs(model)
    loaded = tf.saved_model.load(str(tmp_path))
    _equal(loaded.serve(inputs), model(inputs))


@pytest.mark.parametrize("trained", list(MODELS)[:-2], indirect=True)
def test_tensorflow_converts_the_model_to_litert(trained):
    model, inputs, outputs = trained
    interpreter = Interpreter(model_content=tf.lite.TFLiteConverter.from_keras_model(model).convert())
    run = interpreter.get_signature_runner()
    answers = run(**inputs)
    for one, other in zip(
        sorted(_flat(answers), key=np.sum), sorted(_flat(outputs), key=np.sum), strict=True
    ):  # a converter names unnamed outputs
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_clone_has_the_same_outputs_with_the_same_weights(trained):
    model, inputs, outputs = trained
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    _equal(clone(inputs), outputs)


def test_keras_prints_the_shapes_of_the_model(trained):
    lines = []
    trained[0].summary(print_fn=lambda line, **_: lines.append(line), expand_nested=True)
    assert "Total params" in "\n".join(lines)


def _functional(model):
    names = {name: keras.Input((None,), dtype="int32", name=name) for name in model.input_shapes()}
    return keras.Model(names, model(names))


_ANSWER = """
import json, sys
import bert_tf, keras, numpy as np
for path, inputs in json.load(sys.stdin):
    model = keras.models.load_model(path)
    inputs = {name: np.array(rows, np.int32) for name, rows in inputs.items()}
    outputs = model(inputs)
    outputs = [outputs[name] for name in sorted(outputs)] if isinstance(outputs, dict) else [outputs]
    print("answer", json.dumps([tensor.numpy().tolist() for tensor in outputs]))
"""


def test_a_fresh_process_loads_every_model(tmp_path):
    questions, expected = [], []
    for name, make in MODELS.items():
        model = make()
        inputs = _inputs(model)
        for form in [model, _functional(model)] if name in ("classifier", "pretrainer") else [model]:
            path = tmp_path / f"{name}_{type(form).__name__}.keras"
            form.save(path)
            questions.append((str(path), {key: array.tolist() for key, array in inputs.items()}))
            expected.append(form(inputs))
    result = run_program(_ANSWER, folder=tmp_path, stdin=json.dumps(questions))
    assert result.returncode == 0, result.stderr
    answers = [json.loads(line.removeprefix("answer ")) for line in result.stdout.splitlines() if line[:7] == "answer "]
    assert len(answers) == len(expected)
    for answer, outputs in zip(answers, expected, strict=True):
        for one, other in zip(answer, _flat(outputs), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
