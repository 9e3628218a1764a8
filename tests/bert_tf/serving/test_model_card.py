import json

import pytest
from small_model import LABELS, write_run

from bert_tf.runs import folder as run_folder
from bert_tf.serving import model_card


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "classifier", "classification")


@pytest.mark.parametrize(
    ("page", "license_name"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n", "apache-2.0"),
        ("---\nlicense: 'mit'\n---\n", "mit"),
        ("# A model\nlicense: apache-2.0\n", model_card.UNKNOWN),
        ("---\nlicense: never closed\n", model_card.UNKNOWN),
        ("", model_card.UNKNOWN),
    ],
)
def test_the_licence_is_read_from_the_page_header(tmp_path, page, license_name):
    (tmp_path / "README.md").write_text(page)
    assert model_card.weights_license(None, str(tmp_path / "absent"), str(tmp_path)) == license_name


def test_the_licence_of_the_nearest_folder_counts(tmp_path):
    for name in ("mit", "apache-2.0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text(f"---\nlicense: {name}\n---\n")
    assert model_card.weights_license(str(tmp_path / "mit"), str(tmp_path / "apache-2.0")) == "mit"


def test_metrics_are_those_of_the_last_evaluation(tmp_path):
    assert model_card.run_metrics(str(tmp_path)) == {}
    lines = [
        {"kind": "eval", "step": 5, "loss": 2.0},
        {"kind": "eval", "step": 10, "loss": 1.0},
        {"kind": "train", "step": 11, "loss": 9.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert model_card.run_metrics(str(tmp_path)) == {"step": 10, "loss": 1.0}
    (tmp_path / "scores.json").write_text(json.dumps({"accuracy": 0.5, "confusion_matrix": [[1, 2], [3, 4]]}))
    assert model_card.run_metrics(str(tmp_path)) == {"accuracy": 0.5}


def test_the_page_names_the_teacher(run):
    description = run_folder.read_run(str(run))[0].of_model()
    page = model_card.card(description, "run", "mit", metrics={}, details={})
    assert "distilled from" not in page
    experiment = description.experiment | {"distill": {"teacher": "runs/large"}}
    page = model_card.card(description.replace(experiment=experiment), "run", "mit", metrics={}, details={})
    assert "| distilled from | runs/large |" in page


def test_the_page_describes_the_model(run):
    description = run_folder.read_run(str(run))[0].of_model()
    page = model_card.card(
        description, "runs/a|b", "mit", metrics={"accuracy": 0.91234567}, details={"precision": "bfloat16"}
    )
    for line in (
        "| task | classification |",
        "| weights | runs/a\\|b |",
        "| licence of the weights | mit |",
        f"| labels | {', '.join(LABELS)} |",
        "| precision | bfloat16 |",
        "| accuracy | 0.912346 |",
    ):
        assert line in page.split("\n")
    blocks = page.split("```json\n")
    assert json.loads(blocks[1].split("```")[0]) == description.data
    configuration = json.loads(blocks[2].split("```")[0])
    assert configuration == {
        "model": description.model.to_dict(),
        "experiment": json.loads(json.dumps(description.experiment)),
    }


def test_the_revision_is_unknown_without_git(monkeypatch):
    assert model_card.git_revision()
    monkeypatch.setenv("PATH", "")
    assert model_card.git_revision() == model_card.UNKNOWN
