"""Fused attention: one kernel instead of a product, a softmax and a product with a tensor of all pairs of tokens.

JAX alone has such kernels. On a TPU, it is Pallas's splash attention, which takes the numbers of a row's sequences as
they are. On a GPU, it is cuDNN's attention by `jax.nn.dot_product_attention`, which takes a mask of all pairs of tokens
that is made of them; the scores and the probabilities stay in the kernel.

Shapes: B batch, L length, N heads, H head size.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import keras

from bert_tf.features import ORDER, Batch, Tensor

if TYPE_CHECKING:
    from jax.sharding import Mesh

PLATFORMS = ("gpu", "tpu")
"""JAX's names of the platforms that have a kernel."""

# The lengths of rows are filled up to multiples of these. Splash attention reads blocks of 128 tokens or more, and the
# backward pass of cuDNN's kernel takes no odd lengths.
_LENGTH_MULTIPLES = {"gpu": 8, "tpu": 128}
_SPLASH_BLOCKS = (512, 384, 256, 128)


@dataclasses.dataclass(frozen=True)
class _Target:
    """The devices that a program is compiled for; the arguments of `compiled_for`."""

    platform: str | None = None
    mesh: "Mesh | None" = None
    axis: str = "data"
    interpret: bool = False

    def platform_name(self) -> str:
        import jax

        return self.platform or jax.default_backend()


_HERE = _Target()
_target: ContextVar[_Target] = ContextVar("target of fused attention", default=_HERE)


@contextlib.contextmanager
def compiled_for(
    platform: str | None = None, *, mesh: "Mesh | None" = None, axis: str = "data", interpret: bool = False
) -> Iterator[None]:
    """Set the devices that the fused attention traced within this context is compiled for.

    Only tracing reads the context: `jax.jit` keeps what it traced first, and gradients follow the forward pass.

    Args:
        platform: `gpu` or `tpu`, for programs that are compiled ahead of time; None for `jax.default_backend()`.
        mesh: the mesh whose `axis` the batch is divided over. Kernels are not divided by `jax.jit`, so that each device
            calls its own on its part of the batch. None for one device.
        axis: the name of this axis.
        interpret: whether the program runs on a CPU, for tests: splash attention in Pallas's interpreter, and the call
            of cuDNN by its other implementation, in XLA.
    """
    token = _target.set(_Target(platform, mesh, axis, interpret))
    try:
        yield
    finally:
        _target.reset(token)


def check_backend() -> None:
    """Check that Keras computes with JAX.

    Raises:
        ValueError: it computes with another backend.
    """
    if keras.backend.backend() != "jax":
        raise ValueError(
            "attention must be plain on this backend of Keras: fused attention has kernels on JAX with a GPU or a TPU "
            f"(`KERAS_BACKEND=jax`, `--engine jax`). Received: fused, on {keras.backend.backend()}"
        )


def check_no_order(inputs: Batch) -> None:
    """Check that a model's inputs have no `order`.

    Splash attention takes the numbers of sequences alone, and a mask of all pairs, made for each batch, would have the
    size that fused attention saves.

    Raises:
        ValueError: they have an `order`.
    """
    if ORDER in inputs:
        raise ValueError(
            "attention must be plain (`model.attention`) for inputs with `order`: the kernels of fused attention know "
            "the sequences of a row, but no order within them. Received: fused"
        )


def has_kernel() -> bool:
    """Return whether the backend of Keras and its devices, or those of `compiled_for`, have a kernel."""
    return keras.backend.backend() == "jax" and _target.get().platform_name() in PLATFORMS


def fused_attention(query: Tensor, key: Tensor, value: Tensor, input_mask: Tensor) -> Tensor:
    """Return the context vectors of each head, [B, N, L, H] in the query's dtype.

    Args:
        query: float [B, N, L, H], scaled by 1 / sqrt(H).
        key: float [B, N, L, H].
        value: float [B, N, L, H].
        input_mask: int [B, L], 0 on padding, k on the tokens of a row's k-th sequence. Tokens with equal numbers attend
            to each other. Padding attends to padding, so that its (unused) outputs are finite.

    Raises:
        ValueError: the devices have no kernel, or cuDNN has none in the query's dtype.
    """
    import jax

    target = _target.get()
    platform = target.platform_name()
    if platform not in PLATFORMS:
        raise ValueError(
            "attention must be plain on this device: fused attention has kernels on a GPU (cuDNN) and on a TPU (splash "
            f"attention). Received: fused, on {platform}"
        )
    kernel: Callable[..., Any] = partial(
        _cudnn_attention if platform == "gpu" else _splash_attention, interpret=target.interpret
    )
    kernel = partial(_filled_up, kernel, _LENGTH_MULTIPLES[platform])
    if target.mesh is not None:
        rows = jax.sharding.PartitionSpec(target.axis)
        # Kernels of Pallas do not say over which axes their outputs vary, so that this is not checked.
        kernel = jax.shard_map(kernel, mesh=target.mesh, in_specs=(rows,) * 4, out_specs=rows, check_vma=False)
    return kernel(query, key, value, keras.ops.cast(input_mask, "int32"))


def _filled_up(
    kernel: Callable[..., Any], multiple: int, query: Tensor, key: Tensor, value: Tensor, input_mask: Tensor
) -> Tensor:
    """Return the kernel's output for rows that are filled up with padding to a length that it takes."""
    import jax.numpy as jnp

    length = query.shape[2]
    missing = -length % multiple
    if not missing:
        return kernel(query, key, value, input_mask)
    tokens = [jnp.pad(part, ((0, 0), (0, 0), (0, missing), (0, 0))) for part in (query, key, value)]
    return kernel(*tokens, jnp.pad(input_mask, ((0, 0), (0, missing))))[:, :, :length]


def _splash_attention(query: Tensor, key: Tensor, value: Tensor, input_mask: Tensor, *, interpret: bool) -> Tensor:
    """Return the context vectors by Pallas's splash attention; L is a multiple of 128."""
    import jax
    from jax.experimental.pallas.ops.tpu import splash_attention

    heads, length = query.shape[1:3]
    block = next(size for size in _SPLASH_BLOCKS if length % size == 0)
    sizes = splash_attention.BlockSizes(
        block_q=block,
        block_kv=block,
        block_kv_compute=block,
        block_q_dkv=block,
        block_kv_dkv=block,
        block_kv_dkv_compute=block,
        use_fused_bwd_kernel=True,
    )
    everything = splash_attention.FullMask((length, length))
    kernel = splash_attention.make_splash_mha(
        mask=splash_attention.MultiHeadMask([everything] * heads),
        block_sizes=sizes,
        head_shards=1,
        q_seq_shards=1,
        interpret=interpret,
    )

    def of_row(query: Tensor, key: Tensor, value: Tensor, numbers: Tensor) -> Tensor:
        return kernel(query, key, value, segment_ids=splash_attention.SegmentIds(q=numbers, kv=numbers))

    return jax.vmap(of_row)(query, key, value, input_mask)


def _cudnn_attention(query: Tensor, key: Tensor, value: Tensor, input_mask: Tensor, *, interpret: bool) -> Tensor:
    """Return the context vectors by cuDNN's attention.

    Raises:
        ValueError: cuDNN has no kernel in the query's dtype.
    """
    import jax
    import jax.numpy as jnp

    if not interpret and query.dtype not in (jnp.bfloat16, jnp.float16):
        raise ValueError(
            "fused attention on a GPU must compute in bfloat16 or float16 (`train.precision`, or the layers' dtype). "
            f"Received: {query.dtype}"
        )
    allowed = input_mask[:, None, :, None] == input_mask[:, None, None, :]  # [B, 1, L, L]
    batch, heads, length, _ = query.shape
    # cuDNN's mask has the size of all scores (https://github.com/jax-ml/jax/issues/28974).
    allowed = jnp.broadcast_to(allowed, (batch, heads, length, length))
    query, key, value = (jnp.swapaxes(part, 1, 2) for part in (query, key, value))  # [B, L, N, H]
    context = jax.nn.dot_product_attention(
        query, key, value, mask=allowed, scale=1.0, implementation="xla" if interpret else "cudnn"
    )
    return jnp.swapaxes(context, 1, 2)
