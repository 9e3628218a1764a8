"""Pre-training for equal times, compared with tf-models-official and keras-hub, on the records of `make checkpoint`.

    python -m experiments.benchmarks.pretraining --checkpoint_dir runs/checkpoint --venvs ~/peers \
        --work_dir /tmp/pretraining --minutes 40
    python -m experiments.benchmarks.pretraining --checkpoint_dir runs/checkpoint --compare recipes \
        --work_dir /tmp/recipes --minutes 20

The second compares this project's recipes with one another and needs no peer.

The time of a step is measured first, in turns; each then trains for as many steps as the minutes hold at that speed, so
that the curves do not depend on what else the machine does. The same command continues an interrupted one. README.md in
this folder gives the results.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.launching import run, whole_numbers
from experiments.benchmarks import pretraining_picture
from experiments.benchmarks.kept_results import require_same_settings
from experiments.benchmarks.pretraining_race import ENTRANTS, PEERS, RECIPES, RESULTS_FILE, Entrant, PretrainingRace

PICTURE_FILE = "pretraining.png"
_COMPARED = {"peers": ENTRANTS, "recipes": RECIPES}


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("checkpoint_dir", "runs/checkpoint", "The folder of `make checkpoint`, with its records.")
    flags.DEFINE_string("work_dir", None, "The folder for batches, results and models.", required=True)
    flags.DEFINE_enum("compare", "peers", list(_COMPARED), "What is compared with this project's recipe.")
    flags.DEFINE_string("venvs", None, "The folder of the peers' environments; missing ones are made.")
    flags.DEFINE_string("config", "bert_mini_day", "This project's experiment.")
    flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "The precision of all.")
    flags.DEFINE_float("minutes", 40.0, "The time of each training at the measured speed.", lower_bound=0.0)
    flags.DEFINE_integer("batch_size", 32, "The number of rows of 128 tokens in a batch.", lower_bound=4)
    flags.DEFINE_integer("held_out_every", 1, "Evaluate on every so many-th batch of held-out rows.", lower_bound=1)
    flags.DEFINE_integer("rounds", 5, "The number of turns in which the speed is measured.", lower_bound=1)
    flags.DEFINE_integer("steps", 10, "The number of steps in such a turn.", lower_bound=1)
    flags.DEFINE_integer(
        "at_once",
        7,
        "The number of trainings that are timed in turns; each holds about 2 GB. 1 where nothing else runs.",
        lower_bound=1,
    )
    flags.DEFINE_list("seeds", ["0"], "The seeds of the trainings; the time of a step is measured for the first alone.")
    flags.DEFINE_multi_string("only", [], "The label of a training, or part of some labels; may be repeated.")


def main(_: Sequence[str]) -> None:
    """Read the flags, time and train what is missing, and write the table and the picture."""
    values = flags.FLAGS
    known = _COMPARED[values.compare]
    entrants = chosen(known, values.only)
    peers = [one.label for one in entrants if one.implementation in PEERS]
    if peers and not values.venvs:
        raise ValueError(
            f"--venvs must be the folder of the peers' environments for {'; '.join(peers)}. Received: none"
        )
    seeds = whole_numbers(values.seeds, "seeds")
    race = PretrainingRace(
        values.work_dir,
        values.checkpoint_dir,
        experiment=values.config,
        precision=values.precision,
        venvs=values.venvs or "",
        batch_size=values.batch_size,
        held_out_every=values.held_out_every,
    )
    path = os.path.join(values.work_dir, RESULTS_FILE)
    found = read_results(path, race.settings() | {"minutes": values.minutes})
    speeds = found["seconds_per_step"]
    missing = [one for one in entrants if one.recipe_label not in speeds]
    for start in range(0, len(missing), values.at_once):
        some = missing[start : start + values.at_once]
        speeds |= race.seconds_per_step(some, rounds=values.rounds, steps=values.steps)
        files.write_text(path, json.dumps(found, indent=1) + "\n")
    for one in [dataclasses.replace(one, seed=seed) for seed in seeds for one in entrants]:
        if one.label not in [training["label"] for training in found["trainings"]]:
            training = race.train(one, minutes=values.minutes, seconds_per_step=speeds[one.recipe_label])
            found["trainings"].append(training)
            files.write_text(path, json.dumps(found, indent=1) + "\n")
        print(pretraining_picture.describe(in_order(found["trainings"], known)), flush=True)
    pretraining_picture.write_picture(in_order(found["trainings"], known), os.path.join(values.work_dir, PICTURE_FILE))


def in_order(trainings: Sequence[dict[str, Any]], entrants: Sequence[Entrant]) -> list[dict[str, Any]]:
    """Return the trainings in the order of the entrants, other seeds behind the first, and unknown ones at the end."""
    order = [one.label for one in entrants]
    labels = [training["label"].partition(", seed ")[0] for training in trainings]
    places = [order.index(label) if label in order else len(order) for label in labels]
    return [training for _, training in sorted(zip(places, trainings, strict=True), key=lambda pair: pair[0])]


def chosen(entrants: Sequence[Entrant], names: Sequence[str]) -> list[Entrant]:
    """Return the entrants with one of these labels, or with one of these parts in their labels; all without names.

    Raises:
        ValueError: there is none.
    """
    labels = [one.label for one in entrants]
    found = [
        one for one in entrants if any(name == one.label if name in labels else name in one.label for name in names)
    ]
    if names and not found:
        raise ValueError(f"--only must be part of a label: {'; '.join(labels)}. Received: {', '.join(names)}")
    return found or list(entrants)


def read_results(path: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what an earlier command left in a file, or what a new one begins with.

    Args:
        path: the file.
        settings: what decides the results.

    Raises:
        ValueError: they were made with other settings.
    """
    if not files.exists(path):
        return {"settings": settings, "seconds_per_step": {}, "trainings": []}
    found = files.read_json(path)
    require_same_settings("work_dir", path, found.get("settings", {}), settings)
    return found


if __name__ == "__main__":
    run(main, define_flags)
