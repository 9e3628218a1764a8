"""The optimizers AdamW, LAMB and Muon and their learning-rate schedules, as pure functions.

A training step applies an update in place or statelessly. AdamW follows google-research/bert `optimization.py`
(`AdamWeightDecayOptimizer`): no bias correction, decoupled weight decay of all weights but LayerNorm and biases, and
epsilon outside the root. LAMB follows You et al. 2020, algorithm 2, with the same exclusions. Muon (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon) updates the matrices of the encoder's blocks, and AdamW everything else. Its
steps have the size of AdamW's (Liu et al. 2025, "Muon is scalable for LLM training", section 2.2), so that one learning
rate and one weight decay serve both.
"""

import re
from collections.abc import Sequence

from keras import ops

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.features import Tensor

MOMENTS = ("first_moment", "second_moment")
"""The optimizer's state for each weight: float32 of the weight's shape, initially zero."""

_MUON_MOMENTUM = 0.95
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # the coefficients that Jordan et al. found for five iterations
_MUON_STEP_SIZE = 0.2  # the root mean square of AdamW's steps, by Liu et al.

AVERAGE_PREFIX = "average:"
"""The prefix, in a checkpoint, of the name of a weight's moving average."""


def is_decayed(name: str) -> bool:
    """Return whether weight decay applies: to kernels and embeddings, but not to biases and LayerNorms.

    >>> is_decayed("encoder/block_0/attention/output_dense/kernel"), is_decayed("masked_lm/output_bias")
    (True, False)
    """
    last = name.rsplit("/", 1)[-1]
    return last not in ("gamma", "beta") and not last.endswith("bias")


def matrices_in(name: str) -> int:
    """Return the number of matrices, side by side in a weight, that Muon orthogonalises; 0 for a weight of AdamW.

    They are the kernels of the encoder's blocks. The kernel of query, key and value holds three, because each is a map
    of its own; their heads are not separated.

    >>> [matrices_in(f"encoder/block_0/{name}/kernel") for name in ("attention/query_key_value", "output_dense")]
    [3, 1]
    >>> [matrices_in(name) for name in ("encoder/embeddings/word_embeddings/embeddings", "masked_lm/dense/kernel")]
    [0, 0]
    """
    if not re.match(r"encoder/block_\d+/.*kernel$", name):
        return 0
    return 3 if name.endswith("/query_key_value/kernel") else 1


def layer_factors(names: Sequence[str], layer_decay: float) -> list[float]:
    """Return the factor of each weight's learning rate under layer-wise decay.

    Heads and pooler have the factor 1, the top block `layer_decay`. Each layer further down has one power more, up to
    the embeddings (Howard and Ruder 2018; used for BERT by Sun et al. 2019 and by ELECTRA).

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


def learning_rate_at(step: Tensor, train: TrainConfig, optimizer: OptimizerConfig) -> Tensor:
    """Return the learning rate of an update, float32 scalar.

    The rate warms up linearly over `warmup_steps`, and then follows `decay_schedule`. `linear` decays to zero at
    `num_steps`, on a line that starts at step 0 and not at the end of the warm-up (google-research/bert
    `create_optimizer`). `linear_after_warmup` decays on a line that starts at the end of the warm-up (transformers
    `get_linear_schedule_with_warmup`). `constant` does not decay. `warmup_stable_decay` is constant up to the last
    `decay_share` of the steps, and then decays linearly to zero (Hu et al. 2024, "MiniCPM", section 4, whose decay is
    exponential; linear in Hägele et al. 2024, "Scaling laws and compute-optimal training beyond fixed training
    durations"). `schedule_start` and `schedule_steps` replace step 0 and `num_steps`.

    Args:
        step: number of the update, counted from 0.
        train: rate, number of steps and warm-up.
        optimizer: kind of decay.
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
    elif optimizer.decay_schedule == "warmup_stable_decay":
        rate = rate * ops.clip((num_steps - step) / (optimizer.decay_share * num_steps), 0.0, 1.0)
    if train.warmup_steps:
        warmup = train.learning_rate * step / train.warmup_steps
        rate = ops.where(step < train.warmup_steps, warmup, rate)
    return rate


def squared_norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the sum of the squares of each tensor, float32 scalars."""
    return [ops.sum(ops.square(ops.cast(tensor, "float32"))) for tensor in tensors]


def global_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the root of the sum of all squares, float32 scalar."""
    return root_of_sum(squared_norms(tensors))


def root_of_sum(squares: Sequence[Tensor]) -> Tensor:
    """Return the root of the sum of scalars such as `squared_norms`, float32 scalar, always added in the same order.

    Outside XLA, TensorFlow turns a chain of additions into one AddN, which starts with the input whose memory it can
    reuse. This order depends on threads, and the last digit of a norm would depend on them, too.
    """
    return ops.sqrt(ops.sum(ops.stack(squares)))


def clip_factor(norm: Tensor, clip_norm: float) -> Tensor:
    """Return the factor that limits gradients of global norm `norm` to `clip_norm`; 0 sets no limit."""
    if not clip_norm:
        return ops.ones_like(norm)
    return ops.minimum(1.0, clip_norm / ops.maximum(norm, 1e-12))


def average_share(step: Tensor, decay: float) -> Tensor:
    """Return the share of the new weights in their exponential moving averages, float32 scalar.

    The averages are the exponential form of Polyak and Juditsky 1992, "Acceleration of stochastic approximation by
    averaging". At first, they cover about the last tenth of the steps, so that they soon forget the initial weights (as
    `tf.train.ExponentialMovingAverage` does with `num_updates`).

    Args:
        step: the number of updates made, the last one included.
        decay: the share of the old average in the new one, after many steps.
    """
    count = ops.cast(step, "float32")
    return 1.0 - ops.minimum(decay, (1.0 + count) / (10.0 + count))


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return the nearest matrices with orthogonal rows or columns, roughly, by five Newton-Schulz iterations.

    The singular values of the result are between about 0.7 and 1.2, and those of a zero matrix are zero.

    Args:
        matrices: float32 [M, rows, columns].
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = ops.transpose(matrices, (0, 2, 1)) if is_tall else matrices  # the products below are of the shorter side
    x = x / (ops.sqrt(ops.sum(ops.square(x), axis=(1, 2), keepdims=True)) + 1e-7)
    a, b, c = _NEWTON_SCHULZ
    for _ in range(5):
        squared = ops.matmul(x, ops.transpose(x, (0, 2, 1)))
        x = a * x + ops.matmul(b * squared + c * ops.matmul(squared, squared), x)
    return ops.transpose(x, (0, 2, 1)) if is_tall else x


def _muon_direction(gradient: Tensor, momentum: Tensor, matrices: int) -> Tensor:
    """Return the direction of Muon for a weight of `matrices` matrices side by side, float32 [rows, columns]."""
    rows, width = gradient.shape
    columns = width // matrices
    nesterov = gradient + _MUON_MOMENTUM * momentum
    apart = ops.transpose(ops.reshape(nesterov, (rows, matrices, columns)), (1, 0, 2))
    beside = ops.reshape(ops.transpose(orthogonalised(apart), (1, 0, 2)), (rows, width))
    return _MUON_STEP_SIZE * max(rows, columns) ** 0.5 * beside


def _adam_direction(first: Tensor, second: Tensor, step: Tensor, config: OptimizerConfig) -> Tensor:
    """Return the direction of AdamW without weight decay, float32 of the moments' shape."""
    if config.bias_correction:
        count = ops.cast(step, "float32") + 1.0
        first = first / (1.0 - ops.power(ops.cast(config.beta1, "float32"), count))
        second = second / (1.0 - ops.power(ops.cast(config.beta2, "float32"), count))
    return first / (ops.sqrt(second) + config.epsilon)


def update(
    weight: Tensor,
    gradient: Tensor,
    first_moment: Tensor,
    second_moment: Tensor,
    *,
    step: Tensor,
    learning_rate: Tensor,
    decayed: bool,
    config: OptimizerConfig,
    matrices: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a weight and its moments after one update.

    Args:
        weight: float32 of any shape.
        gradient: float32 of the weight's shape, like the moments.
        first_moment: running mean of gradients; for a weight of Muon, their decaying sum.
        second_moment: running mean of the gradients' squares; for a weight of Muon, unused.
        step: number of updates made before this one.
        learning_rate: float32 scalar, the result of `learning_rate_at`.
        decayed: whether weight decay applies, the result of `is_decayed`.
        config: name and constants of the optimizer.
        matrices: number of matrices that Muon orthogonalises, the result of `matrices_in`; others ignore it.

    Returns:
        New weight, first moment and second moment.
    """
    if config.name == "muon" and matrices:
        first, second = _MUON_MOMENTUM * first_moment + gradient, second_moment
        direction = _muon_direction(gradient, first, matrices)
    else:
        first = config.beta1 * first_moment + (1.0 - config.beta1) * gradient
        second = config.beta2 * second_moment + (1.0 - config.beta2) * ops.square(gradient)
        direction = _adam_direction(first, second, step, config)
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
