"""The manifests and configuration files of docs/deployment.md: their schemas, and that they fit the servers they start.

Neither Kubernetes nor TensorFlow Serving is needed: their published schemas, messages and flags are enough.
"""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from small_server import ask, serving, write_version

from bert_tf.server.model_config import read_model_config
from bert_tf.server.models import ServedModel
from bert_tf.server.options import ServerOptions

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs" / "deployment.md").read_text(encoding="utf-8")
# An older version of Kubernetes, and the newest one whose schemas the package has.
VERSIONS = ("1.30", "1.37")

# The flags of tensorflow_model_server that the page may use (tensorflow_serving/model_servers/main.cc).
SERVING_FLAGS = {
    *("allow_version_labels_for_unavailable_models", "batching_parameters_file", "enable_batching"),
    *("enable_grpc_healthcheck_service", "enable_profiler", "grpc_max_threads", "model_config_file"),
    *("model_config_file_poll_wait_seconds", "monitoring_config_file", "rest_api_enable_cors_support"),
    *("rest_api_num_threads", "tensorflow_inter_op_parallelism", "tensorflow_intra_op_parallelism"),
    *("xla_cpu_compilation_enabled", "xla_gpu_compilation_enabled"),
}
# The ports and the folder of models of the image tensorflow/serving.
SERVING_PORTS = {"grpc": 8500, "rest": 8501}

# Messages whose classes tensorflow-serving-api lacks, with numbers and types of their fields: BatchingParameters of
# servables/tensorflow/session_bundle_config.proto, whose numbers are in messages with a `value`, and config/
# monitoring_config.proto.
_MESSAGES = {
    "Int64Value": [("value", 1, "int64")],
    "BatchingParameters": [
        ("max_batch_size", 1, "Int64Value"),
        ("batch_timeout_micros", 2, "Int64Value"),
        ("max_enqueued_batches", 3, "Int64Value"),
        ("num_batch_threads", 4, "Int64Value"),
        ("pad_variable_length_inputs", 7, "bool"),
    ],
    "PrometheusConfig": [("enable", 1, "bool"), ("path", 2, "string")],
    "MonitoringConfig": [("prometheus_config", 1, "PrometheusConfig")],
}


def _blocks(language):
    return [found[1] for found in re.finditer(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)]


def _text_file(first):
    """Return the configuration file of the page that begins with a word."""
    [text] = [block for block in _blocks("text") if block.startswith(first)]
    return text


MANIFESTS = {
    objects[0]["metadata"]["name"]: {each["kind"]: each for each in objects}
    for objects in (list(yaml.safe_load_all(block)) for block in _blocks("yaml"))
}
JOBS = sorted((REPOSITORY / "tpu_configs" / "gke").glob("*.yaml"))


def _container(name):
    [container] = MANIFESTS[name]["Deployment"]["spec"]["template"]["spec"]["containers"]
    return container


def _arguments(name):
    return dict(each.removeprefix("--").split("=", 1) for each in _container(name)["args"])


def _message(name, text):
    file = descriptor_pb2.FileDescriptorProto(name="messages_of_deployment_test.proto", package="deployment_test")
    types = descriptor_pb2.FieldDescriptorProto
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for field_name, number, kind in fields:
            field = message.field.add(name=field_name, number=number, label=types.LABEL_OPTIONAL)
            if kind in _MESSAGES:
                field.type, field.type_name = types.TYPE_MESSAGE, f".deployment_test.{kind}"
            else:
                field.type = types.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    message_class = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"deployment_test.{name}"))
    return text_format.Parse(text, message_class())


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_have_the_schemas_of_kubernetes(version):
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    assert set(MANIFESTS) == {"tensorflow-serving", "bert-tf-serve"}
    objects = [each for kinds in MANIFESTS.values() for each in kinds.values()]
    for path in JOBS:
        objects += yaml.safe_load_all(path.read_text(encoding="utf-8"))
    assert len(objects) >= 8
    for each in objects:
        kubernetes_validate.validate(each, version, strict=True)
    wrong = copy.deepcopy(MANIFESTS["bert-tf-serve"]["Deployment"])
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(wrong, version, strict=True)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_objects_of_a_manifest_belong_together(name):
    kinds = MANIFESTS[name]
    assert set(kinds) == {"Deployment", "Service", "HorizontalPodAutoscaler"}
    assert {each["metadata"]["name"] for each in kinds.values()} == {name}
    spec, container = kinds["Deployment"]["spec"], _container(name)
    labels = spec["template"]["metadata"]["labels"]
    assert labels == spec["selector"]["matchLabels"] == kinds["Service"]["spec"]["selector"]
    target = kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": kinds["Deployment"]["apiVersion"], "kind": "Deployment", "name": name}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"]: port["port"] for port in kinds["Service"]["spec"]["ports"]} == ports
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == "rest"
    pod = spec["template"]["spec"]
    assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}
    # The files that flags name are on volumes.
    files = [value for value in _arguments(name).values() if value.startswith("/")]
    folders = tuple(f"{mount['mountPath']}/" for mount in container["volumeMounts"])
    assert files
    assert all(file.startswith(folders) for file in files)
    assert container["resources"]["requests"] == container["resources"]["limits"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + ServerOptions.timeout


def test_the_probes_have_paths_that_the_server_answers(tmp_path):
    write_version(tmp_path, 1)
    with serving(ServedModel("classifier", str(tmp_path)), api_keys=["secret"]) as url:
        for name in MANIFESTS:
            headers = {"Authorization": "Bearer secret"} if name == "tensorflow-serving" else {}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert ask(url + _container(name)[probe]["httpGet"]["path"], **headers).status == 200


_PARSED = """
import json, sys
from absl import flags
from experiments import serve

serve.define_flags()
flags.FLAGS(["serve", *sys.argv[1:]])
given = [name for name in flags.FLAGS if not flags.FLAGS[name].using_default_value]
print(json.dumps({name: flags.FLAGS[name].value for name in given}))
"""


def test_the_flags_of_our_server_and_its_ports():
    container = _container("bert-tf-serve")
    command = [sys.executable, "-c", _PARSED, *container["args"]]
    values = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert set(values) == set(_arguments("bert-tf-serve"))
    assert values["host"] == "0.0.0.0"  # the loopback address of a pod cannot be reached from outside
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"rest": values["port"], "grpc": values["grpc_port"]}
    assert values["timeout"] == ServerOptions.timeout
    threads = {each["name"]: each["value"] for each in container["env"]}
    assert threads["TF_NUM_INTRAOP_THREADS"] == container["resources"]["limits"]["cpu"]


def test_the_flags_of_tensorflow_serving_and_its_ports():
    container, given = _container("tensorflow-serving"), _arguments("tensorflow-serving")
    assert set(given) <= SERVING_FLAGS
    [docker] = [block for block in _blocks("sh") if "docker run" in block]
    named = re.findall(r"--([a-z_]+)", docker.partition("tensorflow/serving:")[2].partition("\ncurl")[0])
    assert named
    assert set(named) <= SERVING_FLAGS
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == SERVING_PORTS
    assert given["tensorflow_intra_op_parallelism"] == container["resources"]["limits"]["cpu"]
    batching = _message("BatchingParameters", _text_file("max_batch_size"))
    for flag in ("rest_api_num_threads", "grpc_max_threads"):
        assert int(given[flag]) >= 2 * batching.max_batch_size.value
        assert f"--{flag}={given[flag]}" in PAGE.partition("## Kubernetes")[0]
    monitoring = _message("MonitoringConfig", _text_file("prometheus_config")).prometheus_config
    annotations = MANIFESTS["tensorflow-serving"]["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert monitoring.enable
    assert monitoring.path == annotations["prometheus.io/path"]
    assert int(annotations["prometheus.io/port"]) == SERVING_PORTS["rest"]


def test_both_servers_read_the_model_config_file(tmp_path):
    pytest.importorskip("tensorflow_serving")
    for version in ("classifier/1", "classifier/2", "tagger/1"):
        (tmp_path / version).mkdir(parents=True)
        (tmp_path / version / "saved_model.pb").touch()
    path = tmp_path / "models.config"
    path.write_text(_text_file("model_config_list").replace("/models/", f"{tmp_path}/"))
    classifier, tagger = read_model_config(str(path))
    assert (classifier.name, tagger.name) == ("classifier", "tagger")
    assert classifier.labels == {"stable": 1, "canary": 2}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        path = _container("tensorflow-serving")[probe]["httpGet"]["path"]
        assert path == f"/v1/models/{classifier.name}"
