"""The phases of a pre-training, which share one run and one count of steps, but have records of different lengths."""

import dataclasses
from collections.abc import Sequence

from bert_tf.configs import PretrainingConfig, TrainConfig


@dataclasses.dataclass(frozen=True)
class Phase:
    """A phase, which is a range of a run's steps.

    Attributes:
        begin: the run's step at which the phase begins, and from which its batches are counted.
        train: the settings of the loop up to the end of the phase.
        max_seq_length: the number of tokens in a row of its records; None for any.
    """

    begin: int
    train: TrainConfig
    max_seq_length: int | None


def phases_of(config: PretrainingConfig) -> list[Phase]:
    """Return the phases in their order, or a single phase if `config.phases` is empty."""
    train = config.train
    if not config.phases:
        return [Phase(0, train, None)]
    phases = []
    begin, share = 0, 0.0
    for phase in config.phases:
        share += phase.share
        end = train.num_steps if phase is config.phases[-1] else round(share * train.num_steps)
        if end <= begin:
            raise ValueError(
                f"`train.num_steps` must be enough for each of the {len(config.phases)} `phases` to have a step. "
                f"Received: {train.num_steps}"
            )
        changes: dict[str, float] = {
            "num_steps": end,
            "batch_size": phase.batch_size or train.batch_size,
            "gradient_accumulation_steps": phase.gradient_accumulation_steps or train.gradient_accumulation_steps,
            "schedule_steps": train.schedule_steps or train.num_steps,
        }
        if phase.learning_rate is not None:
            changes |= {
                "learning_rate": phase.learning_rate,
                "warmup_steps": phase.warmup_steps,
                "schedule_start": begin,
                "schedule_steps": end - begin,
            }
        phases.append(Phase(begin, train.replace(**changes), phase.max_seq_length))
        begin = end
    return phases


def remaining(phases: Sequence[Phase], step: int) -> list[int]:
    """Return the indices of the phases that a run at `step` has not finished; the last index for a finished run."""
    return [place for place, phase in enumerate(phases) if step < phase.train.num_steps] or [len(phases) - 1]
