"""From text to a checkpoint in small: stages that are complete are kept, and a stopped one is continued."""

from pathlib import Path

import pytest
from small_corpus import write_corpus

from bert_tf.configs import PretrainingConfig
from bert_tf.utils import files
from data_pipelines.records.manifest import read_manifest
from experiments.corpora import checkpoint_run
from experiments.corpora.checkpoint_run import CheckpointRun
from experiments.launch import load_config

CHANGES = ["model.vocab_size=150", "model.hidden_size=32", "model.num_layers=1", "model.intermediate_size=64"]
CHANGES += ["train.num_steps=4", "train.warmup_steps=1", "train.steps_per_loop=2", "train.checkpoint_every=2"]
CHANGES += ["train.batch_size=8", "train.eval_batch_size=8", "train.jit_compile=false", "train.concurrent_parts=1"]


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_run, "HOLDOUT", 0.3)
    write_corpus(tmp_path / "corpus.txt", 60)
    config = load_config("bert_mini_day", PretrainingConfig, CHANGES)

    def make(**options):
        options = {"corpus": str(tmp_path / "corpus.txt"), "max_seq_length": 32} | options
        return CheckpointRun(str(tmp_path / "checkpoint"), config, **options)

    return make


def _written(run: CheckpointRun) -> dict[str, int]:
    folder = Path(run.output_dir)
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for part in ("corpus", "vocab.txt", "records", "heldout")
        for path in [folder / part, *(folder / part).rglob("*")]
        if path.is_file()
    }


def test_a_stopped_run_goes_on_where_it_was(make_run, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    run = make_run()
    assert [line.split(": ")[1] for line in run.plan()[:4]] == ["to do"] * 4
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointRun, "pretrain", stop)
        with pytest.raises(KeyboardInterrupt):
            run.run()
    before = _written(run)
    assert {"corpus/train.txt", "corpus/heldout.txt", "vocab.txt", "records/manifest.json"} <= set(before)
    again = make_run()
    assert [line.split(": ")[1] for line in again.plan()[:4]] == ["complete"] * 4
    metrics = again.run()
    assert _written(again) == before
    assert 0 < metrics["masked_lm_loss"] < 7
    assert {"masked_lm_accuracy", "next_sentence_accuracy", "unigram_entropy"} <= set(metrics)


def test_other_settings_need_another_folder(make_run, monkeypatch):
    monkeypatch.setattr(CheckpointRun, "pretrain", lambda _: {})
    make_run().run()
    with pytest.raises(
        ValueError, match=r"`output_dir` must be a new folder.*'max_seq_length': 32.*'max_seq_length': 24"
    ):
        make_run(max_seq_length=24)
    with pytest.raises(ValueError, match=r"'pack': True.*'pack': False"):
        make_run(pack=False)


def test_rows_to_train_on_are_packed_and_held_out_rows_are_not(make_run, monkeypatch):
    monkeypatch.setattr(CheckpointRun, "pretrain", lambda _: {})
    run = make_run()
    run.run()
    train, held_out = (read_manifest(run.path(name)) for name in ("records", "heldout"))
    assert train.max_sequences_per_row > 1
    assert held_out.max_sequences_per_row == 1


def test_a_folder_of_the_version_that_did_not_pack_goes_on_without(make_run, monkeypatch):
    monkeypatch.setattr(CheckpointRun, "pretrain", lambda _: {})
    run = make_run(pack=False)
    run.run()
    settings = files.read_json(run.path("settings.json"))
    assert settings.pop("pack") is False
    files.write_json(run.path("settings.json"), settings)
    with pytest.raises(ValueError, match=r"'pack': False.*'pack': True"):
        make_run()
    assert read_manifest(make_run(pack=False).path("records")).max_sequences_per_row == 1


def test_missing_text_and_long_rows_are_reported_before_anything_is_made(make_run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent"):
        make_run(corpus=str(tmp_path / "absent.txt"))
    with pytest.raises(ValueError, match=r"1024"):
        make_run(max_seq_length=1024)
    assert not (tmp_path / "checkpoint").exists()
