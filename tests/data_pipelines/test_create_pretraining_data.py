import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_corpus import corpus_documents, write_corpus
from small_records import CONFIG, TOKENIZER, contents_of, make

from bert_tf.configs import MaskingConfig
from bert_tf.features import NO_NEXT_SENTENCE_LABEL
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from data_pipelines.corpora.documents import is_held_out
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.input import pipeline
from data_pipelines.records import shards
from data_pipelines.records.manifest import (
    PreparationConfig,
    read_manifest,
    read_token_counts,
)


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of 2 kB, so that a small corpus has many."""
    monkeypatch.setattr(shards, "_FIRST_SHARD_BYTES", 2000)


def rows_of(folder: Path) -> list[dict[str, list]]:
    rows = []
    for shard in read_manifest(str(folder)).shards:
        for record in tf.data.TFRecordDataset(str(folder / shard.file_name)):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            rows.append(
                {name: list(feature[name].int64_list.value) for name in feature if name != "input_ids"}
                | {"input_ids": np.frombuffer(feature["input_ids"].bytes_list.value[0], "<u2").tolist()}
            )
    return rows


@pytest.mark.parametrize("slots", [1, 4])
def test_records_are_what_the_contract_says(tmp_path, small_shards, slots):
    make(tmp_path, CONFIG.replace(max_sequences_per_row=slots))
    for row in rows_of(tmp_path):
        ids, lengths = row["input_ids"], row["sequence_lengths"]
        assert len(lengths) == len(row["first_segment_lengths"]) == len(row["next_sentence_labels"]) == slots
        assert sum(lengths) == len(ids) <= 64
        place = 0
        for length, first, label in zip(
            lengths, row["first_segment_lengths"], row["next_sentence_labels"], strict=True
        ):
            if not length:
                assert (first, label) == (0, 0)
                continue
            sequence = ids[place : place + length]
            assert sequence[0] == TOKENIZER.cls_id
            assert [i for i, token in enumerate(sequence) if token == TOKENIZER.sep_id] == [first - 1, length - 1]
            assert label in (0, 1)
            place += length


def test_the_manifest_describes_the_records(tmp_path, small_shards):
    manifest = make(tmp_path)
    assert read_manifest(str(tmp_path)) == manifest
    rows = rows_of(tmp_path)
    statistics = manifest.statistics
    assert len(manifest.shards) > 3
    assert statistics.documents == 60
    assert statistics.sentences == sum(map(len, corpus_documents(60)))
    assert statistics.tokens == sum(len(TOKENIZER.encode(line)) for doc in corpus_documents(60) for line in doc)
    assert statistics.records == statistics.examples == manifest.num_records == len(rows)
    assert statistics.random_next_share == pytest.approx(
        np.mean([row["next_sentence_labels"] for row in rows]), abs=1e-6
    )
    assert statistics.row_fill == pytest.approx(np.mean([len(row["input_ids"]) for row in rows]) / 64, abs=1e-6)
    assert statistics.unknown_share == 0.0
    counts = np.bincount(np.concatenate([row["input_ids"] for row in rows]), minlength=TOKENIZER.vocab_size)
    np.testing.assert_array_equal(read_token_counts(str(tmp_path)), counts)
    assert read_token_counts(str(tmp_path)).dtype == np.int64
    assert sum(shard.tokens for shard in manifest.shards) == counts.sum()
    assert WordPieceTokenizer(str(tmp_path / "vocab.txt")).vocab_hash == manifest.vocab_hash == TOKENIZER.vocab_hash


@pytest.mark.parametrize("slots", [1, 4])
def test_the_masked_share_expected_is_the_share_that_is_masked(tmp_path, small_shards, slots):
    statistics = make(tmp_path, CONFIG.replace(max_sequences_per_row=slots, short_seq_prob=0.5)).statistics
    batches = list(pipeline.evaluation_dataset(str(tmp_path), MaskingConfig(), 32))
    masked = sum(float(tf.reduce_sum(batch["masked_lm_weights"])) for batch in batches)
    tokens = sum(int(tf.math.count_nonzero(batch["input_mask"])) for batch in batches)
    assert statistics.expected_masked_share == pytest.approx(masked / tokens, abs=1e-6)
    assert f"; to be masked: {masked / tokens:.1%}" in str(statistics)


def test_full_sentences_have_no_label(tmp_path):
    manifest = make(tmp_path, CONFIG.replace(objective="mlm"), documents=corpus_documents(1))
    assert manifest.statistics.random_next_share == 0.0
    assert {row["next_sentence_labels"][0] for row in rows_of(tmp_path)} == {NO_NEXT_SENTENCE_LABEL}


def test_half_of_the_pairs_of_segments_are_swapped(tmp_path, small_shards):
    manifest = make(tmp_path, CONFIG.replace(objective="sop"))
    labels = [label for row in rows_of(tmp_path) for label in row["next_sentence_labels"]]
    assert set(labels) == {0, 1, NO_NEXT_SENTENCE_LABEL}
    labelled = [label for label in labels if label != NO_NEXT_SENTENCE_LABEL]
    assert manifest.statistics.random_next_share == pytest.approx(np.mean(labelled))
    assert 0.3 < np.mean(labelled) < 0.7


def test_large_vocabularies_take_four_bytes_a_token(tmp_path):
    tokenizer = WordPieceTokenizer.from_tokens([*TOKENIZER.tokens, *(f"filler{i}" for i in range(70_000))])
    create_pretraining_data(corpus_documents(4), tokenizer, str(tmp_path), config=CONFIG)
    shard = read_manifest(str(tmp_path)).shards[0]
    record = next(iter(tf.data.TFRecordDataset(str(tmp_path / shard.file_name)))).numpy()
    raw = tf.train.Example.FromString(record).features.feature["input_ids"].bytes_list.value[0]
    assert np.frombuffer(raw, "<i4")[0] == tokenizer.cls_id


def test_packing_fills_rows_with_the_same_sequences(tmp_path, small_shards):
    one = make(tmp_path / "one", CONFIG.replace(short_seq_prob=0.9))
    many = make(tmp_path / "many", CONFIG.replace(short_seq_prob=0.9, max_sequences_per_row=8))
    assert many.statistics.examples == one.statistics.examples
    assert many.statistics.records < one.statistics.records
    assert many.statistics.row_fill > one.statistics.row_fill
    np.testing.assert_array_equal(read_token_counts(str(tmp_path / "one")), read_token_counts(str(tmp_path / "many")))


def test_dupe_factor_makes_other_pairs_of_the_same_documents(tmp_path):
    once = make(tmp_path / "once")
    twice = make(tmp_path / "twice", CONFIG.replace(dupe_factor=2))
    assert len(twice.shards) == 2 * len(once.shards)
    assert twice.statistics.tokens == once.statistics.tokens
    first, second = ((tmp_path / "twice" / shard.file_name).read_bytes() for shard in twice.shards)
    assert first == (tmp_path / "once" / once.shards[0].file_name).read_bytes()
    assert first != second


def test_shards_are_cut_at_the_largest_number_of_records(tmp_path, monkeypatch):
    whole = make(tmp_path / "whole")
    monkeypatch.setattr(shards, "MAX_RECORDS_PER_SHARD", 20)
    cut = make(tmp_path / "cut")
    assert [shard.records for shard in cut.shards[:-1]] == [20] * (whole.num_records // 20)
    assert cut.num_records == whole.num_records


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path, small_shards):
    make(tmp_path / "a")
    make(tmp_path / "b")
    make(tmp_path / "c", CONFIG.replace(seed=1))
    assert contents_of(tmp_path / "a") == contents_of(tmp_path / "b")
    assert (
        contents_of(tmp_path / "a")["shard-00000-00.tfrecord"] != contents_of(tmp_path / "c")["shard-00000-00.tfrecord"]
    )


def test_the_number_of_workers_does_not_change_a_byte(tmp_path, small_shards):
    make(tmp_path / "one", num_workers=1, holdout=0.2)
    make(tmp_path / "eight", num_workers=8, holdout=0.2)
    assert len(read_manifest(str(tmp_path / "one")).shards) > 8
    assert contents_of(tmp_path / "one") == contents_of(tmp_path / "eight")


def test_held_out_documents_are_in_the_other_folder(tmp_path, small_shards):
    documents = [[f"{line} {number}" for line in doc] for number, doc in enumerate(corpus_documents(60))]
    held_out = [doc for doc in documents if is_held_out(doc, 0.3)]
    manifest = make(tmp_path, documents=documents, holdout=0.3)
    other = read_manifest(str(tmp_path / "heldout"))
    assert other.statistics.documents == len(held_out) > 0
    assert manifest.statistics.documents == 60 - len(held_out)


def test_blank_sentences_and_documents_do_not_count(tmp_path):
    documents = [["  ", *corpus_documents(60)[0]], ["", " \t"], *corpus_documents(60)[1:]]
    assert make(tmp_path / "blank", documents=documents).shards == make(tmp_path / "clean").shards


def test_groups_hold_two_documents_and_a_small_rest_joins_the_last(monkeypatch):
    monkeypatch.setattr(shards, "_FIRST_SHARD_BYTES", 100)
    grouper = shards.DocumentGrouper()
    groups = [grouper.add(["x" * 150], 151) for _ in range(5)]
    groups += list(grouper.finish())
    assert [len(group) for group in groups if group] == [2, 3]


def test_shard_sizes_grow_with_their_number():
    sizes = [shards.shard_bytes(number) for number in (0, 15, 16, 64, 10_000)]
    assert sizes == [2_000_000, 2_000_000, 4_000_000, 32_000_000, 32_000_000]


# Bad input.


@pytest.mark.parametrize(
    ("documents", "options", "message"),
    [
        ([], {}, r"`documents` must hold at least 2 training documents .* Received: 0 of 0"),
        (corpus_documents(1), {}, r"`documents` must hold at least 2 training documents .* Received: 1 of 1"),
        (
            corpus_documents(60),
            {"holdout": 1e-9},
            r"`holdout` must leave at least 2 held-out documents .* Received: 0 of 60 .* with a holdout of 1e-09",
        ),
        (corpus_documents(60), {"holdout": 1.0}, r"`holdout` must be at least 0 and less than 1. Received: 1.0"),
        (corpus_documents(60), {"num_workers": -1}, r"`num_workers` must be at least 0. Received: -1"),
    ],
)
def test_bad_input_is_named_and_leaves_no_complete_folder(tmp_path, documents, options, message):
    with pytest.raises(ValueError, match=message):
        make(tmp_path, documents=documents, **options)
    assert not list(tmp_path.rglob("manifest.json"))


def test_documents_without_a_token_give_no_records(tmp_path):
    # The uncased tokenizer strips accents, so that these documents are not blank but have no token.
    with pytest.raises(ValueError, match="must give at least one record"):
        make(tmp_path, documents=[["\u0301"], ["\u0301"]])


LONG = " ".join(word for document in corpus_documents(60) for line in document for word in line.split())


@pytest.mark.parametrize("length", [64, 127])
def test_documents_without_line_breaks_reach_the_rows_in_pairs(tmp_path, length):
    manifest = make(tmp_path, CONFIG.replace(max_seq_length=length), documents=[[LONG[n:]] for n in (0, 500, 900)])
    statistics = manifest.statistics
    assert statistics.sentences == 3
    assert statistics.used_share > 0.99
    assert 0.4 < statistics.random_next_share < 0.6
    assert statistics.records > 0.9 * statistics.tokens / length
    assert f", {statistics.used_share:.1%} in rows)" in str(statistics)


def test_the_used_share_is_of_the_text_in_all_passes(tmp_path):
    shares = [
        make(tmp_path / str(passes), CONFIG.replace(dupe_factor=passes, max_seq_length=16)).statistics.used_share
        for passes in (1, 4)
    ]
    assert 0.5 < shares[0] < shares[1] <= 1.0
    assert make(tmp_path / "mlm", CONFIG.replace(objective="mlm")).statistics.used_share == 1.0


@pytest.mark.parametrize("blank", ["\x1a", "\u200b", " \ufeff\u00ad\u2060", "\x00"])
def test_a_last_document_without_a_token_is_left_out(tmp_path, blank):
    documents = [*corpus_documents(60), [blank]]
    assert make(tmp_path / "blank", documents=documents).shards == make(tmp_path / "clean").shards


def test_a_shard_with_a_single_document_is_kept_without_pairs(tmp_path, small_shards):
    # Each of the documents is larger than a shard, and every second one has no token in this vocabulary.
    documents = [[line] for _ in range(3) for line in (LONG, "\u0301" * 5000)]
    statistics = make(tmp_path, documents=documents).statistics
    assert statistics.documents == 3
    assert statistics.used_share == 1.0
    assert {row["next_sentence_labels"][0] for row in rows_of(tmp_path)} == {NO_NEXT_SENTENCE_LABEL}


@pytest.mark.parametrize(
    ("documents", "changes", "message"),
    [
        ([[LONG[:200]], [LONG[200:400]]] * 9, {}, "100.0% of the next sentences are random.*`objective` mlm"),
        (corpus_documents(60), {"max_seq_length": 16}, "only .*% of the text's tokens are in a row.*above 16 loses"),
        ([["zq zw zx", "zv zt"] * 3, ["zr zs", "zu zy"] * 3], {}, "100.0% of the text's tokens are \\[UNK\\]"),
        (corpus_documents(60), {"max_seq_length": 1024}, "published models have 512 positions.*1024"),
        ([[LONG], ["\u0301"]], {}, "no next sentence is random"),
        ([["the old boat"]] * 9, {"objective": "sop"}, "no segments are swapped"),
    ],
)
def test_records_that_lose_text_or_teach_little_are_told(tmp_path, documents, changes, message):
    told = []
    make(tmp_path, CONFIG.replace(**changes), documents=documents, warn=told.append)
    assert any(re.search(message, line) for line in told), told


def test_ordinary_records_are_no_reason_to_warn(tmp_path):
    told = []
    make(tmp_path, warn=told.append)
    assert told == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_seq_length": 4}, "`max_seq_length` must be at least 5. Received: 4"),
        ({"max_seq_length": 100_000}, "`max_seq_length` must be at most 32768. Received: 100000"),
        ({"max_sequences_per_row": 0}, "`max_sequences_per_row` must be at least 1. Received: 0"),
        ({"max_sequences_per_row": 65}, "`max_sequences_per_row` must be at most 64. Received: 65"),
        ({"objective": "nsb"}, "`objective` must be nsp, sop, mlm. Received: 'nsb'"),
        ({"short_seq_prob": 1.5}, "`short_seq_prob` must be between 0 and 1. Received: 1.5"),
        ({"dupe_factor": 0}, "`dupe_factor` must be at least 1. Received: 0"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        PreparationConfig(**changes)


def test_a_complete_folder_is_replaced_only_on_demand(tmp_path, small_shards):
    make(tmp_path, holdout=0.2)
    before = contents_of(tmp_path)
    with pytest.raises(ValueError, match=r"`output_dir` must be a new folder.*with the same settings"):
        make(tmp_path, holdout=0.2)
    with pytest.raises(ValueError, match=r"with other settings \(max_seq_length=64\).*Received: "):
        make(tmp_path, CONFIG.replace(max_seq_length=32))
    assert contents_of(tmp_path) == before
    make(tmp_path, CONFIG.replace(max_seq_length=32), documents=corpus_documents(10), overwrite=True)
    make(tmp_path.parent / "fresh", CONFIG.replace(max_seq_length=32), documents=corpus_documents(10))
    after = {name: data for name, data in contents_of(tmp_path).items() if not name.startswith("heldout/")}
    assert after == contents_of(tmp_path.parent / "fresh")
    with pytest.raises(FileNotFoundError, match="must hold manifest"):
        read_manifest(str(tmp_path / "heldout"))  # the held-out records of the earlier run are not this one's


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"`output_dir` must be a folder that can be written to"):
        make(tmp_path / "file" / "records")


def launch(*arguments: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "data_pipelines.create_pretraining_data", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_the_launcher_writes_records_and_prints_their_statistics(tmp_path):
    write_corpus(tmp_path / "docs" / "a.txt", 60)
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENIZER.tokens) + "\n")
    process = launch(
        f"--input={tmp_path}/docs/*.txt",
        f"--vocab_file={tmp_path}/vocab.txt",
        f"--output_dir={tmp_path}/records",
        "--max_seq_length=64",
        "--holdout=0.2",
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    manifest = read_manifest(str(tmp_path / "records"))
    assert str(manifest.statistics) in out
    assert str(read_manifest(str(tmp_path / "records" / "heldout")).statistics) in out
    # The library function called in this process gives the same bytes.
    make(tmp_path / "library", holdout=0.2)
    assert contents_of(tmp_path / "library") == contents_of(tmp_path / "records")


@pytest.mark.parametrize(
    ("flag", "kind", "documents"), [("--deduplicate", "exact", 15), ("--deduplicate=near", "near", 10)]
)
def test_the_launcher_leaves_out_duplicates_and_says_so_in_the_manifest(tmp_path, flag, kind, documents):
    texts = ["\n".join(document) for document in corpus_documents(10)]
    copies = [*texts, *texts[:5], *(text.upper() for text in texts[:5])]
    (tmp_path / "a.txt").write_text("\n\n".join(copies) + "\n")
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENIZER.tokens) + "\n")
    files = (f"--input={tmp_path}/a.txt", f"--vocab_file={tmp_path}/vocab.txt", f"--output_dir={tmp_path}/records")
    process = launch(*files, "--max_seq_length=64", flag)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    manifest = read_manifest(str(tmp_path / "records"))
    assert (manifest.deduplicate, manifest.statistics.documents) == (kind, documents)


def test_worker_processes_need_no_tensorflow():
    """They import the launcher's module when they start; TensorFlow would cost each seconds and hundreds of MB."""
    code = "import sys, data_pipelines.create_pretraining_data; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_the_launcher_reports_bad_input_in_one_line(tmp_path):
    process = launch("--input=nothing/*.txt", "--vocab_file=missing.txt", f"--output_dir={tmp_path}", cwd=tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.splitlines()[-1] == "error: --input: no file matches the pattern. Received: 'nothing/*.txt'"
    assert "Traceback" not in err
