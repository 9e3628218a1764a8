import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bert_tf.conversion.torch_files import read_torch_file

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


@pytest.mark.parametrize("name", ["torch_zip.bin", "torch_legacy.bin"])
def test_both_formats_give_what_torch_saved(name):
    tensors = read_torch_file((GOLDEN / name).read_bytes(), name)
    expected = np.load(GOLDEN / "torch_tensors.npz")
    assert set(tensors) == set(expected.files)
    for key, value in tensors.items():
        assert value.shape == expected[key].shape
        assert np.array_equal(value.astype(np.float64), expected[key]), key
    assert tensors["float16"].dtype == np.float16
    assert str(tensors["bfloat16"].dtype) == "bfloat16"
    assert tensors["int64"].dtype == np.int64


class _Runs:
    """An object whose pickle runs code when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (exec, (f"open({str(self.marker)!r}, 'w').close()",))


def _zipped(data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", data)
    return buffer.getvalue()


@pytest.mark.parametrize("wrap", [_zipped, lambda data: data], ids=["zip", "legacy"])
def test_code_in_a_pickle_does_not_run(wrap, tmp_path):
    marker = tmp_path / "ran"
    data = pickle.dumps({"weight": _Runs(marker)}, protocol=2)
    with pytest.raises(ValueError, match=r"weights\.bin: the weights cannot be read .*exec, which is no part"):
        read_torch_file(wrap(data), "weights.bin")
    assert not marker.exists()
    pickle.loads(data)
    assert marker.exists(), "the pickle does run code where it is not restricted"


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "torch.load", "torch._utils._rebuild_qtensor"])
def test_names_of_other_functions_are_refused(name):
    module, _, function = name.rpartition(".")
    data = b"c" + module.encode() + b"\n" + function.encode() + b"\n."
    with pytest.raises(ValueError, match=rf"names {name}"):
        read_torch_file(_zipped(data), "weights.bin")


@pytest.mark.parametrize("name", ["torch_zip.bin", "torch_legacy.bin"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_truncated_file_is_refused(name, share):
    data = (GOLDEN / name).read_bytes()
    with pytest.raises(ValueError, match=r"cut\.bin: the weights cannot be read"):
        read_torch_file(data[: int(share * len(data))], "cut.bin")


def test_a_view_beyond_its_storage_is_refused():
    data = (GOLDEN / "torch_legacy.bin").read_bytes()
    # `rows_of_shared` has offset 6 in a storage of 24 numbers, and the shape (2, 6): K\x06 K\x02K\x06\x86.
    assert data.count(b"K\x06K\x02K\x06\x86") == 1
    with pytest.raises(ValueError, match="reaches beyond its storage"):
        read_torch_file(data.replace(b"K\x06K\x02K\x06\x86", b"K\x0eK\x02K\x06\x86"), "wide.bin")


@pytest.mark.parametrize("value", [[1, 2], {}, {"a": 1}])
def test_files_without_tensors_are_refused(value):
    with pytest.raises(ValueError, match="it "):
        read_torch_file(_zipped(pickle.dumps(value, protocol=2)), "none.bin")
