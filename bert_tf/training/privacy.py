"""Differentially private fine-tuning: what it needs, its random batches, and the guarantee that it gives.

Each step takes each example with the same probability, by itself (Poisson sampling), clips the gradient of each
example, adds Gaussian noise to their sum, and divides by the expected number of examples (Abadi et al. 2016). Two data
sets are neighbours if one has one example more. Sampling and noise come from a random number that is made when a run
begins and kept in its folder until the training ends: whoever knows it can take the noise off again.
"""

import dataclasses
import os
import secrets
from collections.abc import Mapping
from typing import Any

import keras
from absl import logging

from bert_tf.configs import FinetuningConfig
from bert_tf.configs.tasks import ClassificationConfig
from bert_tf.objectives.objective import PrivateGradients
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.training.batch_shards import BatchShard
from bert_tf.training.encoded_batches import poisson_dataset
from bert_tf.training.engine import Dataset, Engine
from bert_tf.training.training_data import RowsOfTask
from bert_tf.utils import files, json_text

SECRET_FILE = "privacy_secret"
DESCRIPTION = "differential_privacy"
"""The part of a run's description that says its guarantee."""
_SECRET_BITS = 62  # a positive int64, with a bit to spare

# The numbers of the random streams of the secret.
_SAMPLING, _NOISE = 0, 1


def check(config: FinetuningConfig, engine: Engine) -> None:
    """Check that a fine-tuning can be private.

    Raises:
        ValueError: its task, engine or settings are not supported, or dp-accounting is not installed. The message
            names the field.
    """
    task, train = config.task, config.train
    for field, is_right, rule, received in (
        ("task.kind", isinstance(task, ClassificationConfig), "classification", task.kind),
        ("task.long_texts", getattr(task, "long_texts", "cut") != "windows", "cut or head_tail", "windows"),
        ("task.balanced_classes", not getattr(task, "balanced_classes", False), "false: it counts labels", True),
        ("distill.teacher", not config.distill.teacher, "empty", config.distill.teacher),
        ("train.precision", train.precision != "float16", "float32 or bfloat16", train.precision),
        ("train.skip_nonfinite", not train.skip_nonfinite, "0", train.skip_nonfinite),
        ("engine", keras.config.backend() == "jax", "jax", "tensorflow"),
        ("num_devices", engine.num_devices == 1, "1", engine.num_devices),
    ):
        if not is_right:
            raise ValueError(f"`{field}` must be {rule} with `privacy.enabled`. Received: {received!r}")
    try:
        import dp_accounting  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"`privacy.enabled` needs dp-accounting: pip install 'bert_tf[privacy]'. Received: {error}"
        ) from None


def guarantee(config: FinetuningConfig, rows: EncodedExamples) -> dict[str, Any]:
    """Return the guarantee of a whole run: epsilon, delta, and what they follow from.

    The accountant is that of privacy loss distributions (Koskela et al. 2020), for the Gaussian mechanism on Poisson
    samples, composed over all steps. It knows nothing of evaluations, of the choice of settings by several runs, or of
    what the folder of the run logs about training examples.

    Args:
        config: the experiment, with its number of steps.
        rows: the encoded training examples, one an example.
    """
    import dp_accounting
    from dp_accounting import pld

    privacy, train = config.privacy, config.train
    probability = min(1.0, train.batch_size / len(rows))
    step = dp_accounting.PoissonSampledDpEvent(probability, dp_accounting.GaussianDpEvent(privacy.noise_multiplier))
    accountant = pld.PLDAccountant()
    accountant.compose(step, train.num_steps)
    found = {
        "epsilon": round(float(accountant.get_epsilon(privacy.delta)), 4),
        "delta": privacy.delta,
        "noise_multiplier": privacy.noise_multiplier,
        "clip_norm": privacy.clip_norm,
        "sampling": f"Poisson, each example with probability {probability:.6g} in each of {train.num_steps} steps",
        "neighbours": "one example more or less",
    }
    logging.info("Differential privacy of the training examples: %s", json_text.dumps(found))
    return found


def scores_of(guarantee: Mapping[str, Any]) -> dict[str, float]:
    """Return the part of a guarantee that belongs to the scores of a run."""
    return {name: guarantee[name] for name in ("epsilon", "delta")}


def secret_of(run_dir: str) -> int:
    """Return the secret of a run, which is made and kept in its folder if it has none.

    Raises:
        OSError: the file cannot be written.
    """
    path = os.path.join(run_dir, SECRET_FILE)
    if not files.exists(path):
        files.write_text(path, f"{secrets.randbits(_SECRET_BITS)}\n")
    return int(files.read_text(path))


def forget_secret(run_dir: str) -> None:
    """Remove the secret of a run whose training has ended."""
    files.remove(os.path.join(run_dir, SECRET_FILE))


def private_gradients(config: FinetuningConfig, secret: int) -> PrivateGradients:
    """Return how the gradients of a run become private."""
    return PrivateGradients(
        clip_norm=config.privacy.clip_norm,
        noise_multiplier=config.privacy.noise_multiplier,
        expected_rows=config.train.batch_size,
        seed=_stream(secret, _NOISE),
    )


@dataclasses.dataclass(frozen=True)
class RandomSamples(RowsOfTask):
    """The encoded training examples, in random samples by step.

    Attributes:
        secret: the run's secret.
    """

    secret: int = 0

    def batches_from(self, step: int, shard: BatchShard) -> Dataset:
        """Return the endless samples from a step on."""
        parts = self.train.gradient_accumulation_steps
        seed = _stream(self.secret, _SAMPLING)
        return poisson_dataset(self.rows, self.train.batch_size, seed, parts=parts, start_step=step)

    def describe_batch(self, step: int) -> str:
        """Return a text that does not say which examples are in the sample."""
        return "a random sample of the examples"


def _stream(secret: int, number: int) -> int:
    return 2 * secret + number
