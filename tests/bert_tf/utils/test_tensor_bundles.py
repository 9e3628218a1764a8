import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from bert_tf.utils.tensor_bundles import Bundle, BundleError, write_bundle

_TENSORS = {
    "b/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a/bias": np.array([0.5, -2.0], ml_dtypes.bfloat16),
    "step": np.array(7, np.int64),
}


def test_tensors_are_read_as_they_were_written(tmp_path):
    prefix = str(tmp_path / "bundle")
    write_bundle(prefix, _TENSORS)
    bundle = Bundle(prefix)
    assert bundle.shapes() == {"b/kernel": (2, 3), "a/bias": (2,), "step": ()}
    found = bundle.read_numbers()
    assert list(found) == ["a/bias", "b/kernel", "step"]
    for name, value in _TENSORS.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_strings_are_no_numbers(tmp_path):
    prefix = str(tmp_path / "bundle")
    write_bundle(prefix, {"graph": np.array(b"text"), "step": np.array(7)})
    assert list(Bundle(prefix).read_numbers()) == ["step"]


def test_what_cannot_be_read_is_one_kind_of_error(tmp_path):
    prefix = str(tmp_path / "bundle")
    with pytest.raises(BundleError):
        Bundle(prefix)
    write_bundle(prefix, _TENSORS)
    with pytest.raises(BundleError, match="nothing"):
        Bundle(prefix).read("nothing")
    data = tmp_path / "bundle.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:8])
    with pytest.raises(BundleError, match="its index declares 36 bytes, and its data files hold 8"):
        Bundle(prefix).read_numbers()
    with pytest.raises(BundleError):
        Bundle(prefix).read("b/kernel")


def test_a_bundle_that_cannot_be_written_is_an_error_of_files(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(tf.errors.OpError):
        write_bundle(str(tmp_path / "file" / "bundle"), _TENSORS)
