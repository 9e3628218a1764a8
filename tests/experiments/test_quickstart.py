"""The quickstart at debug size on the tests' corpus: a complete summary, and the same losses from the same seed."""

import json
import math
import re

import pytest
from html_data import page_of
from launch_many import launch_many
from small_corpus import write_corpus

from experiments.configs import quickstart, quickstart_classification
from experiments.quickstart import Quickstart

_SMALL = ["train.num_steps=6", "train.warmup_steps=2", "train.steps_per_loop=3", "train.batch_size=8"]
_SETTINGS = [*_SMALL, "train.eval_batch_size=16", "train.jit_compile=false", "train.concurrent_parts=1"]
_COMMAND = [
    "experiments.quickstart",
    "--corpus=corpus.txt",
    "--labelled=train.tsv,dev.tsv",
    "--vocab_size=200",
    "--holdout=0.2",
    *(f"--set={setting}" for setting in [*_SETTINGS, "model.vocab_size=200"]),
    *(f"--set_finetuning={setting}" for setting in [*_SETTINGS, "model.vocab_size=200"]),
]


@pytest.fixture(scope="module")
def summaries(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("quickstart")
    repository = request.config.rootpath
    write_corpus(folder / "corpus.txt", 60)
    rows = [f"{place} the boat number {number}\t{place}\n" for number in range(30) for place in ("river", "road")]
    (folder / "train.tsv").write_text("text\tlabel\n" + "".join(rows[:40]))
    (folder / "dev.tsv").write_text("text\tlabel\n" + "".join(rows[40:]))
    configs = [
        f"--config={repository}/experiments/configs/quickstart.py",
        f"--finetuning_config={repository}/experiments/configs/quickstart_classification.py",
    ]
    commands = [[*_COMMAND, *configs, f"--output_dir={name}"] for name in ("one", "two")]
    results = launch_many(commands, folder)
    for result in results:
        assert result.returncode == 0, result.stderr[-3000:]
        assert "The exported classifier answers:" in result.stdout
        assert "The exported pre-trained model fills the mask:" in result.stdout
    assert "Curves, guesses and errors: two/report.html" in results[-1].stdout
    page = page_of((folder / "two" / "report.html").read_text("utf-8"))[0]
    assert [curve["name"] for curve in page["curves"]] == ["pretrained", "classifier", "from_scratch"]
    assert len(page["behaviours"]) == 2
    assert page["masked"][0]["rows"]
    return [json.loads((folder / name / "summary.json").read_text()) for name in ("one", "two")]


@pytest.mark.long
def test_the_summary_is_complete(summaries):
    metrics = {
        "masked_lm_loss",
        "masked_lm_accuracy",
        "next_sentence_accuracy",
        "next_sentence_majority",
        "unigram_entropy",
        "classification_accuracy",
        "majority_accuracy",
        "from_scratch_accuracy",
        "export_max_abs_difference",
    }
    summary = summaries[0]
    assert metrics | {"seconds", "versions"} <= set(summary)
    assert all(math.isfinite(summary[name]) for name in metrics)
    assert summary["export_max_abs_difference"] <= 1e-5
    assert summary["majority_accuracy"] == 0.5
    assert 0.5 <= summary["next_sentence_majority"] <= 1
    assert {"tensorflow", "keras", "python"} <= set(summary["versions"])
    assert summary["seconds"]["total"] > 0


@pytest.mark.long
def test_the_same_seed_gives_the_same_metrics(summaries):
    one, two = ({name: value for name, value in summary.items() if name != "seconds"} for summary in summaries)
    assert one == two


@pytest.fixture
def run(tmp_path):
    return Quickstart(str(tmp_path / "out"), quickstart.get_config(), quickstart_classification.get_config())


def test_files_that_no_quickstart_made_are_not_removed(run, tmp_path):
    records = tmp_path / "out" / "records"
    records.mkdir(parents=True)
    (records / "mine").write_text("weeks of work")
    with pytest.raises(ValueError, match="`output_dir` holds 'records', which no quickstart made"):
        run.start()
    assert (records / "mine").read_text() == "weeks of work"


def test_files_of_an_earlier_quickstart_are_replaced(run, tmp_path):
    run.start()
    (tmp_path / "out" / "records").mkdir()
    (tmp_path / "out" / "summary.json").write_text("{}")
    (tmp_path / "out" / "mine.txt").write_text("kept")
    run.start()
    assert not (tmp_path / "out" / "records").exists()
    assert not (tmp_path / "out" / "summary.json").exists()
    assert (tmp_path / "out" / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"holdout": 0.0}, "`holdout` must be above 0 and below 1. Received: 0.0"),
        ({"vocab_size": 9000}, "`model.vocab_size` must be at least the vocabulary's 9000 tokens"),
        ({"length": 256}, "`model.max_position_embeddings` must be at least the rows' length of 256"),
        ({"labelled": "one.tsv"}, "`labelled` must be two files"),
        ({"labelled": "one.tsv,two.tsv"}, "one.tsv"),
        ({"corpus": "none/*.txt"}, "`corpus`: no file matches"),
    ],
)
def test_errors_of_later_stages_are_raised_before_the_first(run, tmp_path, arguments, message):
    values = {"corpus": None, "labelled": None, "holdout": 0.1, "vocab_size": 8000, "length": 64}
    with pytest.raises((ValueError, OSError), match=re.escape(message)):
        run.check(**(values | arguments))
    assert not (tmp_path / "out").exists()


def test_inputs_may_not_be_in_the_folder_that_is_replaced(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "corpus.txt").write_text("A sentence.")
    with pytest.raises(ValueError, match="no input may be in it"):
        run.check(str(tmp_path / "out" / "corpus.txt"), None, holdout=0.1, vocab_size=8000, length=64)
