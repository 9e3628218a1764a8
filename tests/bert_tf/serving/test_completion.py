"""Spans of masks are filled as steps by hand would, alone or together, and never by special tokens."""

import re

import numpy as np
import pytest
from published_weights import published_folder
from small_model import write_run

import bert_tf
from bert_tf.serving.predictor import Predictor, load
from bert_tf.serving.unmasking import UnmaskingOptions, chosen_tokens, masks_per_step

SINGLE = "the [MASK] miller [MASK] a boat [MASK] the [MASK] river"
TEXTS = [SINGLE, "a [MASK:5].", "[MASK][MASK:2] b c d e f", "the storm[MASK:3] near the [MASK], said the sailor"]
FORBIDDEN = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return load(str(write_run(tmp_path_factory.mktemp("runs") / "pretrained", "pretraining", num_layers=2, seed=4)))


def _fill_step_by_step(predictor, text, order):
    """Fill single masks between spaces by `fill_mask`, one at a time. Return the text and the log-probability."""
    total = 0.0
    while "[MASK]" in text:
        [masks] = predictor.fill_mask([text], top_k=predictor.tokenizer.vocab_size)
        best = [next(pair for pair in found if not pair[0].startswith(("[", "##"))) for found in masks]
        number = 0 if order == "left_to_right" else int(np.argmax([probability for _, probability in best]))
        token, probability = best[number]
        start = [match.start() for match in re.finditer(r"\[MASK\]", text)][number]
        text = text[:start] + token + text[start + len("[MASK]") :]
        total += np.log(probability)
    return text, total


@pytest.mark.parametrize("order", ["left_to_right", "confidence"])
def test_one_mask_a_step_is_what_filling_masks_by_hand_gives(predictor, order):
    text, total = _fill_step_by_step(predictor, SINGLE, order)
    [found] = predictor.complete([SINGLE], order=order)
    assert found["completed"] == text
    assert found["log_probability"] == pytest.approx(total, abs=1e-5)
    assert found["completed"] == SINGLE.replace("[MASK]", "{}").format(*found["filled"])
    assert found["tokens"] == [[token] for token in found["filled"]]


def test_the_order_and_the_steps_matter(predictor):
    found = [predictor.complete([SINGLE], **options)[0] for options in ({}, {"order": "left_to_right"}, {"steps": 1})]
    assert len({one["completed"] for one in found}) == 3


def test_one_step_takes_the_likeliest_token_of_each_mask(predictor):
    [masks] = predictor.fill_mask([SINGLE], top_k=predictor.tokenizer.vocab_size)
    best = [next(pair for pair in found if not pair[0].startswith(("[", "##"))) for found in masks]
    for options in ({}, {"schedule": "linear"}, {"order": "left_to_right"}):
        [found] = predictor.complete([SINGLE], steps=1, **options)
        assert found["filled"] == [token for token, _ in best]
        assert found["log_probability"] == pytest.approx(sum(np.log(share) for _, share in best), abs=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"steps": 2, "schedule": "linear"},
        {"seed": 3, "num_return": 2},
        {"seed": 3, "order": "random", "top_p": 0.8},
    ],
)
def test_texts_together_are_completed_as_each_alone(predictor, options):
    small = Predictor(predictor.model, predictor.description, predictor.tokenizer, batch_size=3)
    together = small.complete(TEXTS, **options)
    for text, found in zip(TEXTS, together, strict=True):
        [alone] = predictor.complete([text], **options)
        assert (alone["completed"], alone["tokens"]) == (found["completed"], found["tokens"])
        assert alone["log_probability"] == pytest.approx(found["log_probability"], abs=1e-4)
    assert predictor.complete([], **options) == []


def test_a_seed_fixes_what_is_drawn(predictor):
    first, again, other = (predictor.complete(TEXTS, seed=seed, num_return=3) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    for answer in first:
        assert len({one["completed"] for one in answer["alternatives"]}) > 1
        scores = [one["log_probability"] for one in answer["alternatives"]]
        assert scores == sorted(scores, reverse=True)
        assert answer["completed"] == answer["alternatives"][0]["completed"]
    orders = [predictor.complete(TEXTS, order="random", top_k=1, seed=seed) for seed in range(4)]
    assert len({str(found) for found in orders}) > 1


@pytest.mark.parametrize("options", [{"temperature": 1e-6}, {"top_k": 1, "seed": 5}, {"top_p": 1e-9}])
def test_cold_draws_are_the_likeliest_tokens(predictor, options):
    for order in ("confidence", "left_to_right"):
        greedy = predictor.complete(TEXTS, order=order, steps=3)
        drawn = predictor.complete(TEXTS, order=order, steps=3, **options)
        assert [one["tokens"] for one in drawn] == [one["tokens"] for one in greedy]


def test_forbidden_tokens_are_never_chosen(tmp_path):
    run = write_run(tmp_path / "run", "pretraining", vocab_size=110)  # more rows of embeddings than tokens
    predictor = load(str(run))
    tokenizer = predictor.tokenizer
    forbidden = [*tokenizer.convert_tokens_to_ids(FORBIDDEN), *range(len(tokenizer), 110)]
    bias = predictor.model.masked_lm.output_bias
    bias.assign(
        bias + 50.0 * (np.isin(np.arange(110), forbidden) | np.append(tokenizer.continuation, [False] * 200)[:110])
    )
    for options in ({}, {"temperature": 5.0, "seed": 1, "num_return": 3}):
        for text, found in zip(TEXTS, predictor.complete(TEXTS, **options), strict=True):
            chosen = [token for one in found.get("alternatives", [found]) for span in one["tokens"] for token in span]
            assert not set(chosen) & set(FORBIDDEN)
            # A `##` token joins a word or another mask, and never a space.
            assert " ##" not in found["completed"]
            assert any(token.startswith("##") for token in chosen) == (text != SINGLE)


def test_masks_are_planned_and_tokens_drawn_as_their_formulas_say():
    for count in range(1, 40):
        for steps in (None, *range(1, 45)):
            for schedule in ("cosine", "linear"):
                plan = masks_per_step(count, steps, schedule)
                assert sum(plan) == count
                assert min(plan) >= 1
                assert len(plan) == min(steps or count, count)
    assert masks_per_step(16, 4, "linear") == [4, 4, 4, 4]
    assert masks_per_step(16, 4, "cosine") == [2, 3, 5, 6]  # 16 cos(pi / 8) = 14.78, 11.31, 6.12
    random, shares = np.random.default_rng(0), np.array([0.5, 0.05, 0.3, 0.15])
    allowed = np.array([True, False, True, True])

    def drawn(**changes):
        options = UnmaskingOptions(seed=0, **changes)
        rows = np.tile(np.log(shares), (4000, 1))
        return np.bincount(chosen_tokens(rows, np.tile(allowed, (4000, 1)), options, random), minlength=4) / 4000

    np.testing.assert_allclose(drawn(), np.array([0.5, 0, 0.3, 0.15]) / 0.95, atol=0.03)
    np.testing.assert_allclose(drawn(top_k=2), [0.625, 0, 0.375, 0], atol=0.03)
    np.testing.assert_allclose(drawn(top_p=0.6), [0.625, 0, 0.375, 0], atol=0.03)
    np.testing.assert_allclose(drawn(top_p=0.5), [1, 0, 0, 0], atol=0.0)
    np.testing.assert_allclose(drawn(top_k=3, top_p=0.9), np.array([0.5, 0, 0.3, 0.15]) / 0.95, atol=0.03)
    squares = np.array([0.25, 0, 0.09, 0.0225])
    np.testing.assert_allclose(drawn(temperature=0.5), squares / squares.sum(), atol=0.03)


def test_a_model_completes_as_its_predictor(predictor):
    model = bert_tf.BertPretrainer.from_pretrained(predictor.source, max_length=24)
    for one, other in zip(model.complete(TEXTS), predictor.complete(TEXTS), strict=True):
        assert one["completed"] == other["completed"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"`steps` must be a whole number from 1 on, or None\. Received: 0"),
        ({"steps": 2.5}, r"`steps` must be a whole number from 1 on, or None\. Received: 2\.5"),
        ({"schedule": "square"}, r"`schedule` must be one of cosine, linear\. Received: 'square'"),
        ({"order": "best"}, r"`order` must be one of confidence, left_to_right, random\. Received: 'best'"),
        ({"temperature": 0.0}, r"`temperature` must be above 0, or None\. Received: 0\.0"),
        ({"temperature": float("inf")}, r"`temperature` must be above 0, or None\. Received: inf"),
        ({"top_k": 0}, r"`top_k` must be a whole number from 1 on"),
        ({"top_p": 1.5}, r"`top_p` must be above 0 and at most 1"),
        ({"seed": -1}, r"`seed` must be a whole number from 0 on"),
        ({"num_return": 0, "seed": 1}, r"`num_return` must be a whole number from 1 on\. Received: 0"),
        ({"num_return": 2}, r"`num_return` must be 1, since a text has one completion without .*Received: 2"),
    ],
)
def test_options_out_of_range_are_named(predictor, options, message):
    with pytest.raises(ValueError, match=message):
        predictor.complete(TEXTS, **options)


def test_texts_and_models_that_do_not_fit_are_named(predictor, tmp_path):
    length = r"must have its masks within the model's 24 tokens, \[CLS\] and \[SEP\] included\. Received: "
    with pytest.raises(ValueError, match=rf"`texts\[1\]` {length}23 masks, the first after 'a '"):
        predictor.complete(["[MASK]", "a [MASK:23]"])
    with pytest.raises(ValueError, match=rf"`texts\[0\]` {length}1 mask, the first after 'the boat "):
        predictor.complete(["the boat " * 11 + "[MASK]"])
    assert predictor.complete(["the boat[MASK:3] " + "the boat " * 20])[0]["completed"].endswith("the boat " * 20)
    with pytest.raises(ValueError, match=r"`texts\[1\]` must hold \[MASK\] or \[MASK:n\]\. Received: 'none'"):
        predictor.complete(["[MASK]", "none"])
    with pytest.raises(ValueError, match=r"`texts\[0\]`: a mask must be .*Received: '\[MASK:0\]'"):
        predictor.complete(["a [MASK:0]"])
    classifier = load(str(write_run(tmp_path / "classifier", "classification")))
    with pytest.raises(
        ValueError, match=r"`complete` needs a model for pretraining\. Received: .*classification, which"
    ):
        classifier.complete(TEXTS)


REACTIONS = (
    "CC(=O)O.OCC>>CC(=O)OCC",
    "CC(=O)Cl.Nc1ccccc1>>CC(=O)Nc1ccccc1",
    "OB(O)c1ccccc1.Brc1ccc(C)cc1>>Cc1ccc(-c2ccccc2)cc1",
    "O=C(O)c1ccccc1.NCCc1ccccc1>>O=C(NCCc1ccccc1)c1ccccc1",
    "COC(=O)c1ccc(Br)cc1>>O=C(O)c1ccc(Br)cc1",
)


def test_published_weights_restore_reactions():
    # Four tokens in a row are missing from each text. Of 156 tokens, 97 % are restored. A token at random is right once
    # in 576 times, and "c" everywhere in 40 %.
    predictor = load(published_folder("rxnfp", "models", "transformers", "bert_pretrained"))
    texts, missing = [], []
    for reaction in REACTIONS:
        tokens = re.findall(r"Br|Cl|>>|.", reaction)
        for start in range(0, len(tokens) - 4, 4):
            if ">>" not in tokens[start : start + 4]:
                texts.append(" ".join([*tokens[:start], "[MASK:4]", *tokens[start + 4 :]]))
                missing.append(tokens[start : start + 4])
    found = [answer["tokens"][0] for answer in predictor.complete(texts)]
    right = np.mean(
        [one == other for a, b in zip(found, missing, strict=True) for one, other in zip(a, b, strict=True)]
    )
    assert right > 0.95
