"""What all layers are made of: one base class, one dense layer, one normalisation, the activations by name."""

import inspect
from typing import Any

import keras
from keras import ops

from bert_tf.fusion import fused, weight_in
from bert_tf.layers.random_bits import fold_in


def constructor_arguments(instance: Any) -> dict[str, Any]:
    """The instance's attributes that are named as the arguments of its class's constructor, `**kwargs` aside.

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

    `get_config` is made of them; and the output has the input's shape, where a layer does not say otherwise.
    """

    def compute_output_shape(self, input_shape: tuple[int | None, ...], *_: Any) -> tuple[int | None, ...]:
        """The first input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return super().get_config() | constructor_arguments(self)


def truncated_normal(stddev: float) -> keras.initializers.Initializer:
    """BERT's initializer. An instance draws the same numbers whenever it is asked: each weight gets its own."""
    return keras.initializers.TruncatedNormal(stddev=stddev)


def dense(units: int, initializer_range: float, dtype: Any, name: str, activation: Any = None) -> keras.layers.Dense:
    """A product with a matrix from a truncated normal, and a bias from zero.

    Args:
        units: size of the output's last axis.
        initializer_range: standard deviation of the truncated normal.
        dtype: Keras dtype policy; the layer's own, for most.
        name: last but one part of the weights' names.
        activation: on the output.
    """
    initializer = truncated_normal(initializer_range)
    return keras.layers.Dense(units, activation, kernel_initializer=initializer, dtype=dtype, name=name)


def layer_norm(epsilon: float, name: str) -> keras.layers.LayerNormalization:
    """LayerNorm over the last axis (Ba et al. 2016), in float32 under every policy; its output is float32 too."""
    return keras.layers.LayerNormalization(epsilon=epsilon, dtype="float32", name=name)


def product(x: Any, dense: keras.layers.Dense, training: bool) -> tuple[Any, Any]:
    """What a fused operation adds up to the output of `dense`: x times the kernel, [..., E] in x's dtype, and the bias, [E].

    As one product of two matrices, whose gradients are such products too: a product of a batch of matrices with one
    would make a gradient of the kernel for each of them, and add these up.

    Args:
        x: float [..., D].
        dense: of a kernel [D, E]; its activation takes no part.
        training: whether the gradient is made for speed, see `with_bias`.
    """
    *outer, size = ops.shape(x)
    flat = ops.matmul(ops.reshape(x, (-1, size)), weight_in(dense.kernel, x.dtype))
    flat, bias = with_bias(flat, dense.bias, training)
    return ops.reshape(flat, (*outer, dense.units)), bias


def with_bias(x: Any, bias: Any, training: bool) -> tuple[Any, Any]:
    """Of a product x [R, E] itself, and the value of a variable `bias` [E], for a fused operation that adds them.

    Under training the bias is a constant to the fused operation, and its gradient is taken here, from what comes back for x:
    inside of the fused operation the sum over rows would be a second pass over them, here it is one more product.
    """
    value = ops.convert_to_tensor(bias)
    if not training:
        return x, value

    def same_and_gradient(x: Any, value: Any) -> tuple[Any, Any]:
        def gradient(upstream: Any) -> tuple[Any, Any]:
            return upstream, ops.cast(fused(column_sums, upstream), value.dtype)

        return ops.copy(x), gradient

    return ops.custom_gradient(same_and_gradient)(x, value), ops.stop_gradient(value)


def column_sums(x: Any) -> Any:
    """Sums over the rows of [R, E], float32 [E]; a fused operation (`bert_tf.fusion`)."""
    return ops.sum(ops.cast(x, "float32"), axis=0)


def normalized(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """LayerNorm of a float32 tensor over its last axis (Ba et al. 2016), float32."""
    centred = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    # Keras casts the variables of a layer that is called by itself (in no model) to the compute dtype.
    gamma, beta = ops.cast(gamma, "float32"), ops.cast(beta, "float32")
    return centred * ops.rsqrt(variance + epsilon) * gamma + beta


def biased_activation(x: Any, bias: Any, hidden_act: str) -> Any:
    """The activation of x + bias, taken in float32 and returned in x's dtype; a fused operation (`bert_tf.fusion`)."""
    return ops.cast(activation(hidden_act)(ops.cast(x, "float32") + ops.cast(bias, "float32")), x.dtype)


_ACTIVATIONS = {
    "gelu": lambda x: keras.activations.gelu(x, approximate=False),
    "gelu_new": lambda x: keras.activations.gelu(x, approximate=True),
    "relu": keras.activations.relu,
}


def activation(name: str) -> Any:
    """The activation that a configuration names.

    `gelu` is x * Phi(x) by the error function, `gelu_new` its tanh approximation (Hendrycks and Gimpel 2016).

    Raises:
        ValueError: there is none of this name.
    """
    if name not in _ACTIVATIONS:
        raise ValueError(f"`hidden_act` must be one of {', '.join(_ACTIVATIONS)}. Received: {name!r}")
    return _ACTIVATIONS[name]


def seed_part(seed: Any, number: int) -> Any:
    """The seed of part `number` of whatever `seed` is for; None stays None (each dropout counts its own calls)."""
    return None if seed is None else fold_in(seed, number)
