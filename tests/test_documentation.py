"""What README.md and the pages of docs/ name exists: flags, experiments, targets of make, links; their Python is typed.

`page_commands.py` has the pages; `test_pages_of_training.py` and `test_pages_of_models.py` run them.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from page_commands import (
    PAGE_FILES,
    PAGES,
    REPOSITORY,
    TRANSLATIONS,
    code_blocks,
    commands_of,
    name_and_flags,
    text_of,
)

_FLAGS_OF = """
import importlib, json, sys
from absl import flags
from experiments.main import COMMANDS

found = {}
for command, module in COMMANDS.items():
    if module:
        before = set(flags.FLAGS)
        importlib.import_module(module).define_flags()
        found[command] = sorted(set(flags.FLAGS) - before)
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)
    else:
        found[command] = []
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def flags_of():
    """The flags of each command."""
    printed = subprocess.run([sys.executable, "-c", _FLAGS_OF], capture_output=True, text=True, check=True).stdout
    return {command: set(names) for command, names in json.loads(printed.splitlines()[-1]).items()}


README = text_of("README.md")


def test_the_readme_is_short_and_opens_with_the_two_targets():
    assert len(README.splitlines()) <= 200
    _, first = code_blocks(README, "bash")[0]
    assert [line.split("  ")[0] for line in first.splitlines()] == ["make quickstart", "make test"]


def test_the_readme_has_every_command_a_user_starts(flags_of):
    shown = set(re.findall(r"^\| `bert-tf ([a-z-]+)`", README, re.M))
    assert shown == set(flags_of) - {"quickstart", "tpu-check", "tpu-topologies", "completion"}


@pytest.mark.parametrize("page", sorted({*PAGE_FILES, *TRANSLATIONS}))
def test_flags_and_experiments_exist(page, flags_of):
    text = text_of(page)
    experiments = {path.stem for path in (REPOSITORY / "experiments" / "configs").glob("*.py")}
    for _, command in [*commands_of(text), *commands_of(text, "sh")]:
        name, flags = name_and_flags(command)
        if name:
            assert {flag.removeprefix("no") if flag not in flags_of[name] else flag for flag in flags} <= flags_of[name]
        if "config" in flags:
            assert flags["config"] in experiments


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.M))
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        named = re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M)
        assert named
        assert set(named) <= targets


def test_pages_are_in_the_index():
    docs = REPOSITORY / "docs"
    found = {path.relative_to(docs).with_suffix("").as_posix() for path in docs.rglob("*.md")}
    pages = {page for page in found if not page.startswith(("_build/", "zh/"))}
    assert pages == {"index", *PAGES}
    listed, shown = pages_of("docs/index.md")
    assert sorted(listed) == sorted({*PAGES, "zh/index"})
    assert shown == [page for page in listed if page != "zh/index"]
    listed, shown = pages_of("docs/zh/index.md")
    assert sorted(f"docs/zh/{page}.md" for page in (*listed, "index", "README")) == TRANSLATIONS
    assert [page for page in shown if not page.startswith("../")] == listed


def pages_of(index: str) -> tuple[list[str], list[str]]:
    """The pages in the trees of an index, and those in its tables."""
    trees = "".join(re.findall(r"^```\{toctree\}.*?^```$", text_of(index), re.M | re.S))
    tables = re.findall(r"^\| \[[^]]+\]\(([a-z0-9_/.]+)\.md\)", text_of(index), re.M)
    return re.findall(r"^([a-z0-9_/]+)$", trees, re.M), tables


@pytest.mark.parametrize("page", sorted({"docs/index.md", *PAGE_FILES, *TRANSLATIONS, "CONTRIBUTING.md"}))
def test_links_lead_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text_of(page)) if "://" not in link]
    assert [link for link in links if not (REPOSITORY / page).parent.joinpath(link).exists()] == []


@pytest.mark.long
def test_the_types_of_the_public_interface_fit_the_examples(tmp_path):
    blocks = [(page, block) for page in PAGE_FILES for _, block in code_blocks(text_of(page), "python")]
    assert len(blocks) > 10
    names = []
    for number, (page, block) in enumerate(blocks):
        names.append(f"{Path(page).stem}_{number}.py")
        (tmp_path / names[-1]).write_text(block, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--ignore-missing-imports", "--explicit-package-bases", *names],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
