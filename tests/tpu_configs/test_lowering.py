"""The step as a program: lint, lowering at debug size, and the search for the largest batch; no TPU compiler needed."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, random_pretraining_batch

from bert_tf.configs import PretrainingConfig, TrainConfig
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.step import TrainStep
from tpu_configs import compiler, lowering, topologies
from tpu_configs.checking import find_largest_batch
from tpu_configs.compiler import GIB, DoesNotFitError, all_reduces
from tpu_configs.lint import lint
from tpu_configs.stateless import stateless

ROWS, LENGTH, REPLICAS = 4, 12, 4
CONFIG = PretrainingConfig(
    model=SMALL.replace(num_layers=1, dropout_rate=0.1, attention_dropout_rate=0.1),
    train=TrainConfig(num_steps=10, batch_size=ROWS * REPLICAS, warmup_steps=0, precision="bfloat16"),
)
SPECS = lowering.pretraining_specs(CONFIG, ROWS, LENGTH)


def _numbers(batch):
    return tf.cast(batch["input_ids"], tf.float32)


def _printing(batch):
    tf.print(_numbers(batch))
    return _numbers(batch)


def _asserting(batch):
    tf.debugging.assert_positive(batch["input_ids"], "ids must be positive")
    return _numbers(batch)


BAD_STEPS = {
    "string": lambda batch: tf.strings.length(tf.strings.as_string(batch["input_ids"])),
    "python": lambda batch: tf.py_function(lambda x: x, [_numbers(batch)], tf.float32),
    "numpy": lambda batch: tf.numpy_function(lambda x: x, [_numbers(batch)], tf.float32),
    "print": _printing,
}
DOUBTFUL_STEPS = {
    "Where": lambda batch: tf.reduce_sum(tf.boolean_mask(_numbers(batch), batch["input_mask"] > 0)),
    "Unique": lambda batch: tf.unique(tf.reshape(batch["input_ids"], [-1]))[0],
    "Cast": lambda batch: tf.cast(batch["input_ids"], tf.float64),
    "Assert": _asserting,
}


@pytest.mark.parametrize("name", BAD_STEPS)
def test_operations_that_no_tpu_can_run_are_refused(name):
    with pytest.raises(ValueError, match=r"the step cannot run on a TPU: \w+ '.*\(.*test_lowering\.py, line \d+\): "):
        lowering.lower(BAD_STEPS[name], SPECS)


@pytest.mark.parametrize("kind", DOUBTFUL_STEPS)
def test_operations_that_the_compiler_accepts_are_reported(kind):
    _, findings = lowering.traced(DOUBTFUL_STEPS[kind], SPECS)
    assert kind in {finding.operation for finding in findings}
    assert not any(finding.refused for finding in findings)
    # An assert stands in a function of its own, whose operations do not know their lines.
    assert any("test_lowering.py, line " in str(finding) for finding in findings) or kind == "Assert"


def test_nested_functions_are_searched_too():
    inner = tf.function(DOUBTFUL_STEPS["Where"], autograph=False)
    function = tf.function(lambda batch: tf.while_loop(lambda i: i < 2.0, lambda i: i + inner(batch), [0.0]))
    assert "Where" in {finding.operation for finding in lint(function.get_concrete_function(dict(SPECS)).graph)}


def test_an_unknown_batch_is_refused():
    specs = dict(SPECS) | {"input_ids": tf.TensorSpec([None, LENGTH], tf.int32)}
    with pytest.raises(ValueError, match=r"static shapes: `input_ids` must have one\. Received: \(None, 12\)"):
        lowering.lower(_numbers, specs)


def test_a_step_that_cannot_be_lowered_is_reported_in_one_line():
    function = tf.function(lambda x: tf.strings.length(tf.strings.as_string(x)), jit_compile=True)
    with pytest.raises(ValueError, match=r"TensorFlow cannot lower the step: .*AsString") as caught:
        lowering.compiler_ir(function, [tf.TensorSpec([4])], "CPU")
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def step():
    """The project's own step for four replicas, and its state."""
    return lowering.pretraining_step(CONFIG, REPLICAS)


def test_the_projects_step_is_clean_and_sums_over_all_replicas(step):
    function, findings = lowering.traced(step[0], SPECS)
    assert findings == []
    text = function.experimental_get_compiler_ir(*SPECS.values())(stage="hlo", platform_name="CPU")
    groups = set(re.findall(r"all-reduce\(.*replica_groups=(\{\{[\d,]+\}\})", text))
    assert groups == {"{{0,1,2,3}}"}
    assert "replica-id()" in text
    # Every variable's new value takes its old one's place.
    aliases = re.search(r"input_output_alias=\{(.*?)\}, entry_computation_layout", text)[1]
    assert aliases.count("alias") == len(step[1].variables())
    # The activation of the block is computed again in the backward pass; that of the masked-LM head is kept.
    graph = function.get_concrete_function(*SPECS.values()).graph
    assert [operation.type for operation in graph.get_operations()].count("Erfc") == 2 * CONFIG.model.num_layers + 1


def test_lowered_modules_are_serialized():
    lowered = lowering.lower(_numbers, SPECS)
    assert lowered.stablehlo.startswith(b"ML\xefR")  # MLIR's byte code
    assert lowered.aliases == {}
    assert "route A" in lowered.versions


@pytest.mark.long
def test_the_step_without_variables_computes_the_same():
    _, state = lowering.pretraining_step(CONFIG, 1)
    train = CONFIG.train.replace(jit_compile=False)
    step = TrainStep(
        state, pretraining_objective(), train=train, optimizer=CONFIG.optimizer, distribution=Distribution()
    )
    concrete = tf.function(lambda *tensors: step(dict(zip(SPECS, tensors, strict=True))), autograph=False)
    concrete = concrete.get_concrete_function(*SPECS.values())
    function, specs, aliases = stateless(concrete)
    batch = [tf.constant(array) for array in random_pretraining_batch(rows=ROWS, length=LENGTH, predictions=2).values()]
    handles = [next(v for v in concrete.graph.variables if v.handle is h) for h in concrete.captured_inputs]
    before = [tf.identity(variable) for variable in handles]
    assert [tuple(spec.shape) for spec in specs] == [tuple(value.shape) for value in before]

    results = tf.function(function, autograph=False)(*batch, *before)
    expected = concrete(*batch)
    count = len(concrete.outputs)
    for one, other in zip(results[:count], tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert set(aliases) == set(range(len(batch), len(batch) + len(handles)))
    for argument, result in aliases.items():
        variable = handles[argument - len(batch)]
        np.testing.assert_allclose(results[result], variable.numpy(), rtol=1e-4, atol=1e-6)
    changed = [not np.array_equal(old, new.numpy()) for old, new in zip(before, handles, strict=True)]
    assert sum(changed) > len(changed) / 2


def test_variables_in_nested_functions_are_refused():
    variable = tf.Variable(1.0)
    inner = tf.function(lambda: variable * 2.0, jit_compile=True)
    with pytest.raises(ValueError, match=r"route b.*Received: \w*PartitionedCall"):
        stateless(tf.function(lambda: inner() + 1.0).get_concrete_function())


@pytest.mark.parametrize("usable", [3.0, 7.9, 8.0, 30.0])
@pytest.mark.parametrize("first", [1, 32, 200])
@pytest.mark.parametrize("tells", [True, False])
def test_the_largest_batch_is_found(usable, first, tells, capsys):
    tried = []

    def check(rows):
        tried.append(rows)
        needed = 2.0 + rows * 0.1 + rows**2 * 1e-4
        if needed > usable:
            raise DoesNotFitError("too large", needed if tells else None)
        return SimpleNamespace(program=SimpleNamespace(total=needed * GIB))

    found = find_largest_batch(check, first, usable, step=8)
    fitting = [rows for rows in range(8, 1000, 8) if 2.0 + rows * 0.1 + rows**2 * 1e-4 <= usable]
    assert found == max(fitting)
    assert len(tried) == len(set(tried)) <= 12
    assert f"{tried[0]} rows a device: " in capsys.readouterr().out


def test_no_batch_may_fit():
    def check(rows):
        raise DoesNotFitError("too large", None)

    assert find_largest_batch(check, 64, 1.0, step=8) == 0


def test_a_compiler_that_does_not_come_up_is_not_a_topology_that_it_does_not_know(monkeypatch):
    monkeypatch.setenv("ALLOW_MULTIPLE_LIBTPU_LOAD", "0")
    topology = topologies.load("v5e-8")
    locked = RuntimeError("ABORTED: Internal error when accessing libtpu multi-process lockfile.\nmore")
    message = str(compiler._no_topology(locked, topology))
    assert message.startswith("the TPU compiler does not start while another program holds libtpu, unless")
    assert message.endswith("ALLOW_MULTIPLE_LIBTPU_LOAD=1. Received: '0' (" + str(locked).splitlines()[0] + ")")
    message = str(compiler._no_topology(RuntimeError("INVALID_ARGUMENT: no such shape"), topology))
    assert message == ("the compiler knows no topology 'v5e:2x4' (INVALID_ARGUMENT: no such shape). Received: 'v5e-8'")


def test_all_reduces_without_groups_are_not_counted():
    assert all_reduces("%add = f32[] add(%x, %y)\n%all-reduce-done = f32[] all-reduce-done(%a)") == []
