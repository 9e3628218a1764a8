import functools
import os
import signal
import subprocess
import sys

import pytest

from bert_tf.utils.processes import ordered_map


def _tenfold(number):
    return number * 10, os.getpid()


def _first_waits_for_third(number, fifo):
    """Open the FIFO for the first and the third item: each waits until the other has opened it too."""
    if number in (0, 2):
        os.close(os.open(fifo, os.O_RDONLY if number == 0 else os.O_WRONLY))
    return _tenfold(number)


def _die(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_keep_their_order_and_few_items_are_read_ahead(tmp_path):
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    read = []

    def items():
        for number in range(40):
            read.append(number)
            yield number

    results = []
    for result, process in ordered_map(functools.partial(_first_waits_for_third, fifo=fifo), items(), 2):
        results.append(result)
        assert process != os.getpid()
        assert len(read) <= len(results) + 4
    assert results == list(range(0, 400, 10))


def test_one_worker_and_one_item_stay_in_this_process():
    assert {process for _, process in ordered_map(_tenfold, range(9), 1)} == {os.getpid()}
    assert list(ordered_map(_tenfold, [7], 4)) == [(70, os.getpid())]
    assert list(ordered_map(_tenfold, [], 4)) == []


def test_a_killed_worker_is_reported():
    with pytest.raises(ChildProcessError, match=r"killed.*`num_workers`. Received: 2"):
        list(ordered_map(_die, range(9), 2))


def test_a_script_that_its_workers_would_run_again_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from bert_tf.utils.processes import ordered_map\nlist(ordered_map(abs, range(9), 2))\n")
    finished = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    last = finished.stderr.strip().splitlines()[-1]
    assert last.startswith("ChildProcessError: A worker process was killed or could not start. A script must call this")
    assert 'under `if __name__ == "__main__":`' in last


def test_a_negative_number_of_workers_is_an_error():
    with pytest.raises(ValueError, match=r"`num_workers` must be at least 0.*-1"):
        ordered_map(_die, [], -1)
