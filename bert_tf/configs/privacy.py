"""The settings of differentially private fine-tuning."""

import dataclasses

from bert_tf.configs.base import Config, check_range


@dataclasses.dataclass(frozen=True)
class PrivacyConfig(Config):
    """Differentially private updates (Abadi et al. 2016, "Deep Learning with Differential Privacy"; DP-SGD).

    Attributes:
        enabled: whether the gradient of each example is clipped and noise is added to their sum.
        clip_norm: largest global norm of an example's gradient.
        noise_multiplier: standard deviation of the noise, divided by `clip_norm`. Less noise gives a larger epsilon.
        delta: probability with which the guarantee of epsilon may fail. It should be below 1 / examples.
    """

    enabled: bool = False
    clip_norm: float = 1.0
    noise_multiplier: float = 1.0
    delta: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("clip_norm", self.clip_norm, 1e-6)
        check_range("noise_multiplier", self.noise_multiplier, 1e-3)
        check_range("delta", self.delta, 1e-30, high=0.1)
