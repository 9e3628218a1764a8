"""The size and the speed of a student beside its teacher, on the same texts, in turns.

python -m experiments.benchmarks.student_speed --teacher teacher --student student --texts texts.txt
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from absl import flags

import bert_tf
from bert_tf.runs import folder as run_folder
from bert_tf.utils import files
from bert_tf.utils.launching import run


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("teacher", None, "The teacher's run.", required=True)
    flags.DEFINE_string("student", None, "The student's run.", required=True)
    flags.DEFINE_string("texts", None, "A file with one text on each line.", required=True)
    flags.DEFINE_integer("rounds", 7, "The number of turns of each model.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags, measure, and print the ratios."""
    values = flags.FLAGS
    paths = {"teacher": values.teacher, "student": values.student}
    texts = [text for text in files.iterate_lines(values.texts) if text.strip()]
    weights = {name: run_folder.load_run(path)[0].count_params() for name, path in paths.items()}
    methods = {name: bert_tf.load(path).classify for name, path in paths.items()}
    seconds = in_turns(methods, texts, rounds=values.rounds)
    ratios = sorted(teacher / student for teacher, student in zip(seconds["teacher"], seconds["student"], strict=True))
    for name, count in weights.items():
        print(f"{name}: {count:,} weights, {len(texts) / statistics.median(seconds[name]):,.1f} texts/s")
    print(f"size: the teacher's divided by {weights['teacher'] / weights['student']:.1f}")
    print(f"speed: {statistics.median(ratios):.1f} times the teacher's ({ratios[0]:.1f} to {ratios[-1]:.1f})")


def in_turns(
    methods: Mapping[str, Callable[[Sequence[str]], object]], texts: Sequence[str], *, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of each method on the texts in each round, after a first one that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for number in range(rounds + 1):
        for name, method in methods.items():
            start = time.perf_counter()
            method(texts)
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    run(main, define_flags)
