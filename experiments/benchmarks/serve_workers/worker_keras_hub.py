"""The worker of keras-hub: `BertTokenizer` and `BertBackbone` in a tf.function, padded to a batch's longest text.

Its GELU is always the tanh approximation.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from serving_protocol import Embed, mean_vectors, serve


def start(folder: str) -> tuple[Embed, Callable[[Sequence[str]], Any], bool, dict[str, str]]:
    """Start the implementation; see `serving_protocol.serve`."""
    import keras_hub
    import tensorflow as tf

    backbone = keras_hub.models.BertBackbone.from_preset(folder)
    tokenizer = keras_hub.models.BertTokenizer.from_preset(folder)
    run = tf.function(lambda inputs: backbone(inputs, training=False)["sequence_output"], reduce_retracing=True)

    def tokenize(texts: Sequence[str]) -> Any:
        first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
        rows = [[first, *tokens[:254], last] for tokens in tokenizer(list(texts))]
        return tf.ragged.constant(rows, dtype=tf.int32).to_tensor()

    def embed(texts: Sequence[str]) -> Any:
        ids = tokenize(texts)
        mask = tf.cast(ids != tokenizer.pad_token_id, tf.int32)
        outputs = run({"token_ids": ids, "padding_mask": mask, "segment_ids": tf.zeros_like(ids)})
        return mean_vectors(outputs.numpy(), mask.numpy())

    return embed, tokenize, False, {"tensorflow": tf.__version__, "keras-hub": version("keras-hub")}


if __name__ == "__main__":
    serve(start)
