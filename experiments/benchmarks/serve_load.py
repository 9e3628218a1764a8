"""The load that a server bears: texts a second and latencies, at several numbers of clients with one text a request.

    bert-tf serve --export_dir export --port 8501 --access_log=
    python -m experiments.benchmarks.serve_load --url http://localhost:8501/v1/models/model --texts texts.txt

Each client keeps a connection and sends its next request when it has its answer.
"""

import asyncio
import time
import urllib.parse
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from bert_tf.utils import files, json_text, launching


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("url", None, "The address of the model, http://HOST:PORT/v1/models/NAME.", required=True)
    flags.DEFINE_string("texts", None, "A file with one text a line, asked in turn.", required=True)
    flags.DEFINE_list("clients", ["1", "8", "64"], "The numbers of clients that ask at a time.")
    flags.DEFINE_integer("requests", 1000, "The number of requests that are measured, after a tenth as many.", 1)
    flags.DEFINE_string("output", None, "The JSON file for all measurements.")


async def measure(url: str, texts: Sequence[str], clients: int, requests: int) -> dict[str, Any]:
    """Return `texts_per_second`, the percentiles 50, 95 and 99 of the latency in milliseconds, and `statuses`.

    `processor_share` is the share of a processor that this process used itself: near 1, it bounds the result.

    Args:
        url: the address of the model.
        texts: the texts to ask, in turn.
        clients: the number of clients.
        requests: the number of requests of all clients together.

    Raises:
        OSError: the server cannot be reached, or closes a connection.
    """
    parts = urllib.parse.urlsplit(url)
    waiting = iter(range(requests))
    latencies: list[float] = []
    statuses: dict[str, int] = {}

    async def client() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        for number in waiting:
            body = json_text.dumps({"instances": [texts[number % len(texts)]]}).encode()
            head = f"POST {parts.path}:predict HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: {len(body)}\r\n\r\n"
            started = time.perf_counter()
            writer.write(head.encode() + body)
            try:
                answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(answer.split("content-length:", 1)[1].split("\r\n", 1)[0]))
            except asyncio.IncompleteReadError:
                raise ConnectionError(f"{url}: the server closed a connection") from None
            latencies.append(time.perf_counter() - started)
            status = answer.split(" ", 2)[1]
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()

    started, worked = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    percentiles = dict(zip((50, 95, 99), np.percentile(latencies, [50, 95, 99]) * 1000, strict=True))
    return {
        "clients": clients,
        "texts_per_second": round(requests / seconds, 1),
        **{f"latency_{percent}_ms": round(float(latency), 2) for percent, latency in percentiles.items()},
        "processor_share": round(worked / seconds, 3),
        "statuses": statuses,
    }


def numbers_of_clients(values: Sequence[str]) -> list[int]:
    """Return the numbers of the flag `--clients`.

    Raises:
        ValueError: a value is not a whole number above 0, or occurs twice, or there is none.
    """
    numbers = launching.whole_numbers(values, "clients")
    if min(numbers, default=0) < 1:
        raise ValueError(f"`clients` must be at least 1. Received: {','.join(values)}")
    return numbers


def main(_: Sequence[str]) -> None:
    """Read the flags, measure, and print a line for each number of clients."""
    values = flags.FLAGS
    numbers = numbers_of_clients(values.clients)
    texts = [line for line in files.read_text(values.texts).splitlines() if line]
    if not texts:
        raise ValueError(f"`texts` must hold at least one text. Received: {values.texts!r}, which holds none")
    results = []
    for clients in numbers:
        asyncio.run(measure(values.url, texts, clients, max(values.requests // 10, 1)))
        results.append(asyncio.run(measure(values.url, texts, clients, values.requests)))
        print(json_text.dumps(results[-1]), flush=True)
    if values.output:
        files.write_json(values.output, results)


if __name__ == "__main__":
    launching.run(main, define_flags)
