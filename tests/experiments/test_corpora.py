"""Corpora from packages: tiny packages of one's own stand in for those of a registry."""

import gzip
import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from small_corpus import corpus_documents

from data_pipelines.corpora.readers import read_documents
from experiments.corpora import assembly, chinese, english, package_texts, packages
from experiments.corpora.packages import Source

TEXTS = [" ".join(document) for document in corpus_documents(60)]
CHINESE = "他在图书馆里读了一本关于古代历史的书。然后他回家吃饭,并且给母亲写了一封长信。" * 3


def _page(text: str) -> str:
    menu = "<nav>The menu names every page of the manual.</nav>"
    return f"<html><head><title>A title.</title></head><body>{menu}<p>{text}</p><pre>print the code of it</pre></body>"


def _package(path: Path, contents: dict[str, str | bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


FETCHED = "fetched.txt"


def fetch(source: Source, folder: Path) -> Path:
    """Stand in for `packages.fetch`: packages lie in a folder beside the downloads. Calls are counted."""
    packed = folder.parent.parent / "registry" / f"{source.name}-1.0.zip"
    with (folder.parent.parent / FETCHED).open("a") as file:
        file.write(f"{source.name}\n")
    if not packed.exists():
        raise OSError(f"The package {source.name} could not be downloaded.")
    return packed


SOURCES = tuple(Source(name, "pypi", "MIT", "1.0") for name in ("pages", "gone", "sources", "copies"))


@pytest.fixture
def registry(tmp_path):
    _package(
        tmp_path / "registry" / "pages-1.0.zip",
        {f"docs/page{number}.html": _page(TEXTS[number]) for number in range(30)}
        | {"docs/fr/page.html": _page(TEXTS[59]), "docs/genindex.html": _page(TEXTS[58])},
    )
    _package(
        tmp_path / "registry" / "sources-1.0.zip",
        {
            "package/a.py": f'"""{TEXTS[30]}"""\n',
            "package/broken.py": '"""',
            "README.rst": f"Title\n=====\n\n{TEXTS[31]}",
        }
        | {"notes.txt.gz": gzip.compress(TEXTS[32].encode()), "damaged.txt.gz": b"none"},
    )
    _package(tmp_path / "registry" / "copies-1.0.zip", {"copy.txt": TEXTS[3], "new.md": TEXTS[33]})
    return tmp_path


def _assemble(folder: Path, **options) -> list[dict]:
    options = {"holdout": 0.2, "num_workers": 1, "fetch": fetch} | options
    return assembly.assemble(SOURCES, str(folder), package_texts.english, **options)


def _read(folder: Path, name: str) -> set[str]:
    return {" ".join(document) for document in read_documents(str(folder / name))}


def test_the_prose_of_packages_becomes_a_corpus(registry):
    rows = _assemble(registry / "corpus")
    train, held_out = (_read(registry / "corpus", name) for name in ("train.txt", "heldout.txt"))
    assert train | held_out == set(TEXTS[:34])
    assert not train & held_out
    assert 2 <= len(held_out) <= 14
    assert [row["documents"] for row in rows] == [30, 0, 3, 1]
    assert rows[0]["version"] == "1.0"
    assert "could not be downloaded" in rows[1]["error"]
    size = sum(len((registry / "corpus" / name).read_bytes()) for name in ("train.txt", "heldout.txt"))
    assert abs(sum(row["megabytes"] for row in rows) - size / 1e6) < 0.003
    assert json.loads((registry / "corpus" / "sources.json").read_text()) == rows
    assert "34" in assembly.table(rows).splitlines()[-1]
    assert "not downloaded" in assembly.table(rows)


def test_documents_are_held_out_by_their_names(registry):
    _assemble(registry / "corpus")
    of_pages = _read(registry / "corpus", "heldout.txt") & set(TEXTS[:30])
    names = {TEXTS[number]: f"pages/docs/page{number}.html" for number in range(30)}
    assert of_pages == {text for text, name in names.items() if assembly.is_held_out(name, 0.2)}


def test_finished_parts_are_kept_and_lost_ones_are_made_again(registry):
    _assemble(registry / "corpus")
    expected = (registry / "corpus" / "train.txt").read_bytes()
    part = registry / "corpus" / "parts" / "pages.jsonl"
    written = part.stat().st_mtime_ns
    (registry / "corpus" / "parts" / "sources.jsonl").unlink()
    (registry / "corpus" / "train.txt").unlink()
    _assemble(registry / "corpus", num_workers=2)
    assert part.stat().st_mtime_ns == written
    assert (registry / "corpus" / "train.txt").read_bytes() == expected
    assert not list((registry / "corpus").glob("unpacked-*"))


def test_no_manual_fills_the_corpus(registry, monkeypatch):
    monkeypatch.setattr(assembly, "MAX_SOURCE_BYTES", 1000)
    assert _assemble(registry / "corpus")[0]["documents"] < 10
    monkeypatch.setattr(assembly, "MAX_SOURCE_BYTES", 10**9)
    monkeypatch.setattr(assembly, "MAX_READ_BYTES", 2000)
    assert _assemble(registry / "other")[0]["documents"] < 10


def test_extra_files_are_documents_too(registry):
    (registry / "own.txt").write_text(TEXTS[50])
    rows = _assemble(registry / "corpus", extra_files=[str(registry / "own.txt")])
    assert rows[-1]["documents"] == 1
    assert TEXTS[50] in _read(registry / "corpus", "train.txt") | _read(registry / "corpus", "heldout.txt")


def test_chinese_prose_is_taken_from_pages_and_catalogues(tmp_path):
    (tmp_path / "a.html").write_text(_page(CHINESE))
    (tmp_path / "a.po").write_text(f'msgid "Text"\nmsgstr ""\n"{CHINESE}\\n"\n"{CHINESE}"\n')
    (tmp_path / "b.html").write_text(_page(TEXTS[0]))
    page, catalogue, other = (package_texts.chinese(tmp_path / name) for name in ("a.html", "a.po", "b.html"))
    assert "".join(page[0]) == CHINESE
    assert "".join(catalogue[0]).replace(" ", "") == CHINESE * 2
    assert other == []


def test_a_package_is_downloaded_once_and_whole(tmp_path, monkeypatch):
    calls = []

    def download(command, *, cwd, **_):
        calls.append(command)
        (cwd / "tool-docs_2.0-1_all.deb").write_bytes(b"package")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(packages.subprocess, "run", download)
    source = Source("tool-docs", "debian", "MIT", "2.0-1")
    for _ in range(2):
        package = packages.fetch(source, tmp_path / "downloads")
    assert [command[:2] for command in calls] == [["apt-get", "download"]]
    assert list((tmp_path / "downloads").iterdir()) == [package]
    assert packages.version_of(package) == "2.0-1"


def test_a_failed_download_says_why(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 100, "", "Reading\nE: Unable to locate package gone\n")
    monkeypatch.setattr(packages.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(OSError, match=r"gone could not be downloaded. apt-get says: E: Unable to locate package gone"):
        packages.fetch(Source("gone", "debian", "MIT", "1"), tmp_path)


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"`holdout` must be between 0 and 1. Received: 1.0"):
        assembly.assemble(SOURCES, str(tmp_path), package_texts.english, holdout=1.0)
    (tmp_path / "package.rar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"`package` must be a .deb"):
        packages.unpack(tmp_path / "package.rar", tmp_path)
    (tmp_path / "package.zip").write_bytes(b"no archive")
    with pytest.raises(OSError, match=r"package.zip cannot be unpacked"):
        packages.unpack(tmp_path / "package.zip", tmp_path)
    (tmp_path / "table.tsv").write_text("name\tregistry\tlicence\tversion\nx\tnpm\tMIT\t1\n")
    with pytest.raises(ValueError, match=r"table.tsv, line 2: it must hold a name, debian or pypi"):
        packages.read_sources(str(tmp_path / "table.tsv"))


@pytest.mark.parametrize("command", [english, chinese])
def test_the_tables_of_packages_can_be_read(command):
    sources = packages.read_sources(command.SOURCES)
    assert len({source.name for source in sources}) == len(sources) > 10
    assert all(source.licence and source.version for source in sources)
