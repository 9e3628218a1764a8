"""From what people hold to what a model reads: texts, words, questions or passages become encoded examples."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bert_tf import features
from bert_tf.configs import BertConfig
from bert_tf.configs.tasks import AnyTaskConfig
from bert_tf.examples import TextExample
from bert_tf.preprocessing.preprocessor import Preprocessor, is_tensor
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.tasks import MODEL_KINDS, TASKS, Task, only_task_of
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.natural_inputs import text_examples
from bert_tf.tokenization.wordpiece import MASK, WordPieceTokenizer


class TaskPreprocessor:
    """The preprocessor of one model: its tokenizer, its task and its labels.

    Called with texts, it returns the model's inputs.

    Args:
        description: the description of the model.
        tokenizer: the tokenizer of its vocabulary.

    Attributes:
        description: the description of the model.
        tokenizer: the tokenizer.
        task: the task, or None for an encoder and a pre-trained model.

    Raises:
        ConfigError: the vocabulary or the rows are too large for the model.
    """

    def __init__(self, description: ModelDescription, tokenizer: WordPieceTokenizer) -> None:
        description.model.check_fits(tokenizer.vocab_size, description.max_seq_length)
        self.description = description
        self.tokenizer = tokenizer
        self.task: Task | None = only_task_of(description.task_config)

    @classmethod
    def of_task(
        cls,
        kind: str,
        model: BertConfig,
        tokenizer: WordPieceTokenizer,
        *,
        labels: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
        max_length: int | None = None,
    ) -> "TaskPreprocessor":
        """Return the preprocessor of a model for a task.

        Args:
            kind: a key of `tasks.MODEL_KINDS`.
            model: the sizes of the encoder.
            tokenizer: the tokenizer of its vocabulary.
            labels: the names of the classes by id.
            settings: other settings of the task's configuration (`configs.tasks`) than its defaults, by name.
            max_length: the largest number of tokens in a row; None for 128 or, for questions, 384, and at most the
                model's positions.

        Raises:
            ConfigError: a setting is unknown, or the vocabulary or the rows are too large for the model.
        """
        config: AnyTaskConfig | None = None
        positions = model.max_position_embeddings
        length = min(positions, 128) if max_length is None else max_length
        if kind in TASKS:
            given = dict(settings or {})
            pooling = given.pop("pooling", "cls") if TASKS[kind].has_pooling else "cls"
            config = TASKS[kind].published_config(min(positions, 384) if max_length is None else length, pooling)
            if max_length is None and kind != "question_answering":
                config = config.replace(max_seq_length=length)
            given |= {"labels": tuple(labels)} if labels else {}
            known = [field.name for field in dataclasses.fields(config) if field.name != "kind"]
            for name in given:
                if name not in known:
                    raise ValueError(f"`{name}` is no setting of {kind}; those are {', '.join(known)}")
            config = config.replace(**given)
            length = config.max_seq_length
        description = ModelDescription(
            task=kind,
            model=model.replace(attention="plain"),  # as it is exported
            do_lower_case=tokenizer.do_lower_case,
            tokenizer_options=tokenizer.options,
            vocab_hash=tokenizer.vocab_hash,
            max_seq_length=length,
            labels=tuple(labels),
            task_config=config,
        )
        return cls(description, tokenizer)

    def __repr__(self) -> str:
        found = self.description
        labels = f", labels={list(found.labels)}" if found.labels else ""
        return f"TaskPreprocessor({found.task}, max_length={found.max_seq_length}{labels}, {self.tokenizer!r})"

    def get_config(self) -> dict[str, Any]:
        """Return the description and the vocabulary as values that JSON can hold."""
        return {"description": self.description.to_dict(), "tokens": list(self.tokenizer.tokens)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "TaskPreprocessor":
        """Make the preprocessor whose `get_config` returned `config`."""
        description = ModelDescription.from_dict(config["description"])
        tokenizer = WordPieceTokenizer.from_tokens(
            config["tokens"], description.do_lower_case, description.tokenizer_options
        )
        return cls(description, tokenizer)

    def __call__(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Return the inputs of the model, and labels and weights unchanged, in Keras's order.

        A dataset of texts is mapped by it, as by `bert_tf.Preprocessor`: `dataset.map(model.preprocessor)`.

        Args:
            x: the task's inputs, as `Task.examples_of` takes them; for tasks on texts also string tensors, [] or [B].
            y: labels as the model's outputs are compared with; None for none.
            sample_weight: weights; None for none.

        Returns:
            `input_ids`, `input_mask` and `segment_ids`, int32 [rows, longest row], and `position_ids` where a row holds
            several texts: tensors for tensors, else arrays. A long context or sentence may become several rows. With
            `y`, a tuple of these, `y` and, if given, `sample_weight`.

        Raises:
            ValueError: an item has another form.
        """
        parts = x.values() if isinstance(x, Mapping) else x if isinstance(x, tuple) else [x]
        if self._example_class is TextExample and any(map(is_tensor, parts)):
            config = self.description.task_config
            preprocessor = Preprocessor(
                self.tokenizer,
                self.description.max_seq_length,
                padding="longest",
                long_texts=getattr(config, "long_texts", "cut"),
                parse_mask=self._parses_mask,
            )
            return preprocessor(x, y, sample_weight)
        batch = self._arrays(x)
        if sample_weight is not None:
            return batch, y, sample_weight
        return batch if y is None else (batch, y)

    def _arrays(self, x: Any) -> dict[str, np.ndarray]:
        encoded = self.encode(self.examples(x), training=self.joins_texts)
        longest = int(encoded.lengths.max(initial=1))
        batch = encoded.batch(np.arange(len(encoded)), longest)
        names: Sequence[str] = features.ID_NAMES
        if self.task is not None and self.joins_texts:
            names = (*features.encoder_batch(None, None), *self.task.joining_inputs)
        return {name: batch[name] for name in names}

    @property
    def joins_texts(self) -> bool:
        """True if a row of training holds several texts, which the loss compares."""
        return self.task is not None and self.task.joins_texts

    @property
    def _example_class(self) -> type:
        return TextExample if self.task is None else self.task.example_class

    @property
    def _parses_mask(self) -> bool:
        return "fill_mask" in MODEL_KINDS[self.description.task].methods

    def examples(self, x: Any, y: Any = None) -> list[Any]:
        """Return the examples of inputs and targets. Arguments and errors are those of `Task.examples_of`."""
        if self.task is not None:
            return self.task.examples_of(x, y, labels=self.description.labels, tokenizer=self.tokenizer)
        if y is not None:
            raise ValueError(f"`y` must be left out: a model for {self.description.task} has no targets of its own")
        return list(text_examples(x))

    def encode(
        self, examples: Sequence[Any], *, training: bool = False, weights: np.ndarray | None = None
    ) -> EncodedExamples:
        """Return the encoded examples. Other arguments and errors are those of `Task.encode`.

        Args:
            examples: N examples.
            training: whether rows get the weights of training.
            weights: the caller's weight of each example, [N], by which those of its rows are multiplied.
        """
        if self.task is not None:
            rows = self.task.encode(examples, self.description.labels, self.tokenizer, training=training)
            if weights is not None and getattr(self.task.config, "packed", False):
                raise ValueError("`sample_weight` needs `packed=False`, because a packed row holds several examples")
            if weights is not None:
                of_rows = weights[[_example_of(source) for source in rows.sources]]
                name = self.task.target_weights
                for arrays in (rows.example_features, rows.token_features):
                    if name in arrays:
                        shape = [-1] + [1] * (arrays[name].ndim - 1)
                        arrays[name] = (arrays[name] * of_rows.reshape(shape)).astype(arrays[name].dtype)
            return rows
        found = self.description
        is_pair = [example.text_pair is not None for example in examples]
        if any(is_pair):
            found.model.check_fits(self.tokenizer.vocab_size, num_segments=2)
        special = [MASK] if self._parses_mask else False
        pairs = [
            self.tokenizer.encode_pair(
                example.text, example.text_pair, found.max_seq_length, parse_special_tokens=special
            )
            for example in examples
        ]
        return EncodedExamples.from_lists(
            [ids for ids, _ in pairs],
            [segments for _, segments in pairs],
            pad_id=self.tokenizer.pad_id,
            max_seq_length=found.max_seq_length,
        )


def _example_of(source: Any) -> int:
    """Return the index of the example that a row comes from."""
    if isinstance(source, int | np.integer):
        return int(source)
    return int(source.example) if hasattr(source, "example") else int(source[0])
