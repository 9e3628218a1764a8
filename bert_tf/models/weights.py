"""The names of a model's weights, used in checkpoints, in reports and by weight decay."""

import keras

from bert_tf.models.encoder import BertEncoder


def named_weights(model: keras.Model) -> dict[str, keras.Variable]:
    """Return the model's weights by name, in a fixed order.

    Names are paths of attributes without the model's own name, such as `encoder/block_0/attention/output_dense/kernel`
    or `masked_lm/output_bias`. Those of the encoder begin with `encoder/` in every model, and in a `BertEncoder`
    itself, so that one model's encoder is found in another's checkpoint. A member of a `BertMultiTask` has the names of
    a model of its own. Counters of dropout calls are left out.
    """
    prefix = "encoder/" if isinstance(model, BertEncoder) else ""
    weights = {}
    for variable in model.weights:
        if "seed_generator" in variable.path:
            continue
        name = variable.path.removeprefix(f"{model.name}/").removeprefix(getattr(model, "member_prefix", ""))
        weights[prefix + name] = variable
    return weights
