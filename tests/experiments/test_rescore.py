"""`bert-tf likelihood` and `bert-tf rescore`: the answers of the predictor, weights, error rates, and bad input."""

import json
import math

import numpy as np
import pytest
from launch_many import launch_many
from small_model import write_run

from bert_tf.serving.predictor import load

pytest.importorskip("jiwer", reason="make test installs jiwer beside the environment (tests/weights.txt)")

TEXTS = ["the old miller", "a young sailor", "the letter near the river"]
RESCORE = ["experiments.rescore", "--model_dir=run", "--nbest=lists.jsonl"]
COMMANDS = {
    "likelihood": [
        *("experiments.likelihood", "--model_dir=run", "--input=texts.txt", "--output=likelihoods.jsonl"),
        *("--mask=whole_word", "--tokens"),
    ],
    "likelihood of a classifier": [
        *("experiments.likelihood", "--model_dir=classifier", "--input=texts.txt", "--output=none.jsonl"),
    ],
    "fixed": [*RESCORE, "--output=fixed.jsonl", "--weight=2", "--length_weight=0.5"],
    "found": [*RESCORE, "--output=found.jsonl", "--tune_nbest=lists.jsonl"],
    "no references": [*RESCORE[:2], "--nbest=unknown.jsonl", "--output=plain.jsonl", "--weight=1", "--length_weight=0"],
    "regressor": [
        *("experiments.rescore", "--model_dir=regressor", "--nbest=lists.jsonl", "--output=regressed.jsonl"),
        *("--weight=1", "--length_weight=0"),
    ],
    "auto without references": [*RESCORE[:2], "--nbest=unknown.jsonl", "--output=none.jsonl"],
    "no number": [*RESCORE, "--output=none.jsonl", "--weight=large"],
    "negative": [*RESCORE, "--output=none.jsonl", "--weight=-1"],
    "classifier": ["experiments.rescore", "--model_dir=classifier", "--nbest=lists.jsonl", "--output=none.jsonl"],
    "no lists": [*RESCORE[:2], "--nbest=missing.jsonl", "--output=none.jsonl"],
}
WRONG = {
    "likelihood of a classifier": "error: `log_likelihood` needs a model for pretraining. Received: classifier",
    "auto without references": "error: --weight and --length_weight can be auto only for lists with references",
    "no number": "error: --weight must be a number, or auto. Received: 'large'",
    "negative": "error: --weight must be at least 0, or auto. Received: '-1'",
    "classifier": "error: `log_likelihood` needs a model for pretraining. Received: classifier",
    "no lists": "error: --nbest must be a file or a folder of n-best lists. Received: 'missing.jsonl'",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    for name, task in (("run", "pretraining"), ("regressor", "regression"), ("classifier", "classification")):
        write_run(folder / name, task)
    predictor = load(str(folder / "run"))
    # The first pass prefers the wrong text by a little, and the model by its likelihoods the right one.
    lists = []
    for number, text in enumerate(TEXTS):
        hypotheses = [text, text.replace(" ", " x ", 1), ""]
        likelihoods = [answer["log_likelihood"] for answer in predictor.log_likelihood(hypotheses)]
        scores = [-likelihood for likelihood in likelihoods[:2]] + [-500.0]
        given = [{"text": one, "score": score} for one, score in zip(hypotheses, scores, strict=True)]
        lists.append({"id": number, "hypotheses": given, "reference": hypotheses[int(np.argmax(likelihoods[:2]))]})
    unknown = [{name: one[name] for name in ("id", "hypotheses")} for one in lists]
    for name, lines in (("lists", lists), ("unknown", unknown)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "texts.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    return folder


@pytest.fixture(scope="module")
def results(folder):
    return dict(zip(COMMANDS, launch_many(list(COMMANDS.values()), folder), strict=True))


def lines_of(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_likelihoods_of_a_file_are_those_of_the_predictor(folder, results):
    assert results["likelihood"].returncode == 0, results["likelihood"].stderr
    predictor = load(str(folder / "run"))
    expected = predictor.log_likelihood(TEXTS, mask="whole_word", tokens=True)
    found = lines_of(folder, "likelihoods.jsonl")
    for text, line, answer in zip(TEXTS, found, expected, strict=True):
        assert (line["text"], line["num_tokens"]) == (text, answer["num_tokens"])
        assert line["log_likelihood"] == pytest.approx(answer["log_likelihood"], rel=1e-5)
        assert line["mean_log_likelihood"] == pytest.approx(answer["log_likelihood"] / answer["num_tokens"], rel=1e-5)
        assert [token["token"] for token in line["tokens"]] == [token["token"] for token in answer["tokens"]]
    shown = float(results["likelihood"].stdout.split("perplexity ")[1])
    assert math.isclose(shown, predictor.perplexity(TEXTS, mask="whole_word"), rel_tol=1e-3)


def test_totals_have_the_weights_that_were_given(folder, results):
    assert results["fixed"].returncode == 0, results["fixed"].stderr
    predictor = load(str(folder / "run"))
    for line, given in zip(lines_of(folder, "fixed.jsonl"), lines_of(folder, "lists.jsonl"), strict=True):
        assert (line["id"], line["part"], line["reference"]) == (str(given["id"]), "test", given["reference"])
        totals = [hypothesis["total"] for hypothesis in line["hypotheses"]]
        assert totals == sorted(totals, reverse=True)
        assert line["text"] == line["hypotheses"][0]["text"]
        assert {one["text"] for one in line["hypotheses"]} == {one["text"] for one in given["hypotheses"]}
        for hypothesis in line["hypotheses"]:
            [answer] = predictor.log_likelihood([hypothesis["text"]])
            total = hypothesis["score"] + 2.0 * answer["log_likelihood"] + 0.5 * answer["num_tokens"]
            assert hypothesis["total"] == pytest.approx(total, rel=1e-4)


def test_found_weights_reduce_the_errors_to_the_oracle(folder, results):
    assert results["found"].returncode == 0, results["found"].stderr
    rows = results["found"].stdout.splitlines()[2:]  # the lists, then a line of headings
    rates = {row[:16].strip().removeprefix("test, "): float(row.split()[-4]) for row in rows}  # ... WER % CER %
    assert rates["first pass"] > 0.0
    assert rates["rescored"] == rates["oracle"] == 0.0
    assert [line["text"] for line in lines_of(folder, "found.jsonl")] == [
        line["reference"] for line in lines_of(folder, "lists.jsonl")
    ]


def test_lists_without_references_are_ranked_without_a_table(folder, results):
    assert results["no references"].returncode == 0, results["no references"].stderr
    assert results["no references"].stdout.splitlines() == ["plain.jsonl: 3 lists, weight 1, length weight 0"]
    assert all("reference" not in line for line in lines_of(folder, "plain.jsonl"))


def test_a_regressor_gives_the_mean_of_a_tokens_log_likelihood(folder, results):
    assert results["regressor"].returncode == 0, results["regressor"].stderr
    predictor = load(str(folder / "regressor"))
    for line in lines_of(folder, "regressed.jsonl"):
        for hypothesis in line["hypotheses"]:
            [mean] = predictor.score([hypothesis["text"]])
            assert hypothesis["log_likelihood"] == pytest.approx(mean * hypothesis["num_tokens"], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_line_and_nothing_is_written(folder, results, name):
    assert results[name].returncode != 0
    assert results[name].stderr.strip().splitlines()[-1].startswith(WRONG[name])
    assert not (folder / "none.jsonl").exists()
