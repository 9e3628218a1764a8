"""The processes of a job, as the environment variable TF_CONFIG names them."""

import dataclasses
import json
import os
from typing import Any

VARIABLE = "TF_CONFIG"
_EXAMPLE = '{"cluster": {"worker": ["host-0:2222", "host-1:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of one job, and the index of this one.

    Attributes:
        addresses: the `host:port` of every process, with the chief first.
        index: the index of this process in `addresses`.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def size(self) -> int:
        """The number of processes."""
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        """True if this process writes the run's folder."""
        return self.index == 0

    def describe(self) -> str:
        """Return a text that says where the processes are."""
        return f"{VARIABLE} with {self.size} workers ({', '.join(self.addresses)})"


def cluster_from_environment() -> Cluster | None:
    """Return the cluster in TF_CONFIG (https://www.tensorflow.org/guide/distributed_training, "Setting up TF_CONFIG").

    Returns:
        The cluster, or None if the variable is not set or names no process.

    Raises:
        ValueError: the variable is not JSON, or does not describe a cluster of workers with at most one chief.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise _invalid(f"must be JSON ({error.msg})", text) from None
    cluster = values.get("cluster", {}) if isinstance(values, dict) else None
    if not isinstance(cluster, dict):
        raise _invalid("must be a JSON object with the keys cluster and task", text)
    if not cluster:
        return None
    jobs = [cluster.get(name, []) for name in ("chief", "worker")]
    if set(cluster) - {"chief", "worker"} or not all(_is_addresses(job) for job in jobs) or len(jobs[0]) > 1:
        raise _invalid("must have a cluster of `worker`s and at most one `chief`, each a list of host:port", text)
    chiefs, workers = jobs
    sizes = {"chief": len(chiefs), "worker": len(workers)}
    return Cluster((*chiefs, *workers), _place(values.get("task"), sizes, text))


def _place(task: Any, sizes: dict[str, int], text: str) -> int:
    kind, index = (task.get("type"), task.get("index")) if isinstance(task, dict) else (None, None)
    if kind not in sizes or not isinstance(index, int) or not 0 <= index < sizes[kind]:
        raise _invalid("must have a task whose type and index name one of the cluster's processes", text)
    return index + (sizes["chief"] if kind == "worker" else 0)


def _is_addresses(job: Any) -> bool:
    return isinstance(job, list) and all(isinstance(address, str) and ":" in address for address in job)


def _invalid(rule: str, text: str) -> ValueError:
    return ValueError(f"{VARIABLE} {rule}, such as {_EXAMPLE}. Received: {text[:200]!r}")
