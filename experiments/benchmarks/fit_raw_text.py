"""Keras's `fit` and `predict` on raw strings, compared with KerasHub's `BertTextClassifier` on the same texts.

    python -m experiments.benchmarks.fit_raw_text --train_file sst2/train.tsv --vocab_file vocab.txt

All sides have the same sizes, random weights, batches of 32, AdamW and float32. Each makes one epoch to be traced and
compiled, and then the sides take turns. README.md in this folder gives the results.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from bert_tf.configs import BertConfig
from bert_tf.configs.tasks import ClassificationConfig
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from bert_tf.utils.launching import run
from data_pipelines.finetuning.labelled import read_examples

_LENGTH = 128
_BATCH_SIZE = 32


def ours(config: BertConfig, tokenizer: WordPieceTokenizer) -> Any:
    """Return this project's classifier, compiled as its guide does."""
    from bert_tf.models.classifier import BertClassifier

    model = BertClassifier(config, 2)
    model.set_tokenizer(tokenizer, max_length=_LENGTH)
    model.compile()
    return model


def keras_hub(config: BertConfig, tokenizer: WordPieceTokenizer, jit_compile: bool | str) -> Any:
    """Return KerasHub's classifier of the same sizes."""
    import keras
    import keras_hub

    pieces = keras_hub.models.BertTokenizer(vocabulary=list(tokenizer.tokens), lowercase=tokenizer.do_lower_case)
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=config.vocab_size,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        hidden_dim=config.hidden_size,
        intermediate_dim=config.intermediate_size,
    )
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(pieces, sequence_length=_LENGTH)
    model = keras_hub.models.BertTextClassifier(backbone, num_classes=2, preprocessor=preprocessor)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.AdamW(5e-5), loss=loss, jit_compile=jit_compile)
    return model


def race(
    sides: dict[str, Callable[[], Any]], texts: Sequence[str], labels: Sequence[int], rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Return the texts per second of each side in each round, for `fit` and for `predict`."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    x, y = np.array(texts), np.array(labels)
    models = {name: make() for name, make in sides.items()}
    for model in models.values():
        model.fit(x, y, batch_size=_BATCH_SIZE, epochs=1, verbose=0)
        model.predict(x, batch_size=_BATCH_SIZE, verbose=0)
    found: dict[str, dict[str, list[float]]] = {name: {"fit": [], "predict": []} for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            start = time.perf_counter()
            model.fit(x, y, batch_size=_BATCH_SIZE, epochs=1, verbose=0)
            middle = time.perf_counter()
            model.predict(x, batch_size=_BATCH_SIZE, verbose=0)
            found[name]["fit"].append(len(x) / (middle - start))
            found[name]["predict"].append(len(x) / (time.perf_counter() - middle))
    return found


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("train_file", None, "A table with the columns sentence and label.", required=True)
    flags.DEFINE_string("vocab_file", None, "An uncased vocabulary.", required=True)
    flags.DEFINE_string("model", "bert_mini", "The name of a published size.")
    flags.DEFINE_integer("num_texts", 1024, "The number of texts of an epoch.", lower_bound=64)
    flags.DEFINE_integer("rounds", 5, "The number of turns of each side.", lower_bound=1)
    flags.DEFINE_string("output", None, "The JSON file for all measurements.")


def main(_: Sequence[str]) -> None:
    """Read the flags, measure, and print the table."""
    values = flags.FLAGS
    task = ClassificationConfig(text_column="sentence")
    examples = read_examples(values.train_file, task).examples[: values.num_texts]
    names = sorted({example.label for example in examples})
    tokenizer = WordPieceTokenizer(values.vocab_file, True)
    config = BertConfig.named(values.model, vocab_size=tokenizer.vocab_size)
    sides = {
        "bert_tf": lambda: ours(config, tokenizer),
        "keras_hub": lambda: keras_hub(config, tokenizer, "auto"),
        "keras_hub without XLA": lambda: keras_hub(config, tokenizer, False),
    }
    texts, labels = [example.text for example in examples], [names.index(example.label) for example in examples]
    found = race(sides, texts, labels, values.rounds)
    print("| side | fit, texts/s | of bert_tf | predict, texts/s | of bert_tf |\n| --- | --- | --- | --- | --- |")
    medians = {name: {kind: statistics.median(speeds) for kind, speeds in runs.items()} for name, runs in found.items()}
    for name, speed in medians.items():
        shares = {kind: speed[kind] / medians["bert_tf"][kind] for kind in speed}
        print(
            f"| {name} | {speed['fit']:.0f} | {shares['fit']:.2f} | {speed['predict']:.0f} | {shares['predict']:.2f} |"
        )
    if values.output:
        files.write_text(values.output, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    run(main, define_flags)
