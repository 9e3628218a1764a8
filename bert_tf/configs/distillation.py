"""Settings of distillation: what a student learns from a teacher, and how it starts."""

import dataclasses

from bert_tf.configs.base import Config, ConfigError, check_range


@dataclasses.dataclass(frozen=True)
class DistillConfig(Config):
    """The training of a student beside a teacher, whose weights stay as they are (`bert_tf/training/distillation.py`).

    The loss is the sum of up to four losses, each times its weight. Layers are numbered from 1; 0 is the embeddings.

    Attributes:
        teacher: the teacher: a run's folder, or published weights by folder or name. None to train from labels alone.
        label_weight: weight of the task's own loss, that of the labels.
        logit_weight: weight of the divergence of the student's outputs from the teacher's (Hinton et al. 2015,
            "Distilling the Knowledge in a Neural Network"); for numbers, of their squared difference.
        logit_temperature: T, the divisor of both models' logits. The loss is multiplied by T^2 (section 2 there), so
            that its gradient hardly depends on T.
        hidden_weight: weight of the squared differences of mapped layers' outputs (Jiao et al. 2020, "TinyBERT",
            equations 8 and 9). If the widths differ, a learnt matrix maps the student's embeddings to the teacher's
            width, and another one its other layers.
        hidden_layers: for the student's embeddings and each of its layers, the teacher's layer. () spreads the
            teacher's layers evenly, such as 0,3,6 for 2 layers of 6.
        relation_weight: weight of the divergences of relations among queries, keys and values of the student's last
            layer from those of one layer of the teacher (Wang et al. 2021, "MiniLMv2", equations 5 to 7).
        relation_layer: that layer; None for the last.
        relation_heads: the number of heads that queries, keys and values are split into for the relations, so that
            widths and heads may differ. It divides both widths. None for the teacher's number of heads.
        init_layers: the teacher's layers that the student starts from, such as 1,3,5; it has the teacher's sizes
            otherwise (Sanh et al. 2019, "DistilBERT", section 3). () for a start from random weights, or from the
            `init_checkpoint` of the run.
        outputs_dir: the folder of the teacher's outputs for the training examples of a fine-tuning, which are computed
            once; None for `teacher_outputs` beside the run's folder, where runs of other seeds find them.
    """

    teacher: str | None = None
    label_weight: float = 0.5
    logit_weight: float = 0.5
    logit_temperature: float = 2.0
    hidden_weight: float = 0.0
    hidden_layers: tuple[int, ...] = ()
    relation_weight: float = 0.0
    relation_layer: int | None = None
    relation_heads: int | None = None
    init_layers: tuple[int, ...] = ()
    outputs_dir: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("label_weight", "logit_weight", "hidden_weight", "relation_weight"):
            check_range(name, getattr(self, name), 0.0)
        if not self.logit_weight + self.hidden_weight + self.relation_weight:
            raise ConfigError(
                "`logit_weight`, `hidden_weight` or `relation_weight` must be above 0. Received: 0 for each"
            )
        check_range("logit_temperature", self.logit_temperature, 1e-3)
        for layer in self.hidden_layers:
            check_range("hidden_layers", layer, 0)
        for layer in self.init_layers:
            check_range("init_layers", layer, 1)
        for name in ("relation_layer", "relation_heads"):
            if getattr(self, name) is not None:
                check_range(name, getattr(self, name), 1)

    @property
    def compares_layers(self) -> bool:
        """True if the student learns from what the teacher computes within, and not from its outputs alone."""
        return bool(self.hidden_weight or self.relation_weight)
