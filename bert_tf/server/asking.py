"""The way of a request to the model and back, apart from HTTP."""

import asyncio
import concurrent.futures
from collections.abc import Mapping

import numpy as np

from bert_tf.server.served_version import ServedVersion, Signature


class Asking:
    """Runs models in threads, so that the event loop goes on.

    Args:
        parallel: the number of threads.
    """

    def __init__(self, parallel: int) -> None:
        self._executor = concurrent.futures.ThreadPoolExecutor(parallel, "model")

    async def ask(
        self, version: ServedVersion, signature: Signature, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return the outputs of a signature. Raises the errors of `ServedVersion.run`."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, version.run, signature.name, inputs)

    def close(self) -> None:
        """Wait for the models that are running, and end the threads."""
        self._executor.shutdown()
