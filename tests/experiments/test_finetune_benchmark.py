"""The fine-tuning benchmarks' own logic: what they cut from the public files, how they score, what their tables say."""

import dataclasses
import json
import sys

import pytest
from launch_many import launch_many
from small_model import write_vocab

from experiments.benchmarks import finetune, finetune_results
from experiments.benchmarks.finetune_cases import BENCHMARKS, finetuning_config, make_case, prepare, scores
from experiments.benchmarks.finetune_workers.protocol import read_lines


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in ("sst2", "stsb", "wnut17", "xquad"):
        (folder / name).mkdir()
    for part in ("train", "dev"):
        pairs = "One boat .\tTwo boats .\t2.5\nOne boat .\tOne boat .\t5.0\n"
        (folder / "stsb" / f"{part}.tsv").write_text("sentence1\tsentence2\tscore\n" + pairs)
    sentences = "".join(f"sentence {number}\t{number % 2}\n" for number in range(8100))
    for part in ("train", "dev"):
        (folder / "sst2" / f"{part}.tsv").write_text("sentence\tlabel\n" + sentences)
    for part in ("train", "test"):
        (folder / "wnut17" / f"{part}.conll").write_text("Anna\tB-person\nsaw\tO\n\nParis\tB-location\n")
    articles = [
        {
            "title": f"article {number}",
            "paragraphs": [
                {
                    "context": f"The river has {number} boats. It is long.",
                    "qas": [
                        {
                            "id": f"q{number}",
                            "question": "How many?",
                            "answers": [{"text": str(number), "answer_start": 14}],
                        }
                    ],
                }
            ],
        }
        for number in range(10)
    ]
    (folder / "xquad" / "xquad.en.json").write_text(json.dumps({"data": articles}))
    return folder


def _case(name, data_dir, folder):
    train, evaluation = prepare(name, str(data_dir), str(folder))
    return make_case(name, train, evaluation, weights="weights", work_dir=str(folder), seed=3)


def test_the_first_sentences_are_trained_on(data_dir, tmp_path):
    case = _case("sst2", data_dir, tmp_path)
    lines = read_lines(case.train)
    assert [len(lines), len(read_lines(case.eval))] == [8000, 8100]
    assert lines[-1] == {"text": "sentence 7999", "text_pair": None, "label": "1"}
    assert (case.kind, case.labels, case.batch_size, case.seed) == ("classification", ("0", "1"), 32, 3)
    config = finetuning_config(case, ["train.jit_compile=false"])
    assert (config.num_epochs, config.train.seed, config.keep_best) == (case.num_epochs, 3, False)
    assert config.train.learning_rate == case.learning_rate
    longer = dataclasses.replace(case, num_epochs=7, precision="bfloat16")
    config = finetuning_config(longer)
    assert (config.num_epochs, config.train.precision) == (7, "bfloat16"), "the schedule is the peer's"


def test_questions_are_folded_by_article(data_dir, tmp_path):
    case = _case("xquad", data_dir, tmp_path)
    parts = [{line["id"] for line in read_lines(path)} for path in (case.train, case.eval)]
    assert [len(part) for part in parts] == [8, 2]
    assert not parts[0] & parts[1]


def test_sentences_become_choices(data_dir, tmp_path):
    case = _case("choices", data_dir, tmp_path)
    line = read_lines(case.eval)[0]
    assert (case.kind, line["label"], line["choices"][1]) == ("multiple_choice", 0, "It is long.")
    assert scores(case, [line, line], [{"index": 0}, {"index": 1}]) == {"accuracy": 0.5}


def test_similarities_are_numbers(data_dir, tmp_path):
    case = _case("stsb", data_dir, tmp_path)
    assert (case.kind, case.labels) == ("regression", ())
    examples = read_lines(case.eval)
    assert examples[0] == {"text": "One boat .", "text_pair": "Two boats .", "label": 2.5}
    assert scores(case, examples, [{"label": 1.0}, {"label": 4.0}]) == pytest.approx({"pearson": 1, "spearman": 1})


def test_answers_are_scored(data_dir, tmp_path):
    case = _case("wnut17", data_dir, tmp_path)
    assert case.labels == ("B-location", "B-person", "O")
    examples = read_lines(case.eval)
    assert scores(case, examples, [{"tags": ["B-person", "O"]}, {"tags": ["O"]}]) == {"f1": pytest.approx(2 / 3)}
    case = _case("sst2", data_dir, tmp_path)
    assert scores(case, [{"label": "0"}, {"label": "1"}], [{"label": "1"}, {"label": "1"}]) == {"accuracy": 0.5}
    case = _case("xquad", data_dir, tmp_path)
    found = scores(case, [{"answers": [["two boats", 0]]}], [{"answer": "the two"}])
    assert found == {"f1": pytest.approx(2 / 3), "exact_match": 0.0}


def test_the_table_of_scores():
    lines = [
        {"task": "sst2", "implementation": finetune_results.OURS, "seed": seed, "accuracy": value}
        for seed, value in ((0, 0.91), (1, 0.93))
    ]
    lines.append({"task": "sst2", "implementation": finetune_results.TRANSFORMERS, "seed": 0, "accuracy": 0.9})
    table = finetune_results.describe(lines)
    assert "| sst2 | accuracy | 92.0 ± 1.4 (2 seeds) | 90.0 (1 seed) | not run |" in table
    assert len(table.splitlines()) == 2 + sum(len(benchmark.scores) for benchmark in BENCHMARKS.values())


def test_scores_of_another_precision_are_reported(tmp_path):
    output = tmp_path / "scores.jsonl"
    output.write_text('{"task": "sst2", "implementation": "bert_tf", "seed": 0, "accuracy": 0.9}\n')
    folders = [f"--{name}={tmp_path}" for name in ("data_dir", "weights", "venvs", "work_dir")]
    found = launch_many([["experiments.benchmarks.finetune_results", *folders, f"--output={output}"]], tmp_path)[0]
    assert found.returncode == 2
    assert "--output must be new, or hold results of precision='bfloat16'. Received: precision=None in" in found.stderr
    assert output.read_text().count("\n") == 1


def test_random_weights_have_the_sizes_of_the_pretrained(tmp_path):
    sizes = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4}
    (tmp_path / "config.json").write_text(json.dumps(sizes | {"intermediate_size": 16}))
    arguments = finetune_results.random_encoder(str(tmp_path))
    assert arguments[0] == f"--vocab_file={tmp_path}/vocab.txt"
    assert "--set=model.num_layers=2" in arguments


_STAND_IN = """#!{python}
import json, sys
case = json.loads(sys.argv[2])
print(json.dumps({{"event": "ready", "steps_per_epoch": 31, "start_seconds": 1.0, "versions": {{}}}}))
for number, line in enumerate(sys.stdin):
    if line == "epoch\\n":
        print(json.dumps({{"event": "trained", "loss": 4.56789 - number}}))
    else:
        answers = [{{"answer": json.loads(example)["answers"][0][0]}} for example in open(case["eval"])]
        with open(line.split()[1], "w") as file:
            file.writelines(json.dumps(answer) + "\\n" for answer in answers)
        print(json.dumps({{"event": "predicted"}}))
"""


def test_a_peers_run_reports_its_losses(data_dir, tmp_path):
    """By a stand-in for its interpreter, which answers as the worker does."""
    python = tmp_path / "python"
    python.write_text(_STAND_IN.format(python=sys.executable))
    python.chmod(0o755)
    case = dataclasses.replace(_case("xquad", data_dir, tmp_path), num_epochs=3)
    found = finetune_results.run_peer(case, str(python))
    assert found["losses"] == [(31, 4.5679), (62, 3.5679), (93, 2.5679)]
    assert (found["f1"], found["exact_match"]) == (1.0, 1.0)
    assert found["seconds"] > 0


@pytest.mark.long
def test_a_run_of_this_project_reports_its_losses(tmp_path):
    weights = tmp_path / "weights"
    tokens = write_vocab(weights / "vocab.txt").read_text().split()
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    (weights / "config.json").write_text(json.dumps(sizes | {"vocab_size": len(tokens)}))
    train = tmp_path / "train.tsv"
    train.write_text("sentence\tlabel\n" + "".join(f"the {tokens[-1 - n % 9]}\t{n % 2}\n" for n in range(1632)))
    start = finetune_results.random_encoder(str(weights))
    found = finetune_results.run_ours(
        "sst2", str(train), str(train), start=start, seed=0, precision="float32", folder=str(tmp_path / "run")
    )
    steps = [step for step, _ in found["losses"]]
    assert steps[-1] == 51
    assert all(0.3 < loss < 1.0 for _, loss in found["losses"])
    assert 0 < found["accuracy"] <= 1
    assert not (tmp_path / "run").exists()


def test_the_table_of_times(data_dir, tmp_path):
    case = dataclasses.replace(_case("sst2", data_dir, tmp_path), precision="bfloat16")
    started = {"steps_per_epoch": 47, "start_seconds": 3.0, "versions": {}}
    rows = [
        finetune.summary(
            case,
            name,
            started=started,
            epochs=[{"seconds": value, "cpu_seconds": 2 * value, "loss": 0.5} for value in (first, *later)],
        )
        for name, first, later in (("bert_tf", 30.0, (4.0, 6.0, 5.0)), ("transformers", 11.0, (12.0, 10.0, 11.0)))
    ]
    assert rows[0]["first_epoch_extra_seconds"] == 25.0
    assert rows[0]["epoch_seconds_spread"] == [4.0, 6.0]
    assert finetune.describe(rows).splitlines()[2:] == [
        "| bfloat16 | bert_tf | 5.0 | 0.45 | 25.0 | 10.0 |",
        "| bfloat16 | transformers | 11.0 |  | 0.0 | 22.0 |",
    ]
