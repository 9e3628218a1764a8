"""Settings of the fine-tuning tasks: one dataclass for each task, distinguished by `kind` on disk."""

from bert_tf.configs.tasks.base import TaskConfig
from bert_tf.configs.tasks.multiple_choice import MultipleChoiceConfig
from bert_tf.configs.tasks.question_answering import QuestionAnsweringConfig
from bert_tf.configs.tasks.reranking import RerankingConfig
from bert_tf.configs.tasks.retrieval import RetrievalConfig
from bert_tf.configs.tasks.seq2seq import Seq2SeqConfig
from bert_tf.configs.tasks.tagging import TaggingConfig
from bert_tf.configs.tasks.texts import ClassificationConfig, MultiLabelConfig, RegressionConfig, TextTaskConfig

__all__ = [
    "AnyTaskConfig",
    "ClassificationConfig",
    "MultiLabelConfig",
    "MultipleChoiceConfig",
    "QuestionAnsweringConfig",
    "RegressionConfig",
    "RerankingConfig",
    "RetrievalConfig",
    "Seq2SeqConfig",
    "TaggingConfig",
    "TaskConfig",
    "TextTaskConfig",
]

AnyTaskConfig = (
    ClassificationConfig
    | MultiLabelConfig
    | RegressionConfig
    | TaggingConfig
    | QuestionAnsweringConfig
    | RerankingConfig
    | RetrievalConfig
    | Seq2SeqConfig
    | MultipleChoiceConfig
)
"""The configuration of any task. In a dictionary, `kind` names the task; classification is the default."""
