import json
from pathlib import Path

import pytest
from small_model import write_run

from bert_tf.configs import FinetuningConfig, PretrainingConfig
from bert_tf.configs.experiment_files import (
    Experiment,
    default_folder,
    experiment_path,
    list_experiments,
    load_config,
)
from bert_tf.utils.arguments import renamed

CONFIGS = Path(__file__).resolve().parents[3] / "experiments" / "configs"
PRETRAINING = {
    "adaptation",
    "bert_base",
    "bert_base_two_phases",
    "bert_large",
    "bert_mini_day",
    "bert_tiny_debug",
    "chinese_mini",
    "distilled_encoder",
    "quickstart",
}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_every_experiment_file_loads_with_overrides(path):
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
    with pytest.raises(ValueError, match=r"^model\.num_heads=5: .*must be a multiple"):
        load_config(path, FinetuningConfig, ["model.num_heads=5", "train.seed=1"])


def test_a_runs_config_json_is_an_experiment(tmp_path):
    run = write_run(tmp_path / "run", "pretraining")
    config = load_config(str(run / "config.json"), PretrainingConfig, ["train.num_steps=3"])
    description = json.loads((run / "config.json").read_text())
    assert config.train.num_steps == 3
    assert config.replace(train=config.train.replace(num_steps=1000)).to_dict() == description["experiment"]
    with pytest.raises(ValueError, match=r"config\.json: unknown field `eval_masking`"):
        load_config(str(run / "config.json"), FinetuningConfig, [])


@pytest.mark.parametrize("text", ["[]", "{}", '{"experiment": 3}'])
def test_other_json_files_are_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.json must be the config\.json of a run that trained\. Received: "):
        load_config(str(tmp_path / "a.json"), PretrainingConfig)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def get_config(:", "SyntaxError"),
        ("x = 1", r"must define get_config\(\)"),
        ("def get_config():\n    return 3", r"must return a PretrainingConfig\. Received: int"),
        ("def get_config():\n    return missing", r"a\.py, line 2: NameError"),
        ("import no_such_module", r"a\.py, line 1: ModuleNotFoundError"),
        (
            "from bert_tf.configs import TrainConfig\n\ndef get_config():\n    return TrainConfig(num_steps=0)",
            r"a\.py, line 4: ConfigError: `num_steps` must be at least 1\. Received: 0",
        ),
    ],
)
def test_a_broken_experiment_file_is_reported_in_one_line(tmp_path, source, message):
    (tmp_path / "a.py").write_text(source + "\n")
    with pytest.raises(ValueError, match=message):
        load_config(str(tmp_path / "a.py"), PretrainingConfig)


def test_an_experiment_is_found_by_its_name():
    assert load_config("sst2", FinetuningConfig) == load_config(str(CONFIGS / "sst2.py"), FinetuningConfig)


def test_a_name_is_looked_up_before_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sst2").mkdir()
    (tmp_path / "mine").write_text("")
    assert experiment_path("sst2") == str(CONFIGS / "sst2.py")
    assert experiment_path("mine") == "mine"


def test_unknown_names_list_the_nearest_ones():
    with pytest.raises(
        FileNotFoundError, match=r"^`config` must be an .*; there are: bert_base.*Received: 'bert_bas'$"
    ):
        load_config("bert_bas", PretrainingConfig)
    with pytest.raises(FileNotFoundError, match=r"; there are: adaptation, .*, wnli\. Received: 'zzz'$"):
        load_config("zzz", PretrainingConfig)
    with pytest.raises(FileNotFoundError, match=r"experiment's name or file\. Received: 'no/such\.py'$"):
        load_config("no/such.py", PretrainingConfig)


def test_names_may_be_those_of_another_folder(tmp_path):
    (tmp_path / "own.py").write_text((CONFIGS / "sst2.py").read_text())
    assert load_config("own", FinetuningConfig, folder=str(tmp_path)) == load_config("sst2", FinetuningConfig)
    with pytest.raises(FileNotFoundError, match="there are: own"):
        load_config("sst2", FinetuningConfig, folder=str(tmp_path))


def test_fields_keep_their_names_beside_flags_of_the_same_name(tmp_path):
    (tmp_path / "a.py").write_text("from bert_tf.configs import MaskingConfig\nMaskingConfig(strategy='x')\n")
    for config, overrides in ((str(tmp_path / "a.py"), []), ("bert_base", ["masking.strategy=x"])):
        with pytest.raises(ValueError, match="`strategy` must be one of"), renamed(strategy="--strategy of devices"):
            load_config(config, PretrainingConfig, overrides)


def test_experiments_are_listed_with_their_summaries():
    found = {experiment.name: experiment for experiment in list_experiments()}
    assert sorted(found) == sorted(path.stem for path in CONFIGS.glob("[a-z]*.py"))
    assert found["bert_base"].summary.startswith("BERT-base, uncased")
    assert {name for name, experiment in found.items() if experiment.kind == "pretraining"} == PRETRAINING
    assert {experiment.kind for experiment in found.values()} == {"pretraining", "finetuning"}


def test_listing_runs_no_file(tmp_path):
    (tmp_path / "a.py").write_text('"""An experiment.\n\nMore.\n"""\nraise SystemExit\n')
    (tmp_path / "b.py").write_text("def get_config() -> configs.PretrainingConfig: ...\n")
    (tmp_path / "_c.py").write_text("y = = 2\n")
    (tmp_path / "notes.txt").write_text("")
    assert list_experiments(str(tmp_path)) == [
        Experiment("a", "", "An experiment."),
        Experiment("b", "pretraining", ""),
    ]
    (tmp_path / "d.py").write_text("x = 1\ny = = 2\n")
    with pytest.raises(ValueError, match=r"d\.py, line 2: not Python"):
        list_experiments(str(tmp_path))


def test_experiments_need_not_be_installed(monkeypatch):
    monkeypatch.setattr("bert_tf.configs.experiment_files._EXPERIMENTS_PACKAGE", "no_such_package.configs")
    assert default_folder() is None
    assert list_experiments() == []
    with pytest.raises(FileNotFoundError, match=r"name or file\. Received: 'sst2'"):
        load_config("sst2", FinetuningConfig)
