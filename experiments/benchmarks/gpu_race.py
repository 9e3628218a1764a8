"""Pre-training on one GPU: this project's JAX engine beside transformers with torch.compile and SDPA, in bfloat16.

    python -m experiments.benchmarks.gpu_race --output gpu_race.json

It needs no network and no TensorFlow: JAX and Keras in one environment, PyTorch and transformers in the same or in
another one. It takes under ten minutes. README.md in this folder describes the comparison.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.launching import run


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_enum("device", "gpu", ["gpu", "cpu"], "The device of both sides.")
    flags.DEFINE_bool("tiny", False, "Race on a tiny model, to try out the benchmark.")
    flags.DEFINE_list("models", ["bert_base", "bert_large"], "The sizes of the race.")
    flags.DEFINE_list("lengths", ["128", "512"], "The tokens of a row.")
    flags.DEFINE_enum("attention", None, ["plain", "fused"], "This project's attention; by default fused on a GPU.")
    flags.DEFINE_bool("compile", True, "Compile the peer by torch.compile.")
    flags.DEFINE_integer("steps", 10, "The steps of a repetition.", lower_bound=1)
    flags.DEFINE_integer("repetitions", 3, "The number of repetitions.", lower_bound=1)
    flags.DEFINE_float("minutes", 9.5, "The time for all cases; what does not fit in is left out.", lower_bound=0.1)
    flags.DEFINE_float("peak_tflops", 0.0, "The card's peak; 0 for that of its name.", lower_bound=0.0)
    flags.DEFINE_string("python_jax", sys.executable, "The interpreter that has JAX and Keras.")
    flags.DEFINE_string("python_torch", sys.executable, "The interpreter that has PyTorch and transformers.")
    flags.DEFINE_string("output", None, "The JSON file for all measurements.")


def main(_: Sequence[str]) -> None:
    """Read the flags, race, and print the table."""
    from experiments.benchmarks import gpu_cases

    values = flags.FLAGS
    sizes = gpu_cases.TINY_SIZES if values.tiny else gpu_cases.SIZES
    if not values.tiny:
        for name, given, position in (("models", values.models, 0), ("lengths", values.lengths, 1)):
            known = sorted({str(size[position]) for size in sizes})
            unknown = sorted(set(given) - set(known))
            if unknown or not given:
                raise ValueError(f"--{name} must be among {', '.join(known)}. Received: {', '.join(unknown) or 'none'}")
        sizes = {
            size: rows for size, rows in sizes.items() if size[0] in values.models and str(size[1]) in values.lengths
        }
    options = gpu_cases.Options(
        device=values.device,
        attention=values.attention or ("fused" if values.device == "gpu" else "plain"),
        compiled=values.compile,
        steps=values.steps,
        repetitions=values.repetitions,
        python_jax=values.python_jax,
        python_torch=values.python_torch,
    )

    def report(rows: list[dict[str, Any]]) -> None:
        print(gpu_cases.describe(rows), flush=True)
        if values.output:
            files.write_text(values.output, json.dumps(rows, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        gpu_cases.race(
            sizes,
            options,
            folder=folder,
            seconds=60 * values.minutes,
            peak_tflops=values.peak_tflops,
            report=report,
        )


if __name__ == "__main__":
    run(main, define_flags)
