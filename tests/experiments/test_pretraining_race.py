"""The pre-training benchmark: curves by hand, and a short race of this project alone."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from small_corpus import write_corpus

from bert_tf.configs import PretrainingConfig
from bert_tf.utils import files
from data_pipelines.input.record_folder import RecordFolder
from experiments.benchmarks import pretraining, pretraining_picture, pretraining_scores
from experiments.benchmarks.pretraining_race import (
    ENTRANTS,
    EVALUATIONS,
    PLAIN_START,
    RECIPES,
    Entrant,
    PretrainingRace,
    model_folder,
)
from experiments.benchmarks.pretraining_workers.pretraining_protocol import (
    batches_in,
    mean_over_batches,
    without_next_sentences,
)
from experiments.corpora import checkpoint_run
from experiments.corpora.checkpoint_run import CheckpointRun
from experiments.launch import load_config


def curve(label, losses):
    points = [
        {"step": 10 * n, "minutes": 2.0 * n, "tokens": 640 * n, "masked_lm_loss": loss, "masked_lm_accuracy": 0.25}
        for n, loss in enumerate(losses, 1)
    ]
    return {"label": label, "seconds_per_step": 0.5, "points": points}


def test_the_time_to_a_loss_lies_between_two_evaluations():
    points = curve("", [6.0, 5.0, 4.5])["points"]
    assert pretraining_picture.minutes_to_reach(points, 5.5) == 3.0
    assert pretraining_picture.minutes_to_reach(points, 6.5) == 2.0
    assert pretraining_picture.minutes_to_reach(points, 4.4) is None


def test_the_table_and_the_picture(tmp_path):
    results = [curve("bert_tf, own recipe", [6.0, 5.0, 4.5]), curve("keras_hub, the paper's recipe", [7.0, 6.0, 5.5])]
    first, second = pretraining_picture.describe(results).splitlines()[2:]
    assert first == "| bert_tf, own recipe | 500 | 30 | 4.500 | 0.250 |  |"
    assert second == "| keras_hub, the paper's recipe | 500 | 30 | 5.500 | 0.250 | 50% of the time |"
    pretraining_picture.write_picture(results, str(tmp_path / "curves.png"))
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_fine_tuning_starts_from_each_saved_model_and_from_random_weights_of_its_sizes(tmp_path):
    losses = [6.0 - number / 10 for number in range(EVALUATIONS)]
    labels = ("bert_tf, own recipe", "keras_hub, bert_tf's recipe")
    with pytest.raises(ValueError, match=r"^--work_dir must be a folder with complete trainings in results.json"):
        pretraining_scores.starts(str(tmp_path), [])
    files.write_json(str(tmp_path / "results.json"), {"trainings": [curve(label, losses) for label in labels]})
    sizes = {"vocab_size": 150, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    for step in (20, 40, 80):
        folder = Path(model_folder(str(tmp_path), labels[0], step))
        folder.mkdir(parents=True)
        files.write_json(str(folder / "config.json"), sizes | {"intermediate_size": 256})
    starts = pretraining_scores.starts(str(tmp_path), [])
    assert list(starts) == [
        *(f"bert_tf, own recipe, step {step}" if step else "random weights" for step in (20, 0, 40, 80)),
        *(f"keras_hub, bert_tf's recipe, step {step}" for step in (20, 40, 80)),
    ]
    assert starts["keras_hub, bert_tf's recipe, step 80"] == [
        f"--init_checkpoint={model_folder(str(tmp_path), labels[1], 80)}"
    ]
    assert "--set=model.hidden_size=64" in starts["random weights"]
    chosen = pretraining_scores.starts(str(tmp_path), ["step 80", "random"])
    assert set(chosen) == {"bert_tf, own recipe, step 80", "random weights", "keras_hub, bert_tf's recipe, step 80"}
    with pytest.raises(ValueError, match=r"^--only must be part of a name: .*random weights.* Received: torch"):
        pretraining_scores.starts(str(tmp_path), ["torch"])


def test_the_table_of_fine_tuning():
    lines = [
        {
            "model": "keras_hub, bert_tf's recipe, step 80",
            "task": "sst2",
            "seed": seed,
            "apart": apart,
            "accuracy": accuracy,
        }
        for seed, apart, accuracy in ((0, True, 0.2), (0, False, 0.7), (1, False, 0.8), (2, False, 0.9))
    ]
    assert pretraining_scores.describe(lines, ["sst2", "mrpc"]).splitlines() == [
        "| starts from | sst2, accuracy | mrpc, f1 |",
        "| --- | --- | --- |",
        "| keras_hub, bert_tf's recipe, step 80 | 80.0 ± 10.0 | not run |",
    ]


def test_each_start_is_fine_tuned_at_the_rate_that_is_best_for_it_apart(tmp_path, monkeypatch):
    made = []

    def run_ours(task, train, evaluation, *, start, seed, changes, **_):
        made.append((start, evaluation is None, seed, changes[-1]))
        best = {"first": "3e-4", "second": "1e-4"}[start[0]]
        return {"accuracy": 0.9 if changes[-1].endswith(best) else 0.5}

    monkeypatch.setattr(pretraining_scores, "run_ours", run_ours)
    monkeypatch.setattr(pretraining_scores, "prepare", lambda *_: ("train", "eval"))
    output, settings = str(tmp_path / "scores.jsonl"), {"precision": "float32", "changes": ["num_epochs=3"]}
    for _ in range(2):  # the second makes nothing again
        scores = pretraining_scores.Scores(
            output, str(tmp_path), "data", learning_rates=["1e-4", "3e-4"], settings=settings
        )
        for seed in (0, 1):
            for name in ("first", "second"):
                scores.make(name, [name], "sst2", seed, 0)
    rates = {"first": "train.learning_rate=3e-4", "second": "train.learning_rate=1e-4"}
    assert [one for one in made if not one[1]] == [
        ([name], False, seed, rates[name]) for seed in (0, 1) for name in ("first", "second")
    ]
    assert [(one[0][0], one[2]) for one in made if one[1]] == [("first", 0)] * 2 + [("second", 0)] * 2
    assert "| first | 90.0 ± 0.0 |" in pretraining_scores.describe(scores.lines, ["sst2"])


def test_a_peer_gets_the_schedule_of_this_project(checkpoint_dir, tmp_path):
    race = PretrainingRace(
        str(tmp_path), checkpoint_dir, experiment="bert_mini_day", precision="float32", venvs="none", batch_size=8
    )
    assert (race.recipe("own").decay_share, race.recipe("first").decay_share) == (0.2, 1.0)
    assert race.recipe("own") == dataclasses.replace(race.recipe("first"), decay_share=0.2)


@pytest.mark.parametrize("rates", [["1e-4", "fast"], ["0"], [""], ["nan"]])
def test_a_learning_rate_is_a_number_above_0(tmp_path, rates):
    with pytest.raises(ValueError, match=r"^--learning_rates must be numbers above 0"):
        pretraining_scores.Scores(str(tmp_path / "scores.jsonl"), "", "", learning_rates=rates, settings={})


def test_scores_of_an_earlier_version_are_refused(tmp_path):
    (tmp_path / "scores.jsonl").write_text('{"model": "random weights", "task": "sst2", "accuracy": 0.5}\n')
    with pytest.raises(ValueError, match=r"^--output must be new: an earlier version made these results"):
        pretraining_scores.Scores(str(tmp_path / "scores.jsonl"), "", "", learning_rates=[], settings={})


def test_next_sentences_lose_their_weight_and_nothing_else_changes():
    batch = {"input_ids": np.ones((2, 4), np.int32), "next_sentence_weights": np.ones((2, 1), np.float32)}
    found = without_next_sentences(batch)
    assert found["input_ids"] is batch["input_ids"]
    np.testing.assert_array_equal(found["next_sentence_weights"], np.zeros((2, 1), np.float32))
    assert batch["next_sentence_weights"].all()


def test_sums_become_means():
    assert mean_over_batches(iter([(6.0, 1.0, 2.0), (3.0, 2.0, 4.0)])) == {
        "masked_lm_loss": 1.5,
        "masked_lm_accuracy": 0.5,
    }


@pytest.fixture(scope="module")
def checkpoint_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("race")
    write_corpus(folder / "corpus.txt", 60)
    config = load_config("bert_mini_day", PretrainingConfig, ["model.vocab_size=150"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_run, "HOLDOUT", 0.3)
        run = CheckpointRun(str(folder / "checkpoint"), config, corpus=str(folder / "corpus.txt"), max_seq_length=32)
        run.run_stages()
    return run.output_dir


def race_in(folder, checkpoint_dir, **options):
    return PretrainingRace(
        str(folder),
        checkpoint_dir,
        experiment="bert_tiny_debug",
        precision="float32",
        venvs="none",
        batch_size=8,
        **options,
    )


@pytest.fixture
def race(checkpoint_dir, tmp_path):
    return race_in(tmp_path, checkpoint_dir)


def test_a_peer_is_evaluated_on_the_batches_of_this_project(checkpoint_dir, tmp_path):
    config = load_config("bert_tiny_debug", PretrainingConfig, [])
    size = config.train.eval_batch_size
    rows = RecordFolder(str(Path(checkpoint_dir, "heldout"))).evaluation_dataset(config.eval_masking, size)
    every = list(rows.as_numpy_iterator())
    assert len(every) > 1
    for skip in (1, 2):
        race = race_in(tmp_path / str(skip), checkpoint_dir, held_out_every=skip)
        found = list(batches_in(race.case(Entrant("keras_hub", "own"), 1).held_out))
        assert len(found) == len(every[::skip])
        for batch, expected in zip(found, every[::skip], strict=True):
            np.testing.assert_array_equal(batch["masked_lm_ids"], expected["masked_lm_ids"])


def test_results_of_other_settings_are_not_gone_on_with(race, tmp_path):
    path, settings = str(tmp_path / "results.json"), race.settings() | {"minutes": 40.0}
    first = pretraining.read_results(path, settings)
    assert first == {"settings": settings, "seconds_per_step": {}, "trainings": []}
    files.write_json(path, first)
    assert pretraining.read_results(path, settings) == first
    with pytest.raises(ValueError, match=r"^--work_dir must be .* of minutes=20.0. Received: minutes=40.0 in"):
        pretraining.read_results(path, settings | {"minutes": 20.0})


def test_a_peer_gets_the_masks_and_settings_of_the_recipe(race):
    case = race.case(Entrant("keras_hub", "published"), 3)
    batches = list(batches_in(case.batches))
    assert len(batches) == 3
    assert batches[0]["input_ids"].shape == (8, 32)
    assert batches[0]["masked_lm_ids"].shape == (8, case.predictions)
    assert batches[0]["masked_lm_weights"].dtype == np.float32
    assert (case.learning_rate, case.beta2, case.dropout_rate, case.warmup_steps) == (1e-4, 0.999, 0.1, 1)
    again = list(batches_in(race.case(Entrant("keras_hub", "published", seed=1), 3).batches))
    assert not np.array_equal(again[0]["input_ids"], batches[0]["input_ids"])
    assert case.decay_share == race.case(Entrant("keras_hub", "first"), 3).decay_share == 1.0
    own = race.case(Entrant("keras_hub", "own"), 3)
    assert (own.learning_rate, own.max_seq_length) == (1e-3, 32)
    held_out = list(batches_in(case.held_out))
    assert sum(batch["masked_lm_weights"].sum() for batch in held_out) > 0
    assert own.held_out == case.held_out


def test_a_recipe_changes_the_experiment_and_the_sequences(race):
    recipe = Entrant("bert_tf", "first", changes=("optimizer.name=muon",), objective="sop")
    case = race.case(recipe, 3)
    assert recipe.label == "bert_tf, first recipe, sop, optimizer.name=muon"
    assert Entrant("bert_tf", "own", changes=PLAIN_START).label == "bert_tf, own recipe, plain start"
    assert case.changes == ("optimizer.decay_schedule=linear", "optimizer.name=muon")
    manifest = RecordFolder(case.records).manifest
    assert (manifest.objective, manifest.max_seq_length, manifest.max_sequences_per_row) == ("sop", 32, 1)
    packed = RecordFolder(race.case(Entrant("bert_tf", "own", packed=4, objective="mlm"), 3).records).manifest
    assert (packed.objective, packed.max_seq_length) == ("mlm", 128)
    assert packed.max_sequences_per_row > 1
    assert race.case(Entrant("bert_tf", "own"), 3).records not in (case.records, "")
    other = Entrant("bert_tf", "own", next_sentences=False, seed=2)
    assert other.label == f"{other.recipe_label}, seed 2" == "bert_tf, own recipe, no next-sentence loss, seed 2"
    assert (race.case(other, 3).next_sentences, race.case(other, 3).seed) == (False, 2)
    short = race.case(Entrant("bert_tf", "own", short=True), 8)
    assert (short.max_seq_length, short.short_steps) == (32, 6)
    assert RecordFolder(short.short_records).max_seq_length == 16


def test_each_recipe_is_one_of_the_experiment():
    assert len({entrant.label for entrant in RECIPES}) == len(RECIPES)
    for entrant in RECIPES:
        assert entrant.label.startswith(f"bert_tf, {entrant.recipe} recipe")
        config = load_config("bert_mini_day", PretrainingConfig, list(entrant.settings))
        assert (config == load_config("bert_mini_day", PretrainingConfig, [])) == (
            not entrant.settings or "optimizer.decay_schedule=warmup_stable_decay" in entrant.settings
        )


def test_the_table_is_in_the_order_of_the_entrants():
    labels = ["an older one", "bert_tf, first recipe, seed 1", "bert_tf, own recipe, packed", "bert_tf, first recipe"]
    found = pretraining.in_order([{"label": label} for label in labels], ENTRANTS)
    assert [one["label"] for one in found] == [labels[2], labels[1], labels[3], labels[0]]


def test_a_label_chooses_one_training_and_a_part_of_it_several():
    [first] = pretraining.chosen(RECIPES, ["bert_tf, first recipe"])
    assert first == Entrant("bert_tf", "first")
    rates = pretraining.chosen(RECIPES, ["masked_lm_rate"])
    assert [one.changes for one in rates] == [("masking.masked_lm_rate=0.15",), ("masking.masked_lm_rate=0.3",)]
    assert pretraining.chosen(RECIPES, []) == list(RECIPES)
    with pytest.raises(ValueError, match=r"^--only must be part of a label: bert_tf, first recipe; .* Received: torch"):
        pretraining.chosen(RECIPES, ["torch"])


@pytest.mark.long  # two processes that train
@pytest.mark.parametrize(
    ("entrant", "folder"),
    [
        (Entrant("bert_tf", "own", packed=4), "bert_tf_own_recipe_packed_4_x_as_long"),
        (Entrant("bert_tf", "own", short=True), "bert_tf_own_recipe_shorter_rows_first"),
        (Entrant("bert_tf", "own", next_sentences=False), "bert_tf_own_recipe_no_next-sentence_loss"),
    ],
)
def test_this_project_trains_and_is_saved(race, tmp_path, entrant, folder):
    [seconds] = race.seconds_per_step([entrant], rounds=1, steps=1).values()
    result = race.train(entrant, minutes=16.5 / 60, seconds_per_step=1.0)
    assert seconds > 0
    assert [point["step"] for point in result["points"]] == [2 * n for n in range(1, EVALUATIONS + 1)]
    assert result["points"][-1]["minutes"] == 16 / 60
    assert result["points"][-1]["tokens"] == 16 * 8 * 32
    losses = [point["masked_lm_loss"] for point in result["points"]]
    assert losses[-1] < losses[0]
    saved = sorted(Path(tmp_path, "models", folder).iterdir())
    assert {path.name for path in saved} == {"4", "8", "16"}
    assert json.loads((saved[0] / "config.json").read_text())["hidden_size"] == 64
