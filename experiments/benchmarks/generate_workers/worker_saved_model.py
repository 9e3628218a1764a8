"""The worker of this project's SavedModels, whose `serving_default` is called as TensorFlow Serving calls it."""

import os
from collections.abc import Sequence

from generating_protocol import Generate, serve


def start(folder: str) -> tuple[Generate, dict[str, str]]:
    """Start the implementation; see `generating_protocol.serve`."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (registers operations)

    loaded = {}

    def generate(texts: Sequence[str], beams: int, tokens: int) -> list[int]:
        if beams not in loaded:
            loaded[beams] = tf.saved_model.load(os.path.join(folder, f"beams{beams}", "1"))
        outputs = loaded[beams].signatures["serving_default"](text=tf.constant(list(texts)))
        return outputs["num_tokens"].numpy().tolist()

    return generate, {"tensorflow": tf.__version__}


if __name__ == "__main__":
    serve(start)
