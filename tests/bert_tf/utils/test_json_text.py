import json

import numpy as np
import pytest

from bert_tf.utils import json_text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": float("nan"), "b": [float("inf"), -float("inf"), 1.5]}, {"a": None, "b": [None, None, 1.5]}),
        ((np.float32(0.5), np.float64("nan"), np.int64(3), np.bool_(True)), [0.5, None, 3, True]),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        ({"ß": None}, {"ß": None}),
        (True, True),
    ],
)
def test_every_parser_can_read_the_output(value, expected):
    def refused(constant):
        raise AssertionError(constant)

    assert json.loads(json_text.dumps(value), parse_constant=refused) == expected


def test_text_is_not_escaped():
    assert json_text.dumps("中ß") == '"中ß"'


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="no form for object"):
        json_text.dumps({"a": object()})
