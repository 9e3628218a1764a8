"""The trainings as functions: they give what the launchers give, and can be called again."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from launch_many import launch_many
from small_corpus import write_corpus
from small_model import write_run, write_vocab

import bert_tf
from bert_tf.configs import FinetuningConfig, TrainConfig
from bert_tf.configs.tasks import ClassificationConfig
from bert_tf.models.weights import named_weights
from bert_tf.runs import checkpoints
from bert_tf.runs import folder as run_folder
from bert_tf.runs.checkpoint_writer import CheckpointWriter
from bert_tf.runs.metrics_log import MetricsLog
from bert_tf.training.throughput import TIMING_METRICS

LABELS = ("land", "river", "road")
TEXTS = [f"the {label} near boat {number}" for number in range(8) for label in LABELS]
CLASSES = [label for _ in range(8) for label in LABELS]
COLUMNS = (TEXTS, CLASSES)
SETTINGS = {
    "split": "70/30",
    "max_seq_length": 16,
    "batch_size": 8,
    "epochs": 2,
    "learning_rate": 1e-2,
    "eval_batch_size": 8,
    "precision": "float32",
    "set": {"train.jit_compile": False, "train.steps_per_loop": 2},
    "strategy": "one_device",
    "patience": 5,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("python")
    write_run(folder / "run", "pretraining")
    rows = zip(TEXTS, CLASSES, strict=True)
    (folder / "all.tsv").write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    return folder


def finetune(folder, output, data=COLUMNS, evaluation=None, task="classification", **changes):
    arguments = {"output_dir": folder / output, "init_checkpoint": folder / "run", **SETTINGS, **changes}
    return bert_tf.finetune(task, data, evaluation, **arguments)


@pytest.fixture(scope="module")
def finetuned(folder):
    return finetune(folder, "memory")


def weights(run_dir):
    return {name: weight.numpy() for name, weight in named_weights(run_folder.load_run(str(run_dir))[0]).items()}


def reports(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMING_METRICS} for line in lines]


def check_equal(folder, one, other):
    first, second = weights(folder / one), weights(folder / other)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert reports(folder / one) == reports(folder / other)


def test_the_result_tells_what_the_run_did(folder, finetuned):
    assert finetuned.run_dir == str(folder / "memory")
    assert finetuned.scores == json.loads((folder / "memory" / "scores.json").read_text())
    assert f"'{folder / 'memory'}': best_step" in repr(finetuned)
    assert f"accuracy {finetuned.scores['accuracy']:.4g}" in repr(finetuned)
    result = dataclasses.replace(finetuned, run_dir="run", scores={"masked_lm_loss": 1.5, "next_sentence_loss": np.nan})
    assert repr(result) == "<TrainingResult in 'run': masked_lm_loss 1.5>"
    evaluations = [report for report in finetuned.history if report["kind"] == "eval"]
    assert [report["step"] for report in evaluations] == [3, 6]
    assert finetuned.scores["accuracy"] == max(report["accuracy"] for report in evaluations)
    assert finetuned.history[-2]["kind"] == "train"
    assert list(finetuned.runs) == [finetuned]
    assert json.loads((folder / "memory" / "config.json").read_text())["experiment"]["patience"] == 5
    [answer] = finetuned.predictor().classify(["the river"])
    assert answer["probabilities"].keys() == set(LABELS)


def test_memory_and_file_give_the_same_bits(folder, finetuned):
    assert finetune(folder, "file", folder / "all.tsv").scores == finetuned.scores
    check_equal(folder, "memory", "file")


@pytest.mark.long
def test_the_function_and_the_launcher_give_the_same_bits(folder, finetuned, monkeypatch):
    command = [
        "experiments.finetune",
        "--config=classification",
        "--train_file=all.tsv",
        "--split=70/30",
        "--init_checkpoint=run",
        "--model_dir=launched",
        "--strategy=one_device",
        *(
            f"--set=train.{name}"
            for name in ("jit_compile=false", "precision=float32", "steps_per_loop=2", "eval_batch_size=8")
        ),
        *(f"--set={name}" for name in ("task.max_seq_length=16", "num_epochs=2", "patience=5")),
        *(f"--set=train.{name}" for name in ("batch_size=8", "learning_rate=1e-2")),
    ]
    [result] = launch_many([command], folder)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout[result.stdout.index("{") :]) == finetuned.scores
    check_equal(folder, "memory", "launched")
    # The function continues, or here returns, what the launcher made of the same file.
    (folder / "launched" / "scores.json").unlink()
    monkeypatch.chdir(folder)
    assert finetune(folder, "launched", "all.tsv", init_checkpoint="run").scores == finetuned.scores


def test_a_call_that_was_interrupted_is_continued_to_the_same_bits(folder, finetuned, monkeypatch):
    save = CheckpointWriter.save

    def stop_after(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointWriter, "save", stop_after)
        with pytest.raises(KeyboardInterrupt):
            finetune(folder, "stopped", checkpoint_every=2)
    assert checkpoints.newest_checkpoint(str(folder / "stopped")).step == 2
    assert finetune(folder, "stopped", checkpoint_every=2).scores == finetuned.scores
    check_equal(folder, "memory", "stopped")


def test_a_second_call_returns_the_finished_result(folder, finetuned, monkeypatch):
    before = reports(folder / "memory")
    # The data may come in another form; and nothing is trained.
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, CLASSES, strict=True)]
    monkeypatch.setattr("bert_tf.training.loop._Run.make_steps", None)
    assert finetune(folder, "memory", rows).scores == finetuned.scores
    assert reports(folder / "memory") == before


def test_changed_data_and_settings_are_refused(folder, finetuned):
    with pytest.raises(ValueError, match=r"`output_dir` holds a run on other examples.*eval \(data in memory\)"):
        finetune(folder, "memory", (TEXTS, CLASSES[::-1]))
    with pytest.raises(ValueError, match=r"`output_dir` holds another experiment: .*learning_rate was 0.01, now 0.02"):
        finetune(folder, "memory", learning_rate=2e-2)


def test_seeds_and_grids(folder, monkeypatch):
    def score(config, *, run_dir, **_):
        accuracy = config.train.learning_rate * 10 + config.train.seed / 100
        MetricsLog(run_dir, 0).write("eval", 1, {"accuracy": accuracy})
        return {"accuracy": accuracy}

    monkeypatch.setattr("bert_tf.training.finetuning.finetune", score)
    result = finetune(
        folder, "sweep", seeds=range(2), grid={"learning_rate": np.array([1e-2, 2e-2])}, learning_rate=None
    )
    runs = [(run.settings, run.seed, round(run.scores["accuracy"], 9)) for run in result.runs]
    assert runs == [
        ({"train.learning_rate": 1e-2}, 0, 0.1),
        ({"train.learning_rate": 1e-2}, 1, 0.11),
        ({"train.learning_rate": 2e-2}, 0, 0.2),
        ({"train.learning_rate": 2e-2}, 1, 0.21),
    ]
    assert json.loads((folder / "sweep" / "summary.json").read_text()) == result.summary
    assert [point["settings"]["train.learning_rate"] for point in result.points] == [2e-2, 1e-2]
    assert result.scores["accuracy"] == pytest.approx(0.205)
    assert result.deviation["accuracy"] == pytest.approx(np.std([0.2, 0.21], ddof=1))
    assert result.best == result.runs[3]
    assert result.run_dir == str(folder / "sweep" / "learning_rate=0.02" / "seed-1")
    assert result.history == [{"kind": "eval", "step": 1, "accuracy": pytest.approx(0.21)}]
    assert repr(result).endswith("4 runs, best accuracy 0.205 ± 0.0071, train.learning_rate=0.02>")


def test_a_configuration_may_be_given_in_place_of_a_name(folder, monkeypatch):
    seen = []
    monkeypatch.setattr("experiments.python.finetune.start_engine", lambda trains, **_: seen.append(trains[0]) or 1 / 0)
    task = ClassificationConfig(max_seq_length=12)
    experiment = FinetuningConfig(task=task, train=TrainConfig(learning_rate=0.5))
    for given, rate in ((task, 3e-5), (experiment, 0.5), ("tagging", 5e-5), ("mrpc", None)):
        data = ([["a"]], [["O"]]) if given == "tagging" else ((["a"], ["b"]), ["c"])
        with pytest.raises(ZeroDivisionError):
            finetune(folder, "never", data, task=given, learning_rate=rate)
    assert [train.learning_rate for train in seen[:3]] == [3e-5, 0.5, 5e-5]
    assert not (folder / "never").exists()


WRONG = {
    "no such task": (
        {"task": "clasification"},
        "`task` must be a task, .*: classification.* Received: 'clasification'",
    ),
    "a number for a task": ({"task": 3}, "`task` must be a name, a file or a configuration. Received: 3"),
    "no examples": ({"data": None}, "`train` must be a file or examples. Received: None"),
    "no such file": ({"data": "absent.tsv"}, "`train` must be a file that exists. Received: 'absent.tsv'"),
    "no such evaluation": (
        {"evaluation": "absent.tsv", "split": None},
        "`evaluation` must be a file that exists. Received: 'absent.tsv'",
    ),
    "evaluation and split": ({"evaluation": COLUMNS}, "`split` splits `train`, so no other file may be given"),
    "a missing text": ({"data": (["a", None], ["x", "y"])}, r"train\[1\], column 'text': must be a text.*None"),
    "fewer labels": (
        {"evaluation": (TEXTS, CLASSES[1:])},
        "`evaluation` must have columns of equal length. Received: 24 texts, 23 labels",
    ),
    "labels that are no class": ({"labels": ("a", "b")}, r"train\[\d+\], column 'label'.*\(a, b\).*'land'|'land'"),
    "one label": ({"data": (TEXTS, ["x"] * 24)}, "at least two"),
    "no weights": ({"init_checkpoint": None}, "one of `init_checkpoint` .* and `tokenizer` .* Received: neither"),
    "no checkpoint": ({"init_checkpoint": "absent"}, "`init_checkpoint`: no such folder"),
    "unknown setting": ({"learning_rte": 1}, "unknown field `learning_rte`; did you mean train.learning_rate"),
    "unknown dotted setting": (
        {"set": {"train.batch": 1}},
        "unknown field `train.batch`; did you mean train.batch_size",
    ),
    "a setting twice": ({"set": {"train.batch_size": 4}}, "`train.batch_size` must be given once. Received: 8 and 4"),
    "a text for a number": ({"batch_size": "8"}, "`batch_size` must be of type int. Received: '8'"),
    "unknown field of a grid": ({"grid": {"rate": [1]}}, "unknown field `rate`"),
    "a grid without lists": ({"grid": {"batch_size": "8"}}, "`grid` must have a list of values"),
    "seeds of words": ({"seeds": ["one"]}, "`seeds` takes whole numbers.*'one'"),
    "seed and seeds": ({"seed": 1, "seeds": [2]}, r"one of `seed` and `seeds` must be given. Received: 1 and \[2\]"),
    "no such strategy": ({"strategy": "some"}, "`strategy` must be one of auto.*Received: 'some'"),
    "a file for a folder": ({"output_dir": "all.tsv"}, "`output_dir` must be a folder that can be written to"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_arguments_are_named(folder, case, monkeypatch):
    changes, message = WRONG[case]
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    with pytest.raises((ValueError, OSError), match=message):
        finetune(folder, "bad", **changes)
    assert sorted(folder.iterdir()) == before


def test_a_plot_without_matplotlib_names_the_extra(finetuned, monkeypatch):
    monkeypatch.delitem(sys.modules, "experiments.python.plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"`plot` needs matplotlib: pip install 'bert_tf\[plot\]'"):
        finetuned.plot()


def test_plots(finetuned):
    pytest.importorskip("matplotlib")
    from experiments.python.plots import plot_histories

    figure = finetuned.plot()
    titles = [axis.get_title() for axis in figure.axes]
    assert {"classification_loss", "accuracy"} <= set(titles)
    lines = {line.get_label(): line for line in figure.axes[titles.index("accuracy")].get_lines()}
    assert list(lines["evaluation"].get_xdata()) == [3, 6]
    assert figure._repr_png_().startswith(b"\x89PNG")  # what a notebook shows
    with pytest.raises(ValueError, match=r"`metrics` must be some of .*accuracy.*Received: 'f0'"):
        finetuned.plot("f0")
    histories = {"seed 0": finetuned.history, "seed 1": finetuned.history}
    lines = plot_histories(histories, ["classification_loss"]).axes[0].get_lines()
    assert {line.get_label() for line in lines} >= {"seed 0, evaluation", "seed 1, evaluation"}


@pytest.fixture(scope="module")
def records(folder):
    from bert_tf.tokenization.wordpiece import WordPieceTokenizer
    from data_pipelines.corpora.readers import read_documents
    from data_pipelines.create_pretraining_data import create_pretraining_data
    from data_pipelines.records.manifest import PreparationConfig

    write_corpus(folder / "corpus.txt", 20)
    create_pretraining_data(
        read_documents(str(folder / "corpus.txt")),
        WordPieceTokenizer(str(write_vocab(folder / "vocab.txt"))),
        str(folder / "records"),
        config=PreparationConfig(max_seq_length=24),
        holdout=0.2,
    )
    return folder / "records"


def pretrain(records, output, **changes):
    from small_model import SMALL

    vocab_size = len((records / "vocab.txt").read_text().splitlines())
    arguments = {
        "steps": 2,
        "batch_size": 4,
        "warmup_steps": 1,
        "set": {"train.jit_compile": False, "model": SMALL.replace(vocab_size=vocab_size, num_layers=1)},
        "strategy": "one_device",
    }
    data = changes.pop("train", records)
    return bert_tf.pretrain(
        "bert_tiny_debug", data, records / "heldout", output_dir=records.parent / output, **(arguments | changes)
    )


def test_pretraining_on_an_open_folder_and_on_a_path(records, monkeypatch):
    from data_pipelines.input.record_folder import RecordFolder

    first = pretrain(records, "pretrained", train=RecordFolder(str(records)))
    assert first.scores["masked_lm_loss"] == first.history[-1]["masked_lm_loss"] > 0
    assert first.predictor().fill_mask(["the [MASK]"])
    monkeypatch.setattr("bert_tf.training.loop._Run.make_steps", None)  # the second call trains nothing
    assert pretrain(records, "pretrained").scores == first.scores
    with pytest.raises(FileNotFoundError, match=r"`train` must hold manifest.json.*Received: 'absent'"):
        pretrain(records, "bad", train="absent")
    with pytest.raises(ValueError, match=r"unknown field `mask_rate`; did you mean masking.masked_lm_rate"):
        pretrain(records, "bad", mask_rate=0.2)
    with pytest.raises(
        FileNotFoundError, match="`experiment` must be an experiment's name or file; there are: bert_base"
    ):
        bert_tf.pretrain("bert_bas", records, output_dir=records.parent / "bad")


def test_another_backend_of_keras_is_refused(folder, monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    with pytest.raises(ValueError, match=r"KERAS_BACKEND=jax before Keras is imported. Received: .*=torch"):
        finetune(folder, "bad")
