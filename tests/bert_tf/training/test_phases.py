"""Two phases of a pre-training: one count of steps, one schedule or two, and resuming in either."""

import json
import shutil

import numpy as np
import pytest
import small_records
import tensorflow as tf
from small_model import SMALL

from bert_tf.configs import ConfigError, OptimizerConfig, PhaseConfig, PretrainingConfig, TrainConfig
from bert_tf.optimization import learning_rate_at
from bert_tf.runs import checkpoints
from bert_tf.training.phases import phases_of, remaining
from bert_tf.training.pretraining import pretrain
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine
from bert_tf.training.throughput import TIMING_METRICS
from data_pipelines.input.record_folder import RecordFolder
from data_pipelines.records.manifest import PreparationConfig

TRAIN = TrainConfig(
    num_steps=6,
    batch_size=8,
    learning_rate=1e-2,
    warmup_steps=2,
    steps_per_loop=2,
    log_every=2,
    checkpoint_every=1,
    eval_every=2,
    eval_batch_size=16,
    keep_checkpoints=10,
    precision="float32",
    jit_compile=False,
)
PHASES = (PhaseConfig(max_seq_length=16, share=0.67), PhaseConfig(max_seq_length=32, share=0.33, batch_size=4))
CONFIG = PretrainingConfig(
    model=SMALL.replace(num_layers=1, vocab_size=small_records.TOKENIZER.vocab_size), train=TRAIN, phases=PHASES
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phases")
    for length in (16, 32):
        small_records.make(folder / str(length), PreparationConfig(max_seq_length=length), holdout=0.2)
    return [str(folder / "16"), str(folder / "32")]


def _pretrain(folders, run, config=CONFIG):
    train = [RecordFolder(folder) for folder in folders]
    held_out = [RecordFolder(f"{folder}/heldout") for folder in folders]
    return pretrain(config, train, held_out, run_dir=str(run), engine=TensorFlowEngine())


def _lines(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMING_METRICS} for line in lines]


def test_steps_and_schedules():
    config = CONFIG.replace(train=TRAIN.replace(num_steps=1000, warmup_steps=100), phases=PHASES)
    first, second = phases_of(config)
    assert (first.begin, first.train.num_steps, first.train.batch_size, first.max_seq_length) == (0, 670, 8, 16)
    assert (second.begin, second.train.num_steps, second.train.batch_size, second.max_seq_length) == (670, 1000, 4, 32)
    optimizer = OptimizerConfig()
    for schedule in (optimizer, OptimizerConfig(decay_schedule="warmup_stable_decay", decay_share=0.5)):
        for step in (0, 50, 99, 100, 400, 669, 670, 800, 999):
            phase = first if step < 670 else second
            found = float(learning_rate_at(step, phase.train, schedule))
            assert found == pytest.approx(float(learning_rate_at(step, config.train, schedule)), rel=1e-6), step

    own = (PHASES[0], PHASES[1].replace(learning_rate=0.5, warmup_steps=10))
    _, second = phases_of(config.replace(phases=own))
    rates = [float(learning_rate_at(step, second.train, optimizer)) for step in (670, 675, 835, 1000)]
    assert rates == pytest.approx([0.0, 0.25, 0.25, 0.0])
    (only,) = phases_of(CONFIG.replace(phases=()))
    assert (only.begin, only.train, only.max_seq_length) == (0, TRAIN, None)


def test_the_remaining_phases():
    phases = phases_of(CONFIG)
    assert [phase.train.num_steps for phase in phases] == [4, 6]
    assert [remaining(phases, step) for step in (0, 3, 4, 5, 6)] == [[0, 1], [0, 1], [1], [1], [1]]


@pytest.mark.long
def test_two_phases_are_one_run(folders, tmp_path):
    results = _pretrain(folders, tmp_path / "whole")
    lines = _lines(tmp_path / "whole")
    assert [(line["kind"], line["step"]) for line in lines] == [
        (kind, s) for s in (2, 4, 6) for kind in ("train", "eval")
    ]
    # Rows of the second phase are longer.
    assert lines[0]["tokens_per_row"] <= 16 < lines[-2]["tokens_per_row"]
    assert lines[-1] == {"kind": "eval", "step": 6} | results
    whole = checkpoints.newest_checkpoint(str(tmp_path / "whole"))
    assert whole.step == 6
    for stopped in (3, 5):  # in the first phase, and in the second
        run = tmp_path / str(stopped)
        shutil.copytree(tmp_path / "whole", run)
        for checkpoint in checkpoints.complete_checkpoints(str(run)):
            if checkpoint.step > stopped:
                shutil.rmtree(checkpoint.path)
        assert _pretrain(folders, run) == results
        assert _lines(run) == lines
        one, two = (
            tf.train.load_checkpoint(checkpoint.bundle)
            for checkpoint in (whole, checkpoints.newest_checkpoint(str(run)))
        )
        for name in one.get_variable_to_shape_map():
            assert np.array_equal(one.get_tensor(name), two.get_tensor(name)), name


def test_records_that_do_not_fit(folders, tmp_path):
    with pytest.raises(ValueError, match=r"`train_data` must name, for each.* here 16\. Received: records of 32"):
        _pretrain(folders[::-1], tmp_path)
    with pytest.raises(
        ValueError, match=r"`train_data` must name one record folder for each of 2 phases\. Received: 1"
    ):
        _pretrain(folders[:1], tmp_path)
    with pytest.raises(ConfigError, match=r"`share`s of all `phases` must add up to 1\. Received: 0\.67"):
        CONFIG.replace(phases=PHASES[:1])
    with pytest.raises(ConfigError, match=r"`warmup_steps` of a phase needs a `learning_rate`"):
        PHASES[0].replace(warmup_steps=3)
    with pytest.raises(ValueError, match=r"`train.num_steps` must be enough for each of the 2 `phases`.*Received: 1"):
        phases_of(CONFIG.replace(train=TRAIN.replace(num_steps=1)))
