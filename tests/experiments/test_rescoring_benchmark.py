"""The benchmark of re-scoring: its lists, its trigram model, what every side is given, and its table."""

import math
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

from bert_tf.scoring.rescoring import errors_of
from bert_tf.serving.rescoring import in_share
from data_pipelines.nbest_lists import read_nbest_lists
from experiments.benchmarks import rescoring_race
from experiments.benchmarks.nbest_simulation import Confusions, plain_sentence, recognized_words, simulated_list
from experiments.benchmarks.ngram_model import EncodedText, TrigramModel
from experiments.benchmarks.rescoring_race import Likelihoods, RescoringRun

for package in ("jiwer", "jellyfish"):
    pytest.importorskip(package, reason="make test installs it beside the environment (tests/packages.txt)")

TEXT = """
the they then there their three these other over of off on one a an and any in into to too two is it its this that than
what which witch write right light night knight file fill field value valve false server serves series compute computer
compete complete require required enter entry inner install instance some same time timer home name names number member
"""
WORDS = TEXT.split()
SENTENCES = [" ".join(Random(number).choices(WORDS, k=6 + number % 20)) for number in range(200)]
COUNTS = EncodedText.of(sentence.split() for sentence in SENTENCES).counts()


@pytest.fixture(scope="module")
def confusions():
    return Confusions(COUNTS, least_count=1)


@pytest.fixture(scope="module")
def lists(confusions):
    return [simulated_list(f"s{n}", text, confusions, size=10, seed=1) for n, text in enumerate(SENTENCES[:100])]


def test_sentences_are_written_as_a_recognizer_writes_them():
    assert recognized_words("The 3 “user’s” files: a/b.") == ["the", "3", "user's", "files", "a", "b"]
    assert plain_sentence("It doesn’t, (really) matter at all!\n") == "it doesn't really matter at all"
    for line in ("It is too short.", "no capital letter at its beginning here.", "It has a file.txt in it somewhere."):
        assert plain_sentence(line) is None


def test_words_are_confused_with_those_that_sound_or_look_alike(confusions):
    for word, others in (("there", {"their", "three"}), ("right", {"write", "light"}), ("unseenly", set())):
        alike = {other: similarity for other, similarity, _ in confusions.alike(word)}
        assert others <= set(alike)
        assert word not in alike
        assert all(0.5 <= similarity <= 1.0 for similarity in alike.values())
    assert confusions.halves("into") == [("in", "to")]


def test_lists_are_decided_by_seed_and_id(confusions, lists):
    text = SENTENCES[7]
    assert simulated_list("s7", text, confusions, size=10, seed=1) == lists[7]
    assert simulated_list("s7", text, confusions, size=10, seed=2).texts != lists[7].texts
    assert simulated_list("s8", text, confusions, size=10, seed=1).texts != lists[7].texts


def test_lists_have_different_hypotheses_of_known_words_the_best_first(lists):
    for one in lists:
        assert len(set(one.texts)) == 10
        assert list(one.scores) == sorted(one.scores, reverse=True)
        assert {word for text in one.texts for word in text.split()} <= set(WORDS)
    sizes = {len(text.split()) - len(one.reference.split()) for one in lists for text in one.texts}
    assert min(sizes) < 0 < max(sizes)  # words are dropped and inserted


def test_the_first_pass_is_often_wrong_and_the_reference_is_often_in_the_list(lists):
    counted = [errors_of(one.reference, one.texts) for one in lists]
    num_words = sum(length for _, length in counted)
    assert 0.1 < sum(errors[0] for errors, _ in counted) / num_words < 0.2
    assert 0.0 < sum(errors.min() for errors, _ in counted) / num_words < 0.08
    assert 0.4 < np.mean([one.reference in one.texts for one in lists]) < 0.9


def test_trigrams_have_the_probabilities_of_nltk():
    lm = pytest.importorskip("nltk.lm")
    sentences = [sentence.split() for sentence in SENTENCES[:12]]
    grams = []
    for words in sentences:
        padded = ["<s>", "<s>", *words, "</s>"]
        spans = [tuple(padded[end - size : end]) for end in range(3, len(padded) + 1) for size in (1, 2, 3)]
        grams.append(spans)
    peer = lm.KneserNeyInterpolated(3, discount=0.3)
    peer.fit(grams, vocabulary_text=[*WORDS, "<s>", "</s>"])
    model = TrigramModel(EncodedText.of(sentences), least_count=1, discount=0.3)
    asked = [sentences[0], sentences[3][:4] + sentences[5][2:5], ["three", "these"]]
    for words, found in zip(asked, model.log_likelihoods(asked), strict=True):
        padded = ["<s>", "<s>", *words, "</s>"]
        expected = sum(math.log(peer.score(padded[n], padded[n - 2 : n])) for n in range(2, len(padded)))
        assert found == pytest.approx(expected, rel=1e-9)


def test_rare_words_share_the_probability_of_their_class():
    model = TrigramModel(EncodedText.of([["a", "b"], ["a", "c"], ["a", "d"]]))
    of_known, of_new = model.log_likelihoods([["a", "b"], ["a", "new"]])
    assert of_known == of_new
    # All three follow "a" as the one class of rare words, for which each is a third.
    only = TrigramModel(EncodedText.of([["a", "b"]] * 3), discount=0.0).log_likelihoods([["a", "b"]])
    assert of_new < only[0]
    assert only[0] == pytest.approx(0.0)


def test_every_side_is_scored_on_the_same_half_of_the_lists(lists):
    texts = {text: one for one in lists for text in one.texts}
    perfect = {text: (-1e6 * float(errors_of(one.reference, [text])[0][0]), 5) for text, one in texts.items()}
    useless = dict.fromkeys(texts, (-1.0, 5))
    rows = rescoring_race.side_rows(lists, {"token": Likelihoods(perfect, 2.0), "trigram": Likelihoods(useless, 4.0)})
    names = ["first pass", "mask=token", "trigram model", "trigram model, mask=token", "oracle"]
    assert [row["name"] for row in rows] == names
    tested = [one for one in lists if not in_share(one.id, 0.5)]
    assert {row["lists"] for row in rows} == {len(tested)}
    counted = [errors_of(one.reference, one.texts) for one in tested]
    num_words = sum(length for _, length in counted)
    first, best = (sum(pick(errors) for errors, _ in counted) / num_words for pick in (lambda e: e[0], min))
    assert [row["wer"] for row in rows] == pytest.approx([first, best, first, best, best])
    assert [row.get("texts_per_second") for row in rows] == [None, len(texts) / 2.0, len(texts) / 4.0, None, None]
    assert (rows[2]["weight"], rows[2]["length_weight"]) == (0.0, 0.0)


def test_what_follows_the_trigram_model_keeps_its_gain(lists):
    texts = {text: one for one in lists for text in one.texts}
    perfect = {text: (-1e6 * float(errors_of(one.reference, [text])[0][0]), 5) for text, one in texts.items()}
    useless = dict.fromkeys(texts, (-1.0, 5))
    rows = rescoring_race.side_rows(lists, {"trigram": Likelihoods(perfect, 1.0), "token": Likelihoods(useless, 1.0)})
    wer = {row["name"]: row["wer"] for row in rows}
    assert wer["trigram model, mask=token"] == wer["trigram model"] == wer["oracle"] < wer["mask=token"]


def test_the_scorer_is_compared_with_its_teacher():
    teacher = {"a b": (-4.0, 2), "c": (-1.0, 1), "d e f": (-9.0, 3)}
    scorer = {"a b": (-3.0, 2), "c": (-1.0, 1), "d e f": (-6.0, 3)}
    found = rescoring_race.agreement(teacher, scorer, list(teacher))
    assert (found["texts"], found["spearman"]) == (3, pytest.approx(1.0))
    assert found["mae"] == pytest.approx((0.5 + 0.0 + 1.0) / 3)
    assert found["mae_of_mean"] == pytest.approx(2 / 3)


class FakePredictor:
    """A predictor whose likelihood of a text is minus its length: of a pre-trained model, or of a scorer."""

    def __init__(self, path, batch_size):
        scores = path.endswith("scorer")
        self.task = SimpleNamespace(methods=("score",)) if scores else None
        self.tokenizer = SimpleNamespace(encode_batch=lambda texts: [text.split() for text in texts])

    def log_likelihood(self, texts, mask="token"):
        return [{"log_likelihood": -float(len(text)), "num_tokens": len(text.split())} for text in texts]

    def score(self, texts):
        return [-len(text) / len(text.split()) for text in texts]


@pytest.fixture
def checkpoint(tmp_path):
    corpus = tmp_path / "checkpoint" / "corpus"
    corpus.mkdir(parents=True)
    lines = [sentence.capitalize() + ".\n" for sentence in SENTENCES]
    (corpus / "train.txt").write_text("".join(lines[:150]))
    (corpus / "heldout.txt").write_text("".join(lines[140:]))  # the first ten are in the training text too
    return str(tmp_path / "checkpoint")


def race_of(folder, checkpoint, **changes):
    sizes = {"sentences": 50, "hypotheses": 4, "scorer_sentences": 50, "loop_texts": 3, "seed": 1, "least_count": 1}
    return RescoringRun(str(folder / "work"), checkpoint, **(sizes | changes))


def test_the_whole_benchmark_goes_on_where_it_stopped(tmp_path, checkpoint, monkeypatch, capsys):
    launched = []
    monkeypatch.setattr(rescoring_race, "load", FakePredictor)
    monkeypatch.setattr(rescoring_race, "launch", lambda folder, *command: launched.append(command))
    race = race_of(tmp_path, checkpoint)
    race.run_stages()
    lists = read_nbest_lists(race.path("lists.jsonl"))
    assert sorted(one.reference for one in lists) == sorted(SENTENCES[150:])
    assert launched[0][:3] == ("finetune", "--config=sentence_score", "--train_file=scorer_train.jsonl")
    results = race.results()
    assert results["scorer"]["hypotheses"]["mae"] == pytest.approx(0.0)
    rows = {row["name"]: row for row in results["sides"]}
    sides = list(rescoring_race.SIDES.values())
    assert list(rows) == ["first pass", *sides, *(f"trigram model, {side}" for side in sides[1:]), "oracle"]
    assert rows["mask=token"]["wer"] == rows["distilled scorer"]["wer"] >= rows["oracle"]["wer"]
    again = race_of(tmp_path, checkpoint)
    capsys.readouterr()
    again.run_stages()
    assert capsys.readouterr().out.count("(complete)") == len(again.stages)
    assert again.results() == results
    with pytest.raises(ValueError, match="`output_dir` must be a new folder"):
        race_of(tmp_path, checkpoint, seed=2)
    monkeypatch.setattr(rescoring_race, "newest_checkpoint", lambda run: SimpleNamespace(step=7))
    with pytest.raises(ValueError, match="'checkpoint_step': 7"):
        race_of(tmp_path, checkpoint)


def test_too_few_sentences_are_an_error(tmp_path, checkpoint):
    with pytest.raises(ValueError, match=r"`sentences` must be at most 50, .*Received: 51"):
        race_of(tmp_path, checkpoint, sentences=51).run_stages()


def test_the_table_has_a_row_for_each_side():
    results = {
        "lists": {"hypotheses": 9.75, "with_reference": 0.7, "words": 13.04},
        "sides": [
            {"name": "first pass", "lists": 16, "wer": 0.125, "cer": 0.05},
            {"name": "mask=token", "lists": 16, "wer": 0.0625, "cer": 0.025, "weight": 0.5, "length_weight": -1.25}
            | {"texts_per_second": 40.4},
            {"name": "both", "lists": 16, "wer": 0.05, "cer": 0.02, "weight": 0.25, "length_weight": 0.0},
        ],
        "scorer": {"references": {"texts": 40, "pearson": 0.5, "spearman": 0.25, "mae": 1.0, "mae_of_mean": 2.0}},
        "loop": {"texts": 6, "seconds": {"loop": [6.0, 5.0, 9.0], "batches": [1.0, 4.0, 2.0]}},
    }
    lines = rescoring_race.describe(results).splitlines()
    assert lines[0] == "16 test lists; of all, 70 % have their reference among 9.8 hypotheses; 13.0 words a reference"
    assert lines[5] == "| both | 5.00 | 2.00 | 0.25 | 0 |  |"
    assert lines[3:5] == ["| first pass | 12.50 | 5.00 |  |  |  |", "| mask=token | 6.25 | 2.50 | 0.5 | -1.25 | 40 |"]
    assert "| references | 40 | 0.500 | 0.250 | 1.000 | 2.000 |" in lines
    assert lines[-1] == "mask=token, 6 texts: 6.00 s for one row at a time, 2.00 s in batches, 3.00 x"
