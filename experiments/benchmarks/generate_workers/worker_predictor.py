"""The worker of this project's Python predictor, `bert_tf.load(folder, "seq2seq").generate(texts)`."""

import os
from collections.abc import Sequence

from generating_protocol import Generate, serve


def start(folder: str) -> tuple[Generate, dict[str, str]]:
    """Start the implementation; see `generating_protocol.serve`."""
    import tensorflow as tf

    import bert_tf

    predictors = {}

    def generate(texts: Sequence[str], beams: int, tokens: int) -> list[int]:
        rows = len(texts) * beams  # all texts at once
        if rows not in predictors:
            predictors[rows] = bert_tf.load(os.path.join(folder, "weights"), "seq2seq", batch_size=rows)
        found = predictors[rows].generate(texts, beams=beams, max_length=tokens, no_repeat_ngram=0)
        return [len(answer["generated"].split()) for answer in found]

    return generate, {"tensorflow": tf.__version__}


if __name__ == "__main__":
    serve(start)
