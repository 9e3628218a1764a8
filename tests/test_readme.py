"""The commands of README.md run as printed.

Every command of its ```bash blocks that starts with `python -m`, and every ```python block, runs in the order of the
page, in one folder that holds what the page takes for granted: `docs/*.txt`, `train.tsv`, `dev.tsv`, `texts.txt`, and
`experiments/`. What would take hours is made small by flags appended to the command (SMALL); everything before them is
as printed. Blocks marked ```sh or ```console are shown only: installations, clusters.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from small_corpus import corpus_documents, write_corpus

REPOSITORY = Path(__file__).resolve().parent.parent

_TRAINING = [
    "--set=train.num_steps=4",
    "--set=train.warmup_steps=1",
    "--set=train.steps_per_loop=2",
    "--set=train.batch_size=8",
    "--set=train.eval_batch_size=8",
    "--set=train.jit_compile=false",
]
_MODEL = [
    "--set=model.num_layers=1",
    "--set=model.num_heads=2",
    "--set=model.hidden_size=32",
    "--set=model.intermediate_size=64",
]
# A flag that is given twice has its last value.
SMALL = {
    "data_pipelines.create_vocab": ["--vocab_size=200"],
    "experiments.pretrain": [*_TRAINING, *_MODEL],
    "experiments.finetune": _TRAINING,
}
OUTPUT_FLAGS = ("output", "output_dir", "model_dir", "export_dir")


def code_blocks(text: str, language: str) -> list[tuple[int, str]]:
    """(place in the text, content) of each fenced block of `language`."""
    return [(found.start(), found[1]) for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)]


def python_commands(text: str) -> list[tuple[int, str]]:
    """(place, command) of each `python -m` command in the bash blocks: continued lines joined, comments off."""
    commands = []
    for place, block in code_blocks(text, "bash"):
        lines = block.replace("\\\n", " ").splitlines()
        commands += [(place, re.sub(r"\s+# .*", "", line)) for line in lines if line.startswith("python -m ")]
    return commands


def module_and_flags(command: str) -> tuple[str, dict[str, str]]:
    """The module a command runs, and its flags with their last values ("" for a flag without one)."""
    _, _, module, *arguments = shlex.split(command)
    flags: dict[str, str] = {}
    for position, argument in enumerate(arguments):
        if argument.startswith("--"):
            name, equals, value = argument.removeprefix("--").partition("=")
            following = arguments[position + 1 : position + 2]
            flags[name] = value if equals else next((word for word in following if not word.startswith("--")), "")
    return module, flags


def defined_flags(module: str) -> set[str]:
    """Names of the flags that a launcher's source defines, itself or through modules of its own package."""
    source = REPOSITORY.joinpath(*module.split(".")).with_suffix(".py")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    names = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr.startswith(("DEFINE_", "mark_flag"))
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == module.split(".")[0]:
            names |= {name for alias in node.names for name in defined_flags(f"{node.module}.{alias.name}")}
    return names


README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = [command for _, command in python_commands(README)]


def test_the_page_opens_with_the_two_targets_and_has_every_launcher():
    _, first = code_blocks(README, "bash")[0]
    assert [line.split("  ")[0] for line in first.splitlines()] == ["make quickstart", "make test"]
    shown = {module_and_flags(command)[0] for command in COMMANDS}
    launchers = {"pretrain", "finetune", "evaluate", "predict", "export_saved_model"}
    assert shown >= {f"experiments.{name}" for name in launchers}
    assert shown >= {"data_pipelines.create_vocab", "data_pipelines.create_pretraining_data"}


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_and_experiments_exist(command):
    module, flags = module_and_flags(command)
    assert set(flags) <= defined_flags(module)
    if "config" in flags:
        assert (REPOSITORY / flags["config"]).is_file()


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.M))
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        named = re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M)
        assert named
        assert set(named) <= targets


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_no_figure_is_missing():
    assert "FIGURES" not in README


def _prepare(folder: Path) -> None:
    """What the page takes for granted."""
    for number in range(3):
        write_corpus(folder / "docs" / f"{number}.txt", 80 + 20 * number)
    (folder / "experiments").symlink_to(REPOSITORY / "experiments")
    sentences = [sentence for document in corpus_documents(20) for sentence in document]
    rows = [f"{text}\t{text}\t{'water' if 'river' in text else 'land'}" for text in sentences]
    header = "text\tsentence\tlabel"
    (folder / "train.tsv").write_text("\n".join([header, *rows[:60]]) + "\n", encoding="utf-8")
    (folder / "dev.tsv").write_text("\n".join([header, *rows[60:90]]) + "\n", encoding="utf-8")
    (folder / "texts.txt").write_text("\n".join(sentences[:7]) + "\n", encoding="utf-8")


@pytest.mark.long
def test_commands_run_as_printed(tmp_path):
    _prepare(tmp_path)
    interpreter = tmp_path / ".bin" / "python"
    interpreter.parent.mkdir()
    interpreter.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    interpreter.chmod(0o755)
    environment = os.environ | {"PATH": f"{interpreter.parent}:{os.environ['PATH']}"}

    steps = [
        *python_commands(README),
        *((place, f"python - <<'END'\n{block}END") for place, block in code_blocks(README, "python")),
    ]
    for _, command in sorted(steps, key=lambda step: step[0]):
        outputs = []
        if command.startswith("python -m "):
            module, flags = module_and_flags(command)
            command = " ".join([command, *SMALL.get(module, [])])
            outputs = [flags[name] for name in OUTPUT_FLAGS if name in flags]
        result = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert result.returncode == 0, f"{command}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
        assert [path for path in outputs if not (tmp_path / path).exists()] == [], command
