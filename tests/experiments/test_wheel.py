"""The wheel in a new environment: the whole path by `bert-tf`, in a folder that has nothing of the clone."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from small_corpus import write_corpus

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bert_tf", "data_pipelines", "experiments", "tpu_configs")

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the wheel, built from a copy of the sources with the tools of this environment."""
    sources = tmp_path_factory.mktemp("sources")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, sources / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist"]
    built = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    (found,) = (sources / "dist").glob("*.whl")
    assert list((sources / "dist").glob("*.tar.gz")), "the source distribution"
    return found


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """Return a new environment with the wheel, and with the libraries of this environment but not the clone."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = ["-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet", str(wheel)]
    subprocess.run([sys.executable, *install], check=True, env=_without_clone())
    own = Path(sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})["purelib"])
    # A folder named in a .pth file is searched, but its own .pth files, such as that of an editable install, are not.
    (own / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    return folder


def _without_clone():
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def _run(environment, folder, *command):
    result = subprocess.run(
        [str(environment / "bin" / command[0]), *command[1:]],
        cwd=folder,
        env=_without_clone(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
    return result


def test_contents_of_the_wheel_and_the_source_distribution(wheel):
    with zipfile.ZipFile(wheel) as contents:
        names = contents.namelist()
    (source,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        in_source = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")} == set(PACKAGES)
    for name in (
        "bert_tf/py.typed",
        "experiments/py.typed",
        "bert_tf/tokenization/unicode_tables.npz",
        "experiments/configs/bert_base.py",
        "tpu_configs/v5e-8.yaml",
        "tpu_configs/slice.sh",
        "tpu_configs/requirements-tpu.txt",
        "tpu_configs/requirements-tpu-jax.txt",
    ):
        assert name in names
        assert name in in_source


def test_from_text_to_an_export_without_the_clone(environment, tmp_path):
    # Folders of these names are the user's own, and no concern of the commands.
    for name in ("experiments", "data_pipelines"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')\n", encoding="utf-8")
    write_corpus(tmp_path / "docs.txt", 60)
    where = _run(environment, tmp_path, "python", "-P", "-c", "import bert_tf; print(bert_tf.__file__)").stdout
    assert Path(where.strip()).is_relative_to(environment)
    made = _run(
        environment, tmp_path, "bert-tf", "create-vocab", "--input=docs.txt", "--vocab_size=200", "--output=v.txt"
    )
    assert made.stderr.splitlines()[-1].startswith("Next: bert-tf create-pretraining-data ")
    records = ("--input=docs.txt", "--vocab_file=v.txt", "--output_dir=records", "--max_seq_length=32")
    made = _run(environment, tmp_path, "bert-tf", "create-pretraining-data", *records)
    assert (
        made.stderr.splitlines()[-1] == "Next: bert-tf pretrain --config bert_base --train_data records --model_dir run"
    )
    settings = ("--set=train.num_steps=2", "--set=train.jit_compile=false", "--set=model.vocab_size=200")
    run = ("--config=bert_tiny_debug", "--train_data=records", "--model_dir=run", *settings)
    made = _run(environment, tmp_path, "bert-tf", "pretrain", *run)
    assert "Next: bert-tf finetune " in made.stderr
    made = _run(environment, tmp_path, "bert-tf", "export-saved-model", "--model_dir=run")
    assert (tmp_path / "run" / "export" / "1" / "saved_model.pb").is_file()
    assert made.stderr.splitlines()[-1].startswith("Next: bert-tf query-saved-model --saved_model run/export/1 ")
