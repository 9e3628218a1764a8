"""The notebooks, run cell by cell in one process as Jupyter runs them, with small files and sizes as parameters.

A cell is Python; a line that starts with `!` is a command whose `{...}` are expressions. Installation cells are
checked, not run.
"""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from small_corpus import corpus_documents, write_corpus
from small_model import write_run

from bert_tf.configs.experiment_files import list_experiments
from experiments.commands import COMMANDS

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "experiments" / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))

# Runs in a fresh interpreter: reads the cells' sources, a JSON list, from its standard input.
RUNNER = r"""
import json, re, subprocess, sys

def shell(command, names):
    filled = re.sub(r"\{([^{}]+)\}", lambda found: str(eval(found[1], names)), command)
    subprocess.run(["bash", "-c", filled], check=True)

names = {"__name__": "__main__", "shell": shell}
for cell in json.load(sys.stdin):
    lines = re.sub(r"\\\n", " ", cell) if cell.lstrip().startswith("!") or "\n!" in cell else cell
    source = re.sub(r"^!(.*)$", lambda found: f"shell({found[1]!r}, globals())", lines, flags=re.M)
    exec(compile(source, "cell", "exec"), names)
"""


def cells(name):
    """Return (tags, source) of each code cell."""
    found = json.loads((FOLDER / name).read_text(encoding="utf-8"))["cells"]
    return [
        (cell["metadata"].get("tags", []), "".join(cell["source"])) for cell in found if cell["cell_type"] == "code"
    ]


def _run(name, parameters, folder):
    """Return the output of the notebook's cells, run with `parameters` set after its own."""
    changes = "".join(f"{key} = {value!r}\n" for key, value in parameters.items())
    sources = []
    for tags, source in cells(name):
        if "installation" not in tags:
            sources.append(source + ("\n" + changes if "parameters" in tags else ""))
    interpreter = folder / ".bin" / "python"
    interpreter.parent.mkdir()
    interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    command = folder / ".bin" / "bert-tf"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m experiments.main "$@"\n', encoding="utf-8")
    for file in (interpreter, command):
        file.chmod(0o755)
    (folder / "experiments").symlink_to(REPOSITORY / "experiments")
    finished = subprocess.run(
        ["env", f"PATH={interpreter.parent}:/usr/bin:/bin", f"PYTHONPATH={REPOSITORY}", sys.executable, "-c", RUNNER],
        input=json.dumps(sources),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 0, f"{finished.stdout[-2000:]}\n{finished.stderr[-4000:]}"
    return finished.stdout


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_clean(name):
    notebook = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["cells"][0]["source"][0].startswith("# ")
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert not [cell for cell in notebook["cells"] if cell.get("outputs") or cell.get("execution_count")]
    assert [tag for tags, _ in cells(name) for tag in tags] == ["installation", "parameters"]
    for _, source in cells(name):
        ast.parse(re.sub(r"^[%!](.*\\\n)*.*$", "pass", source, flags=re.M))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_commands_experiments_and_extras_of_a_notebook_exist(name):
    source = (FOLDER / name).read_text(encoding="utf-8")
    commands = re.findall(r"bert-tf ([\w-]+)", source)
    assert commands
    assert set(commands) <= set(COMMANDS)
    experiments = re.findall(r"--config (\w+)", source)
    assert experiments
    assert set(experiments) <= {experiment.name for experiment in list_experiments()}
    extras = re.findall(r"bert_tf\[([\w,]+)\]", source)
    known = re.search(r"\[options.extras_require\](.*?)\n\[", (REPOSITORY / "setup.cfg").read_text(), re.S)[1]
    assert all(re.search(rf"^{extra} =", known, re.M) for extra in ",".join(extras).split(",") if extra)


@pytest.mark.long
def test_fine_tune_and_serve(tmp_path):
    weights = write_run(tmp_path / "weights", "pretraining")
    sentences = [sentence for document in corpus_documents(20) for sentence in document]
    rows = [f"{text}\t{'water' if 'river' in text else 'land'}" for text in sentences]
    for name, part in (("train.tsv", rows[:48]), ("dev.tsv", rows[48:72])):
        (tmp_path / name).write_text("\n".join(["sentence\tlabel", *part]) + "\n", encoding="utf-8")
    parameters = {
        "TRAIN_FILE": "train.tsv",
        "DEV_FILE": "dev.tsv",
        "WEIGHTS": str(weights),
        "SETTINGS": ["num_epochs=1", "train.batch_size=8", "train.steps_per_loop=3", "train.log_every=3"],
        "TASK_SETTINGS": [
            *("task.max_seq_length=16", "task.bucket_lengths=8,16"),
            *("train.jit_compile=false", "train.precision=float32"),
        ],
        "SENTENCES": sentences[:2],
    }
    printed = _run("fine_tune_and_serve.ipynb", parameters, tmp_path)
    assert re.search(r"'accuracy': [01]\.", printed)
    assert printed.count("'probabilities': {'land'") == 2
    folder = tmp_path / "runs" / "notebook"
    assert (folder / "for_transformers" / "model.safetensors").is_file()
    assert (folder / "export" / "1" / "saved_model.pb").is_file()


@pytest.mark.long
def test_pretrain_on_tpu(tmp_path):
    write_corpus(tmp_path / "docs" / "0.txt", 200)
    training = [
        "num_steps=6",
        "warmup_steps=1",
        "steps_per_loop=2",
        "log_every=2",
        "checkpoint_every=6",
        "eval_every=6",
    ]
    training += ["batch_size=8", "eval_batch_size=8", "jit_compile=false", "precision=float32"]
    sizes = ["num_layers=1", "hidden_size=32", "num_heads=2", "intermediate_size=64"]
    parameters = {
        "INPUT": "--input 'docs/*.txt'",
        "VOCAB_SIZE": 200,
        "MODEL": [f"model.{size}" for size in sizes],
        "TRAINING": [f"train.{setting}" for setting in training],
        "DEVICES": "--strategy mirrored --num_devices 2",
    }
    printed = _run("pretrain_on_tpu.ipynb", parameters, tmp_path)
    assert "MirroredStrategy, 2 replicas" in printed
    assert [int(step) for step in re.findall(r"^(\d+) loss \d", printed, re.M)] == [2, 4, 6]
    assert "(1, 32)" in printed, "the vector of one sentence"
    assert (tmp_path / "runs" / "pretraining" / "weights" / "model.safetensors").is_file()
