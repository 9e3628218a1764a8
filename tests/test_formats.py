"""The page docs/formats.md has the fields, dtypes and shapes of the code: of records, batches, runs and exports."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from bert_tf import features
from bert_tf.optimization import AVERAGE_PREFIX, MOMENTS
from bert_tf.runs import checkpoints
from bert_tf.runs.descriptions import EmbeddingSettings, ModelDescription, RunDescription
from bert_tf.training import loss_scale
from data_pipelines.records.manifest import FORMAT_VERSION, SEGMENTED_FORMAT_VERSION, Manifest, ShardInfo, Statistics

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")

# Sizes that name their axes.
_B, _L, _P, _K, _C = 2, 3, 5, 7, 11
_AXES = {_B: "B", _L: "L", _P: "P", _K: "K", _C: "C"}
_BATCHES = (
    features.pretraining_batch(_B, _L, _P, max_sequences_per_row=_K, ordered=True),
    features.classification_batch(_B, _L),
    features.multi_label_batch(_B, _L, _C),
    features.regression_batch(_B, _L),
    features.tagging_batch(_B, _L),
    features.question_answering_batch(_B, _L),
    features.retrieval_batch(_B, _L, _P),
    features.seq2seq_batch(_B, _L, _P),
    features.multiple_choice_batch(_B, _L, _K),
)


def table(first_column: str) -> dict[str, str]:
    """Return the second cell of each row by each name in its first cell, of the table with this first column."""
    found = re.search(rf"^\| {re.escape(first_column)} \|.*\n\|[- |]+\n((?:\|.*\n)+)", PAGE, re.M)
    assert found, first_column
    rows = [re.split(r" ?\| ?", row.strip("|"))[:2] for row in found[1].splitlines()]
    named = [(name, cell.strip()) for names, cell in rows for name in re.findall(r"`([^`]+)`", names)]
    assert len(dict(named)) == len(named), "a name is in two rows"
    return dict(named)


def test_the_features_of_records_are_those_of_the_code():
    names = {value for name, value in vars(features).items() if name.startswith("RECORD_")}
    assert len(names) == 5
    rows = table("feature")
    assert set(rows) == names
    lists = {name for name, cell in rows.items() if cell == "int64 [K]"}
    assert set(rows.values()) == {"bytes", "int64 [K]"}
    assert names - lists == {features.RECORD_INPUT_IDS, features.RECORD_CONTINUES}
    assert f"Version {FORMAT_VERSION} has the first four features. Version {SEGMENTED_FORMAT_VERSION}" in PAGE


def test_the_tensors_of_batches_have_their_names_dtypes_and_shapes():
    rows = table("tensor")
    assert set(rows) == features.BATCH_NAMES
    for batch in _BATCHES:
        for name, feature in batch.items():
            axes = ", ".join(_AXES[size] for size in feature.shape if size is not None)
            assert rows[name] == f"{feature.dtype} [{axes}]", name


@pytest.mark.parametrize(
    ("first_column", "described"),
    [
        ("field", Manifest),
        ("field of `statistics`", Statistics),
        ("field of each of the `shards`", ShardInfo),
        ("field of `config.json`", RunDescription),
        ("field of `assets/config.json`", ModelDescription),
    ],
)
def test_descriptions_have_their_fields(first_column, described):
    assert set(table(first_column)) == {field.name for field in dataclasses.fields(described)}


def test_vectors_have_their_settings():
    names = re.findall(r"`(\w+)`", table("field of `assets/config.json`")["embedding"])
    assert names == [field.name for field in dataclasses.fields(EmbeddingSettings)]


def test_a_checkpoint_has_the_files_and_the_fields_of_the_page(tmp_path):
    checkpoint = checkpoints.save(str(tmp_path), 1000, {"weight": np.zeros(2, np.float32)}, keep=1)
    assert Path(checkpoint.path).relative_to(tmp_path).as_posix() in PAGE
    assert all(f"`{file.name}`" in PAGE for file in Path(checkpoint.path).iterdir())
    assert set(table("field of `complete.json`")) == set(checkpoint.marker())
    names = (*(f"{moment}:" for moment in MOMENTS), AVERAGE_PREFIX, loss_scale.SCALE, loss_scale.FINITE_STEPS)
    assert [name for name in names if f"`{name}`" not in PAGE] == []
