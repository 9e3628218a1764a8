"""The worker of this project, with the batches and the step of `bert_tf.training.finetuning`."""

import os
import sys
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from protocol import Case, Implementation, read_lines, serve

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))

import keras

from bert_tf.configs import FinetuningConfig
from bert_tf.configs.training import DTYPE_POLICIES
from bert_tf.conversion.loading import read_pretrained
from bert_tf.examples import ChoiceExample, QuestionExample, TaggedExample, TextExample
from bert_tf.tasks import trainable_of
from bert_tf.training import starting_point
from bert_tf.training.encoded_batches import steps_per_epoch, training_dataset
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.evaluation import make_outputs
from bert_tf.training.tensorflow_engine.inner_loop import InnerLoop
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.tensorflow_engine.step import TrainStep
from experiments.benchmarks.finetune_cases import finetuning_config


class BertTf(Implementation):
    """The experiment that the case names, with the case's settings."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.versions = {name: version(name) for name in ("tensorflow", "keras")}
        config: FinetuningConfig = finetuning_config(case, case.settings)
        self.task = trainable_of(config.task).members(case.labels)[0].task
        pretrained = read_pretrained(case.weights, case.kind)
        tokenizer = pretrained.tokenizer()
        train, self.eval_examples = (list(_examples(read_lines(path))) for path in (case.train, case.eval))
        rows = self.task.encode(train, case.labels, tokenizer, training=True)
        self.eval_rows = self.task.encode(self.eval_examples, case.labels, tokenizer)
        self.steps_per_epoch = steps_per_epoch(rows, case.batch_size)
        config = config.with_steps(self.steps_per_epoch)
        keras.utils.set_random_seed(case.seed)
        self.distribution = Distribution()
        model = self.task.make_model(pretrained.config, case.labels, DTYPE_POLICIES[case.precision])
        state = TrainState(model, case.precision)
        starting_point.initialize(state, pretrained, reinitialize_layers=0)
        objective = self.task.objective(training=True)
        step = TrainStep(
            state, objective, train=config.train, optimizer=config.optimizer, distribution=self.distribution
        )
        self.model = model
        self.inner_loop = InnerLoop(step, self.distribution)
        self.batches = iter(training_dataset(rows, case.batch_size, seed=case.seed))

    def train_epoch(self) -> float:
        """Answer the examples; see `Implementation`."""
        sums, _ = self.inner_loop(self.batches, self.steps_per_epoch)  # [steps, names, 2]
        loss = next(place for place, name in enumerate(self.inner_loop.names) if name.endswith("loss"))
        total, weight = sums[:, loss].sum(axis=0)
        return float(total / weight)

    def predict(self) -> list[dict[str, Any]]:
        """Answer the examples; see `Implementation`."""
        outputs, _ = make_outputs(self.model, self.distribution, 128)(self.eval_rows)
        return self.task.answers(self.eval_examples, self.eval_rows, outputs, labels=self.case.labels)


def _examples(lines: Iterable[dict[str, Any]]) -> Iterable[Any]:
    for line in lines:
        if "words" in line:
            yield TaggedExample.from_words(line["words"], line["tags"])
        elif "choices" in line:
            yield ChoiceExample(line["context"], tuple(line["choices"]), line["label"])
        elif "context" in line:
            answers = tuple((text, start) for text, start in line.pop("answers"))
            yield QuestionExample(line["question"], line["context"], line["id"], answers)
        else:
            yield TextExample(**line)


if __name__ == "__main__":
    serve(BertTf)
