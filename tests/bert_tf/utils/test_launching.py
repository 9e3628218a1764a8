import os
import signal
import subprocess
import sys
import textwrap

import pytest

from bert_tf.utils import launching

_LAUNCHER = """
from absl import flags
from bert_tf.utils import launching

def define_flags():
    flags.DEFINE_string("input", None, "a file", required=True)

def main(_):
{body}

if __name__ == "__main__":
    launching.run(main, define_flags)
"""


def _launch(tmp_path, body, *arguments, **environment):
    script = tmp_path / "launcher.py"
    script.write_text(_LAUNCHER.format(body=textwrap.indent(textwrap.dedent(body), "    ")), encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("kind", ["ValueError", "FileNotFoundError", "PermissionError"])
def test_bad_input_is_one_line(tmp_path, kind):
    result = _launch(
        tmp_path, f"raise {kind}('`input` must exist, `other` too. Received: ' + flags.FLAGS.input)", "--input=a.txt"
    )
    assert result.returncode == 2
    assert result.stderr == "error: --input must exist, `other` too. Received: a.txt\n"


def test_fields_of_a_configuration_are_not_taken_for_flags(tmp_path):
    body = """
    from bert_tf.configs import BertConfig
    BertConfig().override("input=3")
    """
    result = _launch(tmp_path, body, "--input=a.txt")
    assert result.stderr.startswith("error: unknown field `input`; BertConfig has: vocab_size, ")


def test_faults_keep_their_traceback(tmp_path):
    result = _launch(tmp_path, "raise KeyError('step')", "--input=a.txt")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    asked_for = _launch(tmp_path, "raise ValueError('bad')", "--input=a.txt", BERT_TF_TRACEBACK="1")
    assert asked_for.returncode == 1
    assert "Traceback" in asked_for.stderr


def test_a_command_that_succeeds_prints_its_output_alone(tmp_path):
    result = _launch(tmp_path, "print('read', flags.FLAGS.input)", "--input", "a.txt")
    assert (result.returncode, result.stdout, result.stderr) == (0, "read a.txt\n", "")


def test_advice_of_tensorflow_to_programmers_is_left_out(tmp_path):
    body = """
    import logging
    logger = logging.getLogger("tensorflow")
    logger.warning("%d out of the last %d calls to %s triggered tf.function retracing.", 5, 22, "f")
    logger.warning("the disk is full")
    """
    result = _launch(tmp_path, body, "--input", "a.txt")
    assert result.returncode == 0
    assert "the disk is full" in result.stderr
    assert "retracing" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input=a", "--imput=b"], "Unknown command line flag 'imput'"),
        ([], "--input"),
        (["--input=a", "stray"], "error: arguments must be flags, --name=value. Received: 'stray'"),
    ],
)
def test_wrong_command_lines_are_refused(tmp_path, arguments, message):
    result = _launch(tmp_path, "print('ran')", *arguments)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert "ran" not in result.stdout


def test_an_interrupt_ends_with_exit_code_130(tmp_path):
    # A shell that runs tests in the background lets its children ignore the signal, so it is handled again here.
    body = "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    result = _launch(tmp_path, body + f"os.kill(os.getpid(), {signal.SIGINT:d}); print('ran')", "--input=a")
    assert result.returncode == 130
    assert "Traceback" not in result.stderr


def test_a_reader_that_goes_away_ends_with_exit_code_141(tmp_path):
    script = tmp_path / "launcher.py"
    script.write_text(_LAUNCHER.format(body="    for i in range(100000):\n        print('line', i)"), encoding="utf-8")
    command = f"{sys.executable} {script} --input=a | head -1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (141, "line 0\n", "")


def test_lists_of_whole_numbers_are_checked():
    assert launching.whole_numbers(["0", " 12"], "seeds") == [0, 12]
    for wrong in (["1", "-2"], ["1.5"], ["3", "3"], [""]):
        with pytest.raises(ValueError, match=rf"`seeds` takes whole numbers, .*Received: '{','.join(wrong)}'"):
            launching.whole_numbers(wrong, "seeds")
