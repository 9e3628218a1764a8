"""The race of the load benchmark: servers of the same weights, each asked by 1, 8 and 64 clients in turn."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_tf.server.options import ServerOptions
from bert_tf.utils import files, json_text
from bert_tf.utils.progress import progress_bar
from experiments.benchmarks import serve_race
from experiments.benchmarks.serve_race import SOURCES, WORKERS

OURS = ("saved_model", "litert", "onnx")
"""The runtimes of this project's server."""
PEERS = {"transformers": 1, "transformers_batched": ServerOptions.max_batch_texts}
"""The servers of transformers, with the largest number of texts that each computes together."""
IMPLEMENTATIONS = (*OURS, *PEERS)
LITERT_LENGTHS = (16, 32, 64)
LARGEST_DIFFERENCE = 1e-4
MEASURES = ("texts_per_second", "latency_50_ms", "latency_95_ms", "latency_99_ms", "processor_share")

_COMPARED = 8


class Command(NamedTuple):
    """The command that starts a server, which prints its address, and changes of the environment."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


def make_commands(
    weights: str, work_dir: str, implementations: Sequence[str], peer_python: str | None
) -> dict[str, Command]:
    """Make the exports, and return the command of each server.

    Args:
        weights: the folder of a Sentence Transformers BERT.
        work_dir: the folder for a copy of the weights and the exports.
        implementations: names of `IMPLEMENTATIONS`.
        peer_python: an interpreter with torch, transformers, Starlette and Uvicorn; needed for `PEERS`.

    Raises:
        FileNotFoundError: there are no such weights.
    """
    made = serve_race.prepare(weights, work_dir, (*OURS, "transformers"), LITERT_LENGTHS)
    export_dir = os.path.dirname(made["saved_model"])
    own_path = os.pathsep.join(filter(None, [SOURCES, os.environ.get("PYTHONPATH")]))
    commands = {}
    for name in implementations:
        if name in PEERS:
            assert peer_python is not None
            program = os.path.join(WORKERS, "server_transformers.py")
            arguments = [peer_python, program, made["transformers"], str(PEERS[name])]
            commands[name] = Command(arguments, {"PYTHONPATH": ""})
        else:
            flags = [f"--export_dir={export_dir}", f"--runtime={name}", "--port=0", "--access_log="]
            commands[name] = Command([sys.executable, "-m", "experiments.serve", *flags], {"PYTHONPATH": own_path})
    return commands


@contextlib.contextmanager
def serving(name: str, command: Command) -> Iterator[str]:
    """Run a server while the block runs, and yield the address of its model.

    Raises:
        OSError: the server ended before it printed its address.
    """
    own = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    with tempfile.TemporaryFile("w+") as words:  # a pipe that nobody reads would fill up
        process = subprocess.Popen(
            command.arguments,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            env={**os.environ, **own, **command.environment},
        )
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            address = next((line.strip() for line in lines if line.startswith("http")), None)
            if address is None:
                code = process.wait()
                words.seek(0)
                raise OSError(f"the server {name!r} ended with code {code}: {words.read()[-2000:]}")
            yield address
        finally:
            process.terminate()
            process.communicate()


def race(
    commands: Mapping[str, Command],
    sentences: Sequence[str],
    *,
    work_dir: str,
    clients: Sequence[int],
    requests: int,
    rounds: int,
) -> list[dict[str, Any]]:
    """Measure each server with each number of clients, one sentence a request.

    All servers run at once, and the load generator, a process of its own, asks them in turns, `rounds` times, so that
    changes in the machine's speed affect all of them. A server that is not asked is idle.

    Args:
        commands: the command of each server.
        sentences: the sentences to ask.
        work_dir: the folder for the sentences and the load generator's results.
        clients: the numbers of clients.
        requests: the number of requests of a measurement.
        rounds: the number of turns.

    Returns:
        A row for each server and number of clients, with the median of the turns for each of `MEASURES`, and those of
            the turns in `rounds`.

    Raises:
        OSError: a server or the load generator ended.
        ValueError: the servers' vectors differ, or a request was not answered.
    """
    texts, output = os.path.join(work_dir, "sentences.txt"), os.path.join(work_dir, "turn.json")
    files.write_text(texts, "\n".join(sentences) + "\n")
    flags = [f"--texts={texts}", f"--clients={','.join(map(str, clients))}", f"--requests={requests}"]
    turns: dict[tuple[str, int], list[dict[str, Any]]] = {(name, count): [] for name in commands for count in clients}
    with contextlib.ExitStack() as stack:
        urls = {name: stack.enter_context(serving(name, command)) for name, command in commands.items()}
        _compare(urls, sentences[:_COMPARED])
        for _ in progress_bar(range(rounds), label="racing", unit="round"):
            for name, url in urls.items():
                command = [sys.executable, "-m", "experiments.benchmarks.serve_load", f"--url={url}", *flags]
                done = subprocess.run([*command, f"--output={output}"], capture_output=True, text=True, cwd=SOURCES)
                if done.returncode:
                    raise OSError(f"the load generator ended with code {done.returncode}: {done.stderr[-2000:]}")
                for turn in files.read_json(output):
                    if set(turn["statuses"]) != {"200"}:
                        raise ValueError(f"every request must be answered. Received: {name}, {turn['statuses']}")
                    turns[name, turn["clients"]].append(turn)
    return [
        {
            "implementation": name,
            "clients": count,
            **{measure: statistics.median(turn[measure] for turn in found) for measure in MEASURES},
            "rounds": found,
        }
        for (name, count), found in turns.items()
    ]


def _compare(urls: Mapping[str, str], sentences: Sequence[str]) -> None:
    """Raise an error if the servers' vectors differ."""
    vectors = {name: np.array(predict(url, sentences)) for name, url in urls.items()}
    first, expected = next(iter(vectors.items()))
    for name, found in vectors.items():
        difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
        if not difference <= LARGEST_DIFFERENCE:
            raise ValueError(f"all servers must give the same vectors. Received: {name} off {first} by {difference}")


def predict(url: str, texts: Sequence[str]) -> list[list[float]]:
    """Return a server's vectors of texts, asked in one request."""
    body = json_text.dumps({"instances": texts}).encode()
    request = urllib.request.Request(f"{url}:predict", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)["predictions"]


def describe(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a Markdown table, with the ratio of texts a second to those of the fewest clients."""
    lines = [
        "| server | clients | texts/s | x fewest clients | p50, ms | p95, ms | p99, ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        same = [other for other in rows if other["implementation"] == row["implementation"]]
        fewest = min(same, key=lambda other: other["clients"])["texts_per_second"]
        lines.append(
            f"| {row['implementation']} | {row['clients']} | {row['texts_per_second']:,.0f} "
            f"| {row['texts_per_second'] / fewest:.2f} | {row['latency_50_ms']:,.1f} | {row['latency_95_ms']:,.1f} "
            f"| {row['latency_99_ms']:,.1f} |"
        )
    return "\n".join(lines)
