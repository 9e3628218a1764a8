"""The lock of a run's folder: one job at a time writes there, and a killed job does not block the next one.

On a local disk, the kernel holds the lock (flock), and drops it when the process ends for any reason. An object store
has no locks. There, the holder renews a lease, `lock.json`, which expires if it is not renewed for a minute.
"""

import errno
import fcntl
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bert_tf.utils import files

LOCK_FILE = ".lock"
LEASE_FILE = "lock.json"

_RENEW_SECONDS = 15.0
_STALE_SECONDS = 60.0
# If two jobs find no lease and both write one, the earlier job sees after this time that it was overwritten.
_SETTLE_SECONDS = 2.0
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"


class RunLock:
    """The lock that a job holds on a folder, which `held` returns."""

    def __init__(self) -> None:
        self._lost = ""

    def check(self) -> None:
        """Check that this job still holds the folder.

        Raises:
            OSError: another job has taken the folder, because this one could not renew its lease.
        """
        if self._lost:
            raise OSError(self._lost)


@contextmanager
def held(folder: str) -> Iterator[RunLock]:
    """Hold the lock of `folder` until the block ends.

    Args:
        folder: an existing folder, local or remote.

    Raises:
        OSError: another job holds the lock. The message names its machine and process.
    """
    if "://" not in folder:
        try:
            descriptor = _flock(folder)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        else:
            try:
                yield RunLock()
            finally:
                os.close(descriptor)
            return
    lease = _Lease(folder)
    try:
        yield lease
    finally:
        lease.release()


def _flock(folder: str) -> int:
    """Return the descriptor of a locked file. The lock ends when the job or the kernel closes it."""
    descriptor = os.open(os.path.join(folder, LOCK_FILE), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
    except BlockingIOError:
        holder = os.read(descriptor, 1000).decode(errors="replace")
        os.close(descriptor)
        raise _in_use(folder, holder) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _in_use(folder: str, holder: str) -> OSError:
    return OSError(f"`run_dir` is in use by {holder or 'another process'}: one job at a time. Received: {folder!r}")


class _Lease(RunLock):
    """The lease in `lock.json`, which a thread renews."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._path = os.path.join(folder, LEASE_FILE)
        self._folder = folder
        self._owner = uuid.uuid4().hex
        self._ended = threading.Event()
        self._await_free()
        self._write()
        time.sleep(_SETTLE_SECONDS)
        self._require_own()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def _await_free(self) -> None:
        """Wait until nobody holds the lease: there is none, its process has ended, or it is not renewed."""
        first = self._read()
        if not first or _is_gone(first):
            return
        print(f"{self._folder}: {_holder(first)} wrote here; waiting up to {_STALE_SECONDS:.0f} s for a sign of it")
        end = time.monotonic() + _STALE_SECONDS
        while time.monotonic() < end:
            time.sleep(min(2.0, _STALE_SECONDS / 10))
            now = self._read()
            if not now:
                return
            if now != first:
                raise _in_use(self._folder, _holder(now))

    def _read(self) -> dict[str, Any]:
        try:
            value = files.read_json(self._path)
        except (FileNotFoundError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def _write(self) -> None:
        machine = {"host": socket.gethostname(), "boot": _boot_id(), "pid": os.getpid()}
        files.write_json(self._path, {"owner": self._owner, "renewed": time.time()} | machine)

    def _require_own(self) -> None:
        lease = self._read()
        if lease.get("owner") != self._owner:
            raise _in_use(self._folder, _holder(lease))

    def _renew(self) -> None:
        while not self._ended.wait(_RENEW_SECONDS):
            try:
                lease = self._read()
                if lease.get("owner") == self._owner:
                    self._write()
                    continue
                self._lost = (
                    f"{self._folder}: {_holder(lease)} has taken the folder, whose lease this job did not renew for "
                    f"{_STALE_SECONDS:.0f} s. Received: {self._folder!r}"
                )
                return
            except OSError:
                continue  # the store does not answer, but the lease is valid for some time

    def release(self) -> None:
        """Stop renewing the lease, and remove it."""
        self._ended.set()
        self._thread.join()
        if self._read().get("owner") == self._owner:
            files.remove(self._path)


def _holder(lease: dict[str, Any]) -> str:
    return f"process {lease['pid']} on {lease['host']}" if {"pid", "host"} <= lease.keys() else "another job"


def _is_gone(lease: dict[str, Any]) -> bool:
    """Return whether the lease's process ran on this machine, since its last start, and has ended."""
    if (lease.get("host"), lease.get("boot")) != (socket.gethostname(), _boot_id()) or not _boot_id():
        return False
    if lease["pid"] == os.getpid():
        # Containers number their processes from 1, so a dead process of an earlier one may have this process's number.
        return not any(thread.name == "lease" for thread in threading.enumerate())
    try:
        os.kill(lease["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _boot_id() -> str:
    return files.read_text(_BOOT_ID_FILE).strip() if files.exists(_BOOT_ID_FILE) else ""
