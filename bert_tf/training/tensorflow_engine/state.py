"""The state of a training, which holds everything that a step changes."""

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import tensorflow as tf

from bert_tf import optimization
from bert_tf.configs import TrainConfig
from bert_tf.models.weights import named_weights
from bert_tf.training.tensorflow_engine.averages import WeightAverages
from bert_tf.training.tensorflow_engine.loss_scale import make_loss_scale
from bert_tf.training.trained_weights import trained_weights, weights_in


class TrainState:
    """The model's weights, the optimizer's moments and the number of updates.

    Under a strategy, the state must be made in the strategy's scope, like the model.

    Args:
        model: a model of `bert_tf.models`.
        precision: the value of `train.precision`.
        train: the settings of frozen weights and averages; by default, there are none.

    Attributes:
        weights: the trained weights by name.
        averages: the moving averages of the trained weights; None for none.
        moments: the optimizer's moments of each weight.
        step: the number of updates, an int64 variable.
        loss_scale: the loss scale of float16; None for other precisions.

    Raises:
        ValueError: `train.frozen` names no weight, or leaves none.
    """

    def __init__(self, model: keras.Model, precision: str = "float32", train: TrainConfig | None = None) -> None:
        self.model = model
        frozen = train.frozen if train is not None else ()
        self.weights = trained_weights(model, frozen)
        self.averages = WeightAverages(self.weights) if train is not None and train.ema_decay else None
        self._evaluates_averages = train is not None and train.use_average
        self.moments = {
            name: tuple(tf.Variable(tf.zeros(weight.shape), trainable=False) for _ in optimization.MOMENTS)
            for name, weight in self.weights.items()
        }
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.loss_scale = make_loss_scale(precision)
        self._weight_norm = tf.function(
            lambda: optimization.global_norm([weight.value for weight in self.weights.values()])
        )

    @property
    def num_updates(self) -> int:
        """The number of updates made so far."""
        return int(self.step.numpy())

    def variables(self) -> dict[str, Any]:
        """Return all variables by name, as a checkpoint holds them."""
        named: dict[str, Any] = dict(named_weights(self.model))
        for name, moments in self.moments.items():
            named |= {f"{kind}:{name}": moment for kind, moment in zip(optimization.MOMENTS, moments, strict=True)}
        if self.averages is not None:
            named |= self.averages.variables()
        named["step"] = self.step
        if self.loss_scale is not None:
            named |= self.loss_scale.variables()
        return named

    @property
    def is_read_together(self) -> bool:
        """Return False, because every replica has all values."""
        return False

    def start_averages(self) -> None:
        """Let the averages start from the weights as they are now."""
        if self.averages is not None:
            self.averages.reset()

    def evaluated_weights(self) -> AbstractContextManager[None]:
        """Return a context in which the model has the weights to evaluate: the averages, if there are some."""
        return self.averages.in_place() if self.averages is not None and self._evaluates_averages else nullcontext()

    def weight_norm(self) -> float:
        """Return the norm of all trained weights together."""
        return float(self._weight_norm())

    def of_part(self, model: keras.Model) -> "TrainState":
        """Return the state of a part of the model, which shares all its variables with this one."""
        part = copy.copy(self)
        part.model = model
        part.weights = weights_in(model, self.weights)
        part.moments = {name: self.moments[name] for name in part.weights}
        part.averages = self.averages and self.averages.of(part.weights)
        return part
