"""The precision of a training whose experiment leaves it to the devices."""

import json
from contextlib import nullcontext

import pytest
from small_model import SMALL, write_run, write_vocab

from bert_tf.configs import ClassificationConfig, ConfigError, FinetuningConfig, TrainConfig
from bert_tf.examples import Examples, TextExample
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.training import native_precision
from bert_tf.training.finetuning import finetune
from bert_tf.training.native_precision import NativePrecision, of_cpu, of_gpu
from bert_tf.training.precision_choice import with_precision
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine

AUTO = TrainConfig(num_steps=1, warmup_steps=0, batch_size=2, steps_per_loop=1, log_every=1, jit_compile=False)
TEXTS = Examples([TextExample("a b", label="red"), TextExample("c d", label="blue")], "texts")


class Devices:
    """An engine for the choice: processes whose devices have these precisions; this one is the first."""

    is_chief = True

    def __init__(self, *precisions):
        self.precisions = precisions
        self.num_processes = len(precisions)

    def native_precision(self):
        return NativePrecision(self.precisions[0], "the device says so")

    def sum_over_processes(self, votes):
        order = ("float32", "bfloat16", "float16")
        assert votes == [float(name == self.precisions[0]) for name in order]
        return [float(self.precisions.count(name)) for name in order]

    def naming_lost_processes(self):
        return nullcontext()


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((9, 0), "bfloat16"), ((8, 0), "bfloat16"), ((7, 5), "float16"), ((7, 0), "float16"), ((6, 1), "float32")],
)
def test_a_gpu_computes_in_what_its_tensor_cores_multiply(capability, precision):
    found = of_gpu(capability)
    assert found.precision == precision
    assert f"compute capability {capability[0]}.{capability[1]}" in found.reason


def test_an_unknown_gpu_computes_in_float32():
    assert of_gpu(None).precision == "float32"


@pytest.mark.parametrize(
    ("flags", "precision", "named"),
    [
        ({"avx2", "avx512_bf16"}, "bfloat16", "avx512_bf16"),
        ({"avx512_bf16", "amx_bf16"}, "bfloat16", "amx_bf16"),
        ({"avx2", "avx512f", "bf16"}, "float32", "neither amx_bf16 nor avx512_bf16"),
        (set(), "float32", "neither"),
    ],
)
def test_a_cpu_computes_in_bfloat16_if_it_multiplies_it(flags, precision, named):
    found = of_cpu(flags)
    assert found.precision == precision
    assert named in found.reason


def test_flags_are_those_of_the_first_processor(monkeypatch, tmp_path):
    processor = "processor\t: {}\nflags\t\t: fpu {}\nvmx flags\t: vnmi\n\n"
    (tmp_path / "cpuinfo").write_text(processor.format(0, "avx2 amx_bf16") + processor.format(1, "sse"))
    monkeypatch.setattr(native_precision, "_CPU_INFO", str(tmp_path / "cpuinfo"))
    assert native_precision.cpu_flags() == {"fpu", "avx2", "amx_bf16"}
    monkeypatch.setattr(native_precision, "_CPU_INFO", str(tmp_path / "absent"))
    assert native_precision.cpu_flags() == frozenset()


def test_tensorflow_asks_the_processor(monkeypatch):
    for flags, precision in (({"avx512_bf16"}, "bfloat16"), ({"avx2"}, "float32")):
        monkeypatch.setattr(native_precision, "cpu_flags", lambda flags=flags: flags)
        assert TensorFlowEngine().native_precision().precision == precision


def test_the_oldest_gpu_decides(monkeypatch):
    import tensorflow as tf

    versions = {"new": (9, 0), "old": (7, 5)}
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: list(versions))
    details = {name: {"compute_capability": version} for name, version in versions.items()} | {"other": {}}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.get)
    assert TensorFlowEngine().native_precision().precision == "float16"
    versions["other"] = None
    assert TensorFlowEngine().native_precision().precision == "float32"


def test_a_tpu_computes_in_bfloat16(monkeypatch):
    monkeypatch.setattr(Distribution, "is_tpu", True)
    assert TensorFlowEngine().native_precision().precision == "bfloat16"


def test_jax_computes_in_float32_on_a_cpu_and_asks_a_gpu():
    from types import SimpleNamespace

    from bert_tf.training.jax_engine.devices import Devices as JaxDevices

    devices = JaxDevices()
    assert devices.native_precision().precision == "float32"
    for version, precision in (("9.0", "bfloat16"), ("7.5", "float16"), ("12.0", "bfloat16"), ("gfx90a", "float32")):
        devices.devices = [SimpleNamespace(platform="gpu", compute_capability=version)]
        assert devices.native_precision().precision == precision
    devices.devices = [SimpleNamespace(platform="tpu")]
    assert devices.native_precision().precision == "bfloat16"


def test_the_choice_is_printed_with_its_reason(capsys, tmp_path):
    found = with_precision(AUTO, Devices("bfloat16", "bfloat16"), str(tmp_path))
    assert found == AUTO.replace(precision="bfloat16")
    assert capsys.readouterr().out == "computes in bfloat16 (train.precision=auto): the device says so\n"


def test_processes_with_different_devices_compute_in_float32(capsys, tmp_path):
    found = with_precision(AUTO, Devices("bfloat16", "float16", "bfloat16"), str(tmp_path))
    assert found.precision == "float32"
    assert "the devices of the processes differ" in capsys.readouterr().out


def test_a_fixed_precision_stays(capsys, tmp_path):
    fixed = AUTO.replace(precision="float32")
    assert with_precision(fixed, Devices("bfloat16"), str(tmp_path)) is fixed
    assert capsys.readouterr().out == ""


def test_a_run_keeps_the_precision_that_it_began_with(capsys, tmp_path):
    run = write_run(tmp_path / "run", "pretraining")
    config = json.loads((run / "config.json").read_text())
    for begun in ("float32", "float16"):
        config["experiment"]["train"]["precision"] = begun
        (run / "config.json").write_text(json.dumps(config))
        assert with_precision(AUTO, Devices("bfloat16"), str(run)).precision == begun
        assert f"computes in {begun} (train.precision=auto): the run began with it" in capsys.readouterr().out
    for damaged in ("[]", "{", json.dumps(config | {"experiment": {"train": {"precision": "auto"}}})):
        (run / "config.json").write_text(damaged)
        assert with_precision(AUTO, Devices("bfloat16"), str(run)).precision == "bfloat16"


def test_a_run_is_described_with_the_precision_that_was_chosen(monkeypatch, tmp_path):
    tokenizer = WordPieceTokenizer(str(write_vocab(tmp_path / "vocab.txt")))
    model = SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1)
    task = ClassificationConfig(max_seq_length=8)
    config = FinetuningConfig(model=model, task=task, train=AUTO, evals_per_epoch=0)
    run = tmp_path / "run"

    def train(*flags):
        monkeypatch.setattr(native_precision, "cpu_flags", lambda: frozenset(flags))
        return finetune(config, TEXTS, None, run_dir=str(run), engine=TensorFlowEngine(), tokenizer=tokenizer)

    first = train("avx512_bf16")
    assert json.loads((run / "config.json").read_text())["experiment"]["train"]["precision"] == "bfloat16"
    # On another processor, the run goes on as it began. It has made its one step.
    assert train("avx2") == first
    assert json.loads((run / "config.json").read_text())["experiment"]["train"]["precision"] == "bfloat16"


def test_a_choice_that_was_not_made_has_no_policy():
    with pytest.raises(ConfigError, match=r"`precision` must be one of float32, bfloat16, float16\. Received: 'auto'"):
        _ = AUTO.dtype_policy
    assert AUTO.with_precision("bfloat16").dtype_policy == "mixed_bfloat16"
