"""The notebooks, run cell by cell in a process of their own as Jupyter runs them, with small sizes as parameters.

A cell is Python; a line that starts with `!` is a command whose `{...}` are expressions. Installation cells are
checked, not run.
"""

import ast
import configparser
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import bert_tf
from bert_tf.configs.experiment_files import list_experiments
from experiments.commands import COMMANDS

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "experiments" / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
PAGES = ("README.md", "docs/notebooks.md")

SIZE = {"num_layers": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64}
TRAINING = {"jit_compile": False, "precision": "float32", "eval_batch_size": 32}
SETTINGS = {"epochs": 1, "batch_size": 16, **TRAINING}
# The parameters of each notebook at test size, what it prints, and the number of its pictures.
RUNS = {
    "chinese_entities": (
        {"NUM_SENTENCES": 40, "SIZE": SIZE, "SETTINGS": {**SETTINGS, "max_seq_length": 32, "bucket_lengths": [32]}},
        (r"tagging_loss \d", r"[1-5] sentences shown", r"华清大学的教授李小红住在长沙。"),
        2,
    ),
    "export_and_serve": (
        {"SIZE": SIZE, "SETTINGS": {**SETTINGS, "max_seq_length": 32, "bucket_lengths": [32]}, "NUM_REQUESTS": 4},
        (
            r"model\.|variables",
            r"trained model: \d\.?\d*(e-\d+)?\n",
            r"\['(bad|good)', '(bad|good)', '",
            r"exit code 0",
        ),
        1,
    ),
    "fine_tune_and_inspect": (
        {
            "NUM_MESSAGES": 80,
            "SIZE": SIZE,
            "SETTINGS": {**SETTINGS, "max_seq_length": 48, "bucket_lengths": [48]},
            "ATTRIBUTIONS": "gradient_x_input",
        },
        (r"accuracy [01]", r"0\.\d\d (account|delivery|payment|return) +label: "),
        4,
    ),
    "generate_summaries": (
        {
            "NUM_REPORTS": 40,
            "SIZE": SIZE,
            "SETTINGS": {**SETTINGS, "max_seq_length": 96, "max_target_length": 8, "bucket_lengths": [96]},
            "BEAMS": 2,
        },
        (r"rougeL [01]", r"4 of 4 differ", r"summary: \w+ (beat|and) \w+"),
        2,
    ),
    "pretrain_on_your_text": (
        {
            "PACKAGES": ["tqdm"],
            "VOCAB_SIZE": 300,
            "TRAINING": {
                "steps": 4,
                "eval_every": 2,
                "log_every": 2,
                "steps_per_loop": 2,
                "warmup_steps": 1,
                "batch_size": 8,
                "concurrent_parts": 1,
                **SIZE,
                **TRAINING,
            },
        },
        (r"documents, [\d,]+ characters", r"masked_lm_loss \d\S*, masked_lm_accuracy \d"),
        3,
    ),
    "question_answering_on_tpu": (
        {
            "DEVICES": "--strategy mirrored --num_devices 2",
            "NUM_TEXTS": 10,
            "SIZE": [f"model.{name}={value}" for name, value in SIZE.items()],
            "SETTINGS": [
                *("num_epochs=1", "train.batch_size=8", "train.precision=float32", "train.log_every=2"),
                *("train.steps_per_loop=2", "task.max_seq_length=96", "task.max_query_length=24"),
                "task.bucket_lengths=96",
            ],
        },
        (r"MirroredStrategy, 2 replicas", r"'exact_match': [01]\.", r"When did the museum open\? '.*', [01]\.\d\d"),
        2,
    ),
    "retrieve_and_rerank": (
        {
            "PACKAGES": ["absl"],
            "NUM_PAIRS": 60,
            "SIZE": SIZE,
            "RETRIEVAL": {**SETTINGS, "max_seq_length": 32, "max_query_length": 32, "bucket_lengths": [32]},
            "RERANKING": {**SETTINGS, "group_size": 4, "max_seq_length": 64, "bucket_lengths": [64]},
            "CANDIDATES": 4,
        },
        (
            r"48 queries to learn from, 2 x 6 held out, 60 passages",
            r"search alone: MRR [01]\.\d{3} on the 6 queries",
            r"both, weight [\d.]+: MRR [01]\.\d{3}",
        ),
        4,
    ),
}

# Runs in a fresh interpreter: reads the cells' sources, a JSON list, from its standard input. What Jupyter shows of a
# cell, its last expression and the open figures, is drawn and counted.
RUNNER = r"""
import ast, json, re, subprocess, sys

def shell(command, names):
    filled = re.sub(r"\{([^{}]+)\}", lambda found: str(eval(found[1], names)), command)
    subprocess.run(["bash", "-c", filled], check=True)

def show(value):
    if hasattr(value, "_repr_png_"):
        assert value._repr_png_().startswith(b"\x89PNG")
        print("[picture]")
    elif value is not None:
        print(repr(value))

names = {"__name__": "__main__", "shell": shell, "show": show}
for cell in json.load(sys.stdin):
    lines = re.sub(r"\\\n", " ", cell) if re.search(r"^ *!", cell, flags=re.M) else cell
    source = re.sub(r"^( *)!(.*)$", lambda found: f"{found[1]}shell({found[2]!r}, globals())", lines, flags=re.M)
    tree = ast.parse(source, "cell")
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = tree.body[-1]
        last.value = ast.copy_location(ast.Call(ast.Name("show", ast.Load()), [last.value], []), last)
    exec(compile(ast.fix_missing_locations(tree), "cell", "exec"), names)
    if "matplotlib.pyplot" in sys.modules:
        pyplot = sys.modules["matplotlib.pyplot"]
        for number in pyplot.get_fignums():
            pyplot.figure(number).canvas.draw()
            print("[picture]")
        pyplot.close("all")
"""


def notebook(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def cells(name):
    """Return (tags, source) of each code cell."""
    return [
        (cell["metadata"].get("tags", []), "".join(cell["source"]))
        for cell in notebook(name)["cells"]
        if cell["cell_type"] == "code"
    ]


def syntax_tree(source):
    """Return the syntax tree of a cell, with `pass` in the place of its commands."""
    return ast.parse(re.sub(r"^( *)[%!](?:.*\\\n)*.*$", r"\1pass", source, flags=re.M))


def parameters_of(name):
    """Return the values of the cell of parameters, which are literals, by name."""
    [source] = [source for tags, source in cells(name) if "parameters" in tags]
    found = {}
    for statement in syntax_tree(source).body:
        target = statement.target if isinstance(statement, ast.AugAssign) else statement.targets[0]
        found[target.id] = ast.literal_eval(statement.value)
    return found


def test_there_are_seven_and_each_is_run():
    assert list(RUNS) == NOTEBOOKS
    assert len(NOTEBOOKS) == 7


@pytest.mark.parametrize("name", RUNS)
def test_a_notebook_is_clean(name):
    book = notebook(name)
    assert set(book) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (book["nbformat"], book["nbformat_minor"], book["metadata"]) == (4, 5, METADATA)
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    for cell in book["cells"]:
        keys = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            keys |= {"execution_count", "outputs"}
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
        assert set(cell) == keys
        assert "".join(cell["source"]).splitlines(keepends=True) == cell["source"]
    assert "".join(book["cells"][0]["source"]).startswith("# ")
    assert [tag for tags, _ in cells(name) for tag in tags] == ["installation", "parameters"]


@pytest.mark.parametrize("name", RUNS)
def test_a_notebook_has_literal_parameters_and_public_names(name):
    parameters = parameters_of(name)
    assert all(parameter.isupper() for parameter in parameters)
    assert set(RUNS[name][0]) <= set(parameters)
    documented = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "docs").glob("*.md"))
    for _, source in cells(name):
        for node in ast.walk(syntax_tree(source)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("bert_tf"):
                assert all(f"{node.module}.{alias.name}" in documented for alias in node.names)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "bert_tf":
                assert node.attr in bert_tf.__all__


@pytest.mark.parametrize("name", RUNS)
def test_commands_experiments_extras_and_notebooks_that_are_named_exist(name):
    source = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    commands = re.findall(r"bert-tf ([\w-]+)", source)
    assert commands
    assert set(commands) <= set(COMMANDS)
    experiments = re.findall(r"--config (\w+)", source)
    assert set(experiments) <= {experiment.name for experiment in list_experiments()}
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    extras = re.findall(r"bert_tf\[([\w,]+)\]", source)
    assert extras
    assert set(",".join(extras).split(",")) <= set(setup["options.extras_require"])
    assert set(re.findall(r"(\w+)\.ipynb", source)) <= set(NOTEBOOKS)
    for page in re.findall(r"blob/main/(docs/[\w/.]+)\)", source):
        assert (REPOSITORY / page).is_file()


def test_badges_lead_to_each_notebook_and_all_addresses_are_the_same():
    badge = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    place = r"https://colab\.research\.google\.com/github/([\w-]+/\w+)/blob/main/experiments/notebooks/(\w+)\.ipynb"
    books = {name: "".join(notebook(name)["cells"][0]["source"]) for name in NOTEBOOKS}
    pages = {page: (REPOSITORY / page).read_text(encoding="utf-8") for page in PAGES}
    for text, names in [
        *((text, [name]) for name, text in books.items()),
        *((pages[page], NOTEBOOKS) for page in PAGES),
    ]:
        linked = re.findall(re.escape(badge) + rf"\({place}\)", text)
        assert sorted(name for _, name in linked) == names
    sources = [*pages.values(), *((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8") for name in NOTEBOOKS)]
    addresses = r"(?<!colab\.research\.google\.com/)github(?:\.com)?/([\w-]+/bert_tf)\b"
    assert len({found for text in sources for found in re.findall(addresses, text)}) == 1


def test_the_command_of_the_release_names_the_account_everywhere(tmp_path):
    contributing = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [command] = re.findall(r"`(grep -rle -OWNER- [^`]+)`", contributing)
    folders = ("bert_tf", "data_pipelines", "docs", "experiments", "tpu_configs")
    paths = [*REPOSITORY.glob("*.*"), *(path for folder in folders for path in (REPOSITORY / folder).rglob("*.*"))]
    copies = []
    for path in paths:
        name = path.relative_to(REPOSITORY).as_posix()
        built = name.startswith("docs/_build/") or name == "CONTRIBUTING.md"
        if path.is_file() and not built and b"-OWNER-" in path.read_bytes():
            copies.append(tmp_path / name)
            copies[-1].parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copies[-1])
    assert len(copies) >= len(PAGES) + len(NOTEBOOKS)
    subprocess.run(["bash", "-c", " ".join(command.split())], cwd=tmp_path, check=True)
    texts = [path.read_text(encoding="utf-8") for path in copies]
    assert all("-OWNER-" not in text and "/ACCOUNT/bert_tf" in text for text in texts)


def run(name, parameters, folder):
    """Return the output of the notebook's cells, run with `parameters` set after its own."""
    changes = "".join(f"{key} = {value!r}\n" for key, value in parameters.items())
    sources = []
    for tags, source in cells(name):
        if "installation" not in tags:
            sources.append(source + ("\n" + changes if "parameters" in tags else ""))
    command = folder / ".bin" / "bert-tf"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m experiments.main "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    finished = subprocess.run(
        [sys.executable, "-P", "-c", RUNNER],
        input=json.dumps(sources),
        cwd=folder,
        env=os.environ | {"PATH": f"{command.parent}:/usr/bin:/bin", "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert finished.returncode == 0, f"{finished.stdout[-2000:]}\n{finished.stderr[-4000:]}"
    return finished.stdout


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.long
@pytest.mark.parametrize("name", RUNS)
def test_a_notebook_runs_at_small_size(name, tmp_path):
    parameters, expected, pictures = RUNS[name]
    if "PORT" in parameters_of(name):
        parameters = parameters | {"PORT": free_port()}
    printed = run(name, parameters, tmp_path)
    assert [pattern for pattern in expected if not re.search(pattern, printed)] == [], printed
    assert printed.count("[picture]") == pictures
