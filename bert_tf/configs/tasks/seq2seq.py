"""Settings of sequence to sequence."""

import dataclasses

from bert_tf.configs.base import ConfigError, check_choice, check_range
from bert_tf.configs.generation_metrics import GENERATION_METRICS, METRIC_TOKENIZERS
from bert_tf.configs.tasks.base import TaskConfig


@dataclasses.dataclass(frozen=True)
class Seq2SeqConfig(TaskConfig):
    """Sequence to sequence: a target text for each source text (Dong et al. 2019, section 2.3).

    Attributes:
        max_seq_length: tokens of a source and its target, with `[CLS]`, `[SEP]` and `[SEP]`.
        max_target_length: largest number of tokens of a target, with its `[SEP]`. The source has the rest of the row,
            and is cut to it.
        truncation_side: the end at which such a source is cut, `right` or `left`; a dialogue needs its last turns.
        source_column: column of the source.
        target_column: column of the target. A list (JSON lines) holds several targets that are as good.
        reference_columns: columns of further targets, for tables whose fields hold no lists.
        turns_column: column of the turns of a dialogue, a list (JSON lines), instead of sources and targets; each
            turn but the first is a target. Dialogues are groups.
        group_column: column of the group, whose examples `--split` keeps together; None for no groups.
        packed: whether a row of training holds as many pairs as fit. Batches are then full of tokens, and their
            `train.batch_size` rows hold more pairs.
        generation_metrics: metrics of the texts that the model generates from the held-out sources, among
            `GENERATION_METRICS`, in every evaluation. () for none, because generation takes time.
        generation_beams: number of hypotheses of its beam search; 1 for the likeliest token at each step.
        metric_tokenizer: what these metrics count as words, one of `METRIC_TOKENIZERS`; `zh` for Chinese.
    """

    kind: str = "seq2seq"
    max_seq_length: int = 256
    max_target_length: int = 64
    truncation_side: str = "right"
    source_column: str = "source"
    target_column: str = "target"
    reference_columns: tuple[str, ...] = ()
    turns_column: str | None = None
    group_column: str | None = None
    packed: bool = False
    generation_metrics: tuple[str, ...] = ()
    generation_beams: int = 1
    metric_tokenizer: str = "13a"

    @property
    def num_segments(self) -> int:
        """The number of texts in a row."""
        return 2

    @property
    def max_source_length(self) -> int:
        """The largest number of tokens of a source, with `[CLS]` and `[SEP]`."""
        return self.max_seq_length - self.max_target_length

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("max_target_length", self.max_target_length, 2)
        check_choice("truncation_side", self.truncation_side, ("right", "left"))
        for metric in self.generation_metrics:
            check_choice("generation_metrics", metric, GENERATION_METRICS)
        check_range("generation_beams", self.generation_beams, 1)
        check_choice("metric_tokenizer", self.metric_tokenizer, METRIC_TOKENIZERS)
        if self.max_source_length < 3:
            raise ConfigError(
                "`max_seq_length` must hold `max_target_length` tokens and at least 3 of the source. "
                f"Received: max_seq_length={self.max_seq_length}, max_target_length={self.max_target_length}"
            )
