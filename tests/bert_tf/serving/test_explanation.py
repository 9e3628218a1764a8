import keras
import numpy as np
import pytest
from small_model import SMALL, write_run

from bert_tf.models.classifier import BertClassifier
from bert_tf.serving.attribution import flat_outputs
from bert_tf.serving.methods.explanation import METHODS
from bert_tf.serving.predictor import load
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

TEXTS = ["the old miller.", "a young sailor forgot the letter near the river", "boat"]
TASKS = ("classification", "multi_label", "regression", "pretraining", "tagging", "question_answering")


@pytest.fixture(scope="module")
def predictor_of(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("runs"), {}

    def predictor(task, **options):
        if task not in found:
            found[task] = load(str(write_run(folder / task, task, **options)))
        return found[task]

    return predictor


def asked(task):
    """The arguments of `explain` for a model of a task."""
    if task == "pretraining":
        return (["the old [MASK].", "a [MASK] near the [MASK]"],)
    return (TEXTS[:2], ["the river near the boat", "the letter"]) if task == "question_answering" else (TEXTS,)


def attributions(explanation):
    return np.array([token["attribution"] for token in explanation["tokens"]])


@pytest.mark.parametrize("task", TASKS)
def test_integrated_gradients_divide_the_difference_of_the_outputs(predictor_of, task):
    predictor = predictor_of(task)
    for explanation in predictor.explain(*asked(task)):
        difference = explanation["value"] - explanation["baseline_value"]
        assert attributions(explanation).sum() == pytest.approx(difference, rel=0.0101)
        assert explanation["gap"] <= 0.01
        # Special tokens are the same in the baseline.
        special = [
            token["attribution"] for token in explanation["tokens"] if token["token"] in ("[CLS]", "[SEP]", "[MASK]")
        ]
        np.testing.assert_allclose(special, 0.0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_each_token_of_each_task_a_number(predictor_of, method):
    for task in TASKS:
        predictor = predictor_of(task)
        for explanation, *texts in zip(predictor.explain(*asked(task), method=method), *asked(task), strict=True):
            assert np.isfinite(attributions(explanation)).all()
            assert np.abs(attributions(explanation)).max() > 0.0
            for token in explanation["tokens"]:
                part = texts[token["text"]][token["start"] : token["end"]].lower()
                assert part == (
                    "" if token["token"] in ("[CLS]", "[SEP]") else token["token"].removeprefix("##").lower()
                )


def test_the_value_is_the_logit_of_the_answer(predictor_of):
    classifier = predictor_of("classification")
    for text, explanation in zip(TEXTS, classifier.explain(TEXTS, method="gradient_x_input"), strict=True):
        [answer] = classifier.classify([text])
        ids, segments = classifier.tokenizer.encode_pair(text, None, 24)
        logits = np.asarray(classifier.model({"input_ids": np.array([ids]), "segment_ids": np.array([segments])}))[0]
        assert explanation["target"] == answer["label"]
        assert explanation["value"] == pytest.approx(logits.max(), abs=1e-5)
        other = next(label for label in classifier.description.labels if label != answer["label"])
        [of_other] = classifier.explain([text], method="gradient_x_input", target=other)
        assert of_other["target"] == other
        assert of_other["value"] == pytest.approx(logits[classifier.description.labels.index(other)], abs=1e-5)
    masked = predictor_of("pretraining")
    [explanation] = masked.explain(["the old [MASK]."], method="gradient_x_input")
    assert explanation["target"] == masked.fill_mask(["the old [MASK]."], top_k=1)[0][0][0][0]
    tagger = predictor_of("tagging")
    [explanation] = tagger.explain(["the old miller"], method="gradient_x_input", target=2)
    assert explanation["target"] == f"{tagger.tag(['the old miller'])[0]['tags'][2]} of 'miller'"
    answerer = predictor_of("question_answering")
    [explanation] = answerer.explain(["the old"], ["the river near the boat"], method="gradient_x_input")
    assert explanation["target"] in "the river near the boat"


def test_gradients_are_those_of_small_changes(predictor_of):
    predictor = predictor_of("classification")
    [explanation] = predictor.explain(TEXTS[:1], method="gradient_x_input")
    attributor, [row] = predictor._attributor, predictor._explained_rows(TEXTS[:1], None)
    x = np.asarray(attributor._embedded(row.inputs), np.float64)
    index = np.array([predictor.description.labels.index(explanation["target"])], np.int32)
    for position in range(x.shape[1]):
        moved = []
        for sign in (1.0, -1.0):
            scaled = x.copy()
            scaled[0, position] *= 1.0 + sign * 1e-2
            moved.append(float(attributor._value_at(scaled.astype(np.float32), row.inputs, index)[0]))
        assert explanation["tokens"][position]["attribution"] == pytest.approx((moved[0] - moved[1]) / 2e-2, abs=2e-3)


def test_occlusion_masks_one_token_at_a_time(predictor_of):
    predictor = predictor_of("classification")
    [explanation] = predictor.explain([TEXTS[1]], method="occlusion", target="river")
    ids = predictor.tokenizer.encode_pair(TEXTS[1], None, 24)[0]
    rows = np.repeat([ids], len(ids), axis=0)
    np.fill_diagonal(rows, predictor.tokenizer.mask_id)
    index = predictor.description.labels.index("river")
    expected = explanation["value"] - np.asarray(flat_outputs(predictor.model({"input_ids": rows})))[:, index]
    np.testing.assert_allclose(attributions(explanation)[1:-1], expected[1:-1], atol=1e-5)
    assert attributions(explanation)[[0, -1]].tolist() == [0.0, 0.0]


def test_attention_is_that_of_every_head_and_rollout_multiplies_it(tmp_path):
    predictor = load(str(write_run(tmp_path / "deeper", "classification", num_layers=2)))
    [answer] = predictor.attention(TEXTS[1:2])
    weights = answer["weights"]
    length = len(answer["tokens"])
    assert weights.shape == (2, 4, length, length)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-5)
    assert len({round(float(value), 5) for value in weights[:, :, 0, 1].ravel()}) == 8  # the heads differ
    rolled = np.eye(length)
    for layer in weights.mean(axis=1):
        rolled = (layer + np.eye(length)) / 2.0 @ rolled
    [explanation] = predictor.explain(TEXTS[1:2], method="attention_rollout")
    np.testing.assert_allclose(attributions(explanation), rolled[0], atol=1e-6)
    assert rolled[0].sum() == pytest.approx(1.0)


def test_texts_together_are_explained_as_each_alone(predictor_of):
    predictor = predictor_of("classification")
    for text, explanation in zip(TEXTS, predictor.explain(TEXTS), strict=True):
        np.testing.assert_allclose(attributions(explanation), attributions(predictor.explain([text])[0]), atol=1e-5)
    assert predictor.explain([]) == []


@pytest.mark.long  # a classifier is trained
def test_the_tokens_that_are_blamed_are_those_that_decide():
    """Faithfulness: an answer falls faster without its most important tokens than without random ones."""
    random = np.random.default_rng(0)
    fillers = ["the", "old", "near", "boat", "letter", "road", "storm", "before", "a", "young"]
    decisive = {"river": "water", "miller": "land"}
    texts, labels = [], []
    for number in range(240):
        words = random.choice(fillers, 9).tolist()
        word = list(decisive)[number % 2]
        words[int(random.integers(9))] = word
        texts.append(" ".join(words))
        labels.append(decisive[word])
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *fillers, *decisive])
    keras.utils.set_random_seed(0)
    model = BertClassifier(SMALL.replace(vocab_size=len(tokenizer)), num_classes=2)
    model.set_tokenizer(tokenizer, classes=("land", "water"), max_length=12)
    model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(texts[:200], labels[:200], epochs=12, batch_size=20, verbose=0)
    held_out = texts[200:]
    few = held_out[:12]
    right = [answer["label"] == label for answer, label in zip(model.classify(held_out), labels[200:], strict=True)]
    assert np.mean(right) > 0.95

    def fallen(explanations, order_of):
        """Return the mean probability of the answer after one, two and three tokens are masked in an order."""
        found = []
        for explanation in explanations:
            tokens = [token["token"] for token in explanation["tokens"][1:-1]]
            order = order_of(attributions(explanation)[1:-1])
            for count in (1, 2, 3):
                masked = [
                    tokenizer.mask_id if place in order[:count] else tokenizer.tokens.index(token)
                    for place, token in enumerate(tokens)
                ]
                ids = np.array([[tokenizer.cls_id, *masked, tokenizer.sep_id]])
                probabilities = np.asarray(keras.ops.softmax(model({"input_ids": ids})))[0]
                found.append(probabilities[["land", "water"].index(explanation["target"])])
        return np.mean(found)

    by_chance = fallen(model.explain(few, method="occlusion"), lambda values: random.permutation(len(values)))
    for method in METHODS:
        if method != "attention_rollout":  # which does not say what the attention is for
            by_blame = fallen(model.explain(few, method=method), lambda values: np.argsort(-values))
            assert by_blame < by_chance - 0.1, method


@pytest.mark.parametrize(
    ("task", "arguments", "options", "message"),
    [
        ("classification", (TEXTS,), {"method": "lime"}, r"`method` must be one of integrated_gradients, .* 'lime'"),
        ("classification", (TEXTS,), {"baseline": "zero"}, r"`baseline` must be one of mask, pad\. Received: 'zero'"),
        ("classification", (TEXTS,), {"target": "sea"}, r"`target` must be a label, miller, river, sailor, or None"),
        ("regression", (TEXTS,), {"target": "5"}, r"`target` must be None for .*regression\. Received: '5'"),
        ("pretraining", (["no mask"],), {}, r"`texts\[0\]` must hold \[MASK\] within the model's length"),
        ("pretraining", (["[MASK]"],), {"target": "?"}, r"`target` must be a token of the vocabulary, or None"),
        ("tagging", (["the boat"],), {"target": 2}, r"`target` must be the index of a word, from 0 to 1, or None"),
        ("tagging", ([""],), {}, r"`texts\[0\]` must have at least one word"),
        ("question_answering", (TEXTS,), {}, r"`text_pairs` must be given for .*question_answering"),
        ("question_answering", (["who"], [""]), {}, r"`text_pairs\[0\]` must have at least one token"),
        ("classification", (TEXTS, TEXTS), {}, r"`text_pairs` must be left out for"),
        ("retrieval", (TEXTS,), {}, r"`explain` needs a model for classification, .*Received: .*retrieval"),
    ],
)
def test_bad_arguments_are_refused(predictor_of, task, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        predictor_of(task).explain(*arguments, **options)
