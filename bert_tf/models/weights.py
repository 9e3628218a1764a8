"""The names of a model's weights: the same on disk, in reports and in decay exclusions."""

from typing import Any

import keras

from bert_tf.models.encoder import BertEncoder


def named_weights(model: keras.Model) -> dict[str, Any]:
    """The model's weights by name, in a fixed order.

    Names are paths of attributes without the model's own name, such as `encoder/block_0/attention/output_dense/kernel`
    or `masked_lm/output_bias`. The encoder's begin with `encoder/` in every model, and in a `BertEncoder` alone, so
    that one model's encoder is found in another's checkpoint. Counters of dropout calls are no weights.
    """
    own = "encoder/" if isinstance(model, BertEncoder) else ""
    names = {}
    for variable in model.weights:
        if "seed_generator" in variable.path:
            continue
        names[own + variable.path.removeprefix(f"{model.name}/")] = variable
    return names
