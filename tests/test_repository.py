"""The rules of the repository as a whole: sizes of files, set-up, versions."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
MAX_LINES = 400
MAX_LAUNCHER_LINES = 100
MINOR_VERSIONS = ("2.20", "2.21")
TARGETS = {
    "help",
    "quickstart",
    "checkpoint",
    "test",
    "test-long",
    "test-release",
    "tpu-check",
    "docs",
    "dist",
    "lint",
    "format",
}
TARGETS |= {"clean"}

SETUP = configparser.ConfigParser()
SETUP.read_string((REPOSITORY / "setup.cfg").read_text(encoding="utf-8"))
EXTRAS = {
    name: [line.split("#")[0].strip() for line in requirements.splitlines() if line.strip()]
    for name, requirements in SETUP["options.extras_require"].items()
}
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")


def _sources(*folders):
    return sorted(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))


def _lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def test_files_are_short_enough_to_read():
    sources = _sources("bert_tf", "data_pipelines", "experiments", "tpu_configs", "tests")
    assert sources
    long = {str(path.relative_to(REPOSITORY)): _lines(path) for path in sources if _lines(path) > MAX_LINES}
    assert long == {}


def test_launchers_only_launch():
    launchers = [path for path in (REPOSITORY / "experiments").glob("*.py") if path.name != "quickstart.py"]
    assert {path.name: _lines(path) for path in launchers if _lines(path) > MAX_LAUNCHER_LINES} == {}


def test_every_folder_of_sources_is_a_package():
    folders = {path.parent for path in _sources("bert_tf", "data_pipelines", "experiments", "tpu_configs")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_targets():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    assert targets == TARGETS
    shown = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^make ([a-z-]+)", shown, re.M)) == targets


@pytest.fixture
def project(tmp_path):
    """Return a folder with the Makefile and empty files for what it depends on."""
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    (tmp_path / "tests").mkdir()
    for name in ("setup.cfg", "pyproject.toml", "tests/packages.txt"):
        (tmp_path / name).touch()
    return tmp_path


def _plan(folder, *arguments):
    """Return the commands that make would run in `folder`."""
    # A make that runs these tests hands its own variables down.
    environment = {"PATH": os.environ["PATH"]}
    command = ["make", "--dry-run", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("version", "folder"), [("2.21", ".venv"), ("2.20", ".venv-2.20")])
def test_an_environment_a_version(version, folder, project):
    plan = _plan(project, "test", f"TENSORFLOW={version}")
    assert f"'tensorflow=={version}.*' 'tensorflow-text=={version}.*'" in plan
    assert f"python3 -m venv {folder}\n" in plan
    assert f"{folder}/bin/python -m pytest" in plan


def test_a_set_up_environment_is_not_set_up_again(project):
    (project / ".venv").mkdir()
    (project / ".venv" / ".installed").touch()
    assert _plan(project, "quickstart", "ARGS=--seed=1") == ".venv/bin/python -m experiments.quickstart --seed=1\n"
    os.utime(project / "setup.cfg", (4e9, 4e9))  # changed after the installation
    assert "pip install" in _plan(project, "quickstart")


def test_extras():
    assert set(EXTRAS) >= {"cpu", "gpu", "text", "hub", "tfds", "test", "dev"}
    installed = re.search(r"^EXTRAS = (.*)$", MAKEFILE, re.M)[1]
    assert set(installed.split(",")) <= set(EXTRAS)


def test_tensorflow_is_an_extra_and_agrees_with_tensorflow_text():
    required = SETUP["options"]["install_requires"]
    assert "tensorflow" not in required
    ranges = {
        re.sub(r"^[a-z-]+(\[[a-z-]+\])?", "", requirement)
        for name in ("cpu", "gpu", "text", "jax", "jax-gpu")
        for requirement in EXTRAS[name]
        if requirement.startswith("tensorflow")
    }
    assert ranges == {">=2.20,<2.22"}


def test_tensorflow_beside_cuda_of_jax_is_the_wheel_without_cuda():
    names = [re.match(r"[a-z0-9-]+(\[[a-z0-9-]+\])?", requirement)[0] for requirement in EXTRAS["jax-gpu"]]
    assert names == ["jax[cuda12]", "tensorflow-cpu"]


def test_versions_of_jax_agree():
    ranges = {
        re.sub(r"^jax(\[[a-z0-9]+\])?", "", requirement)
        for name in ("jax", "jax-gpu", "test")
        for requirement in EXTRAS[name]
        if re.match(r"jax\b", requirement)
    }
    assert ranges == {">=0.10.2,<0.11"}
    pins = _pins("requirements-tpu-jax.txt")
    # The check compiles with what a TPU VM runs.
    assert pins == EXTRAS["tpu-check"]
    assert {name.partition("==")[0] for name in pins} == {"jax[tpu]", "libtpu", "tensorflow-cpu"}


def test_versions_of_this_environment_agree():
    import tensorflow as tf

    tensorflow_text = pytest.importorskip("tensorflow_text")
    minor = tf.__version__.rpartition(".")[0]
    assert minor in MINOR_VERSIONS
    assert tensorflow_text.__version__.rpartition(".")[0] == minor


def _pins(name):
    lines = (REPOSITORY / "tpu_configs" / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def _install(*arguments, **environment):
    return subprocess.run(
        ["bash", str(REPOSITORY / "tpu_configs" / "install.sh"), *arguments],
        env=os.environ | {"PYTHON": sys.executable} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestTpuInstall:
    def test_dry_run_prints_the_commands_with_their_pins(self):
        result = _install("--dry_run")
        assert result.returncode == 0, result.stderr
        first, second, *_ = result.stdout.splitlines()
        assert _pins(Path(first.split()[-1]).name) == ["tensorflow-tpu==2.20.0", "libtpu==0.0.23"]
        assert second.endswith("--no-deps tensorflow-text==2.20.1")
        assert "Nothing was installed" in result.stdout

    def test_dry_run_of_the_jax_engine(self):
        result = _install("--engine=jax", "--dry_run")
        assert result.returncode == 0, result.stderr
        first, second, third, _ = result.stdout.splitlines()
        assert first.endswith("tpu_configs/requirements-tpu-jax.txt")
        assert "--editable" in second
        assert "jax" in third
        assert "tensorflow-text" not in result.stdout

    @pytest.mark.parametrize(("engine", "wheel"), [("tensorflow", "tensorflow-tpu"), ("jax", "tensorflow-cpu")])
    def test_refuses_to_overwrite_another_tensorflow(self, engine, wheel):
        # The environment of the tests holds plain tensorflow; without an index nothing could be installed over it.
        result = _install("--engine", engine, PIP_NO_INDEX="1")
        assert result.returncode == 2
        assert f"owns the same files as {wheel}" in result.stderr
        assert result.stdout == ""

    @pytest.mark.parametrize(
        ("arguments", "environment", "message"),
        [
            (["--dryrun"], {}, "the flags are --engine, --dry_run and --force. Received: '--dryrun'"),
            (["--engine", "torch"], {}, "--engine must be tensorflow or jax. Received: 'torch'"),
            (["--engine"], {}, "--engine must be tensorflow or jax. Received: ''"),
            (["--dry_run"], {"PYTHON": "no-such-python"}, "PYTHON must name a Python interpreter"),
        ],
    )
    def test_wrong_arguments(self, arguments, environment, message):
        result = _install(*arguments, **environment)
        assert result.returncode == 2
        assert message in result.stderr


@pytest.mark.parametrize("script", [".ci/run", "tpu_configs/install.sh"])
def test_scripts_are_executable_and_strict(script):
    path = REPOSITORY / script
    assert os.access(path, os.X_OK)
    assert "\nset -euo pipefail\n" in path.read_text(encoding="utf-8")
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_licence_is_whole():
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert SETUP["metadata"]["license"] == "Apache-2.0"


def test_the_citation_names_the_version_and_the_licence():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (SETUP["metadata"]["version"], SETUP["metadata"]["license"])
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"]


def test_a_report_of_an_error_asks_for_what_is_needed():
    folder = REPOSITORY / ".github" / "ISSUE_TEMPLATE"
    forms = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in folder.glob("*.yml")}
    for form in (forms["bug_report"], forms["wish"]):
        assert {"name", "description", "body"} <= set(form)
        assert all({"type", "id", "attributes"} <= set(part) for part in form["body"])
    required = {part["id"] for part in forms["bug_report"]["body"] if part.get("validations", {}).get("required")}
    assert required == {"command", "error", "expected", "versions", "machine"}
