import errno
import json
import os

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_tf.utils import files
from bert_tf.utils.file_patterns import matching_files
from bert_tf.utils.file_systems import os_errors


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x\n", encoding="utf-8")


class TestReading:
    @pytest.mark.parametrize(
        ("data", "lines"),
        [
            (b"", []),
            (b"\n", [""]),
            (b"a", ["a"]),
            (b"a\r\nb\n\nc", ["a", "b", "", "c"]),
            (b"\xef\xbb\xbfa\n", ["a"]),
            (b"a\rb\n", ["a\rb"]),  # GFile's own iterator drops the \r and would give "ab"
            ("é\u2028ü\n".encode(), ["é\u2028ü"]),
        ],
    )
    def test_lines_lose_their_ends_and_the_byte_order_mark(self, tmp_path, data, lines):
        path = tmp_path / "text"
        path.write_bytes(data)
        assert list(files.iterate_lines(str(path))) == lines

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.text(st.sampled_from("aé\r字 "), max_size=12), max_size=12), st.integers(1, 7))
    def test_lines_do_not_depend_on_the_size_of_reads(self, tmp_path_factory, lines, size):
        path = tmp_path_factory.mktemp("lines") / "text"
        path.write_bytes("\n".join(lines).encode())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "_CHUNK_BYTES", size)
            read = list(files.iterate_lines(str(path)))
        expected = "\n".join(lines).split("\n")
        if not expected[-1]:
            expected.pop()
        assert read == [line.rstrip("\r") for line in expected]

    @pytest.mark.parametrize("size", [3, 1 << 20])
    def test_line_that_is_not_utf8_is_named(self, tmp_path, monkeypatch, size):
        monkeypatch.setattr(files, "_CHUNK_BYTES", size)
        path = tmp_path / "text"
        path.write_bytes(b"one\ntwo\nd\xe9j\xe0\nfour\n")
        with pytest.raises(ValueError, match=r"text, line 3: not UTF-8 \(byte 0xe9\)"):
            list(files.iterate_lines(str(path)))

    def test_text_that_is_not_utf8_is_named(self, tmp_path):
        path = tmp_path / "text"
        path.write_bytes(b"\xef\xbb\xbfab\xff")
        with pytest.raises(ValueError, match=r"text: not UTF-8 at byte 5 \(0xff\)"):
            files.read_text(str(path))

    def test_a_missing_file_and_a_folder_are_no_files(self, tmp_path):
        for path in (tmp_path / "none", tmp_path):
            with pytest.raises(FileNotFoundError, match="no such file"):
                files.read_text(str(path))
            with pytest.raises(FileNotFoundError, match="no such file"):
                next(files.iterate_lines(str(path)))

    def test_json_is_read_as_it_was_written(self, tmp_path):
        path = str(tmp_path / "value.json")
        files.write_json(path, {"é": [1, np.float32(0.5), np.int64(3)]})
        assert files.read_json(path) == {"é": [1, 0.5, 3]}
        files.write_text(path, '{"a": 1,\n "b" 2}')
        with pytest.raises(ValueError, match=r"value\.json, line 2, column 6: not JSON"):
            files.read_json(path)
        with pytest.raises(TypeError, match="no form for set"):
            files.write_json(path, {1})


class TestWriting:
    def test_failed_write_leaves_the_old_file_alone(self, tmp_path):
        path = str(tmp_path / "sub" / "a.txt")
        files.write_text(path, "old")

        def fail():
            with files.written_whole(path) as temporary:
                files.write_text(temporary, "half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert files.read_text(path) == "old"
        assert os.listdir(tmp_path / "sub") == ["a.txt"]
        files.write_text(path, "new")
        assert files.read_text(path) == "new"
        assert os.listdir(tmp_path / "sub") == ["a.txt"]

    def test_the_file_does_not_exist_before_the_end_of_the_block(self, tmp_path):
        path = str(tmp_path / "a.txt")
        with files.written_whole(path) as temporary:
            files.write_text(temporary, "whole")
            assert not files.exists(path)
        assert files.read_text(path) == "whole"

    def test_a_remote_file_system_is_reached_by_url(self):
        # ram:// is TensorFlow's own stand-in for a remote file system.
        for path in ("ram://bucket/folder/a.json", "ram://b.json"):
            files.write_json(path, [1])
            assert files.read_json(path) == [1]
        assert matching_files("ram://bucket/folder/*") == ["ram://bucket/folder/a.json"]
        files.require_writable_folder("ram://bucket/other")
        assert not os.path.exists("ram:")

    def test_failures_are_os_errors(self, tmp_path):
        _touch(tmp_path, "file")
        below_a_file = str(tmp_path / "file" / "sub" / "a.txt")
        with pytest.raises(OSError, match="file"):
            files.write_text(below_a_file, "x")
        with pytest.raises(OSError, match="file"):
            files.make_folder(str(tmp_path / "file" / "sub"))
        with pytest.raises(OSError, match="nowhere"):
            files.exists("nowhere://bucket/a")
        (tmp_path / "folder" / "full").mkdir(parents=True)
        with pytest.raises(OSError, match="folder"):
            files.write_text(str(tmp_path / "folder"), "x")
        assert sorted(os.listdir(tmp_path)) == ["file", "folder"]

    @pytest.mark.parametrize("folder", ["ram://stored", ""])
    def test_the_same_operations_at_local_and_remote_paths(self, tmp_path, folder):
        folder = folder or str(tmp_path / "stored")
        path = os.path.join(folder, "sub", "a.txt")
        files.write_text(path, "é")
        files.append_text(path, "ü")
        with files.open_to_write(os.path.join(folder, "sub", "empty")):
            pass
        assert (files.exists(path), files.exists(path + "x")) == (True, False)
        assert (files.is_folder(folder), files.is_folder(path)) == (True, False)
        assert (files.size(path), files.read_text(path)) == (4, "éü")
        assert files.sha256(path) == "1109b0980e45bfaf408a02acbf0e5fe377f7aff199548807129e9ed78abc437e"
        assert files.names_in_folder(os.path.join(folder, "sub")) == ["a.txt", "empty"]
        assert files.names_in_folder(os.path.join(folder, "none")) == []
        assert matching_files(f"{folder}/**/a.*") == [path]
        files.rename(path, path + "x")
        files.rename(path + "x", path)
        copied, local = folder.replace("stored", "copied"), tmp_path / "local"
        files.copy_folder(folder, str(local))
        assert (local / "sub" / "a.txt").read_text(encoding="utf-8") == "éü"
        files.copy_folder(str(local), copied)
        assert files.names_in_folder(os.path.join(copied, "sub")) == ["a.txt", "empty"]
        for _ in range(2):
            files.remove_folder(copied)
            assert not files.exists(os.path.join(copied, "sub", "a.txt"))
        files.remove(path)
        files.remove(path)
        for missing in (files.read_bytes, files.size, files.sha256):
            with pytest.raises(FileNotFoundError, match="a\\.txt"):
                missing(path)

    def test_full_disk_is_an_os_error(self, tmp_path):
        os.symlink("/dev/full", tmp_path / "full")

        def write():
            with files.written_whole(str(tmp_path / "a")) as temporary:
                os.symlink("/dev/full", temporary)
                with tf.io.gfile.GFile(temporary, "wb") as file:
                    file.write(b"x" * 10)

        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            write()

    def test_full_disk_is_named_where_python_leaves_the_name_out(self):
        def write():
            with os_errors("the file"), open("/dev/full", "wb") as file:
                file.write(b"x" * 10)

        with pytest.raises(OSError, match=f"^the file: {os.strerror(errno.ENOSPC)}$"):
            write()

    def test_errors_about_other_files_keep_their_message(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"\[Errno 2\]"), os_errors("the file"):
            (tmp_path / "another").read_bytes()

    def test_other_failures_inside_the_block_keep_their_kind(self, tmp_path):
        def compute():
            with files.written_whole(str(tmp_path / "weights")):
                tf.reshape(tf.zeros([2]), [3])

        with pytest.raises(tf.errors.InvalidArgumentError):
            compute()

    def test_an_unwritable_folder_is_named(self, tmp_path):
        _touch(tmp_path, "file")
        with pytest.raises(OSError, match=r"^`folder` must be a folder.*file"):
            files.require_writable_folder(str(tmp_path / "file"))
        with pytest.raises(OSError, match=r"^`folder` must be a folder"):
            files.require_writable_folder("/proc/none")
        with pytest.raises(OSError, match=r"^`folder` must name a folder"):
            files.require_writable_folder("")
        files.require_writable_folder(str(tmp_path / "new" / "run"))
        assert os.listdir(tmp_path / "new" / "run") == []

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_without_permission_is_refused(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(OSError, match=r"^`folder` must"):
            files.require_writable_folder(str(tmp_path))

    def test_json_is_utf8_and_ends_in_a_newline(self, tmp_path):
        path = tmp_path / "a.json"
        files.write_json(str(path), {"a": "字"})
        assert path.read_bytes().decode("utf-8").endswith("}\n")
        assert json.loads(path.read_bytes()) == {"a": "字"}
