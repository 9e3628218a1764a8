"""A script of `test_fused_attention.py`: writes what fused attention computes under `KERAS_BACKEND=jax` to a file.

    python jax_fused_attention.py kernels|models|training OUT.npz

The kernels run on two devices of a CPU, splash attention in Pallas's interpreter.
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import keras
import numpy as np
from small_model import SMALL, packed_pretraining_batch, shake

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.layers.attention import SelfAttention, attention_allowed, attention_probabilities
from bert_tf.layers.fused_attention import compiled_for, fused_attention
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.models.weights import named_weights
from bert_tf.objectives.losses import pretraining_losses
from bert_tf.objectives.objective import pretraining_objective

PLATFORMS = ("gpu", "tpu")
LENGTH = 130  # no multiple that a kernel wants
SEQUENCES = {1: slice(0, 40), 2: slice(40, 95), 3: slice(95, 115)}  # of the first row; the rest is padding
CONFIG = SMALL.replace(num_layers=1, dropout_rate=0.1)
CASES = {"plain": {}, "gpu": {"attention": "fused"}, "tpu": {"attention": "fused", "recompute": True}}


def input_mask():
    """Return a packed row, a whole one, a padded one and one of padding alone."""
    mask = np.zeros((4, LENGTH), "int32")
    for number, where in SEQUENCES.items():
        mask[0, where] = number
    mask[1] = 1
    mask[2, :7] = 1
    return mask


def plain(query, key, value, mask):
    scores = query @ jnp.swapaxes(key, 2, 3)
    return attention_probabilities(scores, attention_allowed(mask)) @ value


def with_gradients(function):
    """Return a function to the outputs, and the gradients of their sum by given weights."""

    def total(query, key, value, mask, weights):
        outputs = function(query, key, value, mask)
        return (outputs * weights).sum(), outputs

    return jax.jit(jax.grad(total, argnums=(0, 1, 2), has_aux=True))


def kernels(found):
    random = np.random.default_rng(0)
    mask = input_mask()
    tokens = [random.standard_normal((*mask.shape[:1], 2, LENGTH, 16)).astype("float32") for _ in range(4)]
    weights = tokens.pop() * (mask > 0)[:, None, :, None]  # outputs of padding are not used
    found["mask"] = mask
    found["plain/gradients"], found["plain/outputs"] = with_gradients(plain)(*tokens, mask, weights)
    of_second = weights * (mask == 2)[:, None, :, None]
    where = SEQUENCES[2]
    alone = [part[:1, :, where] for part in tokens]
    for platform in PLATFORMS:
        with compiled_for(platform, interpret=True):
            compute = with_gradients(fused_attention)
            gradients, outputs = compute(*tokens, mask, weights)
            found |= {f"{platform}/gradients": gradients, f"{platform}/outputs": outputs}
            found[f"{platform}/of_second"], _ = compute(*tokens, mask, of_second)
            found[f"{platform}/alone"] = fused_attention(*alone, np.ones((1, where.stop - where.start), "int32"))
        mesh = jax.make_mesh((2,), ("data",))
        rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
        with compiled_for(platform, mesh=mesh, interpret=True):
            given = jax.device_put((*tokens, mask, weights), rows)
            gradients, outputs = with_gradients(fused_attention)(*given)
        assert outputs.sharding.is_equivalent_to(rows, outputs.ndim)
        found |= {f"{platform}/mesh_gradients": gradients, f"{platform}/mesh_outputs": outputs}


def models(found):
    batch = packed_pretraining_batch()
    for name, changes in CASES.items():
        model = BertPretrainer(CONFIG.replace(**changes))
        shake(model, scale=0.2)
        names = {id(weight): weight_name for weight_name, weight in named_weights(model).items()}
        variables = model.trainable_variables
        fixed = [variable.value for variable in model.non_trainable_variables]

        def loss(trainable, model=model, fixed=fixed):
            outputs, _ = model.stateless_call(trainable, fixed, batch, training=True, seed=7)
            return sum(total / weight for total, weight in pretraining_losses(outputs, batch).values()), outputs

        with compiled_for(name if name in PLATFORMS else None, interpret=True):
            both = jax.jit(jax.value_and_grad(loss, has_aux=True))([variable.value for variable in variables])
        (found[f"{name}/loss"], outputs), gradients = both
        found |= {f"{name}/{output}": tensor for output, tensor in outputs.items()}
        for variable, gradient in zip(variables, gradients, strict=True):
            found[f"{name}/{names[id(variable)]}"] = gradient


def training(found):
    """Train for three steps on two devices, each step in two parts."""
    from bert_tf.training.jax_engine.devices import Devices
    from bert_tf.training.jax_engine.engine import JaxEngine

    train = TrainConfig(num_steps=4, batch_size=4, gradient_accumulation_steps=2, warmup_steps=1, learning_rate=1e-2)
    for name, changes in CASES.items():
        engine = JaxEngine(Devices(jax.devices()))
        context = partial(compiled_for, name if name in PLATFORMS else None, mesh=engine.devices.mesh, interpret=True)
        engine.devices.compiled_for = context  # that of a CPU has no kernel

        def make_model(changes=changes):
            model = BertPretrainer(CONFIG.replace(**changes))
            shake(model)
            return model

        state = engine.make_state(make_model, train)
        steps = engine.make_steps(state, pretraining_objective(), train=train, optimizer=OptimizerConfig())
        batches = [engine.devices.place_rows(packed_pretraining_batch(seed)) for seed in range(3)]
        found[f"{name}/metrics"], _ = steps(iter(batches), len(batches))


def refused(function):
    try:
        function()
    except ValueError as error:
        return np.array(str(error))
    return np.array("")


def messages(found):
    x, mask = np.ones((1, 1, 6, 8), "float32"), np.ones((1, 6), "int32")

    def call(platform):
        with compiled_for(platform):
            fused_attention(x, x, x, mask)

    found["error/cpu"], found["error/float32"] = refused(lambda: call(None)), refused(lambda: call("gpu"))
    encoder, ids = BertEncoder(SMALL.replace(num_layers=1, attention="fused")), np.ones((1, 6), "int32")
    found["error/order"] = refused(lambda: encoder({"input_ids": ids, "order": ids}))
    found["error/dropout"] = refused(lambda: SelfAttention(8, 2, implementation="fused", dropout_rate=0.1))


def saved_models(found):
    layer = SelfAttention(hidden_size=8, num_heads=2, implementation="fused")
    found["read/layer"] = np.array(SelfAttention.from_config(layer.get_config()).implementation)
    saved = BertEncoder(SMALL.replace(num_layers=1, attention="fused")).get_config()
    found["read/here"] = np.array(BertEncoder.from_config(saved).config.attention)
    with compiled_for("tpu"):
        found["read/for_tpu"] = np.array(BertEncoder.from_config(saved).config.attention)


def main(part, target):
    assert keras.backend.backend() == "jax"
    found = {}
    if part == "kernels":
        kernels(found)
        messages(found)
    else:
        {"models": models, "training": training}[part](found)
    assert "tensorflow" not in sys.modules
    if part == "kernels":
        saved_models(found)
    np.savez(target, **{name: np.asarray(array) for name, array in found.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
