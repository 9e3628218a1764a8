"""The worker of this project's SavedModel, whose `serving_default` is called as TensorFlow Serving calls it."""

from collections.abc import Callable, Sequence
from typing import Any

from serving_protocol import Embed, serve


def start(folder: str) -> tuple[Embed, Callable[[Sequence[str]], Any], bool, dict[str, str]]:
    """Start the implementation; see `serving_protocol.serve`."""
    import os

    import tensorflow as tf
    import tensorflow_text  # noqa: F401  (registers operations)

    from bert_tf.preprocessing.graph_tokenizer import GraphTokenizer
    from bert_tf.tokenization.wordpiece import WordPieceTokenizer

    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures["serving_default"]
    # This tokenizer equals that of the signature, and is measured alone for its share of the time.
    tokenizer = GraphTokenizer(WordPieceTokenizer(os.path.join(folder, "assets", "vocab.txt")))
    tokenize = tf.function(tokenizer.tokenize, input_signature=[tf.TensorSpec([None], tf.string)])

    def embed(texts: Sequence[str]) -> Any:
        assert loaded is not None  # it owns the signature's variables
        return signature(text=tf.constant(list(texts)))["embedding"].numpy()

    return embed, lambda texts: tokenize(tf.constant(list(texts))), False, {"tensorflow": tf.__version__}


if __name__ == "__main__":
    serve(start)
