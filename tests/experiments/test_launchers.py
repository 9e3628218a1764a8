"""The whole path, each launcher a process: corpus -> vocabulary -> records -> ... -> a queried export."""

import json
from pathlib import Path

import numpy as np
import pytest
from launch_many import launch_many
from small_corpus import write_corpus

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / "experiments" / "configs"
_SMALL = ["--set=train.jit_compile=false", "--set=train.num_steps=4", "--set=train.warmup_steps=1"]
_TRAINING = [*_SMALL, "--set=train.batch_size=8", "--set=train.eval_batch_size=8", "--set=train.steps_per_loop=2"]
_PRETRAIN = [
    "experiments.pretrain",
    f"--config={CONFIGS}/bert_tiny_debug.py",
    "--train_data=records",
    "--eval_data=records/heldout",
    "--model_dir=run",
    "--set=model.vocab_size=200",
    *_TRAINING,
]
COMMANDS = {
    "vocabulary": ["data_pipelines.create_vocab", "--input=corpus.txt", "--output=vocab.txt", "--vocab_size=200"],
    "records": [
        "data_pipelines.create_pretraining_data",
        "--input=corpus.txt",
        "--vocab_file=vocab.txt",
        "--output_dir=records",
        "--max_seq_length=32",
        "--holdout=0.2",
        "--num_workers=1",
    ],
    "records again": [
        "data_pipelines.create_pretraining_data",
        "--input=corpus.txt",
        "--vocab_file=vocab.txt",
        "--output_dir=records",
    ],
    "pretrain": _PRETRAIN,
    "pretrain again": _PRETRAIN,
    "pretrain from config.json": [
        "experiments.pretrain",
        "--config=run/config.json",
        "--train_data=records",
        "--eval_data=records/heldout",
        "--model_dir=run",
    ],
    "finetune": [
        "experiments.finetune",
        f"--config={CONFIGS}/classification.py",
        "--train_file=train.tsv",
        "--eval_file=train.tsv",
        "--init_checkpoint=run",
        "--model_dir=classifier",
        "--set=train.precision=float32",
        "--set=task.max_seq_length=32",
        *_TRAINING,
    ],
    "evaluate": ["experiments.evaluate", "--model_dir=classifier", "--eval_data=train.tsv", "--batch_size=8"],
    "predict": ["experiments.predict", "--model_dir=classifier", "--input=texts.txt", "--output=predicted.jsonl"],
    "fill": ["experiments.predict", "--model_dir=run", "--input=masks.txt", "--output=filled.jsonl", "--top_k=3"],
    "export": ["experiments.export_saved_model", "--model_dir=classifier", "--export_dir=export"],
    "query": [
        "experiments.query_saved_model",
        "--saved_model=export/1",
        "--input=texts.txt",
        "--output=answers.jsonl",
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("launchers")
    write_corpus(folder / "corpus.txt", 40)
    rows = "".join(f"{place} the boat number {number}\t{place}\n" for number in range(8) for place in ("river", "road"))
    (folder / "train.tsv").write_text("text\tlabel\n" + rows)
    (folder / "texts.txt").write_text("the boat\na heavy lantern near the river\n")
    (folder / "masks.txt").write_text("the [MASK] boat\n")
    return folder


@pytest.fixture(scope="module")
def results(folder):
    return dict(zip(COMMANDS, launch_many(list(COMMANDS.values()), folder), strict=True))


def _metrics(result):
    return json.loads(result.stdout[result.stdout.index("{") :])


@pytest.mark.long
def test_every_launcher_ends_well(results):
    failed = {name: result.stderr for name, result in results.items() if result.returncode}
    assert list(failed) == ["records again"]
    assert "--overwrite" in failed["records again"]


@pytest.mark.long
def test_a_finished_run_repeats_its_results(results, folder):
    assert _metrics(results["pretrain again"]) == _metrics(results["pretrain"])
    assert _metrics(results["pretrain from config.json"]) == _metrics(results["pretrain"])
    assert "masked_lm_loss" in _metrics(results["pretrain"])
    assert [path.name for path in (folder / "run" / "checkpoints").iterdir()] == ["step-00000004"]


@pytest.mark.long
def test_answers(results, folder):
    finetuned = _metrics(results["finetune"])
    assert finetuned.pop("best_step") > 0
    assert _metrics(results["evaluate"]) == {
        name: pytest.approx(value, rel=1e-5) if isinstance(value, float) else value for name, value in finetuned.items()
    }
    predicted, answered, filled = (
        [json.loads(line) for line in (folder / name).read_text().splitlines()]
        for name in ("predicted.jsonl", "answers.jsonl", "filled.jsonl")
    )
    assert [line["text"] for line in predicted] == (folder / "texts.txt").read_text().splitlines()
    for one, other in zip(predicted, answered, strict=True):
        assert one["label"] == other["labels"]
        np.testing.assert_allclose(list(one["probabilities"].values()), other["probabilities"], atol=1e-5)
    assert len(filled) == 1
    assert len(filled[0]["masks"][0]) == 3
    assert results["export"].stdout.split()[-1] == "export/1"
