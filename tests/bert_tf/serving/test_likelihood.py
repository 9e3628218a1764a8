import math

import numpy as np
import pytest
from small_model import write_run

from bert_tf.serving.methods.likelihood import MASKS
from bert_tf.serving.predictor import Predictor, load

# "zq" and "xyxy" are no words of the small vocabulary: letters make them up.
TEXTS = ["the old miller.", "boat", "a zq sailor forgot xyxy near the river", "", "the letter " * 30]


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory):
    return load(str(write_run(tmp_path_factory.mktemp("runs") / "pretrained", "pretraining")))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return load(str(write_run(tmp_path_factory.mktemp("runs") / "classifier", "classification")))


def brute_force(predictor, text, mask):
    """Return the log-likelihoods of a text's tokens, by one call of the model for each."""
    ids, _ = predictor.tokenizer.encode_pair(text, None, predictor.description.max_seq_length)
    tokens = [predictor.tokenizer.tokens[index] for index in ids]
    found = []
    for position in range(1, len(ids) - 1):
        start, end = position, position + 1
        while mask == "whole_word" and tokens[start].startswith("##"):
            start -= 1
        while mask != "token" and tokens[end].startswith("##"):
            end += 1
        masked = [predictor.tokenizer.mask_id if start <= other < end else ids[other] for other in range(len(ids))]
        inputs = {"input_ids": np.array([masked]), "masked_lm_positions": np.array([[position]])}
        logits = np.float64(predictor.model(inputs)["masked_lm_logits"][0, 0])
        found.append(logits[ids[position]] - np.log(np.exp(logits - logits.max()).sum()) - logits.max())
    return found


@pytest.mark.parametrize("mask", MASKS)
def test_log_likelihood_equals_one_call_of_the_model_for_each_token(masked_lm, mask):
    answers = masked_lm.log_likelihood(TEXTS, mask=mask, tokens=True)
    for text, answer in zip(TEXTS, answers, strict=True):
        expected = brute_force(masked_lm, text, mask)
        found = [token["log_likelihood"] for token in answer["tokens"]]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        assert answer["log_likelihood"] == pytest.approx(sum(expected), rel=1e-5)
        assert answer["num_tokens"] == len(expected)


def test_the_masks_of_words_differ_where_words_have_several_tokens(masked_lm):
    by_mask = {mask: masked_lm.log_likelihood(TEXTS[:3], mask=mask, tokens=True) for mask in MASKS}
    whole, half, single = (
        [answer["log_likelihood"] for answer in by_mask[mask]] for mask in ("whole_word", "word_l2r", "token")
    )
    assert whole[:2] == pytest.approx(half[:2], rel=1e-6)
    assert half[:2] == pytest.approx(single[:2], rel=1e-6)
    assert len({round(value[2], 4) for value in (whole, half, single)}) == 3
    # The last token of a word has no tokens after it: alone or from left to right, the same one is masked.
    last = [number for number, token in enumerate(by_mask["token"][2]["tokens"]) if token["token"] == "##y"][-1]
    values = [by_mask[mask][2]["tokens"][last]["log_likelihood"] for mask in ("token", "word_l2r", "whole_word")]
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert abs(values[0] - values[2]) > 1e-4


def test_batches_and_order_do_not_matter(masked_lm):
    together = [answer["log_likelihood"] for answer in masked_lm.log_likelihood(TEXTS)]
    alone = [masked_lm.log_likelihood([text])[0]["log_likelihood"] for text in TEXTS]
    assert together == pytest.approx(alone, rel=1e-5)
    small = Predictor(masked_lm.model, masked_lm.description, masked_lm.tokenizer, batch_size=1)  # lists of few rows
    backwards = [answer["log_likelihood"] for answer in small.log_likelihood(TEXTS[::-1])][::-1]
    assert together == pytest.approx(backwards, rel=1e-5)
    assert masked_lm.log_likelihood([]) == []


def test_a_text_without_tokens_has_the_likelihood_of_nothing(masked_lm):
    assert masked_lm.log_likelihood([""], tokens=True) == [{"log_likelihood": 0.0, "num_tokens": 0, "tokens": []}]


def test_perplexity_is_that_of_all_tokens_together(masked_lm):
    answers = masked_lm.log_likelihood(TEXTS, mask="word_l2r")
    mean = sum(answer["log_likelihood"] for answer in answers) / sum(answer["num_tokens"] for answer in answers)
    assert masked_lm.perplexity(TEXTS, mask="word_l2r") == pytest.approx(math.exp(-mean), rel=1e-6)
    with pytest.raises(ValueError, match=r"`texts` must have at least one token\. Received: \[''\]"):
        masked_lm.perplexity([""])


def test_what_cannot_be_scored_is_refused(masked_lm, classifier):
    with pytest.raises(ValueError, match=r"`mask` must be one of token, word_l2r, whole_word\. Received: 'word'"):
        masked_lm.log_likelihood(TEXTS, mask="word")
    with pytest.raises(ValueError, match=r"`texts\[1\]` must be a text\. Received: None"):
        masked_lm.log_likelihood(["boat", None])
    for method in (classifier.log_likelihood, classifier.perplexity):
        with pytest.raises(ValueError, match=r"needs a model for pretraining.*for classification"):
            method(["boat"])
