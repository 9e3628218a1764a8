"""The update rules, written once as pure functions: applied in place by the training step, or statelessly.

AdamW follows google-research/bert `optimization.py` (`AdamWeightDecayOptimizer`): no bias correction, decoupled decay
of all but LayerNorm and biases, epsilon outside the root. LAMB follows You et al. 2020, algorithm 2, with the same
exclusions.
"""

import re
from collections.abc import Sequence
from typing import Any

from keras import ops

from bert_tf.configs import OptimizerConfig, TrainConfig

MOMENTS = ("first_moment", "second_moment")
"""What the optimizer keeps for each weight, each of the weight's shape, float32, zero at first."""


def is_decayed(name: str) -> bool:
    """Whether weight decay applies: to kernels and embeddings, not to biases and LayerNorm's gamma and beta.

    >>> is_decayed("encoder/block_0/attention/output_dense/kernel"), is_decayed("masked_lm/output_bias")
    (True, False)
    """
    last = name.rsplit("/", 1)[-1]
    return last not in ("gamma", "beta") and not last.endswith("bias")


def layer_factors(names: Sequence[str], layer_decay: float) -> list[float]:
    """What each weight's learning rate is multiplied with: `layer_decay` once more for each layer further down.

    Heads and pooler have 1, the top block `layer_decay`, the embeddings its power of the number of blocks plus one
    (layer-wise learning-rate decay of Howard and Ruder 2018, as used for BERT by Sun et al. 2019 and ELECTRA).

    >>> layer_factors(["encoder/embeddings/word", "encoder/block_0/a", "encoder/block_1/a", "span/dense/kernel"], 0.5)
    [0.125, 0.25, 0.5, 1.0]
    """
    blocks = [re.match(r"encoder/block_(\d+)/", name) for name in names]
    count = 1 + max((int(block[1]) for block in blocks if block), default=-1)
    powers = [
        count - int(block[1]) if block else (count + 1 if name.startswith("encoder/embeddings/") else 0)
        for name, block in zip(names, blocks, strict=True)
    ]
    return [layer_decay**power for power in powers]


def learning_rate_at(step: Any, train: TrainConfig, optimizer: OptimizerConfig) -> Any:
    """The rate of update number `step`, counted from 0, float32 scalar.

    Linear warm-up over `warmup_steps`, then linear decay counted from step 0 to zero at `num_steps`
    (google-research/bert `create_optimizer`: the decay's clock starts with the run, not with the end of the
    warm-up), or counted from the end of the warm-up (transformers `get_linear_schedule_with_warmup`), or none. With
    `schedule_start` and `schedule_steps` the clock starts and ends there instead.
    """
    step = ops.cast(step, "float32")
    if train.schedule_start:
        step = step - train.schedule_start
    num_steps = train.schedule_steps or train.num_steps - train.schedule_start
    rate = ops.cast(train.learning_rate, "float32")
    if optimizer.decay_schedule == "linear":
        rate = rate * ops.maximum(0.0, 1.0 - step / num_steps)
    elif optimizer.decay_schedule == "linear_after_warmup":
        rate = rate * ops.maximum(0.0, (num_steps - step) / max(1, num_steps - train.warmup_steps))
    if train.warmup_steps:
        warmup = train.learning_rate * step / train.warmup_steps
        rate = ops.where(step < train.warmup_steps, warmup, rate)
    return rate


def squared_norms(tensors: Sequence[Any]) -> list[Any]:
    """Of each tensor the sum of its squares, float32 scalar."""
    return [ops.sum(ops.square(ops.cast(tensor, "float32"))) for tensor in tensors]


def global_norm(tensors: Sequence[Any]) -> Any:
    """Root of the sum of all squares, float32 scalar."""
    return root_of_sum(squared_norms(tensors))


def root_of_sum(squares: Sequence[Any]) -> Any:
    """Of scalars, such as `squared_norms`, float32 scalar; added in one order, always.

    Outside XLA TensorFlow makes one AddN of a chain of additions, which begins with the input whose memory it may
    take: that depends on threads, and the last digit of a norm would too.
    """
    return ops.sqrt(ops.sum(ops.stack(squares)))


def clip_factor(norm: Any, clip_norm: float) -> Any:
    """What to multiply gradients of global norm `norm` with, so that it does not exceed `clip_norm`; 0: no bound."""
    if not clip_norm:
        return ops.ones_like(norm)
    return ops.minimum(1.0, clip_norm / ops.maximum(norm, 1e-12))


def update(
    weight: Any,
    gradient: Any,
    first_moment: Any,
    second_moment: Any,
    step: Any,
    learning_rate: Any,
    decayed: bool,
    config: OptimizerConfig,
) -> tuple[Any, Any, Any]:
    """One update of one weight.

    Args:
        weight: float32 of any shape.
        gradient: of the weight's shape, like the moments.
        first_moment: running mean of gradients.
        second_moment: running mean of their squares.
        step: number of updates made before this one.
        learning_rate: float32 scalar, of `learning_rate_at`.
        decayed: of `is_decayed`.
        config: the rule's constants.

    Returns:
        New weight, first moment and second moment.
    """
    first = config.beta1 * first_moment + (1.0 - config.beta1) * gradient
    second = config.beta2 * second_moment + (1.0 - config.beta2) * ops.square(gradient)
    first_hat, second_hat = first, second
    if config.bias_correction:
        count = ops.cast(step, "float32") + 1.0
        first_hat = first / (1.0 - ops.power(ops.cast(config.beta1, "float32"), count))
        second_hat = second / (1.0 - ops.power(ops.cast(config.beta2, "float32"), count))
    direction = first_hat / (ops.sqrt(second_hat) + config.epsilon)
    if decayed and config.weight_decay:
        direction = direction + config.weight_decay * weight
    if config.name == "lamb" and decayed:
        weight_norm, direction_norm = global_norm([weight]), global_norm([direction])
        trust = ops.where(
            ops.logical_and(weight_norm > 0, direction_norm > 0),
            weight_norm / ops.maximum(direction_norm, 1e-30),
            1.0,
        )
        direction = trust * direction
    return weight - learning_rate * direction, first, second
