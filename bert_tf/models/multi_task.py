"""BERT for several tasks at once: one encoder, and a head for each task.

Shapes: B batch, L length.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

import keras

from bert_tf.configs import BertConfig
from bert_tf.features import Batch, Tensor
from bert_tf.models.base import BertModel, executable
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.shared_encoder import sharing_encoder


@keras.saving.register_keras_serializable(package="bert_tf")
class BertMultiTask(BertModel):
    """Models for different tasks that share one encoder (Liu et al. 2019, "MT-DNN", section 3).

    Each member is a whole model for its task, such as a `BertClassifier`, which can be called, trained and exported
    alone. The names of a member's own weights begin with the member's name: `sst2/classification/dense/kernel`.

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.
        members: models by name, which share their encoder, as `BertMultiTask.of` makes them.

    Raises:
        ValueError: there is no member, or two members have different encoders.

    >>> from bert_tf.models.classifier import BertClassifier
    >>> from bert_tf.models.token_classifier import BertTokenClassifier
    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> members = {"sst2": lambda: BertClassifier(config, 2), "ner": lambda: BertTokenClassifier(config, 9)}
    >>> outputs = BertMultiTask.of(config, members)({"input_ids": keras.ops.ones((2, 6), "int32")})
    >>> outputs["sst2"].shape, outputs["ner"].shape
    (TensorShape([2, 2]), TensorShape([2, 6, 9]))
    """

    def __init__(self, config: BertConfig | dict[str, Any], members: Mapping[str, BertModel], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        encoders = {id(member.encoder): member.encoder for member in members.values()}
        if len(encoders) != 1:
            raise ValueError(
                "`members` must be at least one model, all with the same encoder (`BertMultiTask.of`). "
                f"Received: {len(members)} models with {len(encoders)} encoders"
            )
        self.encoder = next(iter(encoders.values()))
        self.members = dict(members)
        self.required_inputs = tuple(
            dict.fromkeys(name for member in members.values() for name in member.required_inputs)
        )
        self.build(self.input_shapes())

    @classmethod
    def of(
        cls, config: BertConfig, makers: Mapping[str, Callable[[], BertModel]], *, dtype: Any = "float32", **kwargs: Any
    ) -> Self:
        """Return a model whose members are made by functions, which make them on one encoder.

        Args:
            config: sizes and options of the encoder, as each of `makers` uses them.
            makers: functions that return a new model, by the name of the member.
            dtype: Keras dtype policy.
            **kwargs: as in `keras.Model`.
        """
        encoder = BertEncoder(config, dtype=dtype, name="encoder")
        members = {}
        with sharing_encoder(encoder):
            for name, make in makers.items():
                with keras.name_scope(name):
                    members[name] = make()
                members[name].member_prefix = f"{name}/"
        return cls(config, members, dtype=dtype, **kwargs)

    def outputs_of(self, encoded: Batch, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Batch:
        """Return the outputs of every member by its name; arguments as in `BertModel.outputs_of`.

        The encoder runs once, so that this costs little more than one member's answer.
        """
        return {name: member.outputs_of(encoded, inputs, training, seed) for name, member in self.members.items()}

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this model again, its members as Keras serializes them."""
        members = {name: keras.saving.serialize_keras_object(member) for name, member in self.members.items()}
        return super().get_config() | {"members": members}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Self:
        """Make the model whose `get_config` returned `config`."""
        given = dict(config)
        dtype, members = given["dtype"], given.pop("members")
        given["dtype"] = keras.saving.deserialize_keras_object(dtype) if isinstance(dtype, Mapping) else dtype
        make = keras.saving.deserialize_keras_object
        makers = {name: partial(make, member, custom_objects) for name, member in members.items()}
        preprocessor = given.pop("preprocessor", None)
        assert preprocessor is None, "a model for several tasks has no preprocessor"
        return cls.of(BertConfig.from_dict(executable(given.pop("config"))), makers, **given)
