"""A preparation that ends before its time, killed, starved or misled, goes on where it stood."""

import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_corpus import corpus_documents, write_corpus
from small_records import CONFIG, TOKENIZER, contents_of, make

from bert_tf.utils import file_systems
from data_pipelines.corpora.mixtures import without_duplicates
from data_pipelines.records import shards, writer
from data_pipelines.records.manifest import read_manifest

# Kills itself when it opens, renames or removes its N-th file below the folder, so that kills meet every stage.
SELF_KILLING_RUN = """
import os, signal, sys
from small_corpus import corpus_documents
from small_records import CONFIG, TOKENIZER, create_pretraining_data
from data_pipelines.records import shards as record_shards

folder, num_workers, kill_at = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
process = os.getpid()
operations = 0

def count(event, arguments):
    global operations
    if event not in ("open", "os.rename", "os.remove", "os.mkdir") or os.getpid() != process:
        return
    if str(arguments[0]).startswith(folder):
        operations += 1
        if operations == kill_at:
            os.kill(process, signal.SIGKILL)

if __name__ == "__main__":
    record_shards._FIRST_SHARD_BYTES = 2000
    sys.addaudithook(count)
    documents = corpus_documents(60)
    create_pretraining_data(documents, TOKENIZER, folder, config=CONFIG, holdout=0.2, num_workers=num_workers)
    print(operations)
"""


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Shards of 2 kB, so that a small corpus has many."""
    monkeypatch.setattr(shards, "_FIRST_SHARD_BYTES", 2000)


def finished_files(folder: Path) -> dict[Path, int]:
    """When each record file of a finished input shard was written, in nanoseconds."""
    found = {}
    for part in (folder, folder / "heldout"):
        for number in writer.entry_numbers(str(part)):
            entry = writer.read_entry(str(part), number)
            found |= {part / info.file_name: (part / info.file_name).stat().st_mtime_ns for info in entry.shard_files}
    return found


def run(script: Path, folder: Path, *, num_workers: int, kill_at: int = 0) -> int | None:
    """Prepare records, and return the number of file operations; None if it was killed at number `kill_at`."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ["PYTHONPATH"]])
    # Standard output ends when the last process that holds it does: workers must not outlive their parent.
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(num_workers), str(kill_at)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return int(done.stdout) if done.returncode == 0 else None


def check_kills(tmp_path: Path, kills: int, num_workers: int) -> None:
    script = tmp_path / "self_killing_run.py"
    script.write_text(SELF_KILLING_RUN)
    operations = run(script, tmp_path / "undisturbed", num_workers=num_workers)
    folder = tmp_path / "killed"
    generator = random.Random()
    print("seed of the kills:", seed := generator.randrange(10**6))
    generator.seed(seed)
    kept: dict[Path, int] = {}
    for number in range(kills):
        finished = run(script, folder, num_workers=num_workers, kill_at=generator.randint(1, operations))
        assert number > 0 or finished is None, "the first run has so many operations"
        if (folder / "manifest.json").exists():
            break
        existing = finished_files(folder)
        assert kept.items() <= existing.items()  # this run has not touched what the last one finished
        kept = existing
    if not (folder / "manifest.json").exists():
        make(folder, holdout=0.2)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    # Killed while it removed the journal, a run leaves the rest of it.
    contents = {name: data for name, data in contents_of(folder).items() if not name.endswith(".finished.json")}
    assert contents == contents_of(tmp_path / "undisturbed")


def test_a_killed_run_is_continued_to_the_same_bytes(tmp_path):
    check_kills(tmp_path, kills=2, num_workers=1)


@pytest.mark.long
@pytest.mark.parametrize("num_workers", [1, 3])
def test_a_run_killed_many_times_is_continued_to_the_same_bytes(tmp_path, num_workers):
    check_kills(tmp_path, kills=8, num_workers=num_workers)


class Killed(BaseException):
    """Stands for SIGKILL: from then on, the process does nothing to its files any more."""


@pytest.fixture
def killed_at(monkeypatch):
    """A function that lets so many changes of the file system happen and then raises `Killed`, for ever."""
    left = [10**9]

    def guarded(operation):
        def change(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return operation(*arguments, **options)

        return change

    local = type(file_systems.file_system("a local path"))
    for name in ("rename", "remove", "remove_folder"):
        monkeypatch.setattr(local, name, guarded(getattr(local, name)))
    return lambda changes: left.__setitem__(0, changes)


def test_after_a_kill_at_any_change_on_disk_the_next_run_gives_the_same_bytes(tmp_path, killed_at):
    documents = corpus_documents(25)
    make(tmp_path / "undisturbed", documents=documents, holdout=0.3)
    expected = contents_of(tmp_path / "undisturbed")
    for changes in range(1000):
        folder = tmp_path / str(changes)
        killed_at(changes)
        try:
            make(folder, documents=documents, holdout=0.3)
        except Killed:
            killed_at(10**9)
        else:
            break
        if (folder / "manifest.json").exists():  # nothing but the journal was left to be removed
            read_manifest(str(folder))
            read_manifest(str(folder / "heldout"))
            left = {name: data for name, data in contents_of(folder).items() if not name.endswith(".finished.json")}
            assert left == expected
        else:
            make(folder, documents=documents, holdout=0.3)
            assert contents_of(folder) == expected
    assert changes > 20
    assert contents_of(folder) == expected


def interrupted(folder: Path, documents=None, after: int = 40, **options) -> dict[Path, int]:
    """Leave behind what a run leaves that ends after so many documents; its finished files."""

    def cut() -> Iterator[list[str]]:
        yield from (corpus_documents(60) if documents is None else documents)[:after]
        raise OSError("the network is gone")

    with pytest.raises(OSError, match="the network is gone"):
        make(folder, documents=cut(), **options)
    return finished_files(folder)


def rebuilt(before: dict[Path, int]) -> set[str]:
    return {path.name for path, written in before.items() if not path.exists() or path.stat().st_mtime_ns != written}


def test_only_the_shards_whose_documents_changed_are_built_again(tmp_path):
    before = interrupted(tmp_path / "changed")
    assert len(before) >= 4
    documents = corpus_documents(60)
    documents[0] = [*documents[0][:-1], "The letter followed every gardener."]
    make(tmp_path / "changed", documents=documents)
    assert rebuilt(before) == {"shard-00000-00.tfrecord"}
    make(tmp_path / "new", documents=documents)
    assert contents_of(tmp_path / "changed") == contents_of(tmp_path / "new")


def test_shards_of_documents_that_are_gone_are_removed(tmp_path):
    before = interrupted(tmp_path / "fewer")
    make(tmp_path / "fewer", documents=corpus_documents(10))
    make(tmp_path / "new", documents=corpus_documents(10))
    assert len(before) > len(read_manifest(str(tmp_path / "new")).shards)
    assert contents_of(tmp_path / "fewer") == contents_of(tmp_path / "new")


@pytest.mark.parametrize("damage", ["other bytes", "cut", "gone", "entry cut", "entry of another version"])
def test_a_damaged_shard_is_built_again(tmp_path, damage):
    before = interrupted(tmp_path / "damaged")
    shard = tmp_path / "damaged" / "shard-00001-00.tfrecord"
    entry = tmp_path / "damaged" / "shard-00001.finished.json"
    contents = shard.read_bytes()
    if damage == "other bytes":
        shard.write_bytes(contents[:-1] + bytes([contents[-1] ^ 1]))
    elif damage == "cut":
        shard.write_bytes(contents[:-1])
    elif damage == "gone":
        shard.unlink()
    elif damage == "entry cut":
        entry.write_text(entry.read_text()[:-10])
    else:
        entry.write_text(entry.read_text().replace('"made_from"', '"source"'))
    make(tmp_path / "damaged")
    assert rebuilt(before) == {"shard-00001-00.tfrecord"}
    make(tmp_path / "undisturbed")
    assert contents_of(tmp_path / "damaged") == contents_of(tmp_path / "undisturbed")


def test_an_interrupted_run_with_other_settings_is_replaced_only_on_demand(tmp_path):
    before = interrupted(tmp_path / "records", config=CONFIG.replace(max_seq_length=32))
    with pytest.raises(
        ValueError,
        match=r"`output_dir` must be a new folder, unless `overwrite` replaces it: it holds shards of an interrupted "
        r"run with other settings \(max_seq_length=32\)\. Received: ",
    ):
        make(tmp_path / "records")
    assert rebuilt(before) == set()
    make(tmp_path / "records", overwrite=True)
    make(tmp_path / "new")
    assert contents_of(tmp_path / "records") == contents_of(tmp_path / "new")


def test_a_run_without_near_duplicates_is_continued_to_the_same_bytes(tmp_path):
    documents = [document for document in corpus_documents(60) for _ in range(2)]  # every other one is left out
    config = CONFIG.replace(deduplicate="near")
    before = interrupted(tmp_path / "records", list(without_duplicates(documents, "near")), after=20, config=config)
    make(tmp_path / "records", config, without_duplicates(documents, "near", num_workers=2))
    assert before
    assert rebuilt(before) == set()
    manifest = make(tmp_path / "undisturbed", config, without_duplicates(documents, "near"))
    assert contents_of(tmp_path / "records") == contents_of(tmp_path / "undisturbed")
    assert (manifest.deduplicate, manifest.statistics.documents) == ("near", 60)


@pytest.mark.parametrize(("first", "then"), [("none", "near"), ("near", "none"), ("exact", "near")])
def test_a_run_that_leaves_out_other_duplicates_is_replaced_only_on_demand(tmp_path, first, then):
    before = interrupted(tmp_path / "records", config=CONFIG.replace(deduplicate=first))
    with pytest.raises(ValueError, match=rf"with other settings \(deduplicate='{first}'\)"):
        make(tmp_path / "records", config=CONFIG.replace(deduplicate=then))
    assert rebuilt(before) == set()


def test_an_interrupted_overwriting_run_is_continued_by_the_same_command(tmp_path):
    make(tmp_path / "records", config=CONFIG.replace(seed=1), holdout=0.2)
    before = interrupted(tmp_path / "records", holdout=0.2, overwrite=True)
    make(tmp_path / "records", holdout=0.2, overwrite=True)
    assert before
    assert rebuilt(before) == set()


def test_a_killed_worker_is_reported_and_nothing_is_lost(tmp_path):
    def documents() -> Iterator[list[str]]:
        for number, document in enumerate(corpus_documents(60)):
            if number == 50:
                for worker in multiprocessing.active_children():
                    worker.kill()
            yield document

    with pytest.raises(
        ChildProcessError, match=r"A worker process was killed.*`num_workers`\. Received: 2\. Finished shards are kept"
    ):
        make(tmp_path / "killed", documents=documents(), num_workers=2)
    before = finished_files(tmp_path / "killed")
    assert before
    make(tmp_path / "killed")
    assert rebuilt(before) == set()
    make(tmp_path / "undisturbed")
    assert contents_of(tmp_path / "killed") == contents_of(tmp_path / "undisturbed")


def test_a_full_disk_is_reported_in_one_line(tmp_path):
    write_corpus(tmp_path / "docs.txt", 60)
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENIZER.tokens) + "\n")
    # A limit on the size of a file fails as a full disk does, at the write that passes it.
    process = subprocess.run(
        [
            *(sys.executable, "-m", "data_pipelines.create_pretraining_data", f"--input={tmp_path}/docs.txt"),
            *(f"--vocab_file={tmp_path}/vocab.txt", f"--output_dir={tmp_path}/records", "--num_workers=1"),
        ],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 2
    *_, last = process.stderr.splitlines()
    assert last.startswith(f"error: {tmp_path}/records/shard-00000-00.tfrecord: ")
    assert "too large" in last
    assert "Traceback" not in process.stderr
    assert list((tmp_path / "records").iterdir()) == []
