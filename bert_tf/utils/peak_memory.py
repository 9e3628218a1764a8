"""The peak memory of this process."""

import pathlib
import resource
import sys

_STATUS = pathlib.Path("/proc/self/status")
_UNIT_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024


def peak_memory_gib() -> float:
    """Return the largest resident memory that this process had, in GiB.

    Linux counts it in `VmHWM` of /proc/self/status. Its `ru_maxrss` is larger where the process that started this one
    was larger, because a child begins as a copy of its parent and keeps the parent's peak; it is taken only on systems
    that have no such file.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT_OF_MAXRSS / 2**30
