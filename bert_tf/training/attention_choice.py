"""The choice of the attention that a training computes: the experiment's, or plain where a run goes on elsewhere."""

from absl import logging

from bert_tf.configs import BertConfig
from bert_tf.runs import checkpoints
from bert_tf.training.engine import Engine


def attention_of(model: BertConfig, engine: Engine, run_dir: str) -> str:
    """Return the implementation of attention that a training computes, one of `configs.model.ATTENTIONS`.

    A run that was begun with fused attention goes on with plain attention where the devices have no kernel.

    Args:
        model: the experiment's model.
        engine: the devices.
        run_dir: the run's folder.

    Raises:
        ValueError: a new run asks for fused attention, and the devices have no kernel.
    """
    if model.attention == "plain" or engine.has_fused_attention:
        return model.attention
    if checkpoints.newest_checkpoint(run_dir) is None:
        raise ValueError(
            "`model.attention` must be plain on these devices: the JAX engine has fused attention, on a GPU or a TPU. "
            f"Received: fused, for an engine that {engine.describe()}"
        )
    logging.warning("The run goes on with plain attention: these devices have no kernel for fused attention.")
    return "plain"
