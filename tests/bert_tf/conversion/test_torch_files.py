import io
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bert_tf.conversion.torch_files import read_torch_file

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


@pytest.mark.parametrize("name", ["torch_zip.bin", "torch_legacy.bin"])
def test_both_formats_give_the_tensors_that_torch_saved(name):
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


def _text(value):
    return b"V" + value.encode() + b"\n"


def _tuple(*items):
    return b"(" + b"".join(item if isinstance(item, bytes) else b"I%d\n" % item for item in items) + b"t"


def _weights(*, size=6, offset=0, shape=(2, 3), strides=(3, 1), data=b"\0" * 24, compression=zipfile.ZIP_STORED):
    """Return a file in PyTorch's form, whose one tensor and its storage declare what the arguments say."""
    storage = _tuple(_text("storage"), b"ctorch\nFloatStorage\n", _text("0"), _text("cpu"), size) + b"Q"
    view = _tuple(storage, offset, _tuple(*shape), _tuple(*strides))
    contents = b"(" + _text("weight") + b"ctorch._utils\n_rebuild_tensor_v2\n" + view + b"Rd."
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", contents, zipfile.ZIP_STORED)
        archive.writestr("archive/data/0", data)
    return buffer.getvalue()


HUGE = 1 << 40
REMEMBERED = b"\x80\x02K\x01r" + (1 << 31).to_bytes(4, "little") + b"."
LONG_TEXT = b"\x80\x04\x8d" + HUGE.to_bytes(8, "little") + b"a."
LONG_BYTES = b"\x80\x04\x8e" + HUGE.to_bytes(8, "little") + b"a."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_weights(strides=(0, 0), shape=(1 << 20, 1 << 20)), "a tensor has 1099511627776 numbers, and its storage 6"),
        (_weights(strides=(3, 0), shape=(2, 1 << 40)), "a tensor has .* numbers, and its storage 6"),
        (_weights(shape=(HUGE, 3)), "a tensor reaches beyond its storage"),
        (_weights(offset=HUGE), "a tensor reaches beyond its storage"),
        (_weights(size=HUGE), "archive/data/0 has 24 bytes, and its tensors declare 4398046511104"),
        (_weights(size=7), "archive/data/0 has 24 bytes, and its tensors declare 28"),
        (_weights(size=1 << 24, data=bytes(1 << 26), compression=zipfile.ZIP_DEFLATED), "archive/data/0 is compressed"),
        (_zipped(REMEMBERED), "it remembers 1 values, and one under the number 2147483648"),
        (REMEMBERED, "it remembers 1 values, and one under the number 2147483648"),
        (_zipped(LONG_TEXT), "only 2 remain"),
        (LONG_BYTES, "only 2 remain"),
    ],
    ids=[
        "zero strides",
        "one zero stride",
        "shape",
        "offset",
        "storage",
        "storage a little longer",
        "compressed storage",
        "remembered value",
        "remembered value, legacy",
        "text",
        "bytes, legacy",
    ],
)
def test_a_file_that_declares_more_than_it_holds_takes_no_memory(data, message):
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"huge\.bin: the weights cannot be read .*{message}"):
        read_torch_file(data, "huge.bin")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000 + 2 * len(data)


def test_a_file_that_holds_what_it_declares_is_read():
    numbers = np.arange(6, dtype=np.float32)
    [weight] = read_torch_file(_weights(data=numbers.tobytes()), "weights.bin").values()
    assert np.array_equal(weight, numbers.reshape(2, 3))
