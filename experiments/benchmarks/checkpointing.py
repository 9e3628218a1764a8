"""What checkpoints cost a training that writes one every so many steps.

    python -m experiments.benchmarks.checkpointing --work_dir /tmp/checkpointing --output checkpointing.json

Blocks of steps in turns: one that hands over a checkpoint first, which is written while its steps run, as in training,
and one that does not. What came out: README.md in this folder.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from bert_tf import files
from bert_tf.launching import run

WORK_DIR = flags.DEFINE_string("work_dir", None, "Folder for the checkpoints.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "JSON file for all figures.")
SIZE = flags.DEFINE_string("size", "bert_mini", "A published size.")
PRECISION = flags.DEFINE_string("precision", "bfloat16", "Of the computation.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Rows of 128 pieces.", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 100, "Steps between two checkpoints.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 3, "How often each kind of block has its turn.", lower_bound=1)


def measure(step: Callable[[], Any], variables: dict[str, Any], folder: str, steps: int, rounds: int) -> dict[str, Any]:
    """Seconds of blocks of steps with and without a checkpoint, in turns.

    Args:
        step: makes one step, and returns when it is made.
        variables: what a checkpoint holds.
        folder: where checkpoints go.
        steps: in a block.
        rounds: blocks of each kind.

    Returns:
        Seconds of each block (`with`, `without`), of copying the values (`copying`, part of the block with a
        checkpoint), from there until the checkpoint was complete (`writing`, at the same time as its steps), `bytes` of
        a checkpoint, and `ratio`, the median rate with checkpoints over that without.
    """
    from bert_tf.training.checkpoint_writer import CheckpointWriter

    seconds: dict[str, list[float]] = {"with": [], "without": [], "copying": [], "writing": []}

    def block(name: str, before: Callable[[], None]) -> None:
        start = time.perf_counter()
        before()
        for _ in range(steps):
            step()
        seconds[name].append(time.perf_counter() - start)

    with CheckpointWriter(folder, keep=2) as writer:
        for _ in range(1 + steps // 2):  # the first steps of a process are slower, not the first alone
            step()
        for number in range(rounds):

            def hand_over(number: int = number) -> None:
                start = time.perf_counter()
                writer.save(number + 1, variables)
                seconds["copying"].append(time.perf_counter() - start)

            block("without", lambda: None)
            block("with", hand_over)
            writer.wait()
        start = time.perf_counter()
        writer.save(rounds + 1, variables)
        copied = time.perf_counter() - start
        writer.wait()
        seconds["writing"].append(time.perf_counter() - start - copied)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    size = sum(variable.numpy().nbytes for variable in variables.values())
    return seconds | {"steps": steps, "bytes": size, "ratio": medians["without"] / medians["with"]}


def main(_: Sequence[str]) -> None:
    """Read the flags; print the figures."""
    import tensorflow as tf

    from bert_tf.configs import BertConfig, OptimizerConfig, TrainConfig
    from bert_tf.features import predictions_per_row
    from bert_tf.models.pretrainer import BertPretrainer
    from bert_tf.objectives import pretraining_objective
    from bert_tf.training.distribution import Distribution
    from bert_tf.training.step import DTYPE_POLICIES, TrainState, make_train_step
    from experiments.benchmarks.step_race import random_batches

    files.require_writable_folder(WORK_DIR.value, "--work_dir")
    config = BertConfig.named(SIZE.value)
    train = TrainConfig(batch_size=BATCH_SIZE.value, precision=PRECISION.value)
    state = TrainState(BertPretrainer(config, dtype=DTYPE_POLICIES[train.precision]), train.precision)
    arrays = random_batches(train.batch_size, 128, predictions_per_row(0.15, 128), config.vocab_size, count=1)
    batch = {name: tf.constant(array[0]) for name, array in arrays.items()}
    train_step = tf.function(make_train_step(state, pretraining_objective(), train, OptimizerConfig(), Distribution()))
    figures = measure(
        lambda: float(train_step(batch)["gradient_norm"][0]),
        state.variables(),
        WORK_DIR.value,
        STEPS.value,
        ROUNDS.value,
    )
    print(describe(figures))
    if OUTPUT.value:
        files.write_json(OUTPUT.value, figures)


def describe(figures: dict[str, Any]) -> str:
    """The figures of `measure` for people."""
    rates = {name: figures["steps"] / statistics.median(figures[name]) for name in ("with", "without")}
    return (
        f"{rates['with']:.3f} steps/s with a checkpoint of {figures['bytes'] / 1e6:,.0f} MB every {figures['steps']} "
        f"steps, {rates['without']:.3f} without: {figures['ratio']:.3f}. Copying took "
        f"{statistics.median(figures['copying']):.2f} s, writing beside nothing else "
        f"{statistics.median(figures['writing']):.2f} s"
    )


if __name__ == "__main__":
    run(main)
