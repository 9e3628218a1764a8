"""Configurations of training: the update rule, the loop and the phases of a pre-training."""

import dataclasses
import re
from typing import Self

from bert_tf.configs.base import Config, ConfigError, check_choice, check_range

DECAY_SCHEDULES = ("linear", "linear_after_warmup", "constant", "warmup_stable_decay")
"""The values of `optimizer.decay_schedule`."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Config):
    """The update rule and its schedule (`bert_tf/optimization.py`).

    Attributes:
        name: `adamw` (Loshchilov and Hutter 2019), `lamb` (You et al. 2020), or `muon` (Jordan et al. 2024) for the
            kernels of the encoder's blocks, with `adamw` for all other weights.
        beta1: decay of the first moment; that of `muon` is 0.95.
        beta2: decay of the second moment.
        epsilon: constant that is added to the root of the second moment.
        weight_decay: decoupled weight decay, of all weights but biases and LayerNorm.
        bias_correction: whether moments are corrected for their start from zero. BERT's pre-training does not correct
            them; fine-tuning should (Zhang et al. 2021, Mosbach et al. 2021).
        clip_norm: largest global norm of the gradient; 0 for no limit.
        decay_schedule: decay of the learning rate: `linear` to zero at the last step, counted from step 0, as in
            google-research/bert; `linear_after_warmup`, counted from the end of the warm-up, as in transformers;
            `constant` after the warm-up; or `warmup_stable_decay`, constant up to a last part that decays linearly to
            zero (Hu et al. 2024).
        decay_share: that part's share of the steps.
        layer_decay: factor of the learning rate from a layer to the one below it, with heads and pooler on top; 1 for
            the same rate everywhere.
    """

    name: str = "adamw"
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01
    bias_correction: bool = False
    clip_norm: float = 1.0
    decay_schedule: str = "linear"
    decay_share: float = 0.1
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("name", self.name, ("adamw", "lamb", "muon"))
        check_choice("decay_schedule", self.decay_schedule, DECAY_SCHEDULES)
        check_range("decay_share", self.decay_share, 1e-6, high=1.0)
        check_range("layer_decay", self.layer_decay, 1e-6, high=1.0)
        for name in ("beta1", "beta2"):
            check_range(name, getattr(self, name), 0.0, high=1.0)
        for name in ("epsilon", "weight_decay", "clip_norm"):
            check_range(name, getattr(self, name), 0.0)


DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
"""The Keras dtype policy of each value of `train.precision` but `auto`."""


@dataclasses.dataclass(frozen=True)
class TrainConfig(Config):
    """The training loop (`bert_tf/training/loop.py`). A step is one update; 0 for an `*_every` means only at the end.

    Attributes:
        num_steps: number of updates.
        schedule_start: step at which the schedule of the learning rate begins (`optimization.learning_rate_at`).
        schedule_steps: length of that schedule in steps; 0 for up to `num_steps`.
        batch_size: rows in the global batch, over all replicas.
        learning_rate: peak of the schedule.
        warmup_steps: steps in which the learning rate rises from 0 to its peak.
        steps_per_loop: steps that the device runs between two returns to the host. Logs, checkpoints and evaluations
            happen at multiples of it.
        checkpoint_every: steps between two checkpoints.
        eval_every: steps between two evaluations.
        log_every: steps between two lines of the log.
        eval_batch_size: rows in a batch of an evaluation.
        keep_checkpoints: number of newest checkpoints that are kept.
        keep_checkpoint_every_hours: hours between older checkpoints that are kept for good; 0 for none.
        skip_nonfinite: number of steps with a loss or gradient that is not finite which the run leaves out, each with a
            warning, before it stops; 0 to stop at the first.
        frozen: weights that keep their values, by regular expressions that match the start of their names
            (`models.weights.named_weights`), such as `encoder/embeddings` or `encoder/block_[0-5]/`.
        ema_decay: decay of an exponential moving average of the weights, such as 0.999; 0 for none.
        use_average: whether evaluations, exports, predictions and runs that start from this one take the averages, if
            there are any.
        peak_tflops: the most that one device computes at this precision, in 10^12 operations a second, so that the log
            can show the share that is used; 0 if it is unknown.
        profile_steps: two steps between which a profile for TensorBoard is made; empty for none.
        seed: seed of initial weights, masks, dropout and the order of the data.
        precision: precision of the computation: `float32`, `bfloat16`, or `float16` with loss scaling. `auto` is the
            one that the devices multiply natively, which a run fixes when it begins (`training/native_precision.py`).
            Variables, LayerNorm, softmax and losses stay float32.
        jit_compile: whether XLA compiles the step on one device; with several devices, the strategy decides.
        xla_scope: the unit that XLA compiles: the whole `step`, or each of the `fused` operations between the matrix
            products (`bert_tf/fusion.py`), because a CPU multiplies bfloat16 matrices much faster outside XLA.
            `auto` means `fused` in bfloat16 on a CPU, else for `step`.
        concurrent_parts: on a CPU, number of parts of the batch whose gradients are computed at the same time, because
            XLA's CPU programs hardly use more than one core each. The gradient is that of the whole batch, with its
            dropout masks. GPUs and TPUs take the batch whole.
        gradient_accumulation_steps: number of parts of a replica's batch whose gradients are computed one after another
            and summed before the update. It needs the memory of one part; the update is that of the whole batch, its
            dropout masks included.
        shard_optimizer: through JAX, whether each device keeps only its part of the optimizer's moments (ZeRO's first
            stage, Rajbhandari et al. 2020), which saves memory and costs communication. The update is the same.
    """

    num_steps: int = 1000
    schedule_start: int = 0
    schedule_steps: int = 0
    batch_size: int = 32
    learning_rate: float = 1e-4
    warmup_steps: int = 100
    steps_per_loop: int = 100
    checkpoint_every: int = 0
    eval_every: int = 0
    log_every: int = 100
    eval_batch_size: int = 128
    keep_checkpoints: int = 3
    keep_checkpoint_every_hours: float = 0.0
    skip_nonfinite: int = 0
    frozen: tuple[str, ...] = ()
    ema_decay: float = 0.0
    use_average: bool = True
    peak_tflops: float = 0.0
    profile_steps: tuple[int, ...] = ()
    seed: int = 0
    precision: str = "auto"
    jit_compile: bool = True
    xla_scope: str = "auto"
    concurrent_parts: int = 1
    gradient_accumulation_steps: int = 1
    shard_optimizer: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_steps", "batch_size", "steps_per_loop", "eval_batch_size", "keep_checkpoints"):
            check_range(name, getattr(self, name), 1)
        for name in ("concurrent_parts", "gradient_accumulation_steps"):
            check_range(name, getattr(self, name), 1)
        if self.batch_size % (self.concurrent_parts * self.gradient_accumulation_steps):
            raise ConfigError(
                "`batch_size` must be a multiple of `concurrent_parts` x `gradient_accumulation_steps`. Received: "
                f"batch_size={self.batch_size}, concurrent_parts={self.concurrent_parts}, "
                f"gradient_accumulation_steps={self.gradient_accumulation_steps}"
            )
        for name in ("schedule_start", "schedule_steps"):
            check_range(name, getattr(self, name), 0)
        for name in ("warmup_steps", "checkpoint_every", "eval_every", "log_every", "seed", "learning_rate"):
            check_range(name, getattr(self, name), 0)
        for name in ("keep_checkpoint_every_hours", "skip_nonfinite", "peak_tflops"):
            check_range(name, getattr(self, name), 0)
        check_range("ema_decay", self.ema_decay, 0.0, high=1.0 - 1e-9)
        if self.profile_steps and (
            len(self.profile_steps) != 2 or not 0 <= self.profile_steps[0] < self.profile_steps[1]
        ):
            raise ConfigError(
                "`profile_steps` must be two numbers of steps, the second one larger, such as 100,110. Received: "
                f"{','.join(map(str, self.profile_steps))}"
            )
        for pattern in self.frozen:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ConfigError(f"`frozen` must be regular expressions ({error}). Received: {pattern!r}") from None
        check_choice("xla_scope", self.xla_scope, ("auto", "step", "fused"))
        check_choice("precision", self.precision, ("auto", *DTYPE_POLICIES))

    def with_precision(self, precision: str) -> Self:
        """Return the settings with this precision in place of `auto`; unchanged if they have another."""
        return self.replace(precision=precision) if self.precision == "auto" else self

    @property
    def dtype_policy(self) -> str:
        """The Keras dtype policy of `precision`. Variables are always float32.

        Raises:
            ConfigError: the precision is `auto`, which `with_precision` replaces first.
        """
        check_choice("precision", self.precision, tuple(DTYPE_POLICIES))
        return DTYPE_POLICIES[self.precision]


@dataclasses.dataclass(frozen=True)
class PhaseConfig(Config):
    """A part of a pre-training with rows of one length (Devlin et al. 2018, appendix A.2: 90 % of the steps at 128).

    A field that is None has the value of `train`.

    Attributes:
        max_seq_length: tokens in a row of the phase's records.
        share: the phase's share of `train.num_steps`.
        learning_rate: peak of a schedule of the phase's own, which warms up and decays within the phase; None for one
            schedule over all phases, as published.
        warmup_steps: warm-up steps of that schedule.
        batch_size: rows in the global batch.
        gradient_accumulation_steps: number of parts of a replica's batch.
    """

    max_seq_length: int
    share: float
    learning_rate: float | None = None
    warmup_steps: int = 0
    batch_size: int | None = None
    gradient_accumulation_steps: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("max_seq_length", self.max_seq_length, 1)
        check_range("share", self.share, 1e-6, high=1.0)
        if self.warmup_steps and self.learning_rate is None:
            raise ConfigError(
                "`warmup_steps` of a phase needs a `learning_rate` of its own. "
                f"Received: warmup_steps={self.warmup_steps}"
            )
