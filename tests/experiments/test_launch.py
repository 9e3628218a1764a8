import json
from pathlib import Path

import pytest
from small_model import write_run

from bert_tf.configs import FinetuningConfig, PretrainingConfig
from experiments.launch import load_config

CONFIGS = Path(__file__).resolve().parents[2] / "experiments" / "configs"
PRETRAINING = {"bert_base", "bert_base_two_phases", "bert_large", "bert_tiny_debug", "quickstart"}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_experiment_files(path):
    kind = PretrainingConfig if path.stem in PRETRAINING else FinetuningConfig
    config = load_config(str(path), kind, ["train.num_steps=7", "train.seed=5"])
    assert isinstance(config, kind)
    assert (config.train.num_steps, config.train.seed) == (7, 5)
    assert kind.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_fields_that_bound_each_other_may_be_set_in_any_order():
    path = str(CONFIGS / "sst2.py")  # 768 wide with 12 heads: a width of 32 does not suit them
    widths = ["model.hidden_size=32", "model.num_heads=2"]
    configs = [load_config(path, FinetuningConfig, order).model for order in (widths, widths[::-1])]
    assert [(config.hidden_size, config.num_heads) for config in configs] == [(32, 2), (32, 2)]
    with pytest.raises(ValueError, match=r"--set model\.num_heads=5: .*must be a multiple"):
        load_config(path, FinetuningConfig, ["model.num_heads=5", "train.seed=1"])


def test_a_runs_config_json_is_an_experiment(tmp_path):
    run = write_run(tmp_path / "run", "pretraining")
    config = load_config(str(run / "config.json"), PretrainingConfig, ["train.num_steps=3"])
    description = json.loads((run / "config.json").read_text())
    assert config.train.num_steps == 3
    assert config.replace(train=config.train.replace(num_steps=1000)).to_dict() == description["experiment"]
    with pytest.raises(ValueError, match=r"--config .*config\.json: unknown field `eval_masking`"):
        load_config(str(run / "config.json"), FinetuningConfig, [])


@pytest.mark.parametrize("text", ["[]", "{}", '{"experiment": 3}'])
def test_other_json_is_no_experiment(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"must be an experiment file or a run's config\.json\. Received: '.*a\.json'"):
        load_config(str(tmp_path / "a.json"), PretrainingConfig, [])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def get_config(:", "SyntaxError"),
        ("x = 1", r"must define get_config\(\)"),
        ("def get_config():\n    return 3", "must return a PretrainingConfig here; this one returns a int"),
        ("def get_config():\n    return missing", r"a\.py, line 2: NameError"),
        ("import no_such_module", r"a\.py, line 1: ModuleNotFoundError"),
        (
            "from bert_tf.configs import TrainConfig\n\ndef get_config():\n    return TrainConfig(num_steps=0)",
            r"a\.py, line 4: ConfigError: `num_steps` must be at least 1\. Received: 0",
        ),
    ],
)
def test_experiment_files_that_do_not_work(tmp_path, source, message):
    (tmp_path / "a.py").write_text(source + "\n")
    with pytest.raises(ValueError, match=message):
        load_config(str(tmp_path / "a.py"), PretrainingConfig, [])
