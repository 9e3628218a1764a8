import sys

from bert_tf.utils import progress
from bert_tf.utils.progress import progress_bar


def test_log_file_gets_whole_lines(capsys):
    assert list(progress_bar(range(5), label="counting", unit="rows")) == [0, 1, 2, 3, 4]
    written = capsys.readouterr().err
    assert "\r" not in written
    assert written.endswith("\n")
    last = written.splitlines()[-1]
    assert last.startswith("counting: 100%")
    assert "5/5" in last
    assert "rows/s" in last


def test_log_file_gets_a_line_an_interval_not_one_an_update(capsys):
    with progress_bar(label="steps", total=50_000) as bar:
        for _ in range(50_000):
            bar.update()
    assert len(capsys.readouterr().err.splitlines()) <= 3


def test_lines_follow_the_clock(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    with progress_bar(label="steps", total=3) as bar:
        for step in range(3):
            bar.set_postfix(loss=f"{step}.5", refresh=False)
            bar.update()
    written = capsys.readouterr().err
    assert "loss=0.5" in written
    assert "loss=2.5" in written.splitlines()[-1]


def test_terminal_is_redrawn(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    list(progress_bar(range(3), label="counting"))
    written = capsys.readouterr().err
    assert written.count("\r") >= 2
    assert written.count("\n") == 1
