"""The choice of some layers of a model, from which a smaller one starts."""

import dataclasses
import re
from collections.abc import Sequence

from bert_tf.conversion.pretrained import Pretrained

_BLOCK = re.compile(r"encoder/block_(\d+)/")


def with_layers(pretrained: Pretrained, layers: Sequence[int]) -> Pretrained:
    """Return a model of some layers of another one, with its embeddings, pooler and heads.

    DistilBERT starts so from every other layer of BERT (Sanh et al. 2019, section 3).

    Args:
        pretrained: the model to take from.
        layers: the numbers of the layers, counted from 1, in their order in the new model.

    Raises:
        ValueError: there is no such layer, or none is chosen.
    """
    count = pretrained.config.num_layers
    if not layers or not all(1 <= layer <= count for layer in layers):
        raise ValueError(
            f"`layers` must be numbers from 1 to {count}, those of the layers of {pretrained.source}. "
            f"Received: {', '.join(map(str, layers)) or 'none'}"
        )
    weights = {}
    for name, values in pretrained.weights.items():
        block = _BLOCK.match(name)
        if block is None:
            weights[name] = values
            continue
        for number, layer in enumerate(layers):
            if int(block[1]) == layer - 1:
                weights[f"encoder/block_{number}/{name[block.end() :]}"] = values
    return dataclasses.replace(pretrained, config=pretrained.config.replace(num_layers=len(layers)), weights=weights)
