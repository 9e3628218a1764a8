import os
import signal
import time

import pytest

from bert_tf.utils.processes import ordered_map


def _slow_for_small(number):
    time.sleep(0.02 * (number < 4))
    return number * 10, os.getpid()


def _die(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_keep_their_order_and_reading_waits():
    read = []

    def items():
        for number in range(40):
            read.append(number)
            yield number

    results = []
    for result, process in ordered_map(_slow_for_small, items(), 2):
        results.append(result)
        assert process != os.getpid()
        assert len(read) <= len(results) + 4
    assert results == list(range(0, 400, 10))


def test_one_worker_and_one_item_stay_in_this_process():
    assert {process for _, process in ordered_map(_slow_for_small, range(9), 1)} == {os.getpid()}
    assert list(ordered_map(_slow_for_small, [7], 4)) == [(70, os.getpid())]
    assert list(ordered_map(_slow_for_small, [], 4)) == []


def test_a_killed_worker_is_told():
    with pytest.raises(ChildProcessError, match="num_workers 2"):
        list(ordered_map(_die, range(9), 2))


def test_workers_are_counted():
    with pytest.raises(ValueError, match=r"--num_workers.*-1"):
        ordered_map(_die, [], -1)
