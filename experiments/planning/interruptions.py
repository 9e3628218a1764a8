"""The time that a training takes on a machine that is interrupted, by formula and by simulation.

Interruptions come at random, at a constant mean rate, during restarts too. After each one the machine restarts, and the
work since the last checkpoint is done again. Times are in seconds.
"""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Interruptions:
    """How often a training is interrupted, and what a stop and a checkpoint cost.

    Attributes:
        mean: the mean time between two interruptions.
        restart: the time from an interruption until the training goes on from its last checkpoint.
        save: the time for which the training waits at each checkpoint.
    """

    mean: float
    restart: float
    save: float

    def best_interval(self) -> float:
        """Return the time of work between two checkpoints that makes the whole time shortest.

        The formula is Daly 2006, "A higher order estimate of the optimum checkpoint interval for restart dumps",
        whose first term is that of Young 1974.
        """
        if self.save >= 2 * self.mean:
            return self.mean
        ratio = self.save / (2 * self.mean)
        return math.sqrt(2 * self.save * self.mean) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - self.save

    def expected(self, work: float, interval: float) -> float:
        """Return the mean of the time that a training takes, restarts and repeated work included.

        Daly 2006: a part of the work, and its checkpoint, are tried until no interruption comes.

        Args:
            work: the time without interruptions and checkpoints.
            interval: the time of work between two checkpoints; a longer one than `work` is `work`.
        """
        interval = min(interval, work)
        exponent = (interval + self.save) / self.mean
        if exponent > 500:  # no part is ever finished
            return math.inf
        return self.mean * math.exp(self.restart / self.mean) * math.expm1(exponent) * work / interval

    def simulated(self, work: float, interval: float, *, trials: int, seed: int) -> np.ndarray:
        """Return the times that simulated trainings take.

        Args:
            work: the time without interruptions and checkpoints.
            interval: the time of work between two checkpoints; the last part may be shorter.
            trials: the number of trainings.
            seed: the seed of the interruptions.

        Returns:
            The times, float64 [trials].
        """
        generator = np.random.default_rng(seed)
        return np.array([self._trial(work, min(interval, work), generator) for _ in range(trials)])

    def _trial(self, work: float, interval: float, generator: np.random.Generator) -> float:
        total, done, start = 0.0, 0.0, 0.0
        while True:
            parts = math.ceil((work - done) / interval - 1e-9)
            needed = start + work - done + parts * self.save
            until = generator.exponential(self.mean)
            if until >= needed:
                return total + needed
            total += until
            done += max(0, math.floor((until - start) / (interval + self.save))) * interval
            start = self.restart
