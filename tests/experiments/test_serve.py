"""The command `bert-tf serve`, in a process of its own, which ends well when it is told to."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

import pytest
from launch_many import launch_many
from small_server import TIMEOUT, ask, serving, write_version

from bert_tf.server.models import ServedModel
from experiments.benchmarks.serve_load import measure

pytest.importorskip("tensorflow_text")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    write_version(folder / "export", 1)
    (folder / "keys.txt").write_text("secret\n")
    (folder / "empty").mkdir()
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(
        [*command, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    return folder


@pytest.mark.long  # two models in a process of its own
def test_the_command_serves_over_tls_with_keys_until_it_is_told_to_end(folder):
    command = ["--models=a=export,b=export", "--labels=b:stable=1", "--port=0", "--api_key_file=keys.txt"]
    tls = ["--certificate_file=cert.pem", "--key_file=key.pem"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "experiments.serve", *command, *tls],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        first, url = process.stdout.readline().strip(), process.stdout.readline().strip()
        assert first.startswith("https://127.0.0.1:")
        assert url == first[:-1] + "b"
        context = ssl.create_default_context(cafile=str(folder / "cert.pem"))

        def predictions(path, **headers):
            request = urllib.request.Request(url + path, json.dumps({"instances": ["a"]}).encode(), headers)
            with urllib.request.urlopen(request, timeout=TIMEOUT, context=context) as response:
                return json.load(response)

        with pytest.raises(urllib.error.HTTPError) as refused:
            predictions(":predict", authorization="Bearer other")
        assert refused.value.code == 401
        refused.value.close()
        answer = predictions("/labels/stable:predict", authorization="Bearer secret")
        assert answer == {"predictions": [{"sizes": [1.0, 1.0], "upper": "A"}]}
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.long  # three processes
def test_a_killed_server_leaves_nothing_behind(folder, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    files = sorted(path for path in folder.rglob("*"))
    port = 0
    for _ in range(2):  # the second one takes the port of the first
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "experiments.serve", "--export_dir=export", f"--port={port}"],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            url = process.stdout.readline().strip()
            assert ask(f"{url}:predict", {"instances": ["a"]}).status == 200
            port = urllib.parse.urlsplit(url).port
        finally:
            process.kill()
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)  # it has started no other process that goes on
        assert list(temporary.iterdir()) == []
        assert sorted(path for path in folder.rglob("*")) == files
    with pytest.raises(ConnectionRefusedError):
        ask(url)


def test_wrong_flags(folder):
    cases = {
        "none": ([], ["one of --export_dir, --models and --model_config_file must be given", "none"]),
        "both": (["--export_dir=export", "--models=a=export"], ["must be given", "--export_dir and --models"]),
        "runtime": (["--export_dir=export", "--runtime=torch"], ["--runtime must be saved_model, onnx,", "'torch'"]),
        "no file": (
            ["--export_dir=export", "--runtime=onnx", "--port=0"],
            ["no version of 'model' loads", "onnx/model.onnx"],
        ),
        "empty": (["--export_dir=empty"], ["--export_dir must name folders of versions", "'empty'"]),
        "name": (["--models=a/b=export"], ["--models must be NAME=FOLDER", "'a/b=export'"]),
        "keys": (["--export_dir=export", "--api_key_file=none.txt"], ["none.txt"]),
        "key alone": (["--export_dir=export", "--key_file=key.pem"], ["--key_file needs --certificate_file"]),
        "certificate": (["--export_dir=export", "--certificate_file=keys.txt"], ["--certificate_file", "keys.txt"]),
        "port": (["--export_dir=export", "--host=192.0.2.1"], ["--port", "cannot listen at 192.0.2.1:8501"]),
    }
    results = launch_many([["experiments.serve", *flags] for flags, _ in cases.values()], folder)
    for name, result, (_, parts) in zip(cases, results, cases.values(), strict=True):
        assert result.returncode == 2, name
        assert [part for part in parts if part not in result.stderr.splitlines()[-1]] == [], result.stderr


def test_the_load_generator_asks_each_request_once(folder):
    with serving(ServedModel("graph", str(folder / "export"))) as url:
        found = asyncio.run(measure(f"{url}/v1/models/graph", ["a", "b c", "bad"], clients=4, requests=30))
    assert found["statuses"] == {"200": 20, "400": 10}
    assert found["clients"] == 4
    assert found["texts_per_second"] > 0
    assert 0 < found["latency_50_ms"] <= found["latency_95_ms"] <= found["latency_99_ms"]
    assert found["processor_share"] > 0
    with pytest.raises(OSError, match=r"refused|Connect"):
        asyncio.run(measure("http://127.0.0.1:1/v1/models/graph", ["a"], clients=1, requests=1))
