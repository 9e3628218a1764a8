"""The parts that all layers share: the base class, the dense layer, the normalisation and the activations."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from bert_tf.features import Tensor
from bert_tf.fusion import fused, weight_in
from bert_tf.layers.initializers import TruncatedNormal
from bert_tf.layers.random_bits import fold_in


def constructor_arguments(instance: Any) -> dict[str, Any]:
    """Return the constructor arguments of an instance, read from the attributes of the same names, `**kwargs` aside.

    >>> from bert_tf.layers.dropout import Dropout
    >>> constructor_arguments(Dropout(0.5))
    {'rate': 0.5}
    """
    parameters = list(inspect.signature(type(instance).__init__).parameters.values())[1:]  # without `self`
    return {
        parameter.name: getattr(instance, parameter.name)
        for parameter in parameters
        if parameter.kind is not parameter.VAR_KEYWORD
    }


class BertLayer(keras.layers.Layer):
    """A layer that keeps each argument of its constructor in an attribute of the same name.

    `get_config` reads these attributes. The output has the input's shape unless a layer overrides
    `compute_output_shape`.
    """

    def compute_output_shape(self, input_shape: tuple[int | None, ...], *_: Any) -> tuple[int | None, ...]:
        """Return the first input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, from which Keras makes an equal layer."""
        return super().get_config() | constructor_arguments(self)


def truncated_normal(stddev: float) -> TruncatedNormal:
    """Return BERT's initializer. Each weight needs its own: an instance returns the same numbers at every call."""
    return TruncatedNormal(stddev=stddev)


def dense(
    units: int, initializer_range: float, *, dtype: Any, name: str, activation: str | None = None
) -> keras.layers.Dense:
    """Return a dense layer whose kernel starts from a truncated normal and whose bias starts at zero.

    Args:
        units: size of the output's last axis.
        initializer_range: standard deviation of the truncated normal.
        dtype: Keras dtype policy, usually that of the enclosing layer.
        name: name of the layer, which stands before `kernel` and `bias` in the names of its weights.
        activation: name of the activation of the output.
    """
    initializer = truncated_normal(initializer_range)
    return keras.layers.Dense(units, activation, kernel_initializer=initializer, dtype=dtype, name=name)


def layer_norm(epsilon: float, name: str) -> keras.layers.LayerNormalization:
    """Return a LayerNorm over the last axis (Ba et al. 2016) that computes and returns float32 under every policy."""
    return keras.layers.LayerNormalization(epsilon=epsilon, dtype="float32", name=name)


def product(x: Tensor, dense: keras.layers.Dense, training: bool) -> tuple[Tensor, Tensor]:
    """Return the product and the bias of a dense layer separately, so that a fused operation can add them.

    The leading axes are flattened, so that the product and its gradients are each one product of two matrices. A
    product of a batch of matrices would compute a gradient of the kernel for each row, and add these up.

    Args:
        x: float [..., D].
        dense: a layer with a kernel [D, E]. Its activation is not applied.
        training: whether the bias gets a faster gradient (`with_bias`), which only training needs.

    Returns:
        x times the kernel, [..., E] in x's dtype, and the bias, [E].
    """
    return with_bias(flat_product(x, weight_in(dense.kernel, x.dtype)), dense.bias, training)


def flat_product(x: Tensor, kernel: Tensor) -> Tensor:
    """Return x [..., D] times a kernel [D, E] as one product of two matrices, [..., E]."""
    *outer, size = ops.shape(x)
    flat = ops.matmul(ops.reshape(x, (-1, size)), kernel)
    return ops.reshape(flat, (*outer, kernel.shape[-1]))


def activated_product(x: Tensor, bias: Tensor, kernel: Tensor, hidden_act: str) -> Tensor:
    """Return activation(x + bias), computed in float32, times the kernel, in x's dtype."""
    return flat_product(fused(biased_activation, x, bias, hidden_act=hidden_act), kernel)


def with_bias(x: Tensor, bias: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """Return a product x [..., E] and the value of its bias [E], for a fused operation that adds them.

    Under training, the bias is a constant to the fused operation, and its gradient is computed here from the gradient
    of x. Inside the fused operation, the sum over rows would take a second pass over them; here it is one more product.
    """
    value = ops.convert_to_tensor(bias)
    if not training:
        return x, value

    def same_and_gradient(x: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
            rows = ops.reshape(upstream, (-1, upstream.shape[-1]))
            return upstream, ops.cast(fused(column_sums, rows), value.dtype)

        return ops.copy(x), gradient

    return ops.custom_gradient(same_and_gradient)(x, value), ops.stop_gradient(value)


def column_sums(x: Tensor) -> Tensor:
    """Return the sums over the rows of [R, E], float32 [E]; a fused operation (`bert_tf.fusion`)."""
    return ops.sum(ops.cast(x, "float32"), axis=0)


def normalized(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> Tensor:
    """Return the LayerNorm of a float32 tensor over its last axis (Ba et al. 2016), float32."""
    centred = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    # Keras casts the variables of a layer that is called outside a model to the compute dtype.
    gamma, beta = ops.cast(gamma, "float32"), ops.cast(beta, "float32")
    return centred * ops.rsqrt(variance + epsilon) * gamma + beta


def biased_activation(x: Tensor, bias: Tensor, hidden_act: str) -> Tensor:
    """Return the activation of x + bias, computed in float32, in x's dtype; a fused operation (`bert_tf.fusion`)."""
    return ops.cast(activation(hidden_act)(ops.cast(x, "float32") + ops.cast(bias, "float32")), x.dtype)


_ACTIVATIONS = {
    "gelu": lambda x: keras.activations.gelu(x, approximate=False),
    "gelu_new": lambda x: keras.activations.gelu(x, approximate=True),
    "relu": keras.activations.relu,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return the activation of this name.

    `gelu` is x * Phi(x) by the error function, `gelu_new` its tanh approximation (Hendrycks and Gimpel 2016).

    Raises:
        ValueError: the name is unknown.
    """
    if name not in _ACTIVATIONS:
        raise ValueError(f"`hidden_act` must be one of {', '.join(_ACTIVATIONS)}. Received: {name!r}")
    return _ACTIVATIONS[name]


def seed_part(seed: Tensor, number: int) -> Tensor:
    """Return seeds for part `number` of a layer, derived from `seed`.

    Without a seed the result is None, so that each dropout layer counts its own calls.
    """
    return None if seed is None else fold_in(seed, number)
