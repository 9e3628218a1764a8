"""The race of the pre-training benchmark: each implementation trains for as long as the others."""

import dataclasses
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bert_tf.configs import MaskingConfig, PretrainingConfig
from bert_tf.utils import files
from bert_tf.utils.progress import progress_bar
from data_pipelines.corpora.readers import read_documents
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.input.record_folder import RecordFolder
from data_pipelines.records.manifest import MANIFEST_FILE, PreparationConfig
from data_pipelines.records.packing import DEFAULT_SEQUENCES_PER_ROW
from experiments import launch
from experiments.benchmarks.peer_environments import python_of
from experiments.benchmarks.pretraining_workers.pretraining_protocol import PretrainingCase
from experiments.benchmarks.serve_race import SOURCES, Worker

WORKERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pretraining_workers")
PEERS = ("tf_models_official", "keras_hub")
_BACKENDS = {"bert_tf": "tensorflow", "bert_tf_jax": "jax"}
RESULTS_FILE = "results.json"
EVALUATIONS = 8
"""The number of evaluations of each training, the last one at its end."""
_SAVED = (EVALUATIONS // 4, EVALUATIONS // 2, EVALUATIONS)
_WARMUP_SHARE = 0.1
_SHORT_SHARE = 0.75


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a training that all implementations can express.

    Attributes:
        learning_rate: the highest, after a linear rise over a tenth of the steps.
        decay_share: the share of the steps, at the end, in which it falls linearly to zero; 1 for the published
            schedule, which is the lower one of rise and fall.
        beta2: the decay of AdamW's second moments.
        dropout_rate: dropout of activations and attention.
        masked_lm_rate: the share of tokens that are predicted.
    """

    learning_rate: float
    decay_share: float
    beta2: float
    dropout_rate: float
    masked_lm_rate: float


PUBLISHED = Recipe(learning_rate=1e-4, decay_share=1.0, beta2=0.999, dropout_rate=0.1, masked_lm_rate=0.15)
"""The recipe of the paper (Devlin et al. 2019, appendix A.2), which the peers' documentation repeats."""

FIRST = ("optimizer.decay_schedule=linear",)
"""The changes to this project's experiment that make it the recipe that others were compared with first."""

PLAIN_START = ("model.position_initializer=truncated_normal", "model.output_bias_from_unigram=false")
"""The changes to this project's experiment that make its weights start as the paper's and the peers' do."""


@dataclasses.dataclass(frozen=True)
class Entrant:
    """One curve of the picture.

    Attributes:
        implementation: `bert_tf`, `bert_tf_jax`, or one of `PEERS`.
        recipe: `own` (this project's experiment), `first` (the same with `FIRST`) or `published` (`PUBLISHED`).
        packed: how many times as long as the others packed rows are, and so many times fewer; 0 for one sequence a row.
        changes: changes to this project's experiment, as for `--set`.
        objective: the kind of the sequences, one of `records.manifest.OBJECTIVES`.
        short: whether the first steps (`_SHORT_SHARE`) have rows of half the length, twice as many.
        next_sentences: whether next sentences, of sequences that have them, are learnt beside masked tokens.
        seed: of the first weights, and of the order of the rows and their masks.
    """

    implementation: str
    recipe: str
    packed: int = 0
    changes: tuple[str, ...] = ()
    objective: str = "nsp"
    short: bool = False
    next_sentences: bool = True
    seed: int = 0

    @property
    def label(self) -> str:
        """The name of the curve."""
        return self.recipe_label + f", seed {self.seed}" * (self.seed > 0)

    @property
    def recipe_label(self) -> str:
        """The name that its curves of all seeds have in common."""
        objective = f", {self.objective}" * (self.objective != "nsp")
        packed = ", packed" * (self.packed > 0) + f", {self.packed} x as long" * (self.packed > 1)
        packed += ", shorter rows first" * self.short + ", no next-sentence loss" * (not self.next_sentences)
        changes = "".join(f", {change}" for change in self.changes)
        if self.changes == PLAIN_START:
            changes = ", plain start"
        recipe = f"{self.recipe} recipe"
        if self.implementation in PEERS:
            recipe = {"own": "bert_tf's recipe", "first": "bert_tf's first recipe"}.get(
                self.recipe, "the paper's recipe"
            )
        return f"{self.implementation}, {recipe}{objective}{packed}{changes}"

    @property
    def settings(self) -> tuple[str, ...]:
        """All changes to this project's experiment."""
        return (*FIRST, *self.changes) if self.recipe == "first" else self.changes


ENTRANTS = (
    Entrant("bert_tf", "own", packed=1),
    Entrant("bert_tf", "first"),
    Entrant("bert_tf", "first", packed=4),
    Entrant("bert_tf", "first", changes=PLAIN_START),
    Entrant("bert_tf_jax", "own", packed=1),
    *(Entrant(peer, recipe) for peer in PEERS for recipe in ("own", "first", "published")),
)

RECIPES = (
    Entrant("bert_tf", "first"),
    Entrant("bert_tf", "first", next_sentences=False),
    Entrant("bert_tf", "first", objective="mlm"),
    Entrant("bert_tf", "first", objective="sop"),
    Entrant("bert_tf", "first", packed=1),
    Entrant("bert_tf", "first", packed=1, objective="mlm"),
    Entrant("bert_tf", "first", short=True),
    *(
        Entrant("bert_tf", "first", changes=changes)
        for changes in (
            *((change,) for change in PLAIN_START),
            ("masking.masked_lm_rate=0.15",),
            ("masking.masked_lm_rate=0.3",),
            ("masking.strategy=whole_word",),
            ("masking.strategy=span",),
            ("optimizer.name=muon",),
            ("optimizer.name=muon", "train.learning_rate=3e-3"),
            ("optimizer.name=lamb", "train.learning_rate=1e-2"),
            ("train.learning_rate=2e-3",),
            ("optimizer.decay_schedule=warmup_stable_decay",),
            ("model.dropout_rate=0.1", "model.attention_dropout_rate=0.1"),
        )
    ),
    Entrant("bert_tf", "own", packed=1),
    Entrant("bert_tf", "own", packed=1, short=True),
    Entrant("bert_tf", "own", packed=1, changes=("train.learning_rate=2e-3",)),
)
"""The first recipe and changes to it, then this project's experiment, which has the best of them, and changes to it."""


def model_folder(work_dir: str, label: str, step: int) -> str:
    """Return the folder of the model that a training saves after so many steps."""
    return os.path.join(work_dir, "models", re.sub(r"[^\w.=-]+", "_", label), str(step))


def saved_steps(points: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the steps after which a training, of which these are the evaluations, saved its model."""
    return [points[number - 1]["step"] for number in _SAVED]


class PretrainingRace:
    """The trainings in one folder; those that are complete are not run again.

    Args:
        work_dir: the folder for batches, results and models.
        checkpoint_dir: the folder of `make checkpoint`, whose records all implementations train on.
        experiment: this project's experiment.
        precision: `float32` or `bfloat16`.
        venvs: the folder of the peers' environments.
        batch_size: the number of rows of 128 tokens.
        held_out_every: the evaluation is on every so many-th batch of the held-out records.
    """

    def __init__(
        self,
        work_dir: str,
        checkpoint_dir: str,
        *,
        experiment: str,
        precision: str,
        venvs: str,
        batch_size: int = 32,
        held_out_every: int = 1,
    ) -> None:
        self._work_dir = work_dir
        self._checkpoint_dir = checkpoint_dir
        self._experiment = experiment
        self._precision = precision
        self._venvs = venvs
        self._batch_size = batch_size
        self._held_out_every = held_out_every
        self._config = launch.load_config(experiment, PretrainingConfig, [])
        self._records = RecordFolder(os.path.join(checkpoint_dir, "records"))
        self._held_out = RecordFolder(os.path.join(checkpoint_dir, "heldout"))

    def settings(self) -> dict[str, Any]:
        """Return what decides the results, besides the time of a training."""
        return {
            "experiment": self._experiment,
            "precision": self._precision,
            "batch_size": self._batch_size,
            "held_out_every": self._held_out_every,
            "records": self._records.manifest.identity()["sha256"],
        }

    def recipe(self, name: str) -> Recipe:
        """Return the recipe of a name."""
        if name == "published":
            return PUBLISHED
        config = self._config
        stable = name == "own" and config.optimizer.decay_schedule == "warmup_stable_decay"
        return Recipe(
            learning_rate=config.train.learning_rate,
            decay_share=config.optimizer.decay_share if stable else 1.0,
            beta2=config.optimizer.beta2,
            dropout_rate=config.model.dropout_rate,
            masked_lm_rate=config.masking.masked_lm_rate,
        )

    def case(self, entrant: Entrant, num_steps: int) -> PretrainingCase:
        """Return the case of a training of so many steps, and write the batches that a peer reads."""
        recipe, model = self.recipe(entrant.recipe), self._config.model
        records = self._records_of(entrant)
        rows = self._batch_size // max(entrant.packed, 1)
        batches, predictions = "", 0
        if entrant.implementation in PEERS:
            masking = MaskingConfig(masked_lm_rate=recipe.masked_lm_rate)
            dataset = RecordFolder(records).training_dataset(masking, rows, seed=entrant.seed)
            seeded = f"_seed_{entrant.seed}" * (entrant.seed > 0)
            batches = self._write_batches(f"train_{recipe.masked_lm_rate:g}{seeded}", dataset, num_steps)
            predictions = np.load(os.path.join(batches, "masked_lm_ids.npy"), mmap_mode="r").shape[-1]
        held_out = self._held_out.evaluation_dataset(self._config.eval_masking, self._config.train.eval_batch_size)
        return PretrainingCase(
            name=entrant.label,
            num_layers=model.num_layers,
            hidden_size=model.hidden_size,
            batch_size=rows,
            max_seq_length=RecordFolder(records).max_seq_length,
            predictions=predictions,
            precision=self._precision,
            batches=batches,
            vocab_size=self._records.tokenizer.vocab_size,
            dropout_rate=recipe.dropout_rate,
            learning_rate=recipe.learning_rate,
            decay_share=recipe.decay_share,
            held_out=self._write_batches("heldout", held_out.shard(self._held_out_every, 0)),
            records=records,
            short_records=self._records_of(entrant, short=True) if entrant.short else "",
            short_steps=int(_SHORT_SHARE * num_steps) if entrant.short else 0,
            held_out_records=self._held_out.path,
            held_out_every=self._held_out_every,
            experiment=self._experiment,
            changes=entrant.settings,
            next_sentences=entrant.next_sentences,
            seed=entrant.seed,
            num_steps=num_steps,
            warmup_steps=max(1, int(_WARMUP_SHARE * num_steps)),
            beta2=recipe.beta2,
        )

    def _records_of(self, entrant: Entrant, short: bool = False) -> str:
        """Return the folder of the same training text in the entrant's sequences, which is made first if need be."""
        length = self._records.max_seq_length * max(entrant.packed, 1) // (2 if short else 1)
        config = PreparationConfig(
            max_seq_length=length,
            max_sequences_per_row=DEFAULT_SEQUENCES_PER_ROW if entrant.packed else 1,
            objective=entrant.objective,
            seed=self._config.train.seed,
        )
        if all(getattr(self._records.manifest, name) == value for name, value in dataclasses.asdict(config).items()):
            return self._records.path
        kind = "_packed" * (entrant.packed > 0) + f"_{length}" * (length != self._records.max_seq_length)
        folder = os.path.join(self._work_dir, f"records_{entrant.objective}{kind}")
        if not files.exists(os.path.join(folder, MANIFEST_FILE)):
            text = os.path.join(self._checkpoint_dir, "corpus", "train.txt")
            create_pretraining_data(read_documents(text), self._records.tokenizer, folder, config=config)
        return folder

    def _write_batches(self, name: str, dataset: Iterable[Mapping[str, Any]], count: int | None = None) -> str:
        """Write the first batches of a data set, each feature to a file of its own, and return the folder."""
        folder = os.path.join(self._work_dir, name if count is None else f"{name}_{count}")
        if files.exists(folder):
            return folder
        batches = dataset if count is None else dataset.take(count)  # type: ignore[attr-defined]
        stacked: dict[str, list[np.ndarray]] = {}
        for batch in batches:
            for feature, value in batch.items():
                array = np.asarray(value)
                small = array if array.dtype.kind == "f" else array.astype(np.uint16)
                stacked.setdefault(feature, []).append(small)
        unfinished = f"{folder}.part"
        os.makedirs(unfinished, exist_ok=True)
        for feature, arrays in stacked.items():
            np.save(os.path.join(unfinished, f"{feature}.npy"), np.stack(arrays))
        os.rename(unfinished, folder)
        return folder

    def worker(self, entrant: Entrant, num_steps: int) -> Worker:
        """Start the process that trains so many steps."""
        name = entrant.implementation
        python = python_of(name, self._venvs) if name in PEERS else sys.executable
        environment = {"JAX_PLATFORMS": "cpu", "KERAS_BACKEND": _BACKENDS.get(name, "tensorflow")}
        if name not in PEERS:
            environment["PYTHONPATH"] = SOURCES
        case = json.dumps(dataclasses.asdict(self.case(entrant, num_steps)))
        return Worker(name, python, case, WORKERS, environment)

    def seconds_per_step(self, entrants: Sequence[Entrant], *, rounds: int, steps: int) -> dict[str, float]:
        """Return the least time of a step of each, in turns, by its `recipe_label`.

        Whatever else happens on the machine adds to the time. On a virtual machine that does not know which processors
        share a cache, threads of many small operations may stay on one of them in some turns, as keras-hub's do.
        """
        workers = {entrant: self.worker(entrant, (rounds + 1) * steps) for entrant in entrants}
        taken: dict[Entrant, list[float]] = {entrant: [] for entrant in entrants}
        for worker in workers.values():
            worker.read()
        for number in progress_bar(range(rounds + 1), label="timing", unit="round"):
            for entrant, worker in workers.items():
                seconds = worker.ask({"run": steps})["seconds"] / steps
                if number:  # the first round compiles
                    taken[entrant].append(seconds)
        for worker in workers.values():
            worker.finish()
        return {entrant.recipe_label: min(seconds) for entrant, seconds in taken.items()}

    def train(self, entrant: Entrant, *, minutes: float, seconds_per_step: float) -> dict[str, Any]:
        """Train for as many steps as these minutes hold, and return the curve.

        Returns:
            `label`, `parameters`, `versions`, `seconds_per_step`, and `points`, of which each has `step`, `minutes`
            (steps at the speed that was measured), `tokens`, the masked-LM loss and accuracy of the held-out rows, and
            the seconds that it really took so far.
        """
        num_steps = max(EVALUATIONS, int(minutes * 60 / seconds_per_step))
        worker = self.worker(entrant, num_steps)
        started = worker.read()
        points: list[dict[str, Any]] = []
        step, seconds = 0, 0.0
        tokens = self._batch_size * self._records.max_seq_length
        for number in progress_bar(range(1, EVALUATIONS + 1), label=entrant.label, unit="evaluation"):
            steps = num_steps * number // EVALUATIONS - step
            step += steps
            ran = worker.ask({"run": steps})
            seconds += ran["seconds"]
            point = {"step": step, "minutes": step * seconds_per_step / 60, "tokens": step * tokens, "seconds": seconds}
            points.append(point | {"training_loss": ran["loss"]} | worker.ask({"evaluate": True}))
            if number in _SAVED:
                folder = model_folder(self._work_dir, entrant.label, step)
                os.makedirs(folder, exist_ok=True)
                worker.ask({"save": folder})
        worker.finish()
        return started | {"label": entrant.label, "seconds_per_step": seconds_per_step, "points": points}
