"""GLUE by name: files in the official forms, what the site expects of a submission, and runs that are stopped."""

import json
import zipfile

import pytest
from small_model import write_run

from bert_tf.configs import FinetuningConfig
from bert_tf.configs.base import ConfigError
from bert_tf.configs.experiment_files import load_config
from bert_tf.configs.tasks import ClassificationConfig
from bert_tf.examples import TextExample
from data_pipelines.finetuning.labelled import read_examples
from experiments.suites.glue_run import GlueRun, average, table
from experiments.suites.glue_tasks import SUBMISSION_FILES, TASKS, check_files, read_unlabelled, submission_text

_MNLI = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t"
)
_MNLI += "sentence1\tsentence2"
_MNLI_ROW = "{}\t1\t1c\tfiction\t( a )\t( b )\t(A)\t(B)\t{}\t{}"
_STSB = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
_STSB_ROW = "{}\tmain-news\tMSRpar\t2012test\t0001\tnone\tnone\t{}\t{}"
_MRPC = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"


def _nli(names, label):
    """Return the training file and the test file of a task on two texts and a label in words."""
    header = "\t".join(["index", *names])
    rows = ["0\tthe old miller saw\tthe boat\t" + label[0], '1\tthe river\tthe "road"\t' + label[1]]
    return f"{header}\tlabel\n" + "\n".join(rows) + "\n", f"{header}\n0\tthe boat\tthe old\n1\t\tthe road\n"


_NLI = _nli(("sentence1", "sentence2"), ("entailment", "not_entailment"))
_TRAIN_AND_TEST = {
    "CoLA": (
        'gj04\t1\t\tThe old miller saw "the boat.\ngj04\t0\t*\tThe saw miller.\n',
        "index\tsentence\n0\tThe boat.\n1\tBoat the\n",
    ),
    "SST-2": ("sentence\tlabel\na fine boat \t1\na dull road \t0\n", "index\tsentence\n0\ta boat .\n1\tthe road\n"),
    "MRPC": (
        f'\ufeff{_MRPC}\n1\t10\t11\t"The boat" is old .\tThe boat is "old .\n0\t12\t13\tThe road .\tThe river .\n',
        f"index\t{_MRPC[8:]}\n0\t1\t2\tThe boat .\tThe road .\n1\t3\t4\tThe road .\tThe road .\n",
    ),
    "STS-B": (
        f"{_STSB}\tscore\n{_STSB_ROW.format(0, 'the boat', 'the boat')}\t5.000\n"
        f"{_STSB_ROW.format(1, 'the road', 'a miller')}\t0.250\n",
        f"{_STSB}\n{_STSB_ROW.format(0, 'the boat', 'the road')}\n",
    ),
    "QQP": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\twho saw the boat?\twho saw it?\t1\n"
        "1\t3\t4\twhere is the road\n2\t5\t6\twhat?\t\t0\n3\t7\t8\tthe old miller?\tthe road?\t0\n",
        "id\tquestion1\tquestion2\n7\tthe boat?\t\n9\tthe road?\tthe river?\n",
    ),
    "QNLI": _nli(("question", "sentence"), ("entailment", "not_entailment")),
    "RTE": _NLI,
    "WNLI": _nli(("sentence1", "sentence2"), ("0", "1")),
}


@pytest.fixture
def data(tmp_path):
    """Return a folder of all of GLUE's files, in their forms."""
    folder = tmp_path / "glue_data"
    files = {}
    for name, (train, test) in _TRAIN_AND_TEST.items():
        files |= {f"{name}/train.tsv": train, f"{name}/dev.tsv": train, f"{name}/test.tsv": test}
    rows = [_MNLI_ROW.format(0, "the boat", "a boat"), _MNLI_ROW.format(1, "the road", "no road")]
    labels = ("entailment", "contradiction")
    files["MNLI/train.tsv"] = f"{_MNLI}\tlabel1\tgold_label\n" + "".join(
        f"{row}\t{label}\t{label}\n" for row, label in zip(rows, labels, strict=True)
    )
    for name in ("matched", "mismatched"):
        files[f"MNLI/dev_{name}.tsv"] = f"{_MNLI}\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n" + "".join(
            f"{row}\t{label}\tneutral\t{label}\t{label}\t{label}\t{label}\n"
            for row, label in zip(rows, labels, strict=True)
        )
        files[f"MNLI/test_{name}.tsv"] = f"{_MNLI}\n" + "\n".join(rows) + "\n"
    files["diagnostic/diagnostic.tsv"] = "index\tsentence1\tsentence2\n0\tThe boat.\tA boat.\n1\tA road.\tNo road.\n"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _read(data, name, file="train.tsv"):
    task = TASKS[name]
    return list(read_examples(str(data / task.folder / file), task.config().task).examples)


def test_the_official_files_are_read_by_name(data, caplog):
    assert _read(data, "cola") == [
        TextExample('The old miller saw "the boat.', label="1"),
        TextExample("The saw miller.", label="0"),
    ]
    assert _read(data, "sst2")[0] == TextExample("a fine boat", label="1")
    assert _read(data, "mrpc")[0] == TextExample('"The boat" is old .', 'The boat is "old .', "1")
    assert [example.label for example in _read(data, "stsb")] == [5.0, 0.25]
    assert _read(data, "qnli")[1] == TextExample("the river", 'the "road"', "not_entailment")
    assert _read(data, "wnli")[1].label == "1"
    for file in ("train.tsv", "dev_mismatched.tsv"):
        assert _read(data, "mnli", file)[1] == TextExample("the road", "no road", "contradiction")
    assert not caplog.messages
    questions = _read(data, "qqp")
    assert [example.text for example in questions] == ["who saw the boat?", "the old miller?"]
    assert "2 rows lack a field and were left out, the first at " in caplog.text
    assert "QQP/train.tsv, line 3" in caplog.text


def test_all_tasks_have_their_files_metrics_and_settings(data):
    for task in TASKS.values():
        config = task.config(["num_epochs=2"])
        check_files(task, config.task, str(data))
        assert config.num_epochs == 2
        assert config.metric in (None, task.metrics[0])
    names = [*("CoLA", "SST-2", "MRPC", "STS-B", "MNLI-m", "MNLI-mm", "QNLI", "QQP", "RTE", "WNLI"), "AX"]
    assert sorted(SUBMISSION_FILES) == sorted(f"{name}.tsv" for name in names)


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("rte", "RTE/dev.tsv", None, r"`data` must be the folder of GLUE's files, RTE/dev\.tsv among them"),
        (
            "rte",
            "RTE/train.tsv",
            _TRAIN_AND_TEST["SST-2"][0],
            r"RTE/train\.tsv, line 2: must have a column 'sentence1'",
        ),
        ("rte", "RTE/dev.tsv", _NLI[1], r"RTE/dev\.tsv, line 2: must have a column 'label'"),
        ("mnli", "diagnostic/diagnostic.tsv", "index\n0\n", r"diagnostic\.tsv, line 2: must have a column 'sentence1'"),
        ("cola", "CoLA/train.tsv", "1\tThe boat.\n", r"CoLA/train\.tsv, line 1: must have 4 fields, like the header"),
        ("sst2", "SST-2/test.tsv", "index\tsentence\n", r"SST-2/test\.tsv: must have at least one row"),
    ],
)
def test_files_of_a_wrong_task_are_named_before_anything_is_trained(data, tmp_path, name, file, text, message):
    (data / file).unlink()
    if text is not None:
        (data / file).write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        GlueRun(str(data), str(tmp_path / "out"), [TASKS[name]], "run").check()


def test_each_row_without_a_label_has_a_prediction(data):
    config = TASKS["qqp"].config().task
    indices, examples = read_unlabelled(str(data / "QQP" / "test.tsv"), config)
    assert indices == ["7", "9"], "the column is `id` here"
    assert examples[0] == TextExample("the boat?", "")
    text = submission_text(indices, [{"label": "1"}, {"label": "0"}], config)
    assert text == "index\tprediction\n7\t1\n9\t0\n"
    values = [{"value": value} for value in (-0.25, 2.71828, 5.4)]
    text = submission_text(["0", "1", "2"], values, TASKS["stsb"].config().task)
    assert text == "index\tprediction\n0\t0.000\n1\t2.718\n2\t5.000\n"
    _, [first, _] = read_unlabelled(str(data / "CoLA" / "test.tsv"), TASKS["cola"].config().task)
    assert first == TextExample("The boat."), "the test file has a header"


def test_columns_must_name_the_texts():
    with pytest.raises(ConfigError, match=r"`columns` must have 'text', 'label'\. Received: \('a', 'label'\)"):
        ClassificationConfig(columns=("a", "label"))


def test_the_average_counts_each_task_once():
    mnli, mrpc = {"MNLI-m": {"accuracy": 0.8}, "MNLI-mm": {"accuracy": 0.6}}, {"MRPC": {"f1": 0.9, "accuracy": 0.8}}
    assert average([mnli, mrpc]) == pytest.approx((0.7 + 0.85) / 2)
    result = {
        "scores": mrpc,
        "mean": 0.885,
        "deviation": 0.01,
        "best": {"train.learning_rate": "5e-5", "train.seed": 1},
    }
    lines = table({"tasks": {"mrpc": result}, "average": 0.85}).splitlines()
    assert lines[2] == "| MRPC | f1 / accuracy | 90.0 / 80.0 | 88.5 ± 1.0 | learning_rate 5e-5, seed 1 |"
    assert lines[3] == "| average | | 85.0 | | |"


def test_finished_tasks_are_not_trained_again(data, tmp_path):
    run = GlueRun(str(data), str(tmp_path / "out"), [TASKS["rte"]], "run", grid={"num_epochs": ["1"]})
    run.check()
    settings = {"init_checkpoint": "run", "seeds": [0], "grid": {"num_epochs": ["1"]}, "set": []}
    result = {"settings": settings, "scores": {"RTE": {"accuracy": 0.75}}, "mean": 0.75, "deviation": 0.0, "best": {}}
    for name, text in (("rte/glue.json", json.dumps(result)), ("predictions/RTE.tsv", "index\tprediction\n")):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text(text)
    summary = run.run(engine=None)  # which a training would need
    assert summary["average"] == 0.75
    assert summary["missing"] == [name for name in SUBMISSION_FILES if name != "RTE.tsv"]
    written = (tmp_path / "out" / "submission.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "out" / "submission.zip") as archive:
        assert archive.namelist() == ["RTE.tsv"]
        assert archive.read("RTE.tsv") == b"index\tprediction\n"
    assert run.run(engine=None) == summary
    assert (tmp_path / "out" / "submission.zip").read_bytes() == written
    with pytest.raises(ValueError, match=r"`output_dir` must hold tasks that were finished with the settings given"):
        GlueRun(str(data), str(tmp_path / "out"), [TASKS["rte"]], "other", grid={"num_epochs": ["1"]}).check()


@pytest.mark.long
def test_tasks_are_trained_predicted_and_continued(data, tmp_path, monkeypatch):
    from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine
    from experiments.suites import glue_run

    checkpoint = str(write_run(tmp_path / "run", "pretraining"))
    small = ("train.precision=float32", "train.jit_compile=false", "num_epochs=1", "task.max_seq_length=24")
    tasks = [TASKS[name] for name in ("stsb", "mnli")]
    run = GlueRun(
        str(data),
        str(tmp_path / "out"),
        tasks,
        checkpoint,
        seeds=(0, 1),
        grid={"train.learning_rate": ["1e-3"], "train.batch_size": ["2"]},
        overrides=small,
    )
    trained = []
    real = glue_run.finetune

    def stopping(config, parts, **options):
        trained.append(config.task.kind)
        if trained == ["regression", "classification"]:
            raise KeyboardInterrupt
        return real(config, parts, **options)

    monkeypatch.setattr(glue_run, "finetune", stopping)
    with pytest.raises(KeyboardInterrupt):
        run.run(TensorFlowEngine())
    summary = run.run(TensorFlowEngine())
    assert trained == ["regression", "classification", "classification"], "the first task was finished"
    assert summary["tasks"]["mnli"]["scores"].keys() == {"MNLI-m", "MNLI-mm"}
    assert summary["tasks"]["stsb"]["scores"]["STS-B"].keys() == {"pearson", "spearman"}
    with zipfile.ZipFile(tmp_path / "out" / "submission.zip") as archive:
        names = archive.namelist()
        texts = {name: archive.read(name).decode().splitlines() for name in names}
    assert names == ["STS-B.tsv", "MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"]
    assert [lines[0] for lines in texts.values()] == ["index\tprediction"] * 4
    assert [len(lines) for lines in texts.values()] == [2, 3, 3, 3]
    assert texts["AX.tsv"][1].split("\t")[1] in load_config("mnli", FinetuningConfig).task.labels
    assert 0 <= float(texts["STS-B.tsv"][1].split("\t")[1]) <= 5
