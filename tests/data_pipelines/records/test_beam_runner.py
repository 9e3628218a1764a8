import os
import sys

import pytest
import tensorflow as tf
from small_corpus import corpus_documents
from small_records import CONFIG, TOKENIZER, contents_of, make

from data_pipelines.records import beam_runner, shards, writer
from data_pipelines.records.document_shards import InputShard, ShardFunction, pack_documents


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Shards of 2 kB, so that a small corpus has many."""
    monkeypatch.setattr(shards, "_FIRST_SHARD_BYTES", 2000)


@pytest.fixture
def beam():
    return pytest.importorskip("apache_beam", reason="Apache Beam is an optional extra")


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


def test_what_a_worker_writes_is_what_the_local_runner_writes(tmp_path):
    """The worker's function alone, without a pipeline: staged documents in, record files and journal entry out."""
    documents = corpus_documents(60)
    function = ShardFunction(TOKENIZER, CONFIG, CONFIG)
    shard = InputShard(False, 0, pack_documents(documents))
    staged = tmp_path / "staging" / "training-00000.documents"
    staged.parent.mkdir()
    staged.write_bytes(shard.packed_documents)
    (tmp_path / "records").mkdir()
    worker = beam_runner.StagedShard(False, 0, str(staged), str(tmp_path / "records"))
    beam_runner.build_and_write(worker, function)
    entry = writer.read_entry(str(tmp_path / "records"), 0)
    assert entry.made_from == function.fingerprint(shard)
    built = function.build(shard)
    assert [info for info, _ in built.shard_files] == list(entry.shard_files)
    for info, contents in built.shard_files:
        assert (tmp_path / "records" / info.file_name).read_bytes() == contents


def test_beam_writes_the_bytes_of_the_local_runner(tmp_path, beam):
    make(tmp_path / "local", holdout=0.2)
    make(tmp_path / "beam", holdout=0.2, runner="beam")
    assert len(contents_of(tmp_path / "local")) > 10
    assert contents_of(tmp_path / "beam") == contents_of(tmp_path / "local")


@pytest.mark.long
def test_beam_processes_write_the_bytes_of_the_local_runner(tmp_path, beam):
    make(tmp_path / "local", holdout=0.2)
    options = "--direct_running_mode=multi_processing --direct_num_workers=2"
    make(tmp_path / "beam", holdout=0.2, runner="beam", beam_options=options)
    assert contents_of(tmp_path / "beam") == contents_of(tmp_path / "local")


def test_a_failed_pipeline_is_reported_and_continued(tmp_path, beam, monkeypatch):
    build = ShardFunction.build

    def failing(self, shard):
        if shard.number == 4:
            raise ValueError("the worker's disk is broken")
        return build(self, shard)

    monkeypatch.setattr(ShardFunction, "build", failing)
    with pytest.raises(OSError, match=r"The Beam pipeline failed .* of \d+ shards missing.*disk is broken"):
        make(tmp_path / "beam", runner="beam")
    kept = {
        path: os.stat(path).st_mtime_ns
        for path in tf.io.gfile.glob(str(tmp_path / "beam" / "shard-*.tfrecord"))
        if "shard-00004" not in path
    }
    assert not (tmp_path / "beam" / "manifest.json").exists()
    monkeypatch.setattr(ShardFunction, "build", build)
    make(tmp_path / "beam", runner="beam")
    assert {path: os.stat(path).st_mtime_ns for path in kept} == kept
    make(tmp_path / "local")
    assert contents_of(tmp_path / "beam") == contents_of(tmp_path / "local")


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
