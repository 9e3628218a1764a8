"""A `.tflite` file that is cut, or that declares more than it holds, is refused by its sizes."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from bert_tf.serving import litert
from bert_tf.serving.litert_file import check_litert_file


def _model():
    """Return a graph that adds a constant [2, 3] to its input."""
    model, graph, operator = schema.ModelT(), schema.SubGraphT(), schema.OperatorT()
    model.version = 3
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.arange(6, dtype=np.float32).view(np.uint8)
    model.operatorCodes = [schema.OperatorCodeT()]
    graph.tensors = [schema.TensorT() for _ in range(3)]
    for tensor in graph.tensors:
        tensor.shape, tensor.buffer, tensor.type = [2, 3], 0, schema.TensorType.FLOAT32
    graph.tensors[1].buffer = 1
    operator.inputs, operator.outputs = [0, 1], [2]
    operator.builtinOptionsType = schema.BuiltinOptions.AddOptions
    operator.builtinOptions = schema.AddOptionsT()
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [2]
    model.subgraphs = [graph]
    return model


def _bytes(model):
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _with(change):
    model = _model()
    change(model)
    return _bytes(model)


def _shape(index, shape):
    return lambda model: setattr(model.subgraphs[0].tensors[index], "shape", shape)


def _stored_after(offset, size):
    def change(model):
        buffer = model.buffers[1]
        buffer.data, buffer.offset, buffer.size = None, offset, size

    return change


def test_a_whole_file_passes():
    check_litert_file(_bytes(_model()), "model.tflite")
    interpreter = Interpreter(model_content=_bytes(_model()))  # the file of the tests is a real one
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, np.ones([2, 3], np.float32))
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.get_tensor(2), [[1, 2, 3], [4, 5, 6]])


def test_buffers_after_the_flatbuffer_must_be_in_the_file():
    size = len(_with(_stored_after(10**6, 24)))
    whole = _with(_stored_after(size, 24)) + bytes(24)
    check_litert_file(whole, "model.tflite")
    with pytest.raises(ValueError, match=rf"has {size + 23} bytes, and a buffer of 24 bytes at byte {size}"):
        check_litert_file(whole[:-1], "model.tflite")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_stored_after(10**12, 24), "a buffer of 24 bytes at byte 1000000000000"),
        (_stored_after(100, 2**63), "a buffer of 9223372036854775808 bytes at byte 100"),
        (_shape(1, [2, 4]), r"a tensor of shape \[2, 4\] needs 32 bytes, and its buffer has 24"),
        (_shape(1, [2**30, 1]), r"needs 4294967296 bytes, and its buffer has 24"),
        (_shape(0, [2**20, 2**20]), r"a tensor has the shape \[1048576, 1048576\]"),
        (_shape(0, [2, -7]), r"a tensor has the shape \[2, -7\]"),
        (lambda model: setattr(model.subgraphs[0].tensors[0], "buffer", 2), "refers to buffer 2, and has 2"),
        (lambda model: setattr(model.subgraphs[0].operators[0], "inputs", [0, 3]), "refers to tensor 3, and has 3"),
        (lambda model: setattr(model.subgraphs[0].operators[0], "outputs", [-2]), "refers to tensor -2, and has 3"),
        (lambda model: setattr(model.subgraphs[0].operators[0], "opcodeIndex", 1), "kind of operator 1, and has 1"),
        (lambda model: setattr(model, "subgraphs", []), "it has no graph"),
    ],
)
def test_a_file_that_declares_more_than_it_holds_is_refused(change, reason):
    with pytest.raises(ValueError, match=rf"^model\.tflite: not a LiteRT file, or a damaged one \(.*{reason}"):
        check_litert_file(_with(change), "model.tflite")


def test_a_file_that_is_cut_is_refused_by_its_sizes():
    data = _bytes(_model())
    tensors_end = data.index(np.arange(6, dtype=np.float32).tobytes()) + 24
    for length in range(tensors_end):  # past the last weight, what is cut is for the interpreter to find
        with pytest.raises(ValueError, match=r"^model\.tflite: not a LiteRT file, or a damaged one"):
            check_litert_file(data[:length], "model.tflite")


def test_a_model_is_refused_before_an_interpreter_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(litert, "_interpreter_class", lambda: pytest.fail("an interpreter was made"))
    (tmp_path / "model.tflite").write_bytes(_with(_shape(1, [2**30, 1])))
    with pytest.raises(ValueError, match=r"model\.tflite: not a LiteRT file, .* needs 4294967296 bytes"):
        litert.LiteModel(str(tmp_path / "model.tflite"), "classification")


@pytest.mark.parametrize("root", [0, 8, 2**31, 2**32 - 1])
def test_a_root_elsewhere_is_refused(root):
    data = root.to_bytes(4, "little") + _bytes(_model())[4:]
    with pytest.raises(ValueError, match=r"^model\.tflite: not a LiteRT file, or a damaged one"):
        check_litert_file(data, "model.tflite")


def test_a_list_longer_than_the_file_is_refused():
    data = bytearray(_bytes(_model()))
    weights = data.index(np.arange(6, dtype=np.float32).tobytes())
    data[weights - 4 : weights] = (2**32 - 1).to_bytes(4, "little")
    with pytest.raises(ValueError, match=rf"has {len(data)} bytes, and a list of 4294967295 bytes"):
        check_litert_file(bytes(data), "model.tflite")


@pytest.mark.parametrize("data", [b"", b"cut off", b"version https://git-lfs.github.com/spec/v1\n"])
def test_another_file_is_refused_by_its_first_bytes(data):
    with pytest.raises(ValueError, match=r"^model\.tflite: not a LiteRT file, .*does not have b'TFL3' at byte 4"):
        check_litert_file(data, "model.tflite")
