"""Several processes on the loopback interface train as one does, through both engines: the launcher, with TF_CONFIG."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import numpy as np
import pytest
import small_records
from small_model import write_vocab

from bert_tf.runs import checkpoints
from bert_tf.training.cluster import cluster_from_environment
from data_pipelines.records.manifest import PreparationConfig

STEPS = 20
SETTINGS = {
    "train.eval_batch_size": 16,
    "train.batch_size": 16,
    "train.num_steps": STEPS,
    "train.log_every": 10,
    "train.eval_every": 10,
    "train.checkpoint_every": 10,
    "train.jit_compile": "false",
}


def free_addresses(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


ENGINES = ("tensorflow", "jax")
USED = {
    "tensorflow": "MultiWorkerMirroredStrategy, {0} replicas on {0} workers",
    "jax": "{0} devices (cpu) through JAX of {0} processes",
}


def pretraining_command(engine, records, model_dir):
    command = ["experiments.pretrain", f"--engine={engine}", "--config=experiments/configs/bert_tiny_debug.py"]
    command += [f"--train_data={records}", f"--eval_data={records}/heldout", f"--model_dir={model_dir}"]
    return command + [f"--set={name}={value}" for name, value in SETTINGS.items()]


def start_workers(count, arguments):
    """`count` processes of one job."""
    addresses = free_addresses(count)
    command = [sys.executable, "-m", *arguments]
    processes = []
    for index in range(count):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "KERAS"))}
        if count > 1:
            environment["TF_CONFIG"] = json.dumps(task)
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    return processes


def finish(processes):
    """What each of them printed, once all have ended well."""
    outputs = []
    try:
        for process in processes:
            outputs.append(process.communicate(timeout=300))
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors
    return outputs


def read_lines(model_dir):
    return [json.loads(line) for line in (model_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Packed rows, and held-out ones whose number is no multiple of the batch."""
    folder = tmp_path_factory.mktemp("workers") / "records"
    small_records.make(folder, PreparationConfig(max_seq_length=64, max_sequences_per_row=4), holdout=0.3)
    return folder


@pytest.fixture(scope="module")
def alone(records, tmp_path_factory):
    """A run of one process through TensorFlow, which those through JAX equal, too."""
    folder = tmp_path_factory.mktemp("alone")
    finish(start_workers(1, pretraining_command("tensorflow", records, folder)))
    return folder


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("engine", ENGINES)
def test_workers_equal_one_process(engine, count, records, alone, tmp_path):
    command = [*pretraining_command(engine, records, tmp_path), f"--set=train.shard_optimizer={engine == 'jax'}"]
    outputs = finish(start_workers(count, command))
    for index, (output, _) in enumerate(outputs):
        role = f"worker {index}" if index else "the chief"
        assert f"found TF_CONFIG with {count} workers" in output
        assert f"{USED[engine].format(count)}; this is {role}" in output
    found, wanted = (checkpoints.newest_checkpoint(str(folder)) for folder in (tmp_path, alone))
    assert found.step == wanted.step == STEPS
    import tensorflow as tf

    one, several = (tf.train.load_checkpoint(checkpoint.bundle) for checkpoint in (wanted, found))
    names = [name for name in one.get_variable_to_shape_map() if ":" not in name]
    assert len(names) > 20
    for name in names:
        np.testing.assert_allclose(several.get_tensor(name), one.get_tensor(name), atol=1e-5, err_msg=name)
    # Each evaluation is of the whole held-out set, counted once; each worker prints the same.
    for mine, theirs in zip(read_lines(tmp_path), read_lines(alone), strict=True):
        assert (mine["kind"], mine["step"]) == (theirs["kind"], theirs["step"])
        for name in ("masked_lm_loss", "next_sentence_loss", "next_sentence_random", "unigram_entropy"):
            assert mine[name] == pytest.approx(theirs[name], rel=1e-5), name
    results = [json.loads(output[output.index("{") :]) for output, _ in outputs]
    assert all(result == results[0] for result in results)


@pytest.mark.long
@pytest.mark.parametrize("killed", [0, 1])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_job_that_loses_a_worker_stops_and_can_be_continued(engine, killed, records, alone, tmp_path):
    # The later of two flags counts.
    command = [*pretraining_command(engine, records, tmp_path), "--set=train.checkpoint_every=1"]
    workers = start_workers(2, command)
    try:
        deadline = time.monotonic() + 300
        while checkpoints.newest_checkpoint(str(tmp_path)) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        workers[killed].kill()
        _, errors = workers[1 - killed].communicate(timeout=60)
    finally:
        for worker in workers:
            worker.kill()
    if engine == "jax" and killed == 0 and workers[1].returncode == -signal.SIGABRT:
        # All processes depend on the first one. JAX may notice its loss before a step fails.
        assert "another task died" in errors
    else:
        assert workers[1 - killed].returncode == 2, errors
        assert "error: another of the 2 workers was lost" in errors
        assert "Traceback" not in errors
    assert 0 < checkpoints.newest_checkpoint(str(tmp_path)).step < STEPS
    finish(start_workers(2, command))
    found, wanted = (
        checkpoints.read_tensors(checkpoints.newest_checkpoint(str(folder))) for folder in (tmp_path, alone)
    )
    assert found["step"] == wanted["step"] == STEPS
    for name in wanted:
        if ":" not in name:
            np.testing.assert_allclose(found[name], wanted[name], atol=1e-5, err_msg=name)
    assert [(line["kind"], line["step"]) for line in read_lines(tmp_path)] == [
        (line["kind"], line["step"]) for line in read_lines(alone)
    ]


def finetuning_command(engine, folder, model_dir):
    settings = {
        "model.num_layers": 1,
        "model.num_heads": 2,
        "model.hidden_size": 32,
        "model.intermediate_size": 64,
        "task.max_seq_length": 24,
        "task.encoder_dropout_rate": 0.0,
        "task.dropout_rate": 0.0,
        "train.num_steps": 12,
        "train.batch_size": 8,
        "train.eval_batch_size": 6,
        "train.learning_rate": 0.01,
        "train.warmup_steps": 2,
        "train.log_every": 6,
        "train.eval_every": 6,
        "train.checkpoint_every": 6,
        "train.precision": "float32",
    }
    command = ["experiments.finetune", f"--engine={engine}", "--config=experiments/configs/classification.py"]
    command += [f"--model_dir={model_dir}"]
    command += [f"--vocab_file={folder}/vocab.txt", f"--train_file={folder}/train.tsv"]
    command += [f"--eval_file={folder}/dev.tsv", f"--test_file={folder}/dev.tsv"]
    return command + [f"--set={name}={value}" for name, value in settings.items()]


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
def test_workers_finetune_as_one_process(engine, tmp_path):
    write_vocab(tmp_path / "vocab.txt")
    places = ("river", "road", "market")
    for name, count in (("train", 30), ("dev", 11)):
        rows = [f"{places[row % 3]} {'the old boat ' * (row % 4)}{row}\t{places[row % 3]}" for row in range(count)]
        (tmp_path / f"{name}.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    finish(start_workers(1, finetuning_command(engine, tmp_path, tmp_path / "alone")))
    outputs = finish(start_workers(2, finetuning_command(engine, tmp_path, tmp_path / "together")))
    alone, together = (json.loads((tmp_path / run / "scores.json").read_text()) for run in ("alone", "together"))
    assert set(alone) == set(together)
    for name in ("best_step", "accuracy"):
        assert together[name] == alone[name]
    assert together["classification_loss"] == pytest.approx(alone["classification_loss"], rel=1e-4)
    assert together["test"]["accuracy"] == together["accuracy"]
    # Each worker scores the rows of all, and the chief writes what it finds.
    results = [json.loads(output[output.index("{") :]) for output, _ in outputs]
    assert results[0] == results[1] == together


def _set_tf_config(monkeypatch, cluster, task):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))


def test_the_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert cluster_from_environment() is None
    _set_tf_config(monkeypatch, {}, {})
    assert cluster_from_environment() is None
    _set_tf_config(monkeypatch, {"worker": ["a:1", "b:2"]}, {"type": "worker", "index": 1})
    cluster = cluster_from_environment()
    assert (cluster.size, cluster.index, cluster.is_chief) == (2, 1, False)
    _set_tf_config(monkeypatch, {"chief": ["c:1"], "worker": ["a:1", "b:2"]}, {"type": "worker", "index": 0})
    cluster = cluster_from_environment()
    assert (cluster.addresses, cluster.index, cluster.is_chief) == (("c:1", "a:1", "b:2"), 1, False)
    _set_tf_config(monkeypatch, {"chief": ["c:1"], "worker": ["a:1"]}, {"type": "chief", "index": 0})
    assert cluster_from_environment().is_chief


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{", r"must be JSON"),
        ("[1]", r"must be a JSON object"),
        ('{"cluster": {"ps": ["a:1"]}}', r"must have a cluster of `worker`s"),
        ('{"cluster": {"worker": "a:1"}}', r"must have a cluster of `worker`s"),
        ('{"cluster": {"worker": ["a"]}}', r"must have a cluster of `worker`s"),
        ('{"cluster": {"worker": ["a:1"]}}', r"must have a task"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', r"must have a task"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}', r"must have a task"),
    ],
)
def test_a_wrong_cluster(monkeypatch, text, rule):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=rf"^TF_CONFIG {rule}.*Received: "):
        cluster_from_environment()
