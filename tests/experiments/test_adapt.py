"""From published weights and a domain's text to a model of the domain, in small."""

import json

import numpy as np
import pytest
from launch_many import launch_many
from small_corpus import write_corpus
from small_model import write_run

import bert_tf
from bert_tf.configs import PretrainingConfig
from bert_tf.serving.predictor import load
from experiments.corpora import adaptation_run
from experiments.corpora.adaptation_run import AdaptationRun, log_likelihood_of_characters
from experiments.launch import load_config

CHANGES = ["train.num_steps=60", "train.warmup_steps=5", "train.steps_per_loop=20", "train.batch_size=16"]
CHANGES += ["train.learning_rate=0.01", "train.jit_compile=false", "train.precision=float32", "train.log_every=20"]
SENTENCES = ["the enzyme binds near the kinase in the {}.", "an old kinase binds the {} before the enzyme."]
PLACES = ["river", "boat", "letter", "storm", "road", "market"]


def write_domain(path, count=60):
    """Write a text of two kinds of sentences, in which "enzyme" and "kinase" are new words."""
    chance = np.random.default_rng(0)
    documents = [
        [SENTENCES[chance.integers(2)].format(PLACES[chance.integers(len(PLACES))]) for _ in range(3)]
        for _ in range(count)
    ]
    path.write_text("\n\n".join("\n".join(document) for document in documents) + "\n", encoding="utf-8")


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    monkeypatch.setattr(adaptation_run, "HOLDOUT", 0.3)
    write_run(tmp_path / "weights", "pretraining")
    write_domain(tmp_path / "domain.txt")
    write_corpus(tmp_path / "general.txt", 40)
    config = load_config("adaptation", PretrainingConfig, CHANGES)

    def make(**options):
        options = {"num_new": 2, "replay": str(tmp_path / "general.txt"), "max_seq_length": 24} | options
        paths = (str(tmp_path / name) for name in ("weights", "domain.txt"))
        return AdaptationRun(str(tmp_path / "adapted"), config, *paths, **options)

    return make


def test_a_domain_is_learnt_and_its_words_become_tokens(make_run, tmp_path):
    run = make_run()
    assert {line.split(": ")[1] for line in run.plan()} == {"to do"}
    report = run.run()
    old, new = load(str(tmp_path / "weights")), load(run.path("run"))
    assert report["domain"]["after"] > report["domain"]["before"] + 0.1
    assert report["tokens"] == {"before": len(old.tokenizer), "after": len(old.tokenizer) + 2}
    assert new.tokenizer.tokenize("the enzyme") == ["the", "enzyme"]
    assert json.loads((tmp_path / "adapted" / "report.json").read_text()) == report
    assert set(report) == {"domain", "general", "tokens"}
    text = (tmp_path / "adapted" / "corpus" / "train.txt").read_text()
    share = sum(len(line) for line in text.splitlines() if "enzyme" not in line) / len(text)
    assert 0.1 < share < 0.3  # of general text
    # Complete stages are kept, and the finished run is read.
    again = make_run()
    assert {line.split(": ")[1] for line in again.plan()} == {"complete"}
    assert again.run() == report
    with pytest.raises(ValueError, match=r"`output_dir` must be a new folder, or one that was begun with the same"):
        make_run(num_new=3)


@pytest.mark.long  # a second adaptation from the start
def test_without_new_words_the_vocabulary_stays(make_run, tmp_path):
    run = make_run(num_new=0, replay=None)
    assert [line.split(":")[0] for line in run.plan()] == ["corpus", "vocabulary", "records"]
    report = run.run()
    assert report["tokens"]["before"] == report["tokens"]["after"]
    assert set(report) == {"domain", "tokens"}
    assert load(run.path("run")).tokenizer.tokens == load(str(tmp_path / "weights")).tokenizer.tokens


def test_the_likelihood_of_a_character_by_hand(tmp_path):
    predictor = load(str(write_run(tmp_path / "weights", "pretraining")))
    texts = ["the old miller", "a zq boat"]
    total = sum(answer["log_likelihood"] for answer in predictor.log_likelihood(texts, mask="whole_word"))
    assert log_likelihood_of_characters(predictor, texts) == pytest.approx(total / 23)


def test_weights_that_cannot_be_adapted_are_refused(make_run, tmp_path):
    encoder = bert_tf.load_encoder(str(tmp_path / "weights"))
    bert_tf.save_pretrained(encoder, str(tmp_path / "encoder"), tokenizer=load(str(tmp_path / "weights")).tokenizer)
    command = ["experiments.adapt", "--corpus=domain.txt", "--output_dir=none"]
    headless, missing, share = launch_many(
        [
            [*command, "--init_checkpoint=encoder"],
            ["experiments.adapt", "--init_checkpoint=weights", "--corpus=missing.txt", "--output_dir=none"],
            [*command, "--init_checkpoint=weights", "--replay=general.txt", "--replay_share=1.5"],
        ],
        tmp_path,
    )
    assert "has no weights for masked_lm" in headless.stderr
    assert "error: --corpus" in missing.stderr
    assert "error: --replay_share must be above 0 and below 1. Received: 1.5" in share.stderr
    assert not (tmp_path / "none").exists()
