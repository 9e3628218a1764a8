"""Requests made from the server's own description: each gets an answer or an error that the description has."""

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, Phase, given, settings
from served_kinds import Kinds, Run
from small_model import write_run
from small_server import TIMEOUT, ask, serving, write_version

from bert_tf.server.models import ServedModel
from bert_tf.server.served_run import attach_runs

jsonschema_rs = pytest.importorskip("jsonschema_rs")
pytest.importorskip("tensorflow_text")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

EXAMPLES = {"generate": 4, "explain": 10}  # others are cheap: each set of options is compiled here
BODIES = {
    "predict": {"instances": ["a"]},
    "classify": {"signature_name": "classes", "examples": [{"text": "a"}]},
    "regress": {"signature_name": "numbers", "examples": [{"x": 1.5}]},
    "embeddings": {"model": "encoder", "input": "a"},
    "generate": {"text": "a", "max_length": 2},
    "explain": {"text": "the old miller lives by the river"},
}
DEPENDING_ON_MODELS = ("predict", "classify", "regress", "generate", "explain")
MODELS = {"explain": "classification", "generate": "seq2seq"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models by name. The small graph answers for those that have a run, whose exports do not count here."""
    folder = tmp_path_factory.mktemp("described")
    write_version(folder, 1)
    tf.saved_model.save(tf.Module(), str(folder / "encoder" / "1"), signatures={"serving_default": Kinds().encoder})
    folders = dict.fromkeys(("graph", *MODELS.values()), folder) | {"encoder": folder / "encoder"}
    return {name: ServedModel(name, str(each), {"stable": 1}) for name, each in folders.items()}


def test_the_description_names_what_the_server_answers(models):
    models["classification"].run = Run(generates=False, explains=True)
    models["seq2seq"].run = Run(generates=True, explains=False)
    with serving(*models.values()) as url:
        _require_described_answers(url)


def _require_described_answers(url):
    described = ask(f"{url}/openapi.json").value
    assert described["openapi"] == "3.1.0"
    assert "security" not in described
    asked = 0
    for path, item in described["paths"].items():
        named = {parameter["name"] for parameter in item.get("parameters", [])}
        assert named == {name for name in ("model", "version", "label") if f"{{{name}}}" in path}
        verb = _verb(path)
        filled = path.replace("{model}", MODELS.get(verb, "graph")).replace("{version}", "1")
        filled = filled.replace("{label}", "stable")
        for method in item.keys() - {"parameters"}:
            body = BODIES[verb] if method == "post" else None
            if body is not None:
                schema = item[method]["requestBody"]["content"]["application/json"]["schema"]
                jsonschema_rs.validate(schema | {"components": described["components"]}, body)
            found = ask(url + filled, body)
            assert found.status == 200, path
            responses = item[method]["responses"]
            content = responses["200"]["content"]
            if "application/json" in content:
                schema = content["application/json"]["schema"]
                jsonschema_rs.validate(schema | {"components": described["components"]}, found.value)
            if method == "post":
                assert str(ask(url + filled, b"{").status) in responses
            asked += 1
    assert asked == 26
    assert described["components"]["schemas"].keys() >= {"Error", "Value"}
    for verb, model in MODELS.items():
        [parameter] = described["paths"][f"/v1/models/{{model}}:{verb}"]["parameters"]
        assert parameter["schema"]["enum"] == [model]
    content = described["paths"]["/v1/embeddings"]["post"]["requestBody"]["content"]["application/json"]
    assert content["schema"]["properties"]["model"]["enum"] == ["encoder"]
    assert content["schema"]["required"] == ["input", "model"]
    signatures = described["paths"]["/v1/models/{model}:classify"]["post"]["requestBody"]["content"]
    names = signatures["application/json"]["schema"]["properties"]["signature_name"]["enum"]
    assert names == ["", *sorted(("serving_default", "types", "echo", "words", "classes", "numbers"))]
    for text in ("", "aGk=", "aGk", "aGkh", "aA=="):
        require_base64(described, {"b64": text})
    for text in ("a", "aGk==", "aGkha", "a-_=", "aGkh\n"):
        with pytest.raises(jsonschema_rs.ValidationError):
            require_base64(described, {"b64": text})


def require_base64(described, value):
    jsonschema_rs.validate(described["components"]["schemas"]["Bytes"], value)


def test_a_server_with_keys_says_so(tmp_path):
    write_version(tmp_path, 1)
    with serving(ServedModel("graph", str(tmp_path)), api_keys=["secret"]) as url:
        found = ask(f"{url}/openapi.json", authorization="Bearer secret").value
    assert found["security"] == [{"key": []}]
    assert found["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    assert found["paths"]["/healthz"]["get"]["security"] == []
    # Without a run nothing generates or explains, no signature embeds, and without labels any label may be asked.
    assert not [path for path in found["paths"] if path.endswith((":generate", ":explain", "embeddings"))]
    [label] = [
        one for one in found["paths"]["/v1/models/{model}/labels/{label}"]["parameters"] if one["name"] == "label"
    ]
    assert "enum" not in label["schema"]


@pytest.mark.long  # thousands of requests
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_requests_made_from_the_description_have_answers_that_it_describes(models, mode, tmp_path):
    attach_runs([f"{task}={write_run(tmp_path / task, task)}" for task in MODELS.values()], models)
    with serving(*models.values(), max_characters=1000) as url:
        statuses = _statuses_of_generated_requests(url, mode)
    assert statuses >= ({200, 400, 404} if mode == "positive" else {400, 404})


def _verb(path):
    return path.replace("/", ":").rpartition(":")[2]


def _statuses_of_generated_requests(url, mode):
    schemathesis = pytest.importorskip("schemathesis")
    from schemathesis import checks, generation
    from schemathesis.specs.openapi import checks as of_openapi

    checked = [
        checks.not_a_server_error,
        of_openapi.status_code_conformance,
        of_openapi.content_type_conformance,
        of_openapi.response_headers_conformance,
        of_openapi.response_schema_conformance,
    ]
    statuses = set()
    # What is wrong must be refused. 413 is an error of its own kind, which this check does not count as one.
    negative = [of_openapi.negative_data_rejection]
    # What is right must be answered, apart from three verbs that ask the signatures of a model, which its metadata
    # describes, and two that ask its run. JSON Schema cannot say that a body depends on the name in the path, as the
    # signatures, classes, tasks and texts (one, a pair, or question and context) do; nor that a text must have tokens.
    positive = [of_openapi.positive_data_acceptance]
    for found in schemathesis.openapi.from_dict(ask(f"{url}/openapi.json").value).get_all_operations():
        operation = found.ok()
        verb = _verb(operation.path)
        if mode == "negative" and not (operation.path_parameters or operation.body):
            continue  # there is nothing that could be wrong in a request

        @settings(
            max_examples=EXAMPLES.get(verb, 25),
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=generation.GenerationMode(mode)))
        def require_described_answer(case):
            response = case.call(base_url=url, timeout=TIMEOUT)
            statuses.add(response.status_code)
            own = negative if mode == "negative" else positive
            if mode == "positive" and _verb(case.operation.path) in DEPENDING_ON_MODELS:
                own = []
            case.validate_response(response, checks=checked if response.status_code == 413 else [*checked, *own])

        require_described_answer()
        assert ask(f"{url}/v1/models/graph:predict", BODIES["predict"]).status == 200
    return statuses
