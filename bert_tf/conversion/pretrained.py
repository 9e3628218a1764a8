"""A published BERT in memory, which every reader returns and every writer takes."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from bert_tf.configs import BertConfig
from bert_tf.conversion.names import HEADS, is_encoder_weight, weights_of
from bert_tf.conversion.report import ConversionReport
from bert_tf.conversion.sentence_transformers import SentenceSettings
from bert_tf.models.weights import named_weights
from bert_tf.tasks import MODEL_KINDS
from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.tokenization.wordpiece import WordPieceTokenizer


@dataclasses.dataclass
class Pretrained:
    """The configuration, weights and vocabulary of a BERT, independent of the format they came in.

    Attributes:
        config: the configuration of the encoder.
        weights: name in `models.weights.named_weights` -> float32 array.
        report: the report of what happened to the source's tensors.
        task: the task whose heads the source holds, a key of `tasks.MODEL_KINDS`: `encoder`, `pretraining`,
            `classification`, `multi_label`, `regression`, `tagging`, `question_answering`, `multiple_choice`,
            `retrieval` or `reranking`.
        tokens: the vocabulary's tokens by id; None if the source has no vocabulary.
        do_lower_case: whether texts are lower-cased.
        tokenizer_options: the other options of the tokenizer.
        tokenizer_problem: the reason why the source's tokenizer cannot be reproduced; "" if it can.
        labels: names of the classes or tags, by id.
        pooling: the pooling of a classifier or regressor, as in `BertClassifier`.
        sentences: the way in which a model for retrieval makes a vector of a text.
        activation: the way in which a reranker makes a score of its output, as in `configs.tasks.RerankingConfig`.
        max_seq_length: number of tokens in a row, if the source states it; None for the number of positions.
    """

    config: BertConfig
    weights: dict[str, np.ndarray]
    report: ConversionReport
    task: str
    tokens: tuple[str, ...] | None = None
    do_lower_case: bool = True
    tokenizer_options: TokenizerOptions = dataclasses.field(default_factory=TokenizerOptions)
    tokenizer_problem: str = ""
    labels: tuple[str, ...] = ()
    pooling: str = "cls"
    sentences: SentenceSettings | None = None
    activation: str = "sigmoid"
    max_seq_length: int | None = None

    @property
    def source(self) -> str:
        """The name of the source, for messages."""
        return self.report.source

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads whose weights it holds."""
        return tuple(head for head in HEADS if self._holds(head))

    def tokenizer(self) -> WordPieceTokenizer:
        """Return the tokenizer of its vocabulary.

        Raises:
            ValueError: the source has no vocabulary, one that lacks a special token, one that is larger than the table
                of embeddings, or a tokenizer that cannot be reproduced.
        """
        if self.tokenizer_problem:
            raise ValueError(self.tokenizer_problem)
        if self.tokens is None:
            raise ValueError(f"{self.source} must hold a vocabulary (vocab.txt). Received: none")
        try:
            tokenizer = WordPieceTokenizer.from_tokens(self.tokens, self.do_lower_case, self.tokenizer_options)
            self.config.check_fits(tokenizer.vocab_size)
        except ValueError as error:
            raise ValueError(f"{self.source}: {error}") from None
        return tokenizer

    def check_heads(self, task: str, allow_random_heads: bool = False, new: Collection[str] = ()) -> None:
        """Check that every head of a task's model has weights here, or may start from random numbers.

        Args:
            task: a key of `tasks.MODEL_KINDS`.
            allow_random_heads: whether missing heads may start from random numbers.
            new: heads that are new in any case, such as a classifier that is about to be trained.

        Raises:
            ValueError: a head that the task's model needs is missing.
        """
        held = [part for part in ("encoder", "encoder/pooler", *HEADS) if self._holds(part)]
        missing = [head for head in MODEL_KINDS[task].heads if not self._holds(head) and head not in new]
        if missing and not allow_random_heads:
            raise ValueError(
                f"{self.source} has no weights for {', '.join(missing)}, which a model for {task} needs. Give "
                "allow_random_heads=True (--allow_random_heads) to start them from random numbers. "
                f"It holds: {', '.join(held)}"
            )

    def _holds(self, part: str) -> bool:
        return any(name.startswith(f"{part}/") for name in self.weights)

    def assign_to(self, model: Any, task: str, allow_random_heads: bool = False) -> None:
        """Assign the weights to a model, and record in the report what was done.

        All names are checked before the first assignment.

        Args:
            model: a model of `bert_tf.models` with this configuration.
            task: the model's task, a key of `tasks.MODEL_KINDS`.
            allow_random_heads: whether a head that this source lacks may keep the model's fresh weights.

        Raises:
            ValueError: weights are missing.
        """
        self.check_heads(task, allow_random_heads)
        variables = named_weights(model)
        missing = [name for name in variables if name not in self.weights]
        # A head must be complete or absent. A pooler that no output depends on may be absent: taggers are published
        # without one.
        torn = [name for name in missing if is_encoder_weight(name) or self._holds(_head_of(name))]
        if torn:
            raise ValueError(
                f"{self.source} must hold every weight that its configuration describes. Missing: {torn[0]}"
                + (f" and {len(torn) - 1} more" if len(torn) > 1 else "")
            )
        for name, variable in variables.items():
            if name in self.weights:
                variable.assign(self.weights[name])
        self.report.missing = missing
        for name in [name for name in self.report.loaded if name not in variables]:
            for tensor in self.report.loaded.pop(name):
                self.report.ignored[tensor] = f"a model for {task} has no {name}"
        loaded = {tensor for tensors in self.report.loaded.values() for tensor in tensors}
        self.report.transposed = [tensor for tensor in self.report.transposed if tensor in loaded]

    @classmethod
    def of_model(
        cls, model: Any, tokenizer: WordPieceTokenizer | None = None, labels: Sequence[str] = ()
    ) -> "Pretrained":
        """Return the weights of a model in float32, with its configuration, ready to be written.

        Args:
            model: a model of `bert_tf.models`.
            tokenizer: the tokenizer of its vocabulary; None for the model's own, if it has one.
            labels: names of its classes or tags, by id; () for the model's own.

        Raises:
            ValueError: `model` is something else.
        """
        preprocessor = getattr(model, "preprocessor", None)
        config = None if preprocessor is None else preprocessor.description.task_config
        if tokenizer is None and preprocessor is not None:
            tokenizer, labels = preprocessor.tokenizer, labels or preprocessor.description.labels
        task = next((task for task, kind in MODEL_KINDS.items() if type(model) is kind.model_class()), None)
        if task is None:
            raise ValueError(f"`model` must be one of bert_tf.models. Received: a {type(model).__name__}")
        weights = {name: np.asarray(variable.numpy(), np.float32) for name, variable in named_weights(model).items()}
        report = ConversionReport(type(model).__name__, loaded={name: (name,) for name in weights})
        sentences = SentenceSettings(model.pooling, model.normalize) if task == "retrieval" else None
        return cls(
            config=model.config,
            weights=weights,
            report=report,
            task=task,
            tokens=tuple(tokenizer.tokens) if tokenizer else None,
            do_lower_case=tokenizer.do_lower_case if tokenizer else True,
            tokenizer_options=tokenizer.options if tokenizer else TokenizerOptions(),
            labels=tuple(labels),
            pooling="cls" if sentences else getattr(model, "pooling", "cls"),
            sentences=sentences,
            activation=getattr(config, "activation", "sigmoid"),
        )


def _head_of(name: str) -> str:
    return "encoder/pooler" if name.startswith("encoder/pooler/") else name.partition("/")[0]


def assemble(
    form: str,
    config: BertConfig,
    heads: Sequence[str],
    *,
    tensors: Mapping[str, tuple[str, np.ndarray]],
    report: ConversionReport,
) -> dict[str, np.ndarray]:
    """Return the weights made from a source's tensors, and fill `loaded`, `transposed` and `unexpected` of the report.

    Args:
        form: the format of the names in `tensors`: the name of an attribute of `names.Part`.
        config: the sizes.
        heads: the heads to look for.
        tensors: name in the format -> (name in the source, values). Products may be split by heads into three axes, as
            in TensorFlow's model garden and KerasHub.
        report: the report to fill.

    Returns:
        The weights, float32, by their names in `models.weights.named_weights`.

    Raises:
        ValueError: the shape of a tensor differs from the configuration.
    """
    if config.num_layers > len(tensors):
        raise ValueError(
            f"{report.source}: the weights must be those of {config.num_layers} layers, as the configuration says. "
            f"Received: {len(tensors)} tensors"
        )
    weights: dict[str, np.ndarray] = {}
    taken: set[str] = set()
    for weight in weights_of(config, heads):
        names = [getattr(part, form) for part in weight.parts]
        if not all(name in tensors for name in names):
            continue
        values = []
        last = weight.shape[-1]
        shape = (*weight.shape[:-1], None if last is None else last // len(weight.parts))
        for part, name in zip(weight.parts, names, strict=True):
            original, value = tensors[name]
            if getattr(part, f"{form}_transposed", False):
                value = value.T
                report.transposed.append(original)
            sizes = [size for size in shape if size is not None]
            if value.ndim > len(shape) == len(sizes) and value.size == math.prod(sizes):
                value = value.reshape(sizes)
            fits = value.ndim == len(shape) and all(
                wanted in (None, size) for wanted, size in zip(shape, value.shape, strict=True)
            )
            if not fits:
                expected = ", ".join("any" if size is None else str(size) for size in shape)
                raise ValueError(
                    f"{report.source}: the tensor {original!r} must have the shape that the configuration gives to "
                    f"{weight.name}, ({expected}). Received: {value.shape}"
                )
            values.append(value.astype(np.float32))
        weights[weight.name] = values[0] if len(values) == 1 else np.concatenate(values, axis=-1)
        report.loaded[weight.name] = tuple(tensors[name][0] for name in names)
        taken.update(names)
    report.unexpected.extend(original for name, (original, _) in tensors.items() if name not in taken)
    return weights


def disassemble(form: str, pretrained: Pretrained, without: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Return the tensors of a model in a published format, by its names. Weights without a tensor there are left out.

    Args:
        form: the format: `google`, `hugging_face` or `keras_hub`.
        pretrained: the model to write.
        without: names of weights to leave out.

    Raises:
        ValueError: the model has a head that no published format has.
    """
    parts = {_head_of(name) for name in pretrained.weights} - {"encoder", "encoder/pooler", *HEADS}
    if parts:
        raise ValueError(
            f"the model's heads must be among {', '.join(HEADS)} to be published. Received: {', '.join(sorted(parts))}"
        )
    tensors = {}
    for weight in weights_of(pretrained.config, pretrained.heads):
        if weight.name not in pretrained.weights or weight.name in without:
            continue
        for part, value in zip(weight.parts, weight.split(pretrained.weights[weight.name]), strict=True):
            name = getattr(part, form)
            if name is not None:
                transposed = getattr(part, f"{form}_transposed", False)
                tensors[name] = np.ascontiguousarray(value.T if transposed else value)
    return tensors
