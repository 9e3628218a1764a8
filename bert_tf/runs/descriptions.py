"""The descriptions of models and runs, which suffice to build a model again, to use it, and to tell runs apart."""

import dataclasses
from typing import Self

from bert_tf.configs import BertConfig, Config, FinetuningConfig, PretrainingConfig
from bert_tf.configs.base import check_choice
from bert_tf.configs.decoding import DecodingOptions
from bert_tf.configs.multi_task import MultiTaskConfig
from bert_tf.configs.tasks import AnyTaskConfig, TextTaskConfig
from bert_tf.tasks.base import Member
from bert_tf.tasks.seq2seq import Seq2Seq
from bert_tf.tokenization.options import TokenizerOptions

SIMILARITIES = ("cosine", "dot")


@dataclasses.dataclass(frozen=True)
class EmbeddingSettings(Config):
    """The settings by which texts become vectors, and vectors are compared.

    Attributes:
        pooling: `mean` of the last block's vectors, `cls` (the vector of `[CLS]`) or `pooler` (the pooled output).
        normalize: whether vectors are scaled to length 1.
        similarity: `cosine`, or `dot` for vectors whose length has a meaning, such as those of DPR.
    """

    pooling: str = "mean"
    normalize: bool = False
    similarity: str = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("similarity", self.similarity, SIMILARITIES)


@dataclasses.dataclass(frozen=True)
class _Description(Config):
    """The fields that the descriptions of models and of runs share."""

    task: str
    model: BertConfig
    do_lower_case: bool
    vocab_hash: str
    max_seq_length: int
    labels: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ModelDescription(_Description):
    """The description of a trained model for serving, as `assets/config.json` in an export holds it.

    Attributes:
        task: the kind of the model, a key of `tasks.MODEL_KINDS`.
        model: the sizes and options of the encoder.
        do_lower_case: whether the vocabulary, which is beside the description, is uncased.
        tokenizer_options: the other options of the tokenizer.
        vocab_hash: the hash of the vocabulary (`WordPieceTokenizer.vocab_hash`).
        max_seq_length: the largest number of tokens in a row.
        labels: the names of the classes, by id.
        task_config: the settings of the fine-tuning task; None for an encoder and a pre-trained model.
        embedding: the settings by which texts become vectors.
        has_pooler: whether the pooler has trained weights.
        experiment: the experiment that trained the model, as a dictionary for the model card.
        data: the data that the model was trained on, as a dictionary for the model card.
        decoding: the options by which an export generates texts; None for all other models.
    """

    task_config: AnyTaskConfig | MultiTaskConfig | None = None
    embedding: EmbeddingSettings = dataclasses.field(default_factory=EmbeddingSettings)
    has_pooler: bool = True
    experiment: dict = dataclasses.field(default_factory=dict)
    data: dict = dataclasses.field(default_factory=dict)
    tokenizer_options: TokenizerOptions = dataclasses.field(default_factory=TokenizerOptions)
    decoding: DecodingOptions | None = None

    def of_task(self, member: Member) -> Self:
        """Return the description of the model for one of the tasks alone (`tasks.base.Member`)."""
        if not member.name:
            return self
        config = member.task.config
        return self.replace(
            task=config.kind,
            task_config=config,
            labels=member.labels,
            max_seq_length=config.max_seq_length,
            decoding=self.decoding if config.kind == Seq2Seq.kind else None,
        )

    @property
    def takes_pairs(self) -> bool | None:
        """True if the model was trained on pairs of texts, None if that is unknown, as for published weights."""
        if not self.experiment or not isinstance(self.task_config, TextTaskConfig):
            return None
        return self.task_config.text_pair_column is not None


@dataclasses.dataclass(frozen=True)
class RunDescription(_Description):
    """The description of a run, as its `config.json` holds it.

    Attributes:
        task: `pretraining`, or the `kind` of the fine-tuning task.
        model: the sizes and options of the encoder.
        do_lower_case: whether `vocab.txt`, which is beside the description, is uncased.
        tokenizer_options: the other options of the tokenizer.
        vocab_hash: the hash of `vocab.txt` (`WordPieceTokenizer.vocab_hash`).
        max_seq_length: the number of tokens in a row.
        labels: the names of the classes, by id.
        experiment: the resolved experiment, as a dictionary.
        data: the folders or files that the run reads, and their identities, as a dictionary.
    """

    experiment: dict
    data: dict
    tokenizer_options: TokenizerOptions = dataclasses.field(default_factory=TokenizerOptions)

    def config(self) -> PretrainingConfig | FinetuningConfig:
        """Return the experiment.

        Raises:
            ConfigError: the experiment has unknown fields, or fields of another type.
            ValueError: `task` is not the task of the experiment.
        """
        if self.task == "pretraining":
            return PretrainingConfig.from_dict(self.experiment)
        config = FinetuningConfig.from_dict(self.experiment)
        if config.task.kind != self.task:
            raise ValueError(
                f"`task` must be pretraining or the experiment's own, {config.task.kind}. Received: {self.task!r}"
            )
        return config

    def task_config(self) -> AnyTaskConfig | MultiTaskConfig | None:
        """Return the settings of the fine-tuning task, or None for a pre-training. Errors are those of `config`."""
        config = self.config()
        return config.task if isinstance(config, FinetuningConfig) else None

    def of_model(self) -> ModelDescription:
        """Return the description of the run's model."""
        return ModelDescription(
            task=self.task,
            model=self.model,
            do_lower_case=self.do_lower_case,
            tokenizer_options=self.tokenizer_options,
            vocab_hash=self.vocab_hash,
            max_seq_length=self.max_seq_length,
            labels=self.labels,
            task_config=self.task_config(),
            experiment=self.experiment,
            data=self.data,
        )
