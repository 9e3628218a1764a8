import pytest

from bert_tf.utils.arguments import keeping_names, renamed


def test_the_argument_is_named_as_the_caller_knows_it():
    with (
        pytest.raises(FileNotFoundError, match=r"^`train_data`: no `pathology`; `path` `train_data`$"),
        renamed(folder="train_data"),
    ):
        raise FileNotFoundError("`folder`: no `pathology`; `path` `folder`")


def test_nested_calls_rename_one_after_another():
    with pytest.raises(ValueError, match=r"^--input en must exist$"), renamed(patterns="--input en"):  # noqa: SIM117
        with renamed(path="patterns"):
            raise ValueError("`path` must exist")


def test_other_errors_pass_unchanged():
    with pytest.raises(KeyError, match="`path`"), renamed(path="a"):
        raise KeyError("`path`")


def test_an_os_error_keeps_its_number():
    with pytest.raises(OSError, match="`train_data`") as caught, renamed(path="train_data"):
        raise OSError(13, "`path` is not readable")
    assert caught.value.errno == 13


def test_fields_of_a_configuration_are_not_renamed():
    with pytest.raises(ValueError, match=r"^`strategy` must"), renamed(strategy="--masking strategy"):  # noqa: SIM117
        with keeping_names():
            raise ValueError("`strategy` must be token")
