"""Fixtures for the tests of Apache Beam."""

import gzip

import fake_beam
import pytest
from beam_corpus import repeating_documents

from data_pipelines.corpora.documents import write_documents


@pytest.fixture
def beam():
    """Apache Beam itself, an optional extra."""
    return pytest.importorskip("apache_beam", reason="Apache Beam is an optional extra")


@pytest.fixture(params=["stand-in", "apache_beam"])
def any_beam(request, monkeypatch):
    """A pipeline in this process: of the stand-in, which is always there, and of Apache Beam."""
    if request.param == "stand-in":
        fake_beam.install(monkeypatch)
    else:
        request.getfixturevalue("beam")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A folder of one large file, JSON lines, a compressed file and an empty one."""
    folder = tmp_path_factory.mktemp("texts")
    documents = repeating_documents()
    write_documents(documents[:50], str(folder / "a.txt"))
    lines = [f'{{"text": "{" ".join(document)}"}}\n' for document in documents[50:65]]
    (folder / "b.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "c.txt.gz").write_bytes(gzip.compress("\n\n".join(map("\n".join, documents[65:])).encode()))
    (folder / "d.txt").write_text("\n", encoding="utf-8")
    return folder
