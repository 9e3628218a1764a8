"""Configurations of training: the update rule, the loop, and the phases of a pre-training."""

import dataclasses
import re

from bert_tf.configs.base import Config, ConfigError, check_choice, check_range


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Config):
    """The update rule and its schedule (`bert_tf/optimization.py`).

    Attributes:
        name: `adamw` (Loshchilov and Hutter 2019) or `lamb` (You et al. 2020).
        bias_correction: off in BERT's pre-training; fine-tuning wants it on (Zhang et al. 2021, Mosbach et al. 2021).
        clip_norm: bound on the global norm of the gradient; 0 for none.
        layer_decay: factor of the learning rate from a layer to the one below it, heads and pooler on top; 1 for the
            same rate everywhere.
        decay_schedule: `linear` to zero at the last step, counted from step 0, as in google-research/bert;
            `linear_after_warmup`, counted from the end of the warm-up, as in transformers; or `constant` after warm-up.
    """

    name: str = "adamw"
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01
    bias_correction: bool = False
    clip_norm: float = 1.0
    decay_schedule: str = "linear"
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("name", self.name, ("adamw", "lamb"))
        check_choice("decay_schedule", self.decay_schedule, ("linear", "linear_after_warmup", "constant"))
        check_range("layer_decay", self.layer_decay, 1e-6, 1.0)
        for name in ("beta1", "beta2"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        for name in ("epsilon", "weight_decay", "clip_norm"):
            check_range(name, getattr(self, name), 0.0)


DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
"""`train.precision` -> Keras dtype policy."""


@dataclasses.dataclass(frozen=True)
class TrainConfig(Config):
    """The loop (`bert_tf/training/loop.py`). Steps count updates; `*_every` are in steps, 0 for only at the end.

    Attributes:
        schedule_start: step at which the learning rate's schedule begins (`optimization.learning_rate_at`).
        schedule_steps: its length; 0 for up to `num_steps`.
        batch_size: rows in the global batch, over all replicas.
        steps_per_loop: steps that run on the device between two returns to the host; logs, checkpoints and
            evaluations fall on multiples of it.
        precision: of the computation: `float32`, `bfloat16`, or `float16` with loss scaling (a T4 has no bfloat16).
            Variables, LayerNorm, softmax and losses stay float32.
        jit_compile: XLA, where one device runs the step (on several, the strategy decides).
        xla_scope: what XLA compiles as one program: the whole `step`, or each of the `fused` between the matrix
            products (`bert_tf/fusion.py`), whose bfloat16 a CPU computes much faster outside XLA; `auto`:
            fused operations in bfloat16 on a CPU, else the step.
        concurrent_parts: on a CPU, parts of the batch whose gradients are computed at the same time, one a core: XLA's
            CPU programs keep hardly more than one core busy. The gradient is that of the whole batch. GPUs and TPUs
            take the batch whole.
        gradient_accumulation_steps: parts of a replica's batch whose gradients are computed one after another and
            summed before the update: the memory of a part, and (dropout's masks apart) the update of the whole.
        keep_checkpoints: how many of the newest are kept.
        keep_checkpoint_every_hours: of the older ones, one is kept for good each time so many hours of the clock have
            passed; 0 for none.
        frozen: weights that keep their values, by regular expressions that match their names from the start
            (`models.weights.named_weights`): `encoder/embeddings`, `encoder/block_[0-5]/`.
        ema_decay: of an exponential moving average of the weights, such as 0.999; 0 for none.
        use_average: whether evaluations, and all that is made of the run (exports, predictions, another run), take the
            averages, where there are some.
        peak_tflops: what one device can make at this precision, in 10^12 operations a second, for the share of it in
            the log; 0 where it is unknown.
        profile_steps: two numbers of updates, between which a profile for TensorBoard is made; empty for none.
        skip_nonfinite: how many steps whose loss or gradient is not finite are left out, each with a warning, before
            the run stops; 0 stops at the first.
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
    precision: str = "float32"
    jit_compile: bool = True
    xla_scope: str = "auto"
    concurrent_parts: int = 1
    gradient_accumulation_steps: int = 1

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
        check_range("ema_decay", self.ema_decay, 0.0, 1.0 - 1e-9)
        if self.profile_steps and (
            len(self.profile_steps) != 2 or not 0 <= self.profile_steps[0] < self.profile_steps[1]
        ):
            raise ConfigError(
                "`profile_steps` must be two numbers of steps, the second larger, such as 100,110. Received: "
                f"{','.join(map(str, self.profile_steps))}"
            )
        for pattern in self.frozen:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ConfigError(f"`frozen` must be regular expressions ({error}). Received: {pattern!r}") from None
        check_choice("xla_scope", self.xla_scope, ("auto", "step", "fused"))
        check_choice("precision", self.precision, tuple(DTYPE_POLICIES))

    @property
    def dtype_policy(self) -> str:
        """The Keras dtype policy of `precision`: the dtype of the computation; variables are always float32."""
        return DTYPE_POLICIES[self.precision]


@dataclasses.dataclass(frozen=True)
class PhaseConfig(Config):
    """A part of a pre-training, on rows of one length (Devlin et al. 2018, appendix A.2: nine tenths at 128).

    What is None is as in `train`.

    Attributes:
        max_seq_length: of the phase's records.
        share: of `train.num_steps`.
        learning_rate: of a schedule of the phase's own, which warms up and decays within it; None for one schedule over
            all phases, as published.
        warmup_steps: of that schedule.
        batch_size: rows in the global batch.
        gradient_accumulation_steps: parts of a replica's batch.
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
        check_range("share", self.share, 1e-6, 1.0)
        if self.warmup_steps and self.learning_rate is None:
            raise ConfigError(
                f"`warmup_steps` of a phase needs a `learning_rate` of its own. Received: {self.warmup_steps}, without"
            )
