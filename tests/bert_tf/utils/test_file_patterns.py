import os

import pytest

from bert_tf.utils.file_patterns import matching_files


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x\n", encoding="utf-8")


def _names(folder, found):
    return [os.path.relpath(path, folder) for path in found]


def test_files_are_sorted_and_listed_once(tmp_path):
    _touch(tmp_path, "b.txt", "a.txt", "c.md")
    found = matching_files(f"{tmp_path}/*.txt, {tmp_path}/a.*")
    assert _names(tmp_path, found) == ["a.txt", "b.txt"]


def test_a_star_matches_no_slash_and_no_hidden_file(tmp_path):
    _touch(tmp_path, "a.txt", "sub/b.txt", ".hidden.txt", ".cache/c.txt")
    assert _names(tmp_path, matching_files(f"{tmp_path}/*.txt")) == ["a.txt"]
    assert _names(tmp_path, matching_files(f"{tmp_path}/*/*.txt")) == ["sub/b.txt"]
    assert _names(tmp_path, matching_files(f"{tmp_path}/.*.txt")) == [".hidden.txt"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**/*.txt", ["a.txt", "sub/b.txt", "sub/deep/c.txt"]),
        ("sub/**/*.txt", ["sub/b.txt", "sub/deep/c.txt"]),
        ("**/deep/*.txt", ["sub/deep/c.txt"]),
        ("**/[bc].txt", ["sub/b.txt", "sub/deep/c.txt"]),
        ("s*/**/c.txt", ["sub/deep/c.txt"]),
    ],
)
def test_two_stars_match_any_number_of_folders(tmp_path, monkeypatch, pattern, expected):
    _touch(tmp_path, "a.txt", "sub/b.txt", "sub/deep/c.txt", "sub/.git/d.txt", "sub/deep/e.md")
    assert _names(tmp_path, matching_files(f"{tmp_path}/{pattern}")) == expected
    monkeypatch.chdir(tmp_path)
    assert matching_files(pattern) == expected


def test_links_that_lead_back_are_left_out(tmp_path):
    _touch(tmp_path, "top/a.txt", "top/sub/b.txt", "beside/c.txt")
    (tmp_path / "top" / "itself").symlink_to(tmp_path / "top")
    (tmp_path / "top" / "sub" / "up").symlink_to("..")
    (tmp_path / "top" / "above").symlink_to(tmp_path)
    found = _names(tmp_path, matching_files(f"{tmp_path}/top/**/*.txt"))
    assert found == ["top/a.txt", "top/above/beside/c.txt", "top/sub/b.txt"]
    (tmp_path / "top" / "above").unlink()
    (tmp_path / "beside" / "other").symlink_to(tmp_path / "top")
    (tmp_path / "top" / "beside").symlink_to(tmp_path / "beside")
    found = _names(tmp_path, matching_files(f"{tmp_path}/top/**/*.txt"))
    assert found == ["top/a.txt", "top/beside/c.txt", "top/sub/b.txt"]


def test_a_folder_that_two_links_name_is_read_by_both(tmp_path):
    _touch(tmp_path, "data/a.txt", "top/b.txt")
    for name in ("one", "two"):
        (tmp_path / "top" / name).symlink_to(tmp_path / "data")
    assert _names(tmp_path, matching_files(f"{tmp_path}/top/**/a.txt")) == ["top/one/a.txt", "top/two/a.txt"]


def test_the_name_of_an_existing_file_matches_that_file_alone(tmp_path):
    _touch(tmp_path, "[1].txt", "1.txt")
    assert _names(tmp_path, matching_files(f"{tmp_path}/[1].txt")) == ["[1].txt"]


def test_relative_patterns_give_relative_paths(tmp_path, monkeypatch):
    _touch(tmp_path, "a.txt", "docs/b.txt")
    monkeypatch.chdir(tmp_path)
    assert matching_files("*.txt,docs/*.txt") == ["a.txt", "docs/b.txt"]


def test_each_pattern_must_match(tmp_path):
    _touch(tmp_path, "a.txt")
    with pytest.raises(FileNotFoundError, match=r"^`patterns`: no file matches.*nothing"):
        matching_files(f"{tmp_path}/a.txt,{tmp_path}/nothing*")
    with pytest.raises(FileNotFoundError, match=r"^`patterns` must name at least one file"):
        matching_files(" , ")
    with pytest.raises(FileNotFoundError, match="not a folder"):
        matching_files(str(tmp_path))


def test_an_unknown_file_system_is_an_os_error():
    with pytest.raises(OSError, match="nowhere"):
        matching_files("nowhere://bucket/*.txt")
