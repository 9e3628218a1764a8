"""The estimate of a pre-training: formulas against models and simulations, the documented table, and bad input."""

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest

from bert_tf.configs import BertConfig, PretrainingConfig
from bert_tf.configs.experiment_files import load_config
from bert_tf.models.pretrainer import BertPretrainer
from experiments.planning import machines, report
from experiments.planning.estimates import Assumptions, num_parameters, plan
from experiments.planning.interruptions import Interruptions
from tpu_configs import topologies

BASE, LARGE = (load_config(name, PretrainingConfig) for name in ("bert_base", "bert_large"))
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "scale.md"


@pytest.mark.parametrize("changes", [{}, {"embedding_size": 12}, {"position_embedding": "sinusoidal"}])
def test_weights_are_counted_as_in_the_model(changes):
    small = {"vocab_size": 50, "hidden_size": 8, "num_layers": 2, "num_heads": 2, "intermediate_size": 20}
    config = BertConfig(**small, max_position_embeddings=16, **changes)
    assert num_parameters(config) == BertPretrainer(config).count_params()


def test_operations_agree_with_the_compilers_measurement():
    measured = topologies.load("v6e-64").measured_jax[0]
    planned = plan(BASE, "v6e-64", 100e9, assumptions=Assumptions(peak_share=0.5))
    assert planned.rows == measured.batch_per_device
    assert planned.checked
    assert planned.step_tflop == pytest.approx(measured.hand_tflop, rel=1e-3)
    assert planned.step_seconds == pytest.approx(measured.hand_tflop / 918 / 0.5, rel=1e-3)
    assert planned.num_steps == math.ceil(100e9 / (64 * 64 * 512 * 0.979))


def test_one_generation_shares_its_measurements_and_other_models_do_not():
    assert plan(LARGE, "v6e-64", 1e9).rows == 32  # measured on v6e-8
    other = plan(BASE.override("model.num_layers=3"), "v6e-64", 1e9)
    assert not other.checked
    assert plan(BASE, "v6e-64", 1e9, max_seq_length=128).rows == 64 * 4


@pytest.mark.parametrize("mean", [500.0, 5000.0])
def test_expected_time_is_that_of_simulated_trainings(mean):
    stops = Interruptions(mean=mean, restart=60.0, save=5.0)
    times = stops.simulated(20_000.0, 100.0, trials=2000, seed=1)
    assert stops.expected(20_000.0, 100.0) == pytest.approx(times.mean(), rel=0.02)
    np.testing.assert_array_equal(times, stops.simulated(20_000.0, 100.0, trials=2000, seed=1))


@pytest.mark.parametrize(("mean", "save"), [(1000.0, 2.0), (100_000.0, 1.0), (3000.0, 200.0)])
def test_no_interval_is_better_than_the_best(mean, save):
    stops = Interruptions(mean=mean, restart=60.0, save=save)
    best = stops.expected(1e6, stops.best_interval())
    assert best <= 1.001 * min(stops.expected(1e6, interval) for interval in np.geomspace(10.0, 1e5, 400))
    assert stops.expected(1e6, stops.best_interval() * 4) > best < stops.expected(1e6, stops.best_interval() / 4)


def test_a_machine_that_never_stops_takes_the_time_of_steps_and_checkpoints():
    stops = Interruptions(mean=1e15, restart=60.0, save=5.0)
    assert stops.expected(1000.0, 100.0) == pytest.approx(1050.0)
    assert stops.simulated(1000.0, 100.0, trials=1, seed=0)[0] == pytest.approx(1050.0)
    assert Interruptions(mean=1.0, restart=1.0, save=1.0).expected(1e6, 1e5) == math.inf


def test_assumptions_change_what_depends_on_them():
    planned = plan(BASE, "v5e-16", 1e9)
    half = plan(BASE, "v5e-16", 1e9, assumptions=Assumptions(peak_share=0.2))
    assert half.undisturbed_hours == pytest.approx(2 * planned.undisturbed_hours)
    dear = plan(BASE, "v5e-16", 1e9, assumptions=Assumptions(chip_price=2.4))
    assert dear.dollars == pytest.approx(2 * planned.dollars)
    often = plan(BASE, "v5e-16", 100e9, assumptions=Assumptions(interruption_hours=2.0))
    assert often.expected_interruptions == pytest.approx(often.hours() / 2)
    assert often.hours() > plan(BASE, "v5e-16", 100e9).hours()
    assert plan(BASE, "v2-8", 1e9).dollars is None
    assert any("unknown" in line for line in report.lines(plan(BASE, "v2-8", 1e9)))


def test_the_documented_table_is_what_the_command_prints():
    text = DOCUMENT.read_text(encoding="utf-8")
    documented = re.findall(r"^\| bert_(?:base|large) \|.*$", text, re.M)
    tokens = 1e12 / Assumptions().text_bytes_per_token
    names = ("v5e-16", "v6e-64", "v7x-64", machines.H100)
    plans = [
        (name, plan(config, one, tokens))
        for name, config in (("bert_base", BASE), ("bert_large", LARGE))
        for one in names
    ]
    assert documented == report.table(plans).splitlines()[2:]
    report_of_one = "\n".join(report.lines(plan(BASE, "v6e-64", 100e9)))
    assert report_of_one in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"topology": "v9-8"}, r"`topology` must be one of v2-8, .*, h100-8\. Received: 'v9-8'"),
        ({"tokens": 0}, "`tokens` must be a positive number. Received: 0"),
        ({"tokens": math.nan}, "`tokens` must be a positive number. Received: nan"),
        ({"batch_per_device": 96}, "`batch_per_device` must be at most 88 rows of 512 tokens on v5e-8.* Received: 96"),
        ({"batch_per_device": 0}, "`batch_per_device` must be at least 1. Received: 0"),
        ({"max_seq_length": 513}, "`max_seq_length` must be from 1 to the model's 512 positions. Received: 513"),
        (
            {"wide": True},
            r"`topology` must have devices with room for .*, 17\.\d+ GiB\. Received: v5e-8, with 15\.75 GiB",
        ),
    ],
)
def test_bad_input_names_argument_rule_and_value(changes, message):
    arguments = {"topology": "v5e-8", "tokens": 1e9} | changes
    config = BASE
    if arguments.pop("wide", False):
        config = BASE.override("model.hidden_size=3072").override("model.intermediate_size=8192")
    with pytest.raises(ValueError, match=message):
        plan(config, arguments.pop("topology"), arguments.pop("tokens"), **arguments)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Assumptions)])
def test_assumptions_must_be_positive(field):
    with pytest.raises(ValueError, match=f"`{field}` must be a positive number. Received: -1"):
        Assumptions(**{field: -1.0})
