"""TensorFlow Serving's model config file chooses models, versions and labels, and names what it cannot hold."""

import pytest
from small_server import write_version

from bert_tf.server.model_config import read_model_config

pytest.importorskip("tensorflow_text")
pytest.importorskip("tensorflow_serving.config")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for number in (1, 2, 3):
        write_version(folder / "graph", number)
    return folder


def _write(folder, text):
    path = folder / "models.config"
    path.write_text(text.replace("BASE", str(folder / "graph")))
    return str(path)


CONFIG = """
# The models of a server.
model_config_list: {
  config: {
    name: "newest", base_path: "BASE", model_platform: "tensorflow"
    version_labels { key: "stable" value: 3 }
  }
  config { name: "two" base_path: "BASE" model_version_policy { latest { num_versions: 2 } } }
  config { name: 'all' base_path: 'BASE' model_version_policy: { all: { } } }
  config {
    name: "chosen" base_path: "BASE"
    model_version_policy { specific { versions: 1 versions: 3 } }
  }
}
"""


def test_versions_and_labels(folder):
    models = read_model_config(_write(folder, CONFIG))
    for model in models:
        model.load()
    found = {model.name: sorted(model.loaded) for model in models}
    assert found == {"newest": [3], "two": [2, 3], "all": [1, 2, 3], "chosen": [1, 3]}
    assert [model.labels for model in models] == [{"stable": 3}, {}, {}, {}]
    models[3].refresh()
    assert sorted(models[3].loaded) == [1, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list {\n config { nam: 'a' } }", r'models\.config, line 2: .*no field named "nam"'),
        ("", r"models\.config: must hold a model_config_list with at least one config"),
        ("model_config_list { }", r"must hold a model_config_list with at least one config"),
        ("model_config_list { config { name: 'a/b' base_path: 'BASE' } }", r"config 1: `name` must be a name without"),
        ("model_config_list { config { name: 'a' base_path: 'b' } }", r"`base_path` must be an absolute path .* 'b'"),
        (
            "model_config_list { config { name: 'a' base_path: 'BASE' } config { name: 'a' base_path: 'BASE' } }",
            r"config 2: `name` must differ from those before\. Received: 'a'",
        ),
        (
            "model_config_list { config { name: 'a' base_path: 'BASE' model_platform: 'torch' } }",
            r"`model_platform` must be tensorflow\. Received: 'torch'",
        ),
        (
            "model_config_list { config { name: 'a' base_path: 'BASE' model_version_policy { specific { } } } }",
            r"`specific` must name at least one of `versions`",
        ),
        (
            "model_config_list { config { name: 'a' base_path: 'BASE' logging_config { } } }",
            r"`logging_config` must be left out",
        ),
        (
            "model_config_list { config { name: 'a' base_path: 'BASE/none' } }",
            r"config 1: `models` must name folders of versions of exports\. Received: .*none",
        ),
    ],
)
def test_wrong_files(folder, text, message):
    with pytest.raises(ValueError, match=message):
        read_model_config(_write(folder, text))


def test_specific_versions_must_be_there(folder):
    text = (
        "model_config_list { config { name: 'a' base_path: 'BASE' model_version_policy { specific { versions: 7 } } } }"
    )
    [model] = read_model_config(_write(folder, text))
    with pytest.raises(ValueError, match=r"no version of 'a' loads\. .*none of the versions \[7\] is there"):
        model.load()
