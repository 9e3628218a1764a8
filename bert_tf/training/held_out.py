"""Held-out examples that a model is scored on: by its outputs, and by the texts that it generates."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from bert_tf.configs.decoding import DecodingOptions
from bert_tf.examples import Examples
from bert_tf.features import ID_NAMES, Batch
from bert_tf.models.generation import Generation
from bert_tf.tasks import Task
from bert_tf.tasks.base import Member
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.seq2seq import Seq2Seq
from bert_tf.tokenization.generated import generated_text, generated_tokens
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.training.engine import Engine


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Labelled examples and their encoded rows."""

    examples: Sequence[Any]
    rows: EncodedExamples

    @classmethod
    def of(
        cls, examples: Examples, member: Member, tokenizer: WordPieceTokenizer, *, training: bool = False
    ) -> "HeldOut":
        """Return the examples of a task, encoded. Errors are those of `Task.encode`."""
        own = examples.of_task(member.name).examples
        return cls(own, member.task.encode(own, member.labels, tokenizer, training=training))


class Scorer:
    """The scores of a model on held-out examples. What it computes is compiled on the first call.

    Args:
        model: the model, whose weights may change between the calls.
        task: its task.
        labels: its labels.
        tokenizer: its tokenizer.
        engine: the devices and processes.
        batch_size: the number of rows computed at a time.
        generation_metrics: metrics of generated texts to compute too; () to generate none.
    """

    def __init__(
        self,
        model: keras.Model,
        task: Task,
        labels: Sequence[str],
        tokenizer: WordPieceTokenizer,
        *,
        engine: Engine,
        batch_size: int,
        generation_metrics: Sequence[str] = (),
    ) -> None:
        self._task, self._labels, self._tokenizer = task, labels, tokenizer
        self._outputs_of = engine.make_outputs(model, batch_size, task.objective(training=False))
        self._metrics = generation_metrics
        if generation_metrics:
            assert isinstance(task, Seq2Seq)
            beams = task.config.generation_beams
            options = DecodingOptions(max_length=task.config.max_target_length, beams=beams)
            allowed = generated_tokens(tokenizer, model.config.vocab_size)
            generation = Generation(model, options, allowed, tokenizer.sep_id)
            self._targets_of = engine.make_outputs(
                model, max(1, batch_size // beams), compute=lambda _, batch: generation(_sources(batch))
            )

    def __call__(self, held_out: HeldOut) -> dict[str, Any]:
        """Return loss and the task's scores of the model's outputs, and the metrics of the texts that it generates."""
        outputs, losses = self._outputs_of(held_out.rows)
        answers = self._task.answers(held_out.examples, held_out.rows, outputs, labels=self._labels)
        return losses | self._task.scores(held_out.examples, answers, self._labels) | self._generation_scores(held_out)

    def _generation_scores(self, held_out: HeldOut) -> dict[str, float]:
        if not self._metrics:
            return {}
        assert isinstance(self._task, Seq2Seq)
        targets, _ = self._targets_of(held_out.rows)
        texts = [
            generated_text(self._tokenizer.tokens, target["tokens"][0, : target["lengths"][0]].tolist())
            for target in targets
        ]
        lower_case = self._tokenizer.do_lower_case
        return self._task.generation_scores(held_out.examples, texts, self._metrics, lower_case=lower_case)


def _sources(batch: Batch) -> Batch:
    """Return the inputs of `Generation` for rows of sources and targets, whose targets become padding."""
    is_source = ops.cast(ops.equal(batch["order"], 0), "int32")
    inputs = {name: batch[name] for name in (*ID_NAMES, "position_ids")}
    return inputs | {"input_mask": inputs["input_mask"] * is_source}
