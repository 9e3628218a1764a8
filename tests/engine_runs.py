"""The same short trainings through either engine, that of Keras's backend, from the same random weights.

As a script, it trains through JAX, on some numbers of devices of a CPU, and writes what it finds to a file:

    KERAS_BACKEND=jax python engine_runs.py OUT.npz CASE:DEVICES[:FIELD=VALUE...] ...

The fields are those of `TrainConfig`, and `optimizer`, the name of the update rule.
"""

import itertools
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from small_corpus import corpus_documents
from small_model import SMALL, TASK_CONFIGS, packed_pretraining_batch, random_pretraining_batch
from small_records import TOKENIZER

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.configs.multi_task import MemberConfig, MultiTaskConfig
from bert_tf.examples import (
    ChoiceExample,
    Examples,
    ExamplesByTask,
    QuestionExample,
    RerankingExample,
    RetrievalExample,
    Seq2SeqExample,
    TaggedExample,
    TextExample,
)
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.models.student_and_teacher import StudentAndTeacher
from bert_tf.objectives.distillation import distilled, layer_term, masked_lm_term, relation_term
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.tasks import task_of, trainable_of
from bert_tf.training.turns import Part, Turns, TurnSteps

ROWS = 8
TRAIN = TrainConfig(
    num_steps=20, batch_size=ROWS, learning_rate=1e-3, warmup_steps=5, jit_compile=False, ema_decay=0.9, seed=3
)
MODEL = SMALL.replace(
    vocab_size=TOKENIZER.vocab_size, dropout_rate=0.1, attention_dropout_rate=0.1, max_position_embeddings=64
)
TASKS = tuple(TASK_CONFIGS)


def _mixed(*args: Any, **options: Any) -> dict[str, np.ndarray]:
    """Return a packed batch of rows of the three kinds of `configs.MixtureConfig` in turn."""
    batch = packed_pretraining_batch(*args, **options)
    kinds = np.arange(len(batch["input_ids"]))[:, None] % 3
    batch["order"] = (batch["position_ids"] * np.where(kinds == 2, batch["segment_ids"], kinds)).astype(np.int32)
    for name in ("next_sentence_positions", "next_sentence_labels", "next_sentence_weights"):
        batch[name] = np.where(kinds == 0, batch[name], 0).astype(batch[name].dtype)
    return batch


PRETRAINING = {"unpacked": random_pretraining_batch, "packed": packed_pretraining_batch, "mixed": _mixed}


def _sentences() -> list[str]:
    return [document[0] for document in corpus_documents(24)]


def _examples(task: str) -> list[Any]:
    """Return 24 labelled examples."""
    texts = _sentences()
    if task == "tagging":
        return [
            TaggedExample.from_words(text.split(), ["B-LOC" if word == "the" else "O" for word in text.split()])
            for text in texts
        ]
    if task == "question_answering":
        words = [text.split()[2] for text in texts]
        return [
            QuestionExample("who was it", text, str(number), ((word, text.index(word)),))
            for number, (text, word) in enumerate(zip(texts, words, strict=True))
        ]
    if task == "retrieval":
        return [RetrievalExample(" ".join(text.split()[:3]), text) for text in texts]
    if task == "reranking":
        others = [*texts[1:], texts[0]]
        return [
            RerankingExample(" ".join(text.split()[:3]), (text, other), (1.0, 0.0))
            for text, other in zip(texts, others, strict=True)
        ]
    if task == "seq2seq":
        return [Seq2SeqExample(text, " ".join(text.split()[:3])) for text in texts]
    if task == "multiple_choice":
        return [
            ChoiceExample(text, (texts[number - 1], text, "a boat")[: 2 + number % 2], 1)
            for number, text in enumerate(texts)
        ]
    labels = {
        "classification": lambda text: str("the old" in text.lower()),
        "multi_label": lambda text: tuple(word for word in ("old", "river", "the") if word in text),
        "regression": lambda text: len(text) / 50.0,
    }
    return [TextExample(text, label=labels[task](text)) for text in texts]


def _of_task(task: str) -> tuple[Callable[[], keras.Model], Any, list[dict[str, np.ndarray]]]:
    task_object = task_of(TASK_CONFIGS[task])
    examples = _examples(task)
    labels = task_object.label_names_of_parts(examples)
    rows = task_object.encode(examples, labels, TOKENIZER, training=True)
    batches = [batch for _, batch in rows.batches(ROWS)]
    return lambda: task_object.make_model(MODEL, labels), task_object.objective(training=True), batches


def _of_pretraining(kind: str) -> tuple[Callable[[], keras.Model], Any, list[dict[str, np.ndarray]]]:
    batches = [PRETRAINING[kind](seed, rows=ROWS, vocab_size=TOKENIZER.vocab_size) for seed in range(5)]
    return lambda: BertPretrainer(MODEL), pretraining_objective(), batches


def _of_distillation(_: str) -> tuple[Callable[[], keras.Model], Any, list[dict[str, np.ndarray]]]:
    """Return a student of two thirds of its teacher's width, which learns all that a teacher has."""
    _, objective, batches = _of_pretraining("packed")
    teacher = MODEL.replace(hidden_size=24, num_layers=4)
    terms = [masked_lm_term(0.5, temperature=2.0), layer_term(1.0), relation_term(1.0, 2)]

    def make_model() -> keras.Model:
        models = BertPretrainer(MODEL), BertPretrainer(teacher)
        return StudentAndTeacher(*models, layers=(0, 2, 4), relation_layer=3)

    return make_model, distilled(objective, 0.5, terms), batches


def of_tasks(kinds: dict[str, str], order: list[int]) -> tuple[Callable[[], keras.Model], Turns]:
    """Return the model of several tasks, whose kinds are given by their names, and their turns."""
    trainable = trainable_of(
        MultiTaskConfig(tasks=tuple(MemberConfig(name, TASK_CONFIGS[kind]) for name, kind in kinds.items()))
    )
    examples = ExamplesByTask.of({name: Examples(_examples(kind), name) for name, kind in kinds.items()})
    labels = trainable.labels_of_parts(examples)
    parts = []
    for member in trainable.members(labels):
        own = examples.of_task(member.name).examples
        rows = member.task.encode(own, member.labels, TOKENIZER, training=True)
        data = _Data([batch for _, batch in rows.batches(ROWS)])
        parts.append(
            Part(member.among_others(member.task.objective(training=True)), lambda *_, data=data: data, member.model_in)
        )
    return lambda: trainable.make_model(MODEL, labels), Turns(parts, np.array(order))


def _turns_of(case: str) -> tuple[Callable[[], keras.Model], Turns]:
    if case == "multi_task":
        return of_tasks({"topic": "classification", "names": "tagging", "gen": "seq2seq"}, 5 * [0, 0, 1, 2])
    of_case = _of_distillation if case == "distilled" else _of_pretraining if case in PRETRAINING else _of_task
    make_model, objective, batches = of_case(case)
    return make_model, Turns.of_one(objective, lambda *_: _Data(batches))


def train(engine: Any, case: str, settings: TrainConfig = TRAIN, *, optimizer: str = "adamw") -> dict[str, np.ndarray]:
    """Train through an engine, and return the metrics of each step, and all values at the end, by name."""
    make_model, turns = _turns_of(case)
    keras.utils.set_random_seed(settings.seed)
    state = engine.make_state(make_model, settings)
    state.start_averages()
    steps = TurnSteps(engine, state, turns, train=settings, optimizer=OptimizerConfig(name=optimizer))
    values, _ = steps(turns.batches(engine, 0), settings.num_steps)
    found = {f"metric/{name}": values[:, place] for place, name in enumerate(steps.names)}
    return found | {f"value/{name}": np.asarray(value.numpy()) for name, value in state.variables().items()}


class _Data:
    """Endless batches, with as much of a `tf.data.Dataset` as both engines need."""

    def __init__(self, batches: list[dict[str, np.ndarray]]) -> None:
        self._batches = batches

    def as_numpy_iterator(self) -> Any:
        return itertools.cycle(self._batches)

    def __iter__(self) -> Any:
        import tensorflow as tf

        first = self._batches[0]
        signature = {
            name: tf.TensorSpec([array.shape[0], *[None] * (array.ndim - 1)], array.dtype)
            for name, array in first.items()
        }
        return iter(tf.data.Dataset.from_generator(self.as_numpy_iterator, output_signature=signature))


def main(target: str, *runs: str) -> None:
    from bert_tf.training.jax_engine.devices import Devices, attached_devices
    from bert_tf.training.jax_engine.engine import JaxEngine

    devices = attached_devices(num_devices=8).devices
    found = {}
    for run in runs:
        case, count, *fields = run.split(":")
        values = dict(field.split("=") for field in fields)
        optimizer = values.pop("optimizer", "adamw")
        changes = {name: type(getattr(TRAIN, name))(eval(value)) for name, value in values.items()}
        settings = TRAIN.replace(**changes)
        arrays = train(JaxEngine(Devices(devices[: int(count)])), case, settings, optimizer=optimizer)
        found |= {f"{run}/{name}": array for name, array in arrays.items()}
    np.savez(target, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
