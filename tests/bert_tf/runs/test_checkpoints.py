import json

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.runs import checkpoints
from bert_tf.runs.result import read_result


def _variables(value=1.0, shape=(2, 3)):
    return {"a/kernel": tf.Variable(tf.fill(shape, value)), "step": tf.Variable(int(value), dtype=tf.int64)}


def _steps(folder):
    return [checkpoint.step for checkpoint in checkpoints.complete_checkpoints(str(folder))]


def test_round_trip(tmp_path):
    saved = checkpoints.save(str(tmp_path), 7, _variables(7.0), keep=2)
    assert checkpoints.newest_checkpoint(str(tmp_path)) == saved
    variables = _variables(0.0)
    assert checkpoints.restore(saved, variables) == []
    np.testing.assert_array_equal(variables["a/kernel"], np.full((2, 3), 7.0))
    assert int(variables["step"]) == 7
    # As any TensorFlow program reads it.
    reader = tf.train.load_checkpoint(saved.bundle)
    assert reader.get_variable_to_shape_map() == {"a/kernel": [2, 3], "step": []}


def test_only_marked_checkpoints_count(tmp_path):
    for step in (1, 2):
        checkpoints.save(str(tmp_path), step, _variables(step), keep=5)
    newest = checkpoints.newest_checkpoint(str(tmp_path))
    (tmp_path / "checkpoints" / "step-00000002" / "complete.json").unlink()
    assert newest.step == 2
    assert checkpoints.newest_checkpoint(str(tmp_path)).step == 1
    (tmp_path / "checkpoints" / "notes").mkdir()
    assert _steps(tmp_path) == [1]
    # Made again, over what the interrupted one left.
    checkpoints.save(str(tmp_path), 2, _variables(2.0), keep=5)
    assert _steps(tmp_path) == [1, 2]


def test_an_interrupted_save_is_no_checkpoint(tmp_path, monkeypatch):
    checkpoints.save(str(tmp_path), 1, _variables(1.0), keep=1)

    def full(path, value):
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoints.files, "write_json", full)
    with pytest.raises(OSError, match="no space left"):
        checkpoints.save(str(tmp_path), 2, _variables(2.0), keep=1)
    assert _steps(tmp_path) == [1]


def test_the_marker_holds_the_sizes(tmp_path):
    saved = checkpoints.save(str(tmp_path), 3, _variables(), keep=1)
    folder = tmp_path / "checkpoints" / "step-00000003"
    marker = json.loads((folder / "complete.json").read_text())
    assert saved.path == str(folder)
    assert marker["step"] == 3
    assert marker["bytes"] == {
        path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.name != "complete.json"
    }


def test_the_newest_are_kept(tmp_path):
    for step in (10, 20, 30, 40):
        checkpoints.save(str(tmp_path), step, _variables(step), keep=2)
    assert _steps(tmp_path) == [30, 40]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_steps_are_ordered_as_numbers(tmp_path):
    for step in (99_999_999, 100_000_000):
        checkpoints.save(str(tmp_path), step, _variables(1.0), keep=3)
    assert checkpoints.newest_checkpoint(str(tmp_path)).step == 100_000_000


def test_another_size_changes_nothing(tmp_path):
    saved = checkpoints.save(str(tmp_path), 1, {"z": tf.Variable([5.0])} | _variables(), keep=1)
    variables = {"z": tf.Variable([0.0])} | _variables(0.0, shape=(2, 4))
    with pytest.raises(ValueError, match=r"another size: 'a/kernel' has shape \(2, 3\) there, and \(2, 4\)") as error:
        checkpoints.restore(saved, variables)
    assert saved.path in str(error.value)
    assert [float(tf.reduce_sum(tf.cast(v, tf.float32))) for v in variables.values()] == [0.0, 0.0, 0.0]


def test_missing_tensors(tmp_path):
    saved = checkpoints.save(str(tmp_path), 1, _variables(4.0), keep=1)
    variables = _variables(0.0) | {"head/bias": tf.Variable([3.0]), "head/kernel": tf.Variable([3.0])}
    with pytest.raises(ValueError, match=r"no tensor 'head/bias' \(nor 1 others\)"):
        checkpoints.restore(saved, variables)
    assert float(variables["a/kernel"][0, 0]) == 0.0
    assert checkpoints.restore(saved, variables, allow_missing=r"^head/") == ["head/bias", "head/kernel"]
    assert float(variables["a/kernel"][0, 0]) == 4.0
    assert float(variables["head/bias"][0]) == 3.0


@pytest.mark.parametrize("name", ["bundle.index", "bundle.data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damage_is_reported(tmp_path, name, damage):
    saved = checkpoints.save(str(tmp_path), 1, _variables(4.0), keep=1)
    path = tmp_path / "checkpoints" / "step-00000001" / name
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    else:
        data[3] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"step-00000001: the checkpoint is damaged \(.+\)"):
        checkpoints.restore(saved, _variables(0.0))


def test_there_must_be_one(tmp_path):
    assert checkpoints.newest_checkpoint(str(tmp_path / "nothing")) is None
    assert checkpoints.read_newest(str(tmp_path), checkpoints.read_tensors) is None
    with pytest.raises(FileNotFoundError, match="`run_dir` must hold a complete checkpoint"):
        read_result(str(tmp_path), checkpoints.read_tensors)


def test_the_result_of_a_run_can_be_read(tmp_path):
    for step in (1, 2):
        checkpoints.save(str(tmp_path), step, _variables(step), keep=5)
    assert read_result(str(tmp_path), checkpoints.read_tensors)["step"] == 2
    data = tmp_path / "checkpoints" / "step-00000002" / "bundle.data-00000-of-00001"
    data.write_bytes(bytes([data.read_bytes()[0] ^ 0xFF]) + data.read_bytes()[1:])
    assert read_result(str(tmp_path), checkpoints.read_tensors)["step"] == 1
    checkpoints.save(str(tmp_path / "best"), 1, _variables(7), keep=5)
    assert read_result(str(tmp_path), checkpoints.read_tensors)["a/kernel"][0, 0] == 7.0
