"""Settings of multi-task learning: several fine-tuning tasks, each with its own settings, on one encoder."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any, Self

from bert_tf.configs.base import Config, ConfigError, check_choice, check_range
from bert_tf.configs.tasks import AnyTaskConfig, ClassificationConfig

SAMPLINGS = ("proportional", "square_root", "temperature", "annealed", "uniform")
"""The ways to draw the task of a batch (`MultiTaskConfig.sampling`)."""


@dataclasses.dataclass(frozen=True)
class MemberConfig(Config):
    """One of the tasks.

    Attributes:
        name: a word that names the task in `--train_file NAME=FILE`, in scores, weights, signatures and answers.
        config: the settings of the task.
        loss_weight: factor of the task's loss.
    """

    name: str
    config: AnyTaskConfig = dataclasses.field(default_factory=ClassificationConfig)
    loss_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"[A-Za-z][\w-]*", self.name):
            raise ConfigError(f"`name` must be a letter, then letters, digits, _ and -. Received: {self.name!r}")
        check_range("loss_weight", self.loss_weight, 1e-6)
        if self.config.encoder_dropout_rate is not None:
            raise ConfigError(
                f"`encoder_dropout_rate` of {self.name} must be none, because all tasks share the encoder: set that of "
                f"the multi-task settings. Received: {self.config.encoder_dropout_rate}"
            )


@dataclasses.dataclass(frozen=True)
class MultiTaskConfig(Config):
    """Several tasks on one encoder, each batch of one of them (Liu et al. 2019, "MT-DNN", section 3).

    `--set task.NAME.max_seq_length=64` changes a setting of one task, and `--set task.NAME.loss_weight=2` its weight.

    Attributes:
        kind: `multi_task`.
        tasks: the tasks, each with another name.
        sampling: the probability with which a batch is of a task with N training rows: `proportional` to N (MT-DNN), to
            its `square_root`, to N ** (1 / `temperature`) (Devlin's multilingual BERT; Raffel et al. 2020, section
            3.5.2), `annealed` from N towards N ** 0.2 (Stickland and Murray 2019, section 3.1), or `uniform`.
        temperature: T of `temperature`, at least 1, which is `proportional`; None for the other samplings.
        encoder_dropout_rate: as in `TaskConfig`, for all tasks.
    """

    kind: str = "multi_task"
    tasks: tuple[MemberConfig, ...] = ()
    sampling: str = "proportional"
    temperature: float | None = None
    encoder_dropout_rate: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("kind", self.kind, (type(self).kind,))
        names = [member.name for member in self.tasks]
        if not names:
            raise ConfigError("`tasks` must hold at least one task. Received: none")
        reserved = {"encoder", "mean", *(field.name for field in dataclasses.fields(self))}
        wrong = [name for name in names if names.count(name) > 1 or name in reserved]
        if wrong:
            raise ConfigError(
                f"`tasks` must each have another name, none of {', '.join(sorted(reserved))}. Received: {wrong[0]!r}"
            )
        check_choice("sampling", self.sampling, SAMPLINGS)
        if (self.temperature is not None) != (self.sampling == "temperature"):
            raise ConfigError(
                "`temperature` must be given for `sampling` temperature, and for no other. "
                f"Received: {self.temperature} for {self.sampling}"
            )
        if self.temperature is not None:
            check_range("temperature", self.temperature, 1.0)
        if self.encoder_dropout_rate is not None:
            check_range("encoder_dropout_rate", self.encoder_dropout_rate, 0.0, high=0.999)

    def by_name(self) -> dict[str, AnyTaskConfig]:
        """Return the settings of each task by its name."""
        return {member.name: member.config for member in self.tasks}

    @property
    def max_seq_length(self) -> int:
        """The number of tokens in the longest row of any task."""
        return max(member.config.max_seq_length for member in self.tasks)

    @property
    def row_length(self) -> int:
        """The number of tokens in the longest row of training of any task."""
        return max(member.config.row_length for member in self.tasks)

    @property
    def num_segments(self) -> int:
        """The largest number of texts in a row of any task."""
        return max(member.config.num_segments for member in self.tasks)

    def _changed_at(self, path: list[str], given: Any, full_name: str, parse: Callable[[str, Any, Any], Any]) -> Self:
        names = [member.name for member in self.tasks]
        if path[0] not in names:
            return super()._changed_at(path, given, full_name, parse)
        if len(path) == 1:
            raise ConfigError(f"`{full_name}` has fields of its own; set one of them. Received: {given!r}")
        index = names.index(path[0])
        of_member = path[1] in (field.name for field in dataclasses.fields(MemberConfig))
        rest = path[1:] if of_member else ["config", *path[1:]]
        changed = self.tasks[index]._changed_at(rest, given, full_name, parse)
        return self.replace(tasks=(*self.tasks[:index], changed, *self.tasks[index + 1 :]))
