import re
import sys

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


class Clock:
    """A clock whose time the test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_log_file_gets_a_line_every_ten_seconds(capsys):
    clock = Clock()
    with progress_bar(label="steps", total=100, clock=clock) as bar:
        for step in range(100):
            clock.now += 1.0
            bar.show(f"loss {step}")
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    counts = [int(re.search(r"(\d+)/100", line)[1]) for line in lines]
    assert counts == [0, *range(10, 101, 10), 100]
    assert "loss 9" in lines[1]


def test_time_left_does_not_count_compilation(capsys):
    clock = Clock()
    with progress_bar(label="steps", total=150, clock=clock) as bar:
        clock.now += 300.0  # tracing and compiling
        bar.skip(50)
        line = capsys.readouterr().err.splitlines()[-1]
        assert "50/150" in line
        assert "<?" in line, "nothing is known about the rate yet"
        clock.now += 20.0
        bar.update(50)
        line = capsys.readouterr().err.splitlines()[-1]
        assert "100/150" in line
        assert "00:20<00:20" in line, "50 steps in 20 seconds, and 50 to come"


def test_terminal_shows_metrics_at_once(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar(label="steps", total=3, clock=Clock()) as bar:
        bar.show("loss 0.5")
        assert "loss 0.5" in capsys.readouterr().err


def test_terminal_is_redrawn(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    list(progress_bar(range(3), label="counting"))
    written = capsys.readouterr().err
    assert written.count("\r") >= 2
    assert written.count("\n") == 1
