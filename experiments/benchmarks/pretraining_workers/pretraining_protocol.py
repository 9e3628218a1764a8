"""The code that the workers of the pre-training benchmark share. It needs NumPy only: each has its own environment.

A worker builds one implementation's training and then answers each line of its standard input, a JSON object, by one:

    {"run": steps}       -> {"seconds": ..., "processor_seconds": ..., "loss": of the last step}
    {"evaluate": true}   -> {"masked_lm_loss": ..., "masked_lm_accuracy": ...}     on the held-out rows
    {"save": folder}     -> {}

Its first line, once the training is built, has the `versions` of the packages that matter and the number of
`parameters`.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "step_workers"))
from protocol import Batch, Case


@dataclasses.dataclass(frozen=True)
class PretrainingCase(Case):
    """A training: the sizes of a case, and its recipe.

    Attributes:
        batches: the folder of the training batches, of `features.pretraining_batch`, with a .npy file of each feature,
            stacked on a first axis of steps.
        held_out: the folder of the held-out batches.
        records: the folder of the records that these batches are drawn from, which this project reads itself.
        short_records: the folder of the same text in shorter rows, for the first `short_steps` steps, and "" for none.
        short_steps: the number of these steps, whose batches have as many tokens as the others.
        held_out_records: the folder of the held-out records.
        held_out_every: this project evaluates on every so many-th batch of them, as `held_out` has them.
        experiment: this project's experiment, with its settings.
        changes: changes to it, as for `--set`.
        next_sentences: whether this project learns next sentences beside masked tokens.
        seed: the seed of the first weights, and of what is drawn while training.
        num_steps: the number of steps, after which the learning rate is zero.
        warmup_steps: the number of steps before the highest learning rate.
        decay_share: the share of the steps, at the end, in which it falls.
        beta2: the decay of the second moments.
    """

    held_out: str = ""
    records: str = ""
    short_records: str = ""
    short_steps: int = 0
    held_out_records: str = ""
    held_out_every: int = 1
    experiment: str = ""
    changes: Sequence[str] = ()
    next_sentences: bool = True
    seed: int = 0
    num_steps: int = 1
    warmup_steps: int = 0
    decay_share: float = 1.0
    beta2: float = 0.999


class Training(Protocol):
    """A training in progress."""

    versions: dict[str, str]
    parameters: int

    def run(self, steps: int) -> float:
        """Make the next steps, and return the loss of the last one."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Return `masked_lm_loss` (nats a masked token) and `masked_lm_accuracy` on the held-out rows."""
        ...

    def save(self, folder: str) -> None:
        """Write the model to a new folder, in the implementation's own form."""
        ...


def batches_in(folder: str, start: int = 0) -> Iterator[Batch]:
    """Return the batches in a folder, from one on."""
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in sorted(Path(folder).glob("*.npy"))}
    for number in range(start, len(arrays["input_ids"])):
        yield {
            name: np.asarray(array[number], array.dtype if array.dtype == np.float32 else np.int32)
            for name, array in arrays.items()
        }


def without_next_sentences(batch: dict[str, Any]) -> dict[str, Any]:
    """Return a batch of the same rows whose next-sentence labels have no weight."""
    return batch | {"next_sentence_weights": 0.0 * batch["next_sentence_weights"]}


def mean_over_batches(parts: Iterator[tuple[float, float, float]]) -> dict[str, float]:
    """Return the evaluation whose batches have these sums of losses, correct predictions and weights."""
    loss, correct, weight = np.sum(np.asarray(list(parts), np.float64), axis=0)
    return {"masked_lm_loss": loss / weight, "masked_lm_accuracy": correct / weight}


def serve(start: Callable[[PretrainingCase], Training]) -> None:
    """Run a worker whose only argument is a `PretrainingCase` as JSON."""
    # Libraries print to standard output. So answers go to a copy of it, and it becomes standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")

    training = start(PretrainingCase(**json.loads(sys.argv[1])))
    answer(versions=training.versions, parameters=training.parameters)
    for line in sys.stdin:
        command = json.loads(line)
        if "run" in command:
            begin, used = time.perf_counter(), time.process_time()
            loss = training.run(command["run"])
            seconds, used = time.perf_counter() - begin, time.process_time() - used
            answer(seconds=seconds, processor_seconds=used, loss=loss)
        elif "save" in command:
            training.save(command["save"])
            answer()
        else:
            answer(**training.evaluate())
