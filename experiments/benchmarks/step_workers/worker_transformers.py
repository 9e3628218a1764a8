"""The worker of transformers on PyTorch for the CPU, without `torch.compile` (`torch_training.make_training`)."""

from collections.abc import Callable
from importlib.metadata import version

from protocol import Batch, Case, serve


def start(case: Case, batches: list[Batch]) -> tuple[Callable[[int], float], int, dict[str, str]]:
    """Start the implementation; see `protocol.serve`."""
    from torch_training import make_training

    step, model = make_training(case, batches)
    versions = {"torch": version("torch"), "transformers": version("transformers")}
    return lambda number: float(step(number)), sum(weight.numel() for weight in model.parameters()), versions


if __name__ == "__main__":
    serve(start)
