"""Students that learn from a teacher, from its folder to the run that they leave."""

import json
import os
import shutil

import numpy as np
import pytest
from small_model import LABELS, TAGS, TASK_CONFIGS, write_run

from bert_tf.configs import FinetuningConfig, TrainConfig
from bert_tf.configs.distillation import DistillConfig
from bert_tf.conversion.loading import read_pretrained
from bert_tf.examples import Examples, QuestionExample, RetrievalExample, TaggedExample, TextExample
from bert_tf.runs import checkpoints
from bert_tf.runs import folder as run_folder
from bert_tf.runs.checkpoint_writer import CheckpointWriter
from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.tokenization.vocab_files import vocab_hash
from bert_tf.training import distillation, teacher_outputs
from bert_tf.training.finetuning import finetune
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine

TRAIN = TrainConfig(
    num_steps=1,
    warmup_steps=0,
    batch_size=4,
    eval_batch_size=4,
    steps_per_loop=1,
    log_every=0,
    precision="float32",
    jit_compile=False,
)
WORDS = ["the miller saw", "a boat on the river", "the sailor saw the old lantern", "a road"]
TEXTS = Examples([TextExample(text, label=LABELS[number % 3]) for number, text in enumerate(WORDS * 2)], "texts.tsv")
LAYERS = {"hidden_weight": 1.0, "relation_weight": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("distillation")


@pytest.fixture(scope="module")
def teacher(folder):
    """A teacher of 4 layers, whose labels are in another order than the student's, which are sorted."""
    path = write_run(folder / "teacher", "classification", num_layers=4, hidden_size=24, num_heads=2)
    description = json.loads((path / "config.json").read_text())
    description["labels"] = ["river", "miller", "sailor"]
    (path / "config.json").write_text(json.dumps(description))
    return str(path)


def _student(teacher, run, task="classification", examples=TEXTS, train=TRAIN, model=None, **options):
    config = FinetuningConfig(
        task=TASK_CONFIGS[task].replace(
            encoder_dropout_rate=0.0, **({"dropout_rate": 0.0} if task != "question_answering" else {})
        ),
        train=train,
        evals_per_epoch=0,
        distill=DistillConfig(teacher=teacher, **options),
    )
    config = config.replace(model=config.model.with_name("bert_tiny") if model is None else model)
    return finetune(config, examples, None, run_dir=str(run), engine=TensorFlowEngine())


SMALL_STUDENT = FinetuningConfig().model.replace(hidden_size=16, num_layers=2, num_heads=4, intermediate_size=32)


def test_a_student_that_starts_as_its_teacher_has_no_loss(eagerly, folder, teacher):
    results = _student(teacher, folder / "same" / "run", init_layers=(1, 2, 3, 4), logit_weight=1.0, **LAYERS)
    # The labels' head is not the teacher's, because the labels have another order.
    assert results["hidden_loss"] < 1e-10
    assert results["relation_loss"] < 1e-8 < results["distillation_loss"]
    ordered = str(folder / "ordered")
    shutil.copytree(teacher, ordered)
    description = json.loads((folder / "ordered" / "config.json").read_text())
    (folder / "ordered" / "config.json").write_text(json.dumps(description | {"labels": sorted(LABELS)}))
    results = _student(ordered, folder / "same" / "again", init_layers=(1, 2, 3, 4), label_weight=0.0, **LAYERS)
    assert abs(results["distillation_loss"]) < 1e-8
    assert results["gradient_norm"] < 1e-4
    assert results["classification_loss"] > 0.1, "it is reported without being learnt"


def test_outputs_are_computed_once_for_all_seeds(eagerly, folder, teacher, monkeypatch):
    first = _student(teacher, folder / "seeds" / "seed-0", model=SMALL_STUDENT)
    (kept,) = os.listdir(folder / "seeds" / "teacher_outputs")
    found = np.load(folder / "seeds" / "teacher_outputs" / kept)["teacher_outputs"]
    model, _, tokenizer = run_folder.load_run(teacher)
    assert found.shape == (8, 3)
    ids = [tokenizer.cls_id, *tokenizer.encode("a road"), tokenizer.sep_id]
    expected = np.asarray(model({"input_ids": np.array([ids])}))
    np.testing.assert_allclose(found[3], expected[0, [1, 0, 2]], rtol=1e-5)  # in the order of the student's labels

    def computed(*_, **__):
        raise AssertionError("the outputs were computed again")

    with monkeypatch.context() as patched:
        patched.setattr(teacher_outputs, "_compute", computed)
        second = _student(teacher, folder / "seeds" / "seed-1", train=TRAIN.replace(seed=1), model=SMALL_STUDENT)
        with pytest.raises(AssertionError, match="computed again"):
            _student(
                teacher, folder / "seeds" / "other", examples=Examples(TEXTS.examples[:6], "x"), model=SMALL_STUDENT
            )
    assert second["distillation_loss"] != first["distillation_loss"] > 0
    path = folder / "seeds" / "teacher_outputs" / kept
    path.write_bytes(path.read_bytes()[:100])  # as no writer of this project leaves it
    _student(teacher, folder / "seeds" / "seed-2", train=TRAIN.replace(seed=2), model=SMALL_STUDENT)
    np.testing.assert_array_equal(np.load(path)["teacher_outputs"], found)


def test_a_stopped_run_goes_on_exactly_and_keeps_no_teacher(eagerly, folder, teacher, monkeypatch):
    train = TRAIN.replace(num_steps=4, learning_rate=1e-2, checkpoint_every=2)
    whole = _student(teacher, folder / "whole", train=train, model=SMALL_STUDENT, **LAYERS)
    save = CheckpointWriter.save

    def stop_after(self, step, *arguments):
        save(self, step, *arguments)
        if step == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointWriter, "save", stop_after)
        with pytest.raises(KeyboardInterrupt):
            _student(teacher, folder / "stopped", train=train, model=SMALL_STUDENT, **LAYERS)
    results = _student(teacher, folder / "stopped", train=train, model=SMALL_STUDENT, **LAYERS)
    assert results["hidden_loss"] == whole["hidden_loss"]
    tensors, again = (
        checkpoints.read_tensors(checkpoints.newest_checkpoint(str(folder / run))) for run in ("whole", "stopped")
    )
    assert tensors.keys() == again.keys()
    assert not any("teacher" in name for name in tensors)
    assert all(np.array_equal(tensors[name], again[name]) for name in tensors)
    assert tensors["distillation:layers"].shape == (16, 24)
    model, description, _ = run_folder.load_run(str(folder / "stopped"))
    assert model.config.num_layers == 2
    assert description.data["teacher"] == teacher
    assert not any(":" in name for name in read_pretrained(str(folder / "stopped")).weights)


def _examples(task):
    if task == "tagging":
        return Examples(
            [TaggedExample.from_words(text.split(), [TAGS[n % 4] for n in range(len(text.split()))]) for text in WORDS],
            "x",
        )
    if task == "question_answering":
        return Examples(
            [QuestionExample("the miller", text, str(n), ((text[:3], 0),)) for n, text in enumerate(WORDS)], "x"
        )
    labels = [(LABELS[n % 3],) if task == "multi_label" else float(n) for n in range(4)]
    return Examples([TextExample(text, label=label) for text, label in zip(WORDS, labels, strict=True)], "x")


@pytest.mark.parametrize(
    "task",
    [
        "tagging",
        *(pytest.param(kind, marks=pytest.mark.long) for kind in ("question_answering", "multi_label", "regression")),
    ],
)
def test_every_task_with_classes_or_numbers(eagerly, folder, task):
    own = str(write_run(folder / f"{task}_teacher", task))
    results = _student(own, folder / f"{task}_runs" / "same", task, _examples(task), init_layers=(1,))
    # Tagging's labels are listed in another order than those that occur.
    assert (results["distillation_loss"] < 1e-8) == (task != "tagging")
    other = _student(own, folder / f"{task}_runs" / "other", task, _examples(task), model=SMALL_STUDENT)
    assert other["distillation_loss"] > 1e-4
    assert other["gradient_norm"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_weight": 1.0, "hidden_layers": (0, 2, 5)}, r"`distill\.hidden_layers` must be 3 numbers from 0 to 4"),
        ({"hidden_weight": 1.0, "hidden_layers": (0, 2)}, r"must be 3 numbers from 0 to 4.*Received: 0, 2$"),
        ({"relation_weight": 1.0, "relation_layer": 5}, r"`distill\.relation_layer` must be at most the teacher's 4"),
        ({"relation_weight": 1.0, "relation_heads": 3}, r"`distill\.relation_heads`.*Received: 3 for 16 and 24"),
        ({"init_layers": (1, 5)}, r"`distill\.init_layers` must be numbers from 1 to 4.*Received: 1, 5"),
        ({"teacher": None, "logit_temperature": 3.0}, r"`distill\.teacher` must be given with the other settings"),
        ({"teacher": "no/such"}, r"`distill\.teacher`: no such folder"),
    ],
)
def test_settings_that_do_not_suit_the_teacher(tmp_path, teacher, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        _student(**({"teacher": teacher, "run": tmp_path / "run", "model": SMALL_STUDENT} | options))
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "teacher_outputs").exists()


def test_teachers_that_cannot_teach(tmp_path, folder, teacher):
    others = Examples([TextExample("a road", label="road"), TextExample("a boat", label="boat")], "x")
    with pytest.raises(ValueError, match=r"`distill\.teacher` must have the labels of the examples, boat, road\. Rec"):
        _student(teacher, tmp_path / "run", examples=others, model=SMALL_STUDENT)
    tagger = str(write_run(folder / "tagger", "tagging"))
    with pytest.raises(
        ValueError, match=r"must be a model for classification, .*Received: '.*tagger', for tagging, without"
    ):
        _student(tagger, tmp_path / "run", model=SMALL_STUDENT)
    vocab = folder / "teacher" / "vocab.txt"
    shutil.copytree(teacher, tmp_path / "other")
    lines = vocab.read_text().splitlines()
    lines[6], lines[7] = lines[7], lines[6]
    (tmp_path / "other" / "vocab.txt").write_text("".join(f"{line}\n" for line in lines))
    description = json.loads((tmp_path / "other" / "config.json").read_text())
    description["vocab_hash"] = vocab_hash(lines, TokenizerOptions())
    (tmp_path / "other" / "config.json").write_text(json.dumps(description))
    config = FinetuningConfig(
        task=TASK_CONFIGS["classification"], train=TRAIN, distill=DistillConfig(teacher=str(tmp_path / "other"))
    )
    arguments = {"run_dir": str(tmp_path / "run"), "engine": TensorFlowEngine()}
    with pytest.raises(
        ValueError, match=r"`distill\.teacher` must have the vocabulary and casing of the student.*line 7"
    ):
        finetune(config, TEXTS, None, init_checkpoint=teacher, **arguments)
    layers = config.replace(distill=DistillConfig(teacher=teacher, init_layers=(1,)))
    with pytest.raises(ValueError, match=r"`distill\.init_layers` must be empty with `init_checkpoint`"):
        finetune(layers, TEXTS, None, init_checkpoint=teacher, **arguments)
    retrieval = config.replace(task=TASK_CONFIGS["retrieval"], distill=DistillConfig(teacher=teacher))
    pairs = Examples([RetrievalExample("a road", "a boat"), RetrievalExample("a boat", "a road")], "x")
    with pytest.raises(ValueError, match="must be a model for retrieval"):
        finetune(retrieval, pairs, None, **arguments)
    assert not (tmp_path / "run").exists()


def test_layers_are_spread_evenly():
    assert distillation.mapped_layers((), 4, 12) == (0, 3, 6, 9, 12)
    assert distillation.mapped_layers((0, 2, 4), 2, 6) == (0, 2, 4)
