"""The JAX engine's training step on random tokens, where Keras and JAX alone are installed.

    python -m experiments.benchmarks.jax_step --device gpu --model bert_base --batch_size 64 --max_seq_length 512 \
        --precision bfloat16 --attention fused --packed 8 --peak_tflops 989

It prints one line of JSON: the device, the compilation, seconds a step, tokens a second, the share of the peak, memory
and losses. README.md in this folder gives the figures that were measured.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from bert_tf.utils import keras_backend
from bert_tf.utils.arguments import renamed
from bert_tf.utils.launching import run


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_enum("device", "cpu", ["cpu", "gpu", "tpu"], "The kind of the devices.")
    flags.DEFINE_integer("num_devices", None, "The number of devices; by default all.", lower_bound=1)
    flags.DEFINE_string("model", "bert_base", "The size, as `bert_base`.")
    flags.DEFINE_integer("batch_size", 32, "The rows of a batch, over all devices.", lower_bound=1)
    flags.DEFINE_integer("max_seq_length", 128, "The tokens of a row.", lower_bound=8)
    flags.DEFINE_enum("precision", "bfloat16", ["bfloat16", "float32"], "The precision of the computation.")
    flags.DEFINE_enum("attention", "plain", ["plain", "fused"], "The implementation of attention.")
    flags.DEFINE_float("dropout_rate", 0.1, "Dropout of hidden states.")
    flags.DEFINE_float("attention_dropout_rate", 0.0, "Dropout of probabilities, which fused attention has not.")
    flags.DEFINE_integer(
        "packed", 0, "The most sequences in a row: 1 for one and padding, 0 for one that fills it.", lower_bound=0
    )
    flags.DEFINE_list(
        "batches", [], "Files of batches that are used instead, stacked in .npz, all of one shape; a line for each."
    )
    flags.DEFINE_integer("steps", 10, "The steps of a repetition.", lower_bound=1)
    flags.DEFINE_integer("repetitions", 5, "The number of repetitions.", lower_bound=1)
    flags.DEFINE_float("peak_tflops", 0.0, "What one device can make at this precision; 0 if unknown.", lower_bound=0.0)


def _batches(values: Any, vocab_size: int) -> list[tuple[str | None, dict[str, np.ndarray]]]:
    """Return the files and their batches, or random batches without a file."""
    from bert_tf.features import predictions_per_row
    from bert_tf.utils import files
    from experiments.benchmarks.synthetic_batches import synthetic_batches

    if not values.batches:
        length = values.max_seq_length
        predictions = predictions_per_row(0.15, length)
        sizes: dict[str, Any] = {"predictions": predictions, "vocab_size": vocab_size, "sequences": values.packed}
        return [(None, synthetic_batches(values.batch_size, length, count=4, **sizes))]
    found: list[tuple[str | None, dict[str, np.ndarray]]] = []
    for path in values.batches:
        with files.open_to_read(path) as file, np.load(file) as arrays:
            found.append((path, {name: arrays[name] for name in arrays.files}))
    return found


def main(_: Sequence[str]) -> None:
    """Read the flags, measure, and print the line."""
    values = flags.FLAGS
    keras_backend.choose_backend("jax")
    if values.device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    from bert_tf.configs import BertConfig
    from bert_tf.training.jax_engine.engine import JaxEngine
    from experiments.benchmarks import jax_training

    engine = JaxEngine.for_devices(num_devices=values.num_devices)
    if engine.devices.platform != values.device:
        raise ValueError(f"--device: JAX finds no such device. Received: {values.device}; {engine.describe()}")
    changes = {name: values[name].value for name in ("attention", "dropout_rate", "attention_dropout_rate")}
    with renamed(name="model"):
        config = BertConfig.named(values.model, **changes)
    batches = _batches(values, config.vocab_size)
    training = jax_training.JaxTraining(config, batches[0][1], precision=values.precision, engine=engine)
    peak = values.peak_tflops * engine.num_devices
    for path, arrays in batches:
        training.use(arrays)
        measured = jax_training.measure(training, steps=values.steps, repetitions=values.repetitions)
        report = jax_training.describe_devices(training)
        report |= {name: values[name].value for name in ("model", "precision", "attention")}
        report |= dict(zip(("batch_size", "max_seq_length"), arrays["input_ids"].shape[1:], strict=True))
        report |= {"packed": arrays["next_sentence_labels"].shape[-1], "batches": path, "steps": values.steps}
        report |= measured
        report |= jax_training.rates(config, arrays, measured["seconds_per_step"], peak_tflops=peak)
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    run(main, define_flags)
