"""Checkpoints beside training: what is saved, when its errors are told, and what is kept."""

import json
import resource
import threading

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.runs import checkpoints
from bert_tf.runs.checkpoint_writer import CheckpointWriter


def _variables(value):
    return {"a/kernel": tf.Variable(tf.fill((200, 300), float(value))), "step": tf.Variable(value, dtype=tf.int64)}


def _steps(folder):
    return [checkpoint.step for checkpoint in checkpoints.complete_checkpoints(str(folder))]


def test_values_are_those_of_the_call(tmp_path, monkeypatch):
    may_write = threading.Event()
    write = checkpoints.write

    def late(*arguments, **options):
        assert may_write.wait(10)
        return write(*arguments, **options)

    monkeypatch.setattr(checkpoints, "write", late)
    variables = _variables(3)
    with CheckpointWriter(str(tmp_path), keep=2) as writer:
        writer.save(3, variables, {"seen": 7})
        assert (writer.step, _steps(tmp_path)) == (3, [])
        writer.check()
        for variable in variables.values():
            variable.assign(tf.zeros_like(variable))
        may_write.set()
    (saved,) = checkpoints.complete_checkpoints(str(tmp_path))
    checkpoints.restore(saved, variables)
    np.testing.assert_array_equal(variables["a/kernel"], np.full((200, 300), 3.0))
    assert saved.marker()["progress"] == {"seen": 7}


@pytest.fixture
def full_disk():
    """Files that cannot grow beyond 100 kB, in this process: writing fails as on a disk without space."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _save_on(folder, full_disk, then):
    with CheckpointWriter(str(folder), keep=1) as writer:
        writer.save(1, _variables(1))
        writer.wait()
        full_disk()
        writer.save(2, _variables(2))
        then(writer)


def _check_forever(writer):
    while True:
        writer.check()


@pytest.mark.parametrize(
    "then",
    [_check_forever, lambda writer: writer.save(3, _variables(3)), lambda writer: writer.wait(), lambda _: None],
    ids=["check", "save", "wait", "exit"],
)
def test_a_full_disk_is_reported_and_nothing_is_lost(tmp_path, full_disk, then):
    match = r"step-00000002: the checkpoint of step 2 cannot be written \(.+\); those before it are kept"
    with pytest.raises(OSError, match=match):
        _save_on(tmp_path, full_disk, then)
    assert _steps(tmp_path) == [1]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    variables = _variables(0)
    assert checkpoints.restore_newest(str(tmp_path), variables).step == 1
    assert int(variables["step"]) == 1


def test_another_error_is_not_hidden_by_one_of_writing(tmp_path, full_disk):
    with pytest.raises(KeyError, match="another"):
        _save_on(tmp_path, full_disk, then=lambda _: {}["another"])


def test_the_files_of_an_interrupted_write_are_removed(tmp_path):
    checkpoints.save(str(tmp_path), 1, _variables(1), keep=5)
    checkpoints.save(str(tmp_path), 2, _variables(2), keep=5)
    (tmp_path / "checkpoints" / "step-00000002" / "complete.json").unlink()
    with CheckpointWriter(str(tmp_path), keep=5):
        pass
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]


def test_kept_by_the_clock(tmp_path, monkeypatch):
    hours = 0.0
    monkeypatch.setattr(checkpoints.time, "time", lambda: 3600 * hours)
    for step in range(1, 13):
        hours = step / 2
        tensors = checkpoints.host_copy(_variables(step))
        checkpoints.write(str(tmp_path), step, tensors, keep=2, keep_every_hours=2)
    # The first, then one each two hours, four steps apart; and the two newest.
    assert _steps(tmp_path) == [1, 5, 9, 11, 12]


def _damage(folder, step, name="bundle.data-00000-of-00001"):
    path = folder / "checkpoints" / f"step-{step:08d}" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ["bundle.index", "bundle.data-00000-of-00001", "complete.json"])
def test_the_one_before_a_damaged_one_is_used(tmp_path, name, caplog):
    for step in (1, 2, 3):
        checkpoints.save(str(tmp_path), step, _variables(step), keep=5)
    _damage(tmp_path, 3, name)
    variables = _variables(0)
    # A reader changes nothing.
    assert checkpoints.restore_newest(str(tmp_path), variables).step == 2
    assert _steps(tmp_path) == [1, 2, 3]
    assert checkpoints.restore_newest(str(tmp_path), variables, set_aside=True).step == 2
    np.testing.assert_array_equal(variables["a/kernel"], np.full((200, 300), 2.0))
    assert _steps(tmp_path) == [1, 2]
    assert (tmp_path / "checkpoints" / "step-00000003" / "damaged.json").exists()
    (message, _) = [record.getMessage() for record in caplog.records]
    assert "step-00000003: the checkpoint is damaged" in message
    assert "The checkpoint of step 2 is used instead" in message


def test_none_can_be_read(tmp_path):
    for step in (1, 2):
        checkpoints.save(str(tmp_path), step, _variables(step), keep=5)
        _damage(tmp_path, step)
    with pytest.raises(ValueError, match=r"no checkpoint of .+ can be read: .*step-00000002.*step-00000001"):
        checkpoints.restore_newest(str(tmp_path), _variables(0), set_aside=True)
    assert _steps(tmp_path) == [1, 2]


def test_another_model_is_no_damage(tmp_path):
    checkpoints.save(str(tmp_path), 1, _variables(1), keep=5)
    checkpoints.save(str(tmp_path), 2, {"step": tf.Variable(2)}, keep=5)
    with pytest.raises(ValueError, match="no tensor 'a/kernel'"):
        checkpoints.restore_newest(str(tmp_path), _variables(0))


def test_a_marker_of_another_step_is_damage(tmp_path):
    saved = checkpoints.save(str(tmp_path), 1, _variables(1), keep=5)
    path = tmp_path / "checkpoints" / "step-00000001" / "complete.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"step": 9}))
    with pytest.raises(checkpoints.DamagedCheckpointError, match=r"complete\.json must hold step 1"):
        checkpoints.restore(saved, _variables(0))
