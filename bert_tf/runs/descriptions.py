"""The descriptions of models and runs: enough to make a model again, to ask it, and to tell runs apart."""

import dataclasses

from bert_tf.configs import BertConfig, Config, FinetuningConfig, PretrainingConfig
from bert_tf.configs.base import check_choice
from bert_tf.configs.tasks import AnyTaskConfig

SIMILARITIES = ("cosine", "dot")


@dataclasses.dataclass(frozen=True)
class EmbeddingSettings(Config):
    """The settings by which texts become vectors, and vectors are compared.

    Attributes:
        pooling: `mean` of the last block's vectors, `cls` (the vector of `[CLS]`) or `pooler` (the pooled output).
        normalize: whether vectors are brought to length 1.
        similarity: `cosine`, or `dot`, the product of vectors whose length means something, as those of DPR.
    """

    pooling: str = "mean"
    normalize: bool = False
    similarity: str = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("similarity", self.similarity, SIMILARITIES)


@dataclasses.dataclass(frozen=True)
class ModelDescription(Config):
    """A trained model, as serving sees it: the content of `assets/config.json` in an export.

    Attributes:
        task: a key of `tasks.MODEL_KINDS`.
        model: sizes and options of the encoder.
        do_lower_case: how texts are tokenized, with the vocabulary beside the description.
        vocab_hash: the hash of that vocabulary (`WordPieceTokenizer.vocab_hash`).
        max_seq_length: the longest row, in tokens.
        labels: the names of the classes, by id.
        task_config: the settings of the fine-tuning task; None for an encoder and a pre-trained model.
        embedding: how texts become vectors.
        has_pooler: whether the pooler has trained weights.
        experiment: the experiment that the model was trained by, as a dictionary for the reader of a model card.
        data: the data that it was trained on, likewise.
    """

    task: str
    model: BertConfig
    do_lower_case: bool
    vocab_hash: str
    max_seq_length: int
    labels: tuple[str, ...]
    task_config: AnyTaskConfig | None = None
    embedding: EmbeddingSettings = dataclasses.field(default_factory=EmbeddingSettings)
    has_pooler: bool = True
    experiment: dict = dataclasses.field(default_factory=dict)
    data: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class RunDescription(Config):
    """A run: the content of its `config.json`.

    Attributes:
        task: `pretraining`, or the `kind` of the fine-tuning task.
        model: sizes and options of the encoder.
        do_lower_case: how texts are tokenized, with `vocab.txt` beside it.
        vocab_hash: the hash of `vocab.txt` (`WordPieceTokenizer.vocab_hash`).
        max_seq_length: the length of rows, in tokens.
        labels: the names of the classes, by id.
        experiment: the resolved experiment, as a dictionary.
        data: what the run reads, as a dictionary: folders or files, and their identities.
    """

    task: str
    model: BertConfig
    do_lower_case: bool
    vocab_hash: str
    max_seq_length: int
    labels: tuple[str, ...]
    experiment: dict
    data: dict

    def config(self) -> PretrainingConfig | FinetuningConfig:
        """Return the experiment.

        Raises:
            ConfigError: it has unknown fields, or fields of another type.
            ValueError: `task` is not the experiment's own.
        """
        if self.task == "pretraining":
            return PretrainingConfig.from_dict(self.experiment)
        config = FinetuningConfig.from_dict(self.experiment)
        if config.task.kind != self.task:
            raise ValueError(
                f"`task` must be pretraining or the experiment's own, {config.task.kind}. Received: {self.task!r}"
            )
        return config

    def task_config(self) -> AnyTaskConfig | None:
        """Return the settings of the fine-tuning task; None for a pre-training. Errors are those of `config`."""
        config = self.config()
        return config.task if isinstance(config, FinetuningConfig) else None

    def of_model(self) -> ModelDescription:
        """Return the description of the run's model."""
        return ModelDescription(
            task=self.task,
            model=self.model,
            do_lower_case=self.do_lower_case,
            vocab_hash=self.vocab_hash,
            max_seq_length=self.max_seq_length,
            labels=self.labels,
            task_config=self.task_config(),
            experiment=self.experiment,
            data=self.data,
        )
