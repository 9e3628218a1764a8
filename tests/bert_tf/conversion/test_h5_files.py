import io
import struct
import tracemalloc

import h5py
import numpy as np
import pytest

from bert_tf.conversion.h5_files import read_h5_file


def _file(fill):
    """Return the bytes of a file that `fill` writes."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def _weights(file):
    file["bert/dense/kernel:0"] = np.arange(6, dtype=np.float32).reshape(2, 3)
    file["bert/dense/bias:0"] = np.arange(1237, dtype=np.float16)
    file["scalar"] = np.float64(0.5)
    file.attrs["layer_names"] = [b"bert"]
    file.create_group("dropout_37")


def test_every_array_is_read_by_its_path():
    tensors = read_h5_file(_file(_weights), "tf_model.h5")
    assert list(tensors) == ["bert/dense/bias:0", "bert/dense/kernel:0", "scalar"]
    assert np.array_equal(tensors["bert/dense/kernel:0"], [[0, 1, 2], [3, 4, 5]])
    assert tensors["bert/dense/bias:0"].dtype == np.float16
    assert tensors["scalar"] == 0.5


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(share):
    data = _file(_weights)
    with pytest.raises(ValueError, match=r"cut\.h5: the weights cannot be read"):
        read_h5_file(data[: int(share * len(data))], "cut.h5")


def _never_written(file):
    space = h5py.h5s.create_simple((1 << 40,))
    h5py.h5d.create(file.id, b"weight", h5py.h5t.IEEE_F32LE, space)


def _declares_more(layout_too):
    size, declared = struct.pack("<Q", 1237), struct.pack("<Q", 1 << 40)
    data = _file(_weights).replace(size, declared)
    return data.replace(struct.pack("<Q", 2 * 1237), struct.pack("<Q", 2 << 40)) if layout_too else data


def _virtual(file):
    layout = h5py.VirtualLayout((1 << 30,), "f4")
    layout[:4] = h5py.VirtualSource("other.h5", "weight", (4,))
    file.create_virtual_dataset("weight", layout)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_file(_never_written), "'weight' declares 4398046511104 bytes, and has 0"),
        (_declares_more(False), "(declares 2199023255552 bytes, and has 2474|invalid dataset size)"),
        (_declares_more(True), r"(its tensors declare 2199023255584 bytes, and it has \d+|invalid dataset size)"),
        (_file(lambda file: file.create_dataset("weight", (1 << 40,), "f4", chunks=(4,))), "stored in one part"),
        (
            _file(lambda file: file.create_dataset("weight", (1 << 22,), "f4", compression="gzip", fillvalue=1)),
            "stored in one part, not compressed",
        ),
        (_file(lambda file: file.create_dataset("weight", (4,), "f4", external="/etc/passwd")), "not in another file"),
        (_file(_virtual), "not in another file"),
    ],
    ids=["never written", "shape", "shape and size", "chunks", "compressed", "external", "virtual"],
)
def test_a_file_that_declares_more_than_it_holds_takes_no_memory(data, message):
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"huge\.h5: the weights cannot be read .*{message}"):
        read_h5_file(data, "huge.h5")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000 + 2 * len(data)


def _links(file):
    file["beside"] = h5py.ExternalLink("other.h5", "/")
    file["again"] = h5py.SoftLink("/nowhere")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be read"),
        (b"not HDF5 at all" * 100, "cannot be read"),
        (_file(lambda file: None), "it holds no tensors"),
        (_file(_links), "it holds no tensors"),
        (_file(lambda file: file.create_dataset("names", data="text")), "'names' must hold numbers"),
        (_file(lambda file: file.create_dataset("empty", data=h5py.Empty("f4"))), "'empty' must hold numbers"),
    ],
    ids=["empty", "other", "no tensors", "links", "text", "no shape"],
)
def test_files_without_weights_are_refused(data, message):
    with pytest.raises(ValueError, match=rf"other\.h5: the weights cannot be read .*{message}|other\.h5.*{message}"):
        read_h5_file(data, "other.h5")
