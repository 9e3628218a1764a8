"""The commands and the Python of README.md and of docs/ run as printed.

Every command of ```bash blocks that starts with `bert-tf`, and every ```python block, runs in the order of PAGES. They
share a folder with what the pages take for granted: `docs/*.txt`, `train.tsv`, `dev.tsv`, `pairs.tsv`, `texts.txt` and
`masked.txt`. What would take hours is made small by flags appended to the command (SMALL); everything before them is as
printed. What a page has made already is not made again: the same command runs once. Blocks marked ```sh or ```console
are only shown: installations, clusters.
"""

import gzip
import json
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
    "--set=train.precision=float32",
]
_MODEL = [
    "--set=model.num_layers=1",
    "--set=model.num_heads=2",
    "--set=model.hidden_size=32",
    "--set=model.intermediate_size=64",
]
# A flag that is given twice has its last value.
SMALL = {
    "create-vocab": ["--vocab_size=200"],
    "pretrain": [*_TRAINING, *_MODEL],
    "adapt": _TRAINING,
    "finetune": _TRAINING,
}
_MAKERS = ("create-vocab", "create-pretraining-data", "pretrain", "adapt", "finetune", "export-saved-model")
OUTPUT_FLAGS = ("output", "output_dir", "model_dir", "export_dir")
# The order in which the pages are run. "Start here" and the README ask models that earlier pages have made.
PAGES = (
    *("installation", "data", "pretraining", "finetuning", "glue", "choices", "distillation", "multitask", "serving"),
    *("deployment", "python", "scoring", "chinese", "explaining"),
    *("ranking", "report", "notebooks", "keras", "migration", "weights", "limits", "engines", "tpu", "scale"),
    *(f"coming_from/{name}" for name in ("google_bert", "model_garden", "huggingface", "keras_hub", "bert4keras")),
    *("reference", "start", "howto", "concepts", "formats", "comparison", "changelog"),
)
# tests/test_translations.py holds these to their originals; what runs here is what has data of its own.
TRANSLATIONS = sorted(path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob("docs/zh/*.md"))
PAGE_FILES = [*(f"docs/{page}.md" for page in PAGES), "docs/zh/chinese.md", "README.md"]


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[tuple[int, str]]:
    """(position in the text, content) of each fenced block of `language`."""
    return [(found.start(), found[1]) for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)]


def commands_of(text: str, language: str = "bash") -> list[tuple[int, str]]:
    """(position, command) of each `bert-tf` command in the blocks: continued lines joined, comments off."""
    commands = []
    for position, block in code_blocks(text, language):
        lines = block.replace("\\\n", " ").splitlines()
        commands += [(position, re.sub(r"\s+# .*", "", line)) for line in lines if line.startswith("bert-tf")]
    return commands


def name_and_flags(command: str) -> tuple[str, dict[str, str]]:
    """The name of a command ("" for `bert-tf` alone), and its flags with their last values ("" for none)."""
    _, name, *arguments = [*shlex.split(command), ""]
    flags: dict[str, str] = {}
    for position, argument in enumerate(arguments):
        if argument.startswith("--"):
            flag, equals, value = argument.removeprefix("--").partition("=")
            following = arguments[position + 1 : position + 2]
            flags[flag] = value if equals else next((word for word in following if not word.startswith("--")), "")
    return name, flags


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


def _prepare_chinese(folder: Path) -> None:
    """Make small files of the forms of the Chinese data sets."""
    good, bad = "味道很好，送餐很快。北京的服务员也很好！", "味道不好，送餐太慢。上海的服务员不好。"
    texts = [(label, (good, bad)[1 - label] * (1 + number % 3)) for number in range(60) for label in (1, 0)]
    with gzip.open(folder / "online_shopping_10_cats.csv.gz", "wt", encoding="utf-8") as file:
        file.write("cat,label,review\n" + "".join(f"书籍,{label},{text}{n}\n" for n, (label, text) in enumerate(texts)))
    (folder / "waimai_10k.csv").write_text(
        "label,review\n" + "".join(f"{label},{text}\n" for label, text in texts), encoding="utf-8"
    )
    tags = "".join(f"{c} {tag}\n" for c, tag in zip("在北京工作", ("O", "B-LOC", "I-LOC", "O", "O"), strict=True))
    for part in ("test", "dev"):
        (folder / f"peoples_daily_ner.{part}.conll").write_text(f"{tags}\n" * 20, encoding="utf-8")


def _prepare(folder: Path) -> None:
    """Make the files that the page expects."""
    _prepare_chinese(folder)
    for number in range(3):
        write_corpus(folder / "docs" / f"{number}.txt", 80 + 20 * number)
    sentences = [sentence for document in corpus_documents(20) for sentence in document]
    rows = [f"{text}\t{text}\t{'water' if 'river' in text else 'land'}" for text in sentences]
    header = "text\tsentence\tlabel"
    (folder / "train.tsv").write_text("\n".join([header, *rows[:60]]) + "\n", encoding="utf-8")
    (folder / "dev.tsv").write_text("\n".join([header, *rows[60:90]]) + "\n", encoding="utf-8")
    (folder / "masked.txt").write_text("the [MASK:3] near the river\n", encoding="utf-8")
    pairs = [f"{text}\t{' '.join(text.split()[:3])}" for text in sentences[:60]]
    (folder / "pairs.tsv").write_text("\n".join(["source\ttarget", *pairs]) + "\n", encoding="utf-8")
    (folder / "texts.txt").write_text("\n".join(sentences[:7]) + "\n", encoding="utf-8")
    # "Start here" asks the models of the quickstart; here they are those of the pages before it.
    (folder / "runs" / "quickstart").mkdir(parents=True)
    for name, run in (("pretrained", "run"), ("classifier", "classifier")):
        (folder / "runs" / "quickstart" / name).symlink_to(folder / run)


@pytest.mark.long
def test_commands_run_as_printed(tmp_path):
    _prepare(tmp_path)
    launcher = tmp_path / ".bin" / "bert-tf"
    launcher.parent.mkdir()
    launcher.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m experiments.main "$@"\n', encoding="utf-8"
    )
    launcher.chmod(0o755)
    environment = os.environ | {"PATH": f"{launcher.parent}:{os.environ['PATH']}"}
    made = set()
    for page in PAGE_FILES:
        text = text_of(page)
        python = shlex.quote(sys.executable)
        programs = [(position, f"{python} - <<'END'\n{block}END") for position, block in code_blocks(text, "python")]
        for _, command in sorted([*commands_of(text), *programs], key=lambda step: step[0]):
            outputs = []
            if command.startswith("bert-tf"):
                name, flags = name_and_flags(command)
                outputs = [path for flag in OUTPUT_FLAGS if flag in flags for path in flags[flag].split(",")]
                if name == "export-saved-model":
                    outputs = [flags.get("export_dir") or f"{flags['model_dir']}/export"]
                if name in _MAKERS:
                    if outputs[0] in made:
                        continue
                    made.add(outputs[0])
                if "extend" not in flags:  # a vocabulary that is extended has its size already
                    command = " ".join([command, *SMALL.get(name, [])])
            result = subprocess.run(
                ["bash", "-c", command],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            assert result.returncode == 0, f"{command}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
            assert [path for path in outputs if not (tmp_path / path).exists()] == [], command


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
