"""A server of transformers on PyTorch, by Starlette and Uvicorn, which answers TensorFlow Serving's Predict.

Its arguments are the folder of the model and the largest number of texts that are computed together, 1 for no batching.
It prints its address once it accepts connections. One thread computes: the texts that wait when it becomes free make
the next batch, as in the server of this project.
"""

import asyncio
import concurrent.futures
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import uvicorn
from serving_protocol import Embed
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


class Batches:
    """Computes the vectors of texts in one thread, those that wait together.

    Args:
        embed: the function from texts to vectors, [B, D].
        most: the largest number of texts that are computed together.
    """

    def __init__(self, embed: Embed, most: int) -> None:
        self._embed = embed
        self._most = most
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._waiting: deque[tuple[str, asyncio.Future[list[float]]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def vector(self, text: str) -> list[float]:
        """Return the vector of a text."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.append((text, future))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._compute())
        return await future

    async def _compute(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
            texts, futures = zip(*batch, strict=True)
            try:
                vectors = await asyncio.get_running_loop().run_in_executor(self._thread, self._embed, texts)
            except Exception as error:  # each request of the batch reports it
                for future in futures:
                    future.set_exception(error)
                continue
            for future, vector in zip(futures, vectors.tolist(), strict=True):
                if not future.done():
                    future.set_result(vector)


def run(start: Callable[[str], tuple[Any, ...]]) -> None:
    """Serve until SIGTERM.

    Args:
        start: a function from the folder to a function that embeds texts, and what a worker needs besides.
    """
    embed = start(sys.argv[1])[0]
    embed(["a text to start with"])
    batches = Batches(embed, int(sys.argv[2]))

    async def predict(request: Request) -> JSONResponse:
        texts = (await request.json())["instances"]
        return JSONResponse({"predictions": await asyncio.gather(*map(batches.vector, texts))})

    application = Starlette(routes=[Route("/v1/models/model:predict", predict, methods=["POST"])])
    # asyncio sends small packets at once (TCP_NODELAY) only if the socket names its protocol. Otherwise each answer
    # would wait 40 ms for the client's acknowledgement of its headers.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1/models/model", flush=True)
        server = uvicorn.Server(uvicorn.Config(application, access_log=False, log_level="warning"))
        server.run(sockets=[listener])


if __name__ == "__main__":
    from worker_transformers import start as start_transformers

    run(start_transformers)
