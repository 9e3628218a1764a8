"""Folders are listed alike on local disks, on TensorFlow's file systems and on object stores."""

import pytest

from bert_tf.utils import files, folder_contents
from bert_tf.utils.file_systems import _Remote


class _ObjectStore:
    """TensorFlow's functions as they answer for an object store, which marks folders in its listings."""

    listing = ("2/", "10/", "a.txt", "/")

    def isdir(self, path):
        return path.rstrip("/") == "store://bucket/export"

    def listdir(self, path):
        assert self.isdir(path)
        return list(self.listing)


@pytest.fixture
def object_store(monkeypatch):
    store = _ObjectStore()
    for module in (files, folder_contents):
        monkeypatch.setattr(module, "file_system", lambda path: _Remote(store))
    return store


@pytest.mark.parametrize("top", ["ram://listed", ""])
def test_folders_and_files_are_told_apart(tmp_path, top):
    top = top or str(tmp_path / "listed")
    assert folder_contents.subfolders(top) == []
    for name in ("10/a.txt", "2/deep/b.txt", "c.txt"):
        files.write_text(f"{top}/{name}", "x")
    assert folder_contents.subfolders(top) == ["10", "2"]
    assert folder_contents.subfolders(f"{top}/2") == ["deep"]
    assert folder_contents.subfolders(f"{top}/10") == []
    assert folder_contents.subfolders(f"{top}/c.txt") == []
    files.make_folder(f"{top}/empty")
    assert [folder_contents.is_empty(f"{top}/{name}") for name in ("empty", "2", "10")] == [True, False, False]
    with pytest.raises(FileNotFoundError, match="listed/none"):
        folder_contents.is_empty(f"{top}/none")


def test_object_stores_mark_their_folders(object_store):
    assert folder_contents.subfolders("store://bucket/export") == ["10", "2"]
    assert folder_contents.subfolders("store://bucket/none") == []
    assert files.names_in_folder("store://bucket/export") == ["a.txt"]
    assert not folder_contents.is_empty("store://bucket/export")
    for listing, is_empty in ((["/"], True), ([], True), (["2/"], False)):
        object_store.listing = listing
        assert folder_contents.is_empty("store://bucket/export") is is_empty
