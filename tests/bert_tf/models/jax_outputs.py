"""A script of `test_backends.py`: writes the models' outputs, loss and gradients under `KERAS_BACKEND=jax` to a file.

    python jax_outputs.py IN.npz OUT.npz

IN holds `weight/NAME` and `batch/NAME`.
"""

import sys

import jax
import keras
import numpy as np

from bert_tf.models.classifier import BertClassifier
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.models.weights import named_weights
from bert_tf.objectives.losses import pretraining_losses


def _under(arrays: dict, prefix: str) -> dict:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def main(source: str, target: str) -> None:
    assert keras.backend.backend() == "jax"
    arrays = dict(np.load(source))
    batch = _under(arrays, "batch/")
    config = {name: value.item() for name, value in _under(arrays, "config/").items()}
    pretrainer, classifier = BertPretrainer(config), BertClassifier(config, num_classes=3, pooling="mean")
    for kind, model in (("pretrainer", pretrainer), ("classifier", classifier)):
        for name, weight in named_weights(model).items():
            weight.assign(arrays[f"{kind}/{name}"])

    fixed = [variable.value for variable in pretrainer.non_trainable_variables]

    def loss(trainable):
        outputs, _ = pretrainer.stateless_call(trainable, fixed, batch, training=True, seed=7)
        return sum(total / weight for total, weight in pretraining_losses(outputs, batch).values()), outputs

    @jax.jit  # one program: JAX compiles eager operations one by one
    def everything(trainable):
        (total, dropped), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
        outputs, _ = pretrainer.stateless_call(trainable, fixed, batch)
        return total, gradients, {True: dropped, False: outputs}, classifier(batch)

    variables = pretrainer.trainable_variables
    total, gradients, outputs, logits = everything([variable.value for variable in variables])
    found = {"loss": total, "classifier": logits}
    found |= {f"{name}/{training}": x for training, tensors in outputs.items() for name, x in tensors.items()}
    found |= {
        f"gradient/{variable.path.partition('/')[2]}": g for variable, g in zip(variables, gradients, strict=True)
    }
    # Layers and models use `keras.ops` alone, so that TensorFlow is not imported.
    found["tensorflow"] = np.array("tensorflow" in sys.modules)
    np.savez(target, **{name: np.asarray(array) for name, array in found.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
