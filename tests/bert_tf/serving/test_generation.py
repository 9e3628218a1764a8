"""Generated texts: cached steps, beams, samples, forbidden tokens, batches and bad input."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from small_model import write_run

import bert_tf
from bert_tf.configs.decoding import DecodingOptions
from bert_tf.examples import Seq2SeqExample
from bert_tf.models import generation
from bert_tf.serving.predictor import load
from bert_tf.tokenization.generated import generated_tokens

TEXTS = ["the old miller", "boat", "a sailor near the river a b c d e f", "the river"]
FORBIDDEN = ("[PAD]", "[UNK]", "[CLS]", "[MASK]")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return load(str(write_run(tmp_path_factory.mktemp("runs") / "seq2seq", "seq2seq", num_layers=2)))


def _allowed(predictor):
    return generated_tokens(predictor.tokenizer, predictor.description.model.vocab_size)


def _found(predictor, texts=TEXTS, **options):
    options = DecodingOptions(**({"max_length": 8, "beams": 3, "num_return": 3, "no_repeat_ngram": 0} | options))
    return predictor.hypotheses([Seq2SeqExample(text) for text in texts], options)


def _row(predictor, text, tokens):
    """Return the inputs of a source and a whole target."""
    tokenizer = predictor.tokenizer
    [pair] = predictor.task.pairs([Seq2SeqExample(text)], tokenizer)
    source, target = pair.source, list(tokens)
    return {
        "input_ids": source + target,
        "segment_ids": [0] * len(source) + [1] * len(target),
        "order": [0] * len(source) + list(range(1, len(target) + 1)),
        "next_token_positions": list(range(len(source) - 1, len(source) + len(target) - 1)),
    }


def _log_probabilities(predictor, text, tokens):
    """Return the log-probabilities [T, V] of each token of a target, by the model on the whole row."""
    row = _row(predictor, text, tokens)
    logits = predictor.model({name: np.array([values], "int32") for name, values in row.items()})
    return np.asarray(keras.ops.log_softmax(logits, axis=-1))[0]


def test_functions_are_kept_for_the_last_options_alone(predictor):
    several = [DecodingOptions(max_length=8, beams=1, top_p=number / 20) for number in range(1, 20)]
    first = predictor._compiled_generation(several[-1])
    for options in several:
        predictor._compiled_generation(options)
    assert predictor._compiled_generation(several[-1].replace(seed=5)) is not first
    assert len(predictor._compiled_generations) == 8


@pytest.mark.parametrize("options", [{}, {"sampled": True, "seed": 3}, {"no_repeat_ngram": 2, "length_penalty": 0.0}])
def test_scores_are_the_models_own(predictor, options):
    for text, found in zip(TEXTS, _found(predictor, **options), strict=True):
        assert len(found) == 3
        for one in found:
            # The sum over a whole row, without kept keys and values, is that of the steps.
            expected = _log_probabilities(predictor, text, one.tokens)[range(len(one.tokens)), one.tokens].sum()
            assert one.log_probability == pytest.approx(expected, abs=2e-5)
            alpha = options.get("length_penalty", 0.6)
            assert one.score == pytest.approx(one.log_probability / ((5 + len(one.tokens)) / 6) ** alpha)
            assert one.tokens[-1] == predictor.tokenizer.sep_id or len(one.tokens) == 8
            assert predictor.tokenizer.sep_id not in one.tokens[:-1]


@pytest.mark.parametrize("options", [{}, {"sampled": True, "seed": 3}])
def test_room_that_grows_changes_nothing(predictor, monkeypatch, options):
    whole = _found(predictor, **options)
    assert max(len(one.tokens) for found in whole for one in found) == 8
    monkeypatch.setattr(generation, "_LEAST_ROOM", 2)
    assert generation._rooms(8) == [2, 4, 8]
    for found, expected in zip(_found(load(predictor.source), **options), whole, strict=True):
        assert [one.tokens for one in found] == [one.tokens for one in expected]
        for one, other in zip(found, expected, strict=True):
            assert one.log_probability == pytest.approx(other.log_probability, abs=1e-5)


@pytest.mark.parametrize(("max_length", "rooms"), [(1, [1]), (31, [31]), (32, [16, 32]), (65, [17, 33, 65])])
def test_rooms_are_doubled(max_length, rooms):
    assert generation._rooms(max_length) == rooms


def test_one_beam_takes_the_likeliest_token_at_each_step(predictor):
    allowed = _allowed(predictor)
    for text, [found] in zip(TEXTS, _found(predictor, beams=1, num_return=1), strict=True):
        tokens = []
        while len(tokens) < 8 and predictor.tokenizer.sep_id not in tokens:
            following = _log_probabilities(predictor, text, [*tokens, 0])[-1]
            tokens.append(int(np.where(allowed, following, -np.inf).argmax()))
        assert list(found.tokens) == tokens


def test_beams_find_what_all_sequences_would(predictor):
    # Two tokens: as many beams as tokens find the best of all pairs.
    count = int(_allowed(predictor).sum())
    [[best]] = _found(predictor, TEXTS[:1], max_length=2, beams=count, num_return=1, length_penalty=0.0)
    end, allowed = predictor.tokenizer.sep_id, np.flatnonzero(_allowed(predictor))
    first = _log_probabilities(predictor, TEXTS[0], [end])[0]
    totals = {(end,): first[end]}
    rows = [_row(predictor, TEXTS[0], [token, end]) for token in allowed]
    logits = predictor.model({name: np.array([row[name] for row in rows], "int32") for name in rows[0]})
    seconds = dict(zip(allowed, np.asarray(keras.ops.log_softmax(logits, axis=-1))[:, 1], strict=True))
    for token in allowed[allowed != end]:
        second = seconds[token]
        totals |= {(int(token), int(other)): first[token] + second[other] for other in allowed}
    assert best.tokens == max(totals, key=totals.get)


@pytest.mark.parametrize("options", [{}, {"beams": 1, "num_return": 1}, {"sampled": True, "seed": 4, "top_k": 9}])
def test_texts_together_are_generated_as_each_alone(predictor, options):
    together = _found(predictor, **options)
    for text, found in zip(TEXTS, together, strict=True):
        [alone] = _found(predictor, [text], **options)
        assert [one.tokens for one in alone] == [one.tokens for one in found]
        np.testing.assert_allclose([a.score for a in alone], [f.score for f in found], atol=1e-5)


def test_forbidden_tokens_are_never_generated(tmp_path):
    run = write_run(tmp_path / "run", "seq2seq", vocab_size=110)  # more rows of embeddings than tokens
    predictor = load(str(run))
    forbidden = [*predictor.tokenizer.convert_tokens_to_ids(FORBIDDEN), *range(len(predictor.tokenizer), 110)]
    bias = predictor.model.masked_lm.output_bias
    bias.assign(bias + 50.0 * np.isin(np.arange(110), forbidden))  # the model wants nothing else
    for options in ({}, {"sampled": True, "seed": 1, "temperature": 5.0}):
        for found in _found(predictor, **options):
            assert not {token for one in found for token in one.tokens} & set(forbidden)


def test_a_seed_fixes_the_samples(predictor):
    first, again, other = (_found(predictor, sampled=True, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({one.tokens for found in first for one in found}) == 3 * len(TEXTS)  # each has random numbers of its own
    assert _found(predictor, sampled=True) != _found(predictor, sampled=True)
    [likeliest] = _found(predictor, TEXTS[:1], beams=1, num_return=1)
    assert _found(predictor, TEXTS[:1], sampled=True, top_k=1, seed=5)[0][2].tokens == likeliest[0].tokens


def test_ngrams_are_not_repeated(predictor):
    for found in _found(predictor, no_repeat_ngram=2, max_length=10):
        for one in found:
            pairs = list(zip(one.tokens, one.tokens[1:], strict=False))
            assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize("options", [{}, {"seed": 3}, {"top_p": 0.9, "temperature": 2.0, "seed": 5}, {"max_length": 1}])
def test_a_stream_has_the_parts_of_the_text(predictor, options):
    for text in TEXTS:
        parts = list(predictor.stream(text, **options))
        [answer] = predictor.generate([text], beams=1, **options)
        assert "".join(parts) == answer["generated"]
        assert all(parts)
        assert len(parts) > 3 or len(answer["generated"].split()) < 5
    with pytest.raises(ValueError, match=r"`text\[0\]`: the source must have at least one token"):
        predictor.stream(" ")


def test_answers_are_texts_with_scores(predictor):
    answers = predictor.generate(TEXTS, num_return=2)
    assert set(answers[0]) == {"generated", "score", "log_probability", "alternatives"}
    assert answers[0]["alternatives"][0]["generated"] == answers[0]["generated"]
    assert answers[0]["alternatives"][0]["score"] >= answers[0]["alternatives"][1]["score"]
    assert predictor.predict([Seq2SeqExample(text, "a target") for text in TEXTS]) == predictor.generate(TEXTS)
    assert predictor.generate([]) == []
    model = bert_tf.BertSeq2Seq.from_pretrained(predictor.source, max_length=24, max_target_length=10)
    assert model.generate(TEXTS)[1]["generated"] == predictor.generate(TEXTS)[1]["generated"]
    assert list(model.stream(TEXTS[0])) == list(predictor.stream(TEXTS[0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 0}, r"`beams` must be at least 1\. Received: 0"),
        ({"num_return": 5}, r"`num_return` must be from 1 to the 4 `beams`\. Received: 5"),
        ({"max_length": 0}, r"`max_length` must be at least 1\. Received: 0"),
        ({"max_length": 19}, r"`max_length` must be at most 18, the model's 32 positions without 14 of the source"),
        ({"top_p": 1.5}, r"`top_p` must be above 0 and at most 1"),
        ({"temperature": 0.0}, r"`temperature` must be above 0"),
        ({"seed": 1, "beams": 4}, r"`beams` must be left out for sampling"),
        ({"length_penalty": -1.0}, r"`length_penalty` must be at least 0"),
        ({"seed": -1}, r"`seed` must be from 0 to 2147483647"),
    ],
)
def test_options_out_of_range_are_named(predictor, options, message):
    with pytest.raises(ValueError, match=message):
        predictor.generate(TEXTS, **options)


def test_texts_and_models_that_do_not_fit_are_named(predictor, tmp_path):
    with pytest.raises(ValueError, match=r"`texts\[1\]`: the source must have at least one token"):
        predictor.generate(["a", " "])
    classifier = load(str(write_run(tmp_path / "classifier", "classification")))
    with pytest.raises(ValueError, match=r"`generate` needs a model for seq2seq\. Received: .*classification, which"):
        classifier.generate(TEXTS)


_PROGRAM = """
import json, sys
from bert_tf.serving.predictor import load
predictor = load(sys.argv[1])
print(json.dumps(predictor.generate(json.loads(sys.argv[2]), max_length=6)))
"""


@pytest.mark.long  # another backend starts and compiles
def test_jax_generates_the_same(predictor):
    pytest.importorskip("jax")
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", _PROGRAM, predictor.source, json.dumps(TEXTS)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    for found, expected in zip(json.loads(result.stdout), predictor.generate(TEXTS, max_length=6), strict=True):
        assert found["generated"] == expected["generated"]
        assert found["score"] == pytest.approx(expected["score"], abs=1e-5)
