"""The cost of checkpoints for a training that writes one every N steps.

    python -m experiments.benchmarks.checkpointing --work_dir /tmp/checkpointing --output checkpointing.json

Two kinds of blocks of steps take turns. One starts with a checkpoint, which is written while its steps run, as in
training; the other has none. README.md in this folder gives the results.
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from bert_tf.configs.training import DTYPE_POLICIES
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from bert_tf.utils.launching import run


def measure(
    step: Callable[[], Any], variables: dict[str, Any], folder: str, *, steps: int, rounds: int
) -> dict[str, Any]:
    """Measure the seconds of blocks of steps with and without a checkpoint, in turns.

    A block ends when all that it wrote is on the disk; otherwise, the system would write it during the next block.

    Args:
        step: a function that makes one step, and returns when it is done.
        variables: the variables that a checkpoint holds.
        folder: the folder of the checkpoints.
        steps: the number of steps in a block.
        rounds: the number of blocks of each kind.

    Returns:
        The seconds of each block (`with`, `without`) and of its processor time (`processor_with`, `processor_without`);
        the seconds of copying the values (`copying`, which is part of the block with a checkpoint); the seconds from
        there until a last checkpoint was complete, while nothing else ran (`writing`); the `bytes` of a checkpoint; the
        `ratio` of the median rates with and without checkpoints; and the `ratios` of the single turns.
    """
    from bert_tf.runs.checkpoint_writer import CheckpointWriter

    names = ("with", "without", "processor_with", "processor_without", "copying", "writing")
    seconds: dict[str, list[float]] = {name: [] for name in names}

    def block(name: str, before: Callable[[], None]) -> None:
        start, processor = time.perf_counter(), time.process_time()
        before()
        for _ in range(steps):
            step()
        os.sync()
        seconds[name].append(time.perf_counter() - start)
        seconds[f"processor_{name}"].append(time.process_time() - processor)

    with CheckpointWriter(folder, keep=2) as writer:
        for _ in range(steps):  # not only the first step of a process is slow
            step()
        for number in range(rounds):

            def hand_over(number: int = number) -> None:
                start = time.perf_counter()
                writer.save(number + 1, variables)
                seconds["copying"].append(time.perf_counter() - start)

            # The order changes, so that a machine that becomes slower or faster favours neither kind.
            for name in ("without", "with") if number % 2 == 0 else ("with", "without"):
                block(name, hand_over if name == "with" else lambda: None)
                writer.wait()
            last = {name: values[-1] for name, values in seconds.items() if values}
            print(
                f"{last['with']:.2f} s with a checkpoint, {last['without']:.2f} s without; processor time "
                f"{last['processor_with']:.2f} and {last['processor_without']:.2f} s; copying {last['copying']:.2f} s",
                flush=True,
            )
        start = time.perf_counter()
        writer.save(rounds + 1, variables)
        copied = time.perf_counter() - start
        writer.wait()
        seconds["writing"].append(time.perf_counter() - start - copied)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    size = sum(variable.numpy().nbytes for variable in variables.values())
    return seconds | {
        "steps": steps,
        "bytes": size,
        "ratio": medians["without"] / medians["with"],
        "ratios": [without / slower for without, slower in zip(seconds["without"], seconds["with"], strict=True)],
    }


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("work_dir", None, "The folder for the checkpoints.", required=True)
    flags.DEFINE_string("output", None, "The JSON file for all measurements.")
    flags.DEFINE_string("size", "bert_mini", "A published size.")
    flags.DEFINE_string("precision", "bfloat16", "The precision of the computation.")
    flags.DEFINE_integer("batch_size", 8, "The number of rows of 128 tokens in a batch.", lower_bound=1)
    flags.DEFINE_integer("steps", 100, "The number of steps between two checkpoints.", lower_bound=1)
    flags.DEFINE_integer("rounds", 3, "The number of turns of each kind of block.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags, measure, and print the results."""
    import tensorflow as tf

    from bert_tf.configs import BertConfig, OptimizerConfig, TrainConfig
    from bert_tf.features import predictions_per_row
    from bert_tf.models.pretrainer import BertPretrainer
    from bert_tf.objectives.objective import pretraining_objective
    from bert_tf.training.tensorflow_engine.distribution import Distribution
    from bert_tf.training.tensorflow_engine.state import TrainState
    from bert_tf.training.tensorflow_engine.step import TrainStep
    from experiments.benchmarks.synthetic_batches import synthetic_batches

    values = flags.FLAGS
    with renamed(folder="work_dir"):
        files.require_writable_folder(values.work_dir)
    config = BertConfig.named(values.size)
    train = TrainConfig(batch_size=values.batch_size, precision=values.precision)
    state = TrainState(BertPretrainer(config, dtype=DTYPE_POLICIES[train.precision]), train.precision)
    arrays = synthetic_batches(
        train.batch_size, 128, predictions=predictions_per_row(0.15, 128), vocab_size=config.vocab_size, count=1
    )
    batch = {name: tf.constant(array[0]) for name, array in arrays.items()}
    train_step = tf.function(
        TrainStep(state, pretraining_objective(), train=train, optimizer=OptimizerConfig(), distribution=Distribution())
    )
    results = measure(
        lambda: float(train_step(batch)["gradient_norm"][0]),
        state.variables(),
        values.work_dir,
        steps=values.steps,
        rounds=values.rounds,
    )
    print(describe(results))
    if values.output:
        files.write_json(values.output, results)


def describe(results: dict[str, Any]) -> str:
    """Return the result of `measure` as text."""
    medians = {name: statistics.median(values) for name, values in results.items() if isinstance(values, list)}
    rates = {name: results["steps"] / medians[name] for name in ("with", "without")}
    return (
        f"{rates['with']:.3f} steps/s with a checkpoint of {results['bytes'] / 1e6:,.0f} MB every {results['steps']} "
        f"steps, {rates['without']:.3f} without: {results['ratio']:.3f} "
        f"({', '.join(f'{ratio:.3f}' for ratio in results['ratios'])}). Processor time of a block: "
        f"{medians['processor_with']:.2f} and {medians['processor_without']:.2f} s. Copying took "
        f"{medians['copying']:.2f} s, writing beside nothing else {medians['writing']:.2f} s"
    )


if __name__ == "__main__":
    run(main, define_flags)
