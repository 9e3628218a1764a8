"""The worker of this project's Python predictor, `bert_tf.load(folder).embed(texts)`."""

from collections.abc import Callable, Sequence
from typing import Any

from serving_protocol import Embed, serve


def start(folder: str) -> tuple[Embed, Callable[[Sequence[str]], Any], bool, dict[str, str]]:
    """Start the implementation; see `serving_protocol.serve`."""
    import tensorflow as tf

    import bert_tf

    predictor = bert_tf.load(folder)

    def tokenize(texts: Sequence[str]) -> Any:
        return [predictor.tokenizer.encode_pair(text, None, 256) for text in texts]

    return predictor.embed, tokenize, True, {"tensorflow": tf.__version__}


if __name__ == "__main__":
    serve(start)
