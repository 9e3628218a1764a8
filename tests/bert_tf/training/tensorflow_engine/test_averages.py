"""Averages of the weights, and weights that stay as they are."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, random_pretraining_batch

from bert_tf.configs import ConfigError, OptimizerConfig, TrainConfig
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.models.weights import named_weights
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.runs.result import restore_result, result_tensors
from bert_tf.training.loop import Hooks, train_and_evaluate
from bert_tf.training.tensorflow_engine.averages import averaging
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine
from bert_tf.training.tensorflow_engine.evaluation import make_evaluation
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.tensorflow_engine.step import TrainStep
from bert_tf.training.turns import Turns

CONFIG = SMALL.replace(num_layers=2)
TRAIN = TrainConfig(
    num_steps=4,
    batch_size=4,
    learning_rate=1e-2,
    warmup_steps=0,
    steps_per_loop=2,
    log_every=2,
    checkpoint_every=2,
    eval_every=2,
    ema_decay=0.9,
    jit_compile=False,
)


def _state(train=TRAIN):
    keras.utils.set_random_seed(0)
    return TrainState(BertPretrainer(CONFIG), train.precision, train)


def _data(start):
    batches = [random_pretraining_batch(seed) for seed in range(start, 20)]
    return tf.data.Dataset.from_tensor_slices(
        {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
    )


def _values(variables):
    return {name: np.asarray(variable.numpy()) for name, variable in variables.items()}


def _train(folder, train=TRAIN):
    state = _state(train)
    evaluation = make_evaluation(state.model, pretraining_objective(), Distribution())
    results = train_and_evaluate(
        engine=TensorFlowEngine(),
        state=state,
        turns=Turns.of_one(pretraining_objective(), lambda start, _: _data(start)),
        run_dir=str(folder),
        train=train,
        optimizer=OptimizerConfig(),
        hooks=Hooks(evaluate=lambda: evaluation(_data(10).take(3))),
    )
    return state, results


def test_averages_follow_the_weights():
    state, distribution = _state(), Distribution()
    state.averages.reset()
    step = TrainStep(
        state, pretraining_objective(), train=TRAIN, optimizer=OptimizerConfig(), distribution=distribution
    )
    step = tf.function(averaging(step, state.averages, TRAIN.ema_decay, step=state.step, distribution=distribution))
    expected = {name: value.astype(np.float64) for name, value in _values(state.weights).items()}
    for number, batch in enumerate(_data(0).take(3), 1):
        step(batch)
        decay = min(0.9, (1 + number) / (10 + number))
        expected = {
            name: decay * expected[name] + (1 - decay) * value for name, value in _values(state.weights).items()
        }
    for name, average in _values(state.averages.variables()).items():
        np.testing.assert_allclose(average, expected[name.removeprefix("average:")], atol=1e-6, err_msg=name)
    # In their place for a while, and back to the bit.
    weights, averages = _values(state.weights), _values(state.averages.variables())
    with state.evaluated_weights():
        for name, value in _values(state.weights).items():
            assert np.array_equal(value, averages[f"average:{name}"]), name
    for before, after in ((weights, state.weights), (averages, state.averages.variables())):
        assert all(np.array_equal(value, before[name]) for name, value in _values(after).items())


@pytest.mark.usefixtures("eagerly")
def test_a_run_is_evaluated_by_its_averages(tmp_path):
    state, results = _train(tmp_path)
    evaluate = make_evaluation(state.model, pretraining_objective(), Distribution())
    last = evaluate(_data(10).take(3))
    assert last["masked_lm_loss"] != pytest.approx(results["masked_lm_loss"], rel=1e-4)
    restore_result(str(tmp_path), state.model)
    assert evaluate(_data(10).take(3)) == results
    restore_result(str(tmp_path), state.model, use_average=False)
    assert evaluate(_data(10).take(3)) == last

    plain, plain_results = _train(tmp_path / "plain", TRAIN.replace(use_average=False))
    assert plain_results == last
    assert plain.averages is not None


@pytest.mark.long
def test_averages_continue_with_the_run(tmp_path):
    whole, results = _train(tmp_path / "whole")
    _train(tmp_path / "parts", TRAIN.replace(num_steps=2, learning_rate=TRAIN.learning_rate))
    lines = [json.loads(line) for line in (Path(tmp_path) / "parts" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "eval"] == [2]
    # The schedule ends with the run, so the first part of a longer one is made with the same `num_steps`.
    constant = OptimizerConfig(decay_schedule="constant")
    states = []
    for folder, parts in (("a", (4,)), ("b", (2, 4))):
        for num_steps in parts:
            state = _state()
            train_and_evaluate(
                engine=TensorFlowEngine(),
                state=state,
                turns=Turns.of_one(pretraining_objective(), lambda start, _: _data(start)),
                run_dir=str(tmp_path / folder),
                train=TRAIN.replace(num_steps=num_steps),
                optimizer=constant,
            )
        states.append(_values(state.variables()))
    assert any(name.startswith("average:") for name in states[0])
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])
    assert results
    assert whole.averages is not None


@pytest.mark.usefixtures("eagerly")
def test_frozen_weights_stay(tmp_path):
    frozen = ("encoder/embeddings/", "encoder/block_0/")
    train = TRAIN.replace(ema_decay=0.0, frozen=frozen, eval_every=0)
    before = _values(named_weights(_state(train).model))
    state, _ = _train(tmp_path, train)
    after = _values(named_weights(state.model))
    stays = [name for name in before if name.startswith(frozen)]
    assert len(stays) > 10
    assert all(np.array_equal(before[name], after[name]) for name in stays)
    changed = [name for name in before if not name.startswith(frozen) and not np.array_equal(before[name], after[name])]
    assert "masked_lm/output_bias" in changed
    assert any(name.startswith("encoder/block_1/") for name in changed)
    assert not any(name.startswith(frozen) for name in (*state.weights, *state.moments))
    assert not any(":encoder/embeddings" in name for name in state.variables())


@pytest.mark.parametrize(
    ("frozen", "rule"),
    [(("encoder/blocks",), "must match names of weights"), ((".*",), "must leave a weight to train")],
)
def test_wrong_patterns(frozen, rule):
    with pytest.raises(ValueError, match=rf"`train.frozen` {rule}.*Received: "):
        _state(TRAIN.replace(frozen=frozen))
    with pytest.raises(ConfigError, match=r"`frozen` must be regular expressions .*Received: '\('"):
        TRAIN.replace(frozen=("(",))


def test_the_tensor_of_each_weight():
    names = ["a/kernel", "b/bias", "step", "average:a/kernel", "first_moment:a/kernel"]
    assert result_tensors(names, use_average=True) == {"a/kernel": "average:a/kernel", "b/bias": "b/bias"}
    assert result_tensors(names, use_average=False) == {"a/kernel": "a/kernel", "b/bias": "b/bias"}
