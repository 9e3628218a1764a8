import os
import sys

import pytest
import tensorflow as tf
from beam_corpus import corpus_of, repeating_documents
from small_records import CONFIG, contents_of, make

from data_pipelines.corpora import file_parts, near_duplicates
from data_pipelines.corpora.corpus import Corpus, Source
from data_pipelines.corpora.documents import write_documents
from data_pipelines.corpora.readers import ReadingOptions
from data_pipelines.records import shards
from data_pipelines.records.document_shards import ShardFunction
from data_pipelines.records.manifest import read_manifest


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Shards of 2 kB and units of 5 kB, so that a small corpus has many."""
    monkeypatch.setattr(shards, "_FIRST_SHARD_BYTES", 2000)
    monkeypatch.setattr(file_parts, "UNIT_BYTES", 5000)
    monkeypatch.setattr(near_duplicates, "_GROUP_CHARACTERS", 3000)


def test_beam_options_need_the_runner(tmp_path):
    with pytest.raises(
        ValueError, match=r"`beam_options` must be empty unless `runner` is beam\. Received: '--streaming'"
    ):
        make(tmp_path, beam_options="--streaming")
    with pytest.raises(ValueError, match=r"`runner` must be local or beam\. Received: 'flink'"):
        make(tmp_path, runner="flink")


def test_without_apache_beam_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ValueError, match=r"`runner` beam needs Apache Beam: pip install 'bert_tf\[beam\]'"):
        make(tmp_path / "records", runner="beam")
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize("deduplicate", ["none", "exact", "near"])
@pytest.mark.parametrize("mixing", [{}, {"weights": {"a": 1, "b": 3}}, {"temperature": 2.0}], ids=str)
def test_beam_writes_the_bytes_of_the_local_runner(tmp_path, texts, any_beam, deduplicate, mixing, capsys):
    config = CONFIG.replace(deduplicate=deduplicate)
    make(tmp_path / "local", config, corpus_of(texts, deduplicate, **mixing), holdout=0.2)
    of_local = capsys.readouterr().out
    make(tmp_path / "beam", config, corpus_of(texts, deduplicate, **mixing), holdout=0.2, runner="beam")
    assert capsys.readouterr().out == of_local
    assert len(corpus_of(texts).units()) > 5
    assert len(contents_of(tmp_path / "local")) > 8
    assert contents_of(tmp_path / "beam") == contents_of(tmp_path / "local")


def test_duplicates_are_found_among_documents_of_several_units(tmp_path, texts, any_beam):
    found = {}
    for deduplicate in ("none", "exact", "near"):
        config = CONFIG.replace(deduplicate=deduplicate)
        make(tmp_path / deduplicate, config, corpus_of(texts, deduplicate), runner="beam")
        found[deduplicate] = read_manifest(str(tmp_path / deduplicate)).statistics.documents
    assert found["none"] == len(repeating_documents()) > found["exact"] > found["near"] > 50


def test_documents_of_this_process_are_staged_for_the_workers(tmp_path, any_beam):
    make(tmp_path / "local", holdout=0.2)
    make(tmp_path / "beam", holdout=0.2, runner="beam")
    assert len(contents_of(tmp_path / "local")) > 10
    assert contents_of(tmp_path / "beam") == contents_of(tmp_path / "local")


@pytest.mark.long
def test_beam_processes_write_the_bytes_of_the_local_runner(tmp_path, beam, monkeypatch):
    monkeypatch.undo()  # workers have the real sizes
    write_documents(repeating_documents(20_000), str(tmp_path / "texts" / "a.txt"))
    config = CONFIG.replace(deduplicate="near")
    make(tmp_path / "local", config, corpus_of(tmp_path / "texts", "near"), holdout=0.2)
    options = "--direct_running_mode=multi_processing --direct_num_workers=2"
    corpus = corpus_of(tmp_path / "texts", "near")
    make(tmp_path / "beam", config, corpus, holdout=0.2, runner="beam", beam_options=options)
    assert len(contents_of(tmp_path / "local")) > 5
    assert contents_of(tmp_path / "beam") == contents_of(tmp_path / "local")


def test_a_failed_pipeline_is_reported_and_continued(tmp_path, texts, any_beam, monkeypatch):
    build = ShardFunction.build

    def failing(self, shard):
        if shard.number == 4:
            raise ValueError("the worker's disk is broken")
        return build(self, shard)

    monkeypatch.setattr(ShardFunction, "build", failing)
    with pytest.raises(OSError, match=r"The Beam pipeline failed\. Finished shards are kept.*disk is broken"):
        make(tmp_path / "beam", documents=corpus_of(texts), runner="beam")
    kept = {
        path: os.stat(path).st_mtime_ns
        for path in tf.io.gfile.glob(str(tmp_path / "beam" / "shard-*.tfrecord"))
        if "shard-00004" not in path
    }
    assert kept
    assert not (tmp_path / "beam" / "manifest.json").exists()
    monkeypatch.setattr(ShardFunction, "build", build)
    make(tmp_path / "beam", documents=corpus_of(texts), runner="beam")
    assert {path: os.stat(path).st_mtime_ns for path in kept} == kept
    make(tmp_path / "local", documents=corpus_of(texts))
    assert contents_of(tmp_path / "beam") == contents_of(tmp_path / "local")


def test_shards_of_other_documents_are_built_again(tmp_path, texts, any_beam):
    (tmp_path / "texts").mkdir()
    for name in ("a.txt", "b.jsonl"):
        (tmp_path / "texts" / name).write_bytes((texts / name).read_bytes())
    with pytest.raises(RuntimeError, match="enough"):
        make(tmp_path / "beam", documents=_stopping(corpus_of(texts)))
    assert (tmp_path / "beam" / "shard-00001.finished.json").exists()
    text = (texts / "a.txt").read_text("utf-8")
    (tmp_path / "texts" / "a.txt").write_text(text.replace("Near the river", "by the river", 1) + "\nmore text.\n")
    corpus = corpus_of(tmp_path / "texts")
    make(tmp_path / "beam", documents=corpus, runner="beam")
    make(tmp_path / "local", documents=corpus)
    assert contents_of(tmp_path / "beam") == contents_of(tmp_path / "local")


def _stopping(documents):
    for number, document in enumerate(documents):
        if number == 40:
            raise RuntimeError("enough")
        yield document


def test_bad_input_is_reported_as_by_the_local_runner(tmp_path, any_beam):
    lines = [f"A sentence of some words, number {number}.\n\n" for number in range(400)]
    lines[301] = "caf\udce9\n"  # a byte of Latin-1, in the third unit
    path = tmp_path / "a.txt"
    path.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
    for runner in ("local", "beam"):
        with pytest.raises(ValueError, match=rf"^{path}, line 603: not UTF-8 \(byte 0xe9\)"):
            make(tmp_path / runner, documents=Corpus({"": Source(str(path))}), runner=runner)
    skipping = Corpus({"": Source(str(path), ReadingOptions(skip_unreadable=True))})
    for runner in ("local", "beam"):
        make(tmp_path / runner, documents=skipping, runner=runner)
    assert contents_of(tmp_path / "beam") == contents_of(tmp_path / "local")
    path.write_text("\n")
    for runner in ("local", "beam"):
        with pytest.raises(
            ValueError, match=r"`input` must name files with at least one sentence\. Received: .*a\.txt"
        ):
            make(tmp_path / f"{runner}2", documents=Corpus({"": Source(str(path), name="input")}), runner=runner)
    path.write_text("one.\n")
    for runner in ("local", "beam"):
        with pytest.raises(ValueError, match=r"`documents` must hold at least 2 training documents"):
            make(tmp_path / f"{runner}3", documents=Corpus({"": Source(str(path))}), runner=runner)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--runner=NoSuchRunner", r"`beam_options` must be .* says 'Unexpected pipeline runner: NoSuchRunner"),
        ("--direct_num_workers=many", r"argument --direct_num_workers: invalid int value: 'many'.*Received: "),
    ],
)
def test_bad_beam_options_are_reported_before_anything_is_read(tmp_path, beam, options, message):
    with pytest.raises(ValueError, match=message):
        make(tmp_path / "records", documents=iter([]), runner="beam", beam_options=options)
    assert not (tmp_path / "records").exists()


def test_the_launching_process_reads_norepeating_documents(tmp_path, texts, any_beam, monkeypatch):
    def refuse(self):
        raise AssertionError("the launching process read the corpus")

    monkeypatch.setattr(Corpus, "__iter__", refuse)
    assert make(tmp_path, documents=corpus_of(texts), runner="beam").statistics.documents == len(repeating_documents())
