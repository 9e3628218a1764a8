"""Pre-training and fine-tuning on real records and files, in this process, at debug size."""

import json

import numpy as np
import pytest
from small_corpus import write_corpus
from small_model import SMALL, write_vocab

from bert_tf.configs import ClassificationConfig, FinetuningConfig, MixtureConfig, PretrainingConfig, TrainConfig
from bert_tf.configs.distillation import DistillConfig
from bert_tf.models.flops import encoder_step_flops
from bert_tf.models.weights import named_weights
from bert_tf.runs import checkpoints
from bert_tf.runs import folder as run_folder
from bert_tf.runs.checkpoint_writer import CheckpointWriter
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.training.finetuning import finetune
from bert_tf.training.pretraining import pretrain
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine
from bert_tf.training.throughput import TIMING_METRICS
from data_pipelines.corpora.readers import read_documents
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.finetuning.labelled import read_examples
from data_pipelines.input.record_folder import RecordFolder
from data_pipelines.records.manifest import PreparationConfig
from experiments.evaluation import evaluate

TRAIN = TrainConfig(
    num_steps=4,
    batch_size=4,
    learning_rate=1e-2,
    warmup_steps=1,
    steps_per_loop=2,
    checkpoint_every=2,
    eval_every=4,
    log_every=2,
    eval_batch_size=8,
    precision="float32",
    jit_compile=False,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    write_corpus(folder / "corpus.txt", 40)
    create_pretraining_data(
        read_documents(str(folder / "corpus.txt")),
        WordPieceTokenizer(str(write_vocab(folder / "vocab.txt"))),
        str(folder / "records"),
        config=PreparationConfig(max_seq_length=24),
        holdout=0.2,
    )
    rows = "".join(f"{place} the boat number {number}\t{place}\n" for number in range(8) for place in ("river", "road"))
    (folder / "train.tsv").write_text("text\tlabel\n" + rows)
    return folder


@pytest.fixture(scope="module")
def config(folder):
    vocab_size = WordPieceTokenizer(str(folder / "vocab.txt")).vocab_size
    model = SMALL.replace(vocab_size=vocab_size, num_layers=1, dropout_rate=0.1, output_bias_from_unigram=True)
    return PretrainingConfig(model=model, train=TRAIN)


def _pretrain(folder, config, run, **arguments):
    train_records = RecordFolder(str(folder / "records"))
    eval_records = RecordFolder(str(folder / "records" / "heldout"), tokenizer=train_records.tokenizer)
    return pretrain(
        config, train_records, eval_records, run_dir=str(folder / run), engine=TensorFlowEngine(), **arguments
    )


@pytest.fixture(scope="module")
def pretrained(folder, config):
    return folder / "run", _pretrain(folder, config, "run")


def _tensors(run):
    import tensorflow as tf

    reader = tf.train.load_checkpoint(checkpoints.newest_checkpoint(str(run)).bundle)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _lines(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMING_METRICS} for line in lines]


def test_a_run_stopped_at_a_checkpoint_ends_as_one_that_was_not(folder, config, pretrained, monkeypatch):
    run, metrics = pretrained
    save = CheckpointWriter.save

    def stop_after(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointWriter, "save", stop_after)
        with pytest.raises(KeyboardInterrupt):
            _pretrain(folder, config, "stopped")
    assert checkpoints.newest_checkpoint(str(folder / "stopped")).step == 2
    assert _pretrain(folder, config, "stopped") == metrics
    whole, resumed = _tensors(run), _tensors(folder / "stopped")
    assert set(whole) == set(resumed)
    for name, tensor in whole.items():
        assert np.array_equal(tensor, resumed[name]), name
    assert _lines(folder / "stopped") == _lines(run)


def test_metrics_on_held_out_documents(pretrained):
    _, metrics = pretrained
    assert set(metrics) == {
        "masked_lm_loss",
        "next_sentence_loss",
        "masked_lm_accuracy",
        "next_sentence_accuracy",
        "next_sentence_random",
        "unigram_entropy",
    }
    assert all(np.isfinite(value) for value in metrics.values())
    # The output bias starts at the unigram distribution: the loss starts near its entropy, not near log V.
    assert metrics["masked_lm_loss"] < metrics["unigram_entropy"] + 0.5


def test_evaluate_gives_the_metrics_of_the_run(folder, pretrained):
    run, metrics = pretrained
    again = evaluate(str(run), str(folder / "records" / "heldout"), batch_size=TRAIN.eval_batch_size)
    assert again == {name: pytest.approx(metrics[name], rel=1e-5) for name in again}
    assert "masked_lm_loss" in again


@pytest.mark.long  # a run of its own
def test_a_mixture_of_kinds_of_rows_is_trained_and_evaluated(folder, config, pretrained):
    kinds = MixtureConfig(left_to_right=1.0, seq2seq=1.0)
    mixed = config.replace(mixture=kinds, eval_mixture=MixtureConfig(bidirectional=0.0, left_to_right=1.0))
    metrics = _pretrain(folder, mixed, "mixed")
    assert np.isfinite(metrics["masked_lm_loss"])
    assert abs(metrics["masked_lm_loss"] - pretrained[1]["masked_lm_loss"]) > 1e-4
    again = evaluate(str(folder / "mixed"), str(folder / "records" / "heldout"), batch_size=TRAIN.eval_batch_size)
    assert again["masked_lm_loss"] == pytest.approx(metrics["masked_lm_loss"], rel=1e-5)
    with pytest.raises(ValueError, match=r"`run_dir` holds another experiment: .*mixture"):
        _pretrain(folder, config, "mixed")


@pytest.mark.long
def test_pretraining_starts_from_another_runs_weights(folder, config, pretrained):
    still = config.replace(train=TRAIN.replace(num_steps=1, learning_rate=0.0, checkpoint_every=0, seed=9))
    _pretrain(folder, still, "second", init_checkpoint=str(pretrained[0]))
    first, second = _tensors(pretrained[0]), _tensors(folder / "second")
    for name in [name for name in first if ":" not in name and name != "step"]:
        assert np.array_equal(first[name], second[name]), name
    assert second["step"] == 1


def test_a_student_that_starts_as_its_teacher_is_pretrained_without_loss(folder, config, pretrained):
    distill = DistillConfig(
        teacher=str(pretrained[0]), label_weight=0.0, hidden_weight=1.0, relation_weight=1.0, init_layers=(1,)
    )
    model = config.model.replace(dropout_rate=0.0)
    train = TRAIN.replace(num_steps=1, checkpoint_every=0, log_every=0)
    same = _pretrain(folder, config.replace(model=model, train=train, distill=distill), "same")
    (line, _) = _lines(folder / "same")
    assert max(abs(line[name]) for name in ("distillation_loss", "hidden_loss", "relation_loss")) < 1e-6
    assert line["gradient_norm"] < 1e-4 < line["masked_lm_loss"]
    assert set(same) == set(pretrained[1]), "evaluations are those of the student alone"
    assert set(named_weights(run_folder.load_run(str(folder / "same"))[0])) <= set(_tensors(folder / "same"))
    small = model.replace(hidden_size=8, num_heads=2)
    with pytest.raises(
        ValueError, match=r"`distill\.init_layers` must give a model of the same size.*is 16 there and 8"
    ):
        _pretrain(folder, config.replace(model=small, train=train, distill=distill), "free")
    larger = model.replace(vocab_size=model.vocab_size + 1)
    with pytest.raises(ValueError, match=r"`model\.vocab_size` must be the teacher's"):
        _pretrain(folder, config.replace(model=larger, train=train, distill=distill.replace(init_layers=())), "free")


def test_the_wrong_start_leaves_the_folder_free(folder, config, pretrained):
    small = config.replace(train=TRAIN.replace(num_steps=1), model=config.model.replace(intermediate_size=48))
    with pytest.raises(ValueError, match=r"`model\.intermediate_size` is 32 there and 48 here"):
        _pretrain(folder, small, "free", init_checkpoint=str(pretrained[0]))
    heads = small.replace(model=config.model.replace(num_heads=2))
    with pytest.raises(ValueError, match=r"`model\.num_heads` is 4 there and 2 here"):
        _pretrain(folder, heads, "free", init_checkpoint=str(pretrained[0]))
    assert not (folder / "free").exists()


def test_finetuning_takes_the_encoder_alone(folder, pretrained):
    task = ClassificationConfig(max_seq_length=24, encoder_dropout_rate=0.3)
    still = TRAIN.replace(num_steps=1, learning_rate=0.0, checkpoint_every=0, peak_tflops=2.0)
    labelled = read_examples(str(folder / "train.tsv"), task)
    run = str(folder / "classifier")
    config = FinetuningConfig(task=task, train=still)
    engine = TensorFlowEngine()
    metrics = finetune(config, labelled, labelled, run_dir=run, engine=engine, init_checkpoint=str(pretrained[0]))
    assert set(metrics) >= {"classification_loss", "accuracy", "f1", "macro_f1", "matthews", "confusion_matrix"}
    model, description, _ = run_folder.load_run(run)
    assert description.labels == ("river", "road")
    assert (description.model.dropout_rate, description.model.attention_dropout_rate) == (0.3, 0.3)
    assert description.model.hidden_size == SMALL.hidden_size
    first = _tensors(pretrained[0])
    for name, weight in named_weights(model).items():
        if name.startswith("encoder/"):
            assert np.array_equal(weight.numpy(), first[name]), name
    kernel = model.classification.dense.kernel.numpy()
    assert 0 < np.abs(kernel).max() <= 0.04
    again = evaluate(run, str(folder / "train.tsv"), batch_size=5)
    assert metrics.pop("best_step") == 1
    assert again.pop("confusion_matrix") == metrics.pop("confusion_matrix")
    assert again == pytest.approx(metrics, rel=1e-5)
    line = json.loads((folder / "classifier" / "metrics.jsonl").read_text().splitlines()[0])
    flops = encoder_step_flops(description.model, still.batch_size, int(line["row_length"]))
    assert line["peak_flops_share"] == pytest.approx(line["steps_per_second"] * flops / 2e12)


@pytest.mark.long
def test_finetuning_learns(folder, pretrained):
    task = ClassificationConfig(max_seq_length=24)
    labelled = read_examples(str(folder / "train.tsv"), task)
    # After 60 steps two seeds of six had learnt nothing yet, after 300 all of eight had.
    config = FinetuningConfig(task=task, train=TRAIN.replace(num_steps=300, checkpoint_every=0, eval_every=0))
    run = str(folder / "learnt")
    metrics = finetune(
        config, labelled, labelled, run_dir=run, engine=TensorFlowEngine(), init_checkpoint=str(pretrained[0])
    )
    assert metrics["accuracy"] > 0.9
