"""The worker of keras-hub on JAX: `BertMaskedLM.train_on_batch`, the least that Keras does around its compiled step."""

import os
from collections.abc import Callable
from importlib.metadata import version

from protocol import Batch, Case, serve


def start(case: Case, batches: list[Batch]) -> tuple[Callable[[int], float], int, dict[str, str]]:
    """Start the implementation; see `protocol.serve`."""
    os.environ["KERAS_BACKEND"] = "jax"
    from keras_hub_training import example, make_model

    model = make_model(case, jit_compile=True)
    examples = [example(batch) for batch in batches]

    def run(number: int) -> float:
        model.reset_metrics()  # else the loss would be the average of all steps
        return float(model.train_on_batch(*examples[number], return_dict=True)["loss"])

    versions = {name: version(name) for name in ("jax", "keras", "keras-hub")}
    return run, model.count_params(), versions


if __name__ == "__main__":
    serve(start)
