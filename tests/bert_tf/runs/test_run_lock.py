"""One job at a time in a folder: on a disk by the kernel, on an object store by a lease."""

import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bert_tf.runs import run_lock
from bert_tf.utils import files

_HOLDER = """
import sys, time
from bert_tf.runs.run_lock import held
with held(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def _hold(folder):
    with run_lock.held(str(folder)):
        pass


def test_on_a_disk_a_killed_holder_is_in_nobodys_way(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OSError, match=rf"`run_dir` is in use by process {holder.pid} on .+: one job at a time"):
            _hold(tmp_path)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with run_lock.held(str(tmp_path)) as lock:
        lock.check()
        with pytest.raises(OSError, match="in use"):
            _hold(tmp_path)
    _hold(tmp_path)


class FakeTime:
    """The `time` of the module, where a sleep takes no time; the thread that renews waits by an event of its own."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def time(self):
        self.now += 0.001  # each renewal has a later time
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def fake_time(monkeypatch):
    fake = FakeTime()
    monkeypatch.setattr(run_lock, "time", fake)
    return fake


@pytest.fixture
def bucket(monkeypatch, request):
    """A folder of an object store, with renewals that a test can wait for."""
    monkeypatch.setattr(run_lock, "_RENEW_SECONDS", 0.02)
    monkeypatch.setattr(run_lock, "_SETTLE_SECONDS", 0.1)
    return f"ram://locks/{request.node.name}"


def _write_lease(bucket, **changes):
    lease = {"owner": "other", "renewed": 0.0, "host": "elsewhere", "boot": "b", "pid": 7}
    files.write_json(f"{bucket}/lock.json", lease | changes)


def test_a_lease_is_renewed_and_taken_away(bucket):
    with run_lock.held(bucket) as lock:
        first = second = files.read_json(f"{bucket}/lock.json")
        while second["renewed"] == first["renewed"]:  # a lease that is never renewed would hang here
            second = files.read_json(f"{bucket}/lock.json")
        assert second["owner"] == first["owner"]
        assert second["renewed"] > first["renewed"]
        lock.check()
    assert not files.exists(f"{bucket}/lock.json")


def test_a_lease_that_is_renewed_is_in_the_way(bucket):
    with run_lock.held(bucket), pytest.raises(OSError, match="`run_dir` is in use by process"):
        _hold(bucket)


def test_a_lease_that_nobody_renews_is_not(bucket, capsys, fake_time):
    _write_lease(bucket)
    start = fake_time.now
    with run_lock.held(bucket):
        assert fake_time.now - start > run_lock._STALE_SECONDS
    assert "process 7 on elsewhere wrote here; waiting" in capsys.readouterr().out


def test_nor_is_one_of_a_process_of_this_machine_that_has_ended(bucket, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr(run_lock, "_STALE_SECONDS", 1000.0)
    monkeypatch.setattr(run_lock, "_boot_id", lambda: "this start")
    _write_lease(bucket, host=run_lock.socket.gethostname(), boot="this start", pid=ended.pid)
    with run_lock.held(bucket) as lock:
        lock.check()


def test_a_file_that_is_not_a_lease_blocks_nobody(bucket):
    files.write_text(f"{bucket}/lock.json", "{half")
    with run_lock.held(bucket):
        assert "owner" in json.loads(files.read_text(f"{bucket}/lock.json"))


def test_a_holder_that_could_not_renew_gets_an_error(bucket):
    with run_lock.held(bucket) as lock:
        _write_lease(bucket)
        while not lock._lost:  # until the next renewal
            pass
        with pytest.raises(OSError, match="process 7 on elsewhere has taken the folder"):
            lock.check()
    # What it does not hold it leaves.
    assert files.read_json(f"{bucket}/lock.json")["owner"] == "other"


def test_of_two_that_start_together_one_holds(bucket):
    both_have_tried = threading.Barrier(2)

    def hold():
        try:
            with run_lock.held(bucket):
                both_have_tried.wait()
        except OSError as error:
            both_have_tried.wait()
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as pool:
        results = [future.result() for future in [pool.submit(hold), pool.submit(hold)]]
    assert sorted(map(bool, results)) == [False, True]
    assert "is in use" in max(results)
