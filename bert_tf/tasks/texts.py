"""The tasks on texts and pairs of texts: classification, multi-label classification and regression."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import expit, softmax

from bert_tf.configs import BertConfig
from bert_tf.configs.tasks import ClassificationConfig, MultiLabelConfig, RegressionConfig
from bert_tf.examples import TextExample
from bert_tf.scoring import texts as scoring
from bert_tf.tasks import natural_inputs, natural_targets
from bert_tf.tasks.base import Task
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.labels import class_weights, ordered_labels
from bert_tf.tasks.long_texts import encode_texts, pooled, pooled_distributions
from bert_tf.tasks.model_kinds import Architectures
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils.arguments import renamed

if TYPE_CHECKING:
    import keras

    from bert_tf.models.classifier import BertClassifier
    from bert_tf.models.multi_label_classifier import BertMultiLabelClassifier
    from bert_tf.models.regressor import BertRegressor
    from bert_tf.objectives.distillation import Imitation
    from bert_tf.objectives.objective import Objective


def _is_labelled(examples: Sequence[TextExample]) -> np.ndarray:
    """Return 1 for an example with a label and 0 for one without, float32 [N]."""
    return np.array([example.label is not None for example in examples], np.float32)


def _label_ids(example: TextExample, names: Sequence[str], ids: dict[str, int], column: str) -> list[int]:
    for name in names:
        if name not in ids:
            raise ValueError(
                f"{example.source}, column {column!r}: must be one of the labels ({', '.join(ids)}). Received: {name!r}"
            )
    return [ids[name] for name in names]


class Classification(Task[TextExample]):
    """The task of classification: one of two or more classes."""

    kind = "classification"
    heads = ("encoder/pooler", "classification")
    has_classes = True
    has_pooling = True
    methods = ("classify",)
    output = "logits"
    problem_type = "single_label_classification"
    pipeline_tag = "text-classification"
    architectures: ClassVar[Architectures] = {"BertForSequenceClassification": heads}
    config_class = ClassificationConfig
    example_class = TextExample
    target = "label_ids"
    target_weights = "label_weights"
    config: ClassificationConfig

    @classmethod
    def model_class(cls) -> "type[BertClassifier]":
        """Return `BertClassifier`."""
        from bert_tf.models.classifier import BertClassifier

        return BertClassifier

    def label_names(self, examples: Sequence[TextExample]) -> tuple[str, ...]:
        """Return the listed classes, or those that occur."""
        return ordered_labels(self.config.labels, self.occurring_labels(examples), examples, kind="labels")

    def occurring_labels(self, examples: Sequence[TextExample]) -> set[str]:
        """Return the classes of the examples."""
        return {example.label for example in examples if example.label is not None}

    def examples_of(
        self, x: Any, y: Any = None, *, labels: Sequence[str], tokenizer: WordPieceTokenizer
    ) -> list[TextExample]:
        """Return the examples of texts or pairs, and of their classes by name or number."""
        return natural_targets.with_classes(natural_inputs.text_examples(x), y, labels)

    def encode(
        self,
        examples: Sequence[TextExample],
        labels: Sequence[str],
        tokenizer: WordPieceTokenizer,
        *,
        training: bool = False,
    ) -> EncodedExamples:
        """Encode the examples for `features.classification_batch`. In training, a row has the weight of its class."""
        ids = {label: number for number, label in enumerate(labels)}
        label_ids = np.array(
            [
                0 if example.label is None else _label_ids(example, [example.label], ids, self.config.label_column)[0]
                for example in examples
            ],
            np.int32,
        )
        weights = _is_labelled(examples)
        if training:
            weights = (
                weights * class_weights(self.config, labels, np.bincount(label_ids, minlength=len(labels)))[label_ids]
            )
        return encode_texts(
            examples, tokenizer, self.config, features={"label_ids": label_ids, "label_weights": weights}
        )

    def make_model(self, encoder: BertConfig, labels: Sequence[str], dtype: str = "float32") -> "keras.Model":
        """Return a `BertClassifier`."""
        config = self.config
        return self.model_class()(
            encoder, len(labels), dropout_rate=config.dropout_rate, pooling=config.pooling, dtype=dtype
        )

    def objective(self, training: bool) -> "Objective":
        """Return the cross-entropy, smoothed or focal in training only."""
        from bert_tf.objectives.objective import classification_objective

        return classification_objective(
            label_smoothing=self.config.label_smoothing if training else 0.0,
            focal_gamma=self.config.focal_gamma if training else 0.0,
        )

    def imitation(self) -> "Imitation":
        """Return the divergence of the classes."""
        from bert_tf.objectives.distillation import class_imitation

        return class_imitation

    def answers(
        self, examples: Sequence[TextExample], rows: EncodedExamples, outputs: Sequence[Any], *, labels: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return `label` and `probabilities` by label, for each text."""
        if not len(outputs):
            return []
        windows = softmax(np.stack(outputs), axis=-1)
        probabilities = pooled_distributions(windows, rows.sources, self.config.window_pooling)
        return [
            {"label": labels[int(row.argmax())], "probabilities": dict(zip(labels, row.tolist(), strict=True))}
            for row in probabilities
        ]

    def scores(
        self, examples: Sequence[TextExample], answers: Sequence[dict[str, Any]], labels: Sequence[str]
    ) -> dict[str, Any]:
        """Return `scoring.texts.classification_scores`."""
        with renamed(positive_label="task.positive_label"):
            return scoring.classification_scores(
                [example.label for example in examples],
                [answer["label"] for answer in answers],
                labels,
                positive_label=self.config.positive_label,
            )

    def main_score(self, labels: Sequence[str]) -> str:
        """Return `accuracy`."""
        return "accuracy"


class MultiLabel(Task[TextExample]):
    """The task of multi-label classification: any number of labels."""

    kind = "multi_label"
    heads = ("encoder/pooler", "classification")
    has_classes = True
    has_pooling = True
    methods = ("classify",)
    output = "logits"
    problem_type = "multi_label_classification"
    pipeline_tag = "text-classification"
    architectures: ClassVar[Architectures] = {"BertForSequenceClassification": heads}
    config_class = MultiLabelConfig
    example_class = TextExample
    target = "label_targets"
    target_weights = "label_weights"
    config: MultiLabelConfig

    @classmethod
    def model_class(cls) -> "type[BertMultiLabelClassifier]":
        """Return `BertMultiLabelClassifier`."""
        from bert_tf.models.multi_label_classifier import BertMultiLabelClassifier

        return BertMultiLabelClassifier

    def label_names(self, examples: Sequence[TextExample]) -> tuple[str, ...]:
        """Return the listed labels, or those that occur."""
        return ordered_labels(self.config.labels, self.occurring_labels(examples), examples, kind="labels")

    def occurring_labels(self, examples: Sequence[TextExample]) -> set[str]:
        """Return the labels of the examples."""
        return {label for example in examples for label in example.label or ()}

    def examples_of(
        self, x: Any, y: Any = None, *, labels: Sequence[str], tokenizer: WordPieceTokenizer
    ) -> list[TextExample]:
        """Return the examples of texts or pairs, and of their lists of labels."""
        return natural_targets.with_label_sets(natural_inputs.text_examples(x), y, labels)

    def encode(
        self,
        examples: Sequence[TextExample],
        labels: Sequence[str],
        tokenizer: WordPieceTokenizer,
        *,
        training: bool = False,
    ) -> EncodedExamples:
        """Encode the examples for `features.multi_label_batch`. In training, the labels of a row have their weights."""
        targets = self._targets(examples, labels)
        values = {"label_targets": targets, "label_weights": _is_labelled(examples)}
        if training and (self.config.class_weights or self.config.balanced_classes):
            weights = class_weights(self.config, labels, targets.sum(axis=0), positive_of=len(examples))
            values["target_weights"] = np.where(targets > 0, weights, np.float32(1))
        return encode_texts(examples, tokenizer, self.config, features=values)

    def _targets(self, examples: Sequence[TextExample], labels: Sequence[str]) -> np.ndarray:
        """Return 1 for each label that an example has, float32 [N, C]."""
        ids = {label: number for number, label in enumerate(labels)}
        targets = np.zeros((len(examples), len(labels)), np.float32)
        for row, example in enumerate(examples):
            targets[row, _label_ids(example, example.label or (), ids, self.config.label_column)] = 1.0
        return targets

    def make_model(self, encoder: BertConfig, labels: Sequence[str], dtype: str = "float32") -> "keras.Model":
        """Return a `BertMultiLabelClassifier`."""
        config = self.config
        return self.model_class()(
            encoder, len(labels), dropout_rate=config.dropout_rate, pooling=config.pooling, dtype=dtype
        )

    def objective(self, training: bool) -> "Objective":
        """Return the binary cross-entropy, focal in training only."""
        from bert_tf.objectives.objective import multi_label_objective

        return multi_label_objective(self.config.focal_gamma if training else 0.0)

    def imitation(self) -> "Imitation":
        """Return the mean divergence of the labels."""
        from bert_tf.objectives.distillation import label_imitation

        return label_imitation

    def answers(
        self, examples: Sequence[TextExample], rows: EncodedExamples, outputs: Sequence[Any], *, labels: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return `labels`, whose probability reaches the threshold, and the `probabilities` of all, for each text."""
        if not len(outputs):
            return []
        probabilities = pooled(expit(np.stack(outputs)), rows.sources, self.config.window_pooling)
        return [
            {
                "labels": [label for label, p in zip(labels, row, strict=True) if p >= self.config.threshold],
                "probabilities": dict(zip(labels, row.tolist(), strict=True)),
            }
            for row in probabilities
        ]

    def scores(
        self, examples: Sequence[TextExample], answers: Sequence[dict[str, Any]], labels: Sequence[str]
    ) -> dict[str, Any]:
        """Return `scoring.texts.multi_label_scores`."""
        probabilities = np.array([[answer["probabilities"][label] for label in labels] for answer in answers])
        return dict(
            scoring.multi_label_scores(
                self._targets(examples, labels).astype(int), probabilities, self.config.threshold
            )
        )

    def main_score(self, labels: Sequence[str]) -> str:
        """Return `micro_f1`."""
        return "micro_f1"


class Regression(Task[TextExample]):
    """The task of regression: a number."""

    kind = "regression"
    heads = ("encoder/pooler", "regression")
    has_pooling = True
    methods = ("score",)
    output = "values"
    problem_type = "regression"
    pipeline_tag = "text-classification"
    architectures: ClassVar[Architectures] = {"BertForSequenceClassification": heads}
    config_class = RegressionConfig
    example_class = TextExample
    target = "label_values"
    target_weights = "label_weights"
    config: RegressionConfig

    @classmethod
    def model_class(cls) -> "type[BertRegressor]":
        """Return `BertRegressor`."""
        from bert_tf.models.regressor import BertRegressor

        return BertRegressor

    def label_names(self, examples: Sequence[TextExample]) -> tuple[str, ...]:
        """Return no labels, after checking that the numbers differ."""
        if len({example.label for example in examples}) < 2:
            source = examples[0].source if examples else "no examples"
            raise ValueError(
                f"the training examples ({source} ...) must have at least two different numbers in column "
                f"{self.config.label_column!r}. Received: {examples[0].label if examples else None}"
            )
        return ()

    def examples_of(
        self, x: Any, y: Any = None, *, labels: Sequence[str], tokenizer: WordPieceTokenizer
    ) -> list[TextExample]:
        """Return the examples of texts or pairs, and of their numbers."""
        return natural_targets.with_numbers(natural_inputs.text_examples(x), y)

    def encode(
        self,
        examples: Sequence[TextExample],
        labels: Sequence[str],
        tokenizer: WordPieceTokenizer,
        *,
        training: bool = False,
    ) -> EncodedExamples:
        """Encode the examples for `features.regression_batch`."""
        numbers = np.array([example.label or 0.0 for example in examples], np.float32)
        values = {"label_values": numbers, "label_weights": _is_labelled(examples)}
        return encode_texts(examples, tokenizer, self.config, features=values)

    def make_model(self, encoder: BertConfig, labels: Sequence[str], dtype: str = "float32") -> "keras.Model":
        """Return a `BertRegressor`."""
        return self.model_class()(
            encoder, dropout_rate=self.config.dropout_rate, pooling=self.config.pooling, dtype=dtype
        )

    def objective(self, training: bool) -> "Objective":
        """Return the squared error."""
        from bert_tf.objectives.objective import regression_objective

        return regression_objective()

    def imitation(self) -> "Imitation":
        """Return the squared difference of the numbers."""
        from bert_tf.objectives.distillation import number_imitation

        return number_imitation

    def answers(
        self, examples: Sequence[TextExample], rows: EncodedExamples, outputs: Sequence[Any], *, labels: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return `value` for each text."""
        if not len(outputs):
            return []
        values = pooled(np.stack(outputs), rows.sources, self.config.window_pooling)
        return [{"value": float(value)} for value in values]

    def scores(
        self, examples: Sequence[TextExample], answers: Sequence[dict[str, Any]], labels: Sequence[str]
    ) -> dict[str, Any]:
        """Return `scoring.texts.regression_scores`."""
        return dict(
            scoring.regression_scores([example.label for example in examples], [answer["value"] for answer in answers])
        )

    def main_score(self, labels: Sequence[str]) -> str:
        """Return `pearson`."""
        return "pearson"
