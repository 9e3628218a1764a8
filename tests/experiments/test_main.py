"""The command `bert-tf`: its list, its help, its completion. None of them waits for TensorFlow, Keras or JAX."""

import os
import subprocess
import sys

import pytest

from experiments.commands import COMMANDS

HEAVY = ("tensorflow", "keras", "jax", "torch")
_RUN = """
import sys
sys.argv = ["bert-tf", *sys.argv[1:]]
from experiments.main import main
try:
    main()
finally:
    print("loaded:", *sorted({name.split(".")[0] for name in sys.modules} & set(HEAVY)), file=sys.stderr)
""".replace("HEAVY", repr(HEAVY))


def _bert_tf(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-P", "-c", _RUN, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _require_light(result):
    assert result.stderr.splitlines()[-1].strip() == "loaded:", result.stderr


def test_the_list_of_commands():
    result = _bert_tf()
    assert result.returncode == 0
    _require_light(result)
    for command in COMMANDS:
        [line] = [line for line in result.stdout.splitlines() if line.split()[:1] == [command]]
        assert line.split(maxsplit=1)[1].endswith((".", ")", "`)."))


@pytest.mark.parametrize("command", [command for command, module in COMMANDS.items() if module])
def test_help_of_every_command(command):
    result = _bert_tf(command, "--help")
    assert result.returncode == 0, result.stderr
    _require_light(result)
    assert f"Flags of bert-tf {command}:" in result.stdout
    shown = result.stdout.splitlines()
    flags = [number for number, line in enumerate(shown) if line.startswith("  --")]
    assert flags
    assert all(shown[number + 1].startswith("      ") for number in flags), "each has a sentence"


def test_experiments_are_listed():
    result = _bert_tf("configs")
    assert result.returncode == 0
    _require_light(result)
    names = [line.split()[0] for line in result.stdout.splitlines() if line]
    assert {"bert_base", "sst2", "squad"} <= set(names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pretrian",), "there is no command 'pretrian'. Did you mean pretrain?"),
        (("nothing",), "there is no command 'nothing'. `bert-tf` lists all commands"),
        (("configs", "bert_base"), "bert-tf configs takes no arguments. Received: 'bert_base'"),
    ],
)
def test_wrong_commands(arguments, message):
    result = _bert_tf(*arguments)
    assert result.returncode == 1
    assert message in result.stderr


def test_underscores_are_hyphens():
    assert "Flags of bert-tf create-vocab:" in _bert_tf("create_vocab", "--help").stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bert-tf pre", {"pretrain", "predict"}),
        ("bert-tf pretrain --str", {"--strategy"}),
        ("bert-tf pretrain --strategy mu", {"multi_worker"}),
        ("bert-tf finetune --config squ", {"squad", "squad2"}),
    ],
)
def test_completion(tmp_path, line, expected):
    output = tmp_path / "completions"
    result = _bert_tf(
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_STDOUT_FILENAME=str(output),
        _ARGCOMPLETE_SUPPRESS_SPACE="1",
        _ARGCOMPLETE_IFS="\n",
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
    )
    assert result.returncode == 0, result.stderr
    assert {word.strip() for word in output.read_text(encoding="utf-8").splitlines()} >= expected
