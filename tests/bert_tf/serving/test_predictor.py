import numpy as np
import pytest
from small_model import LABELS, write_run

from bert_tf.examples import TaggedExample, TextExample
from bert_tf.serving.predictor import Predictor, load
from bert_tf.tasks import MODEL_KINDS

TEXTS = ["The old miller.", "a young sailor forgot the letter near the river before the storm", "", "boat", "x" * 300]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return load(str(write_run(tmp_path_factory.mktemp("runs") / "single", "classification")))


@pytest.fixture(scope="module")
def pair_classifier(tmp_path_factory):
    return load(str(write_run(tmp_path_factory.mktemp("runs") / "pairs", "classification", pairs=True)))


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory):
    return load(str(write_run(tmp_path_factory.mktemp("runs") / "pretrained", "pretraining")))


def _probabilities(answers):
    return np.array([list(answer["probabilities"].values()) for answer in answers])


def test_classify_returns_labels_and_probabilities(classifier):
    answers = classifier.classify(TEXTS)
    assert len(answers) == len(TEXTS)
    for answer in answers:
        assert tuple(answer["probabilities"]) == LABELS
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert len({round(answer["probabilities"]["river"], 4) for answer in answers}) == len(TEXTS)
    assert classifier.classify([]) == []


def test_order_and_batches_do_not_matter(classifier):
    # Batches of two combine texts of other lengths than batches of 32 do.
    texts = TEXTS * 3
    together = _probabilities(classifier.classify(texts))
    alone = np.concatenate([_probabilities(classifier.classify([text])) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    backwards = _probabilities(classifier.classify(texts[::-1]))[::-1]
    np.testing.assert_allclose(together, backwards, atol=1e-6)
    small = type(classifier)(classifier.model, classifier.description, classifier.tokenizer, batch_size=2)
    np.testing.assert_allclose(together, _probabilities(small.classify(texts)), atol=1e-6)


def test_the_model_itself_gives_the_same_probabilities(classifier):
    ids, segments = classifier.tokenizer.encode_pair(TEXTS[1], None, 24)
    logits = classifier.model({"input_ids": np.array([ids]), "segment_ids": np.array([segments])}).numpy()[0]
    exponentials = np.exp(logits - logits.max())
    found = _probabilities(classifier.classify([TEXTS[1]]))[0]
    np.testing.assert_allclose(found, exponentials / exponentials.sum(), atol=1e-6)


def test_long_texts_are_cut(classifier):
    text = "the old miller carried the wooden boat " * 20
    longer = text + " near the river"
    assert classifier.classify([text]) == classifier.classify([longer])


def test_both_texts_of_a_pair_and_their_order_count(pair_classifier):
    first, second = TEXTS[:2], ["three red apples", "in the market"]
    answers = _probabilities(pair_classifier.classify(first, second))
    assert np.abs(answers - _probabilities(pair_classifier.classify(second, first))).max() > 1e-3
    assert np.abs(answers - _probabilities(pair_classifier.classify(first, ["", ""]))).max() > 1e-3
    with pytest.raises(ValueError, match=r"`text_pairs` must be as many as `texts`\. Received: 1 and 2"):
        pair_classifier.classify(first, ["one"])


def test_fill_mask_returns_the_likeliest_tokens(masked_lm):
    texts = ["the [MASK] miller [MASK] the boat", "[MASK]", "a heavy [MASK]."]
    answers = masked_lm.fill_mask(texts, top_k=4)
    assert [len(masks) for masks in answers] == [2, 1, 1]
    for masks in answers:
        for tokens in masks:
            scores = [score for _, score in tokens]
            assert len(tokens) == 4
            assert scores == sorted(scores, reverse=True)
            assert all(token in masked_lm.tokenizer.tokens for token, _ in tokens)
    alone = [masked_lm.fill_mask([text], top_k=4)[0] for text in texts]
    for one, other in zip(answers, alone, strict=True):
        assert [[token for token, _ in mask] for mask in one] == [[token for token, _ in mask] for mask in other]
    everything = masked_lm.fill_mask(["[MASK]"], top_k=masked_lm.tokenizer.vocab_size)[0][0]
    assert sum(score for _, score in everything) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("text", ["no mask here", "", "the boat " * 30 + "[MASK]", "[mask]"])
def test_a_text_without_a_mask_is_refused(masked_lm, text):
    with pytest.raises(ValueError, match=r"`texts\[1\]` must hold \[MASK\] within the model's length"):
        masked_lm.fill_mask(["[MASK]", text])


def test_embed_pools_the_vectors_of_the_encoder(masked_lm):
    vectors = masked_lm.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), masked_lm.description.model.hidden_size)
    assert vectors.dtype == np.float32
    for text, vector in list(zip(TEXTS, vectors, strict=True))[1:3]:
        ids, _ = masked_lm.tokenizer.encode_pair(text, None, masked_lm.description.max_seq_length)
        outputs = masked_lm.model.encoder({"input_ids": np.array([ids])})
        sequence = outputs["sequence_output"].numpy()[0]
        np.testing.assert_allclose(vector, sequence.mean(axis=0), atol=1e-5)
        first, pooled = (masked_lm.embed([text], pooling=pooling)[0] for pooling in ("cls", "pooler"))
        np.testing.assert_allclose(first, sequence[0], atol=1e-5)
        np.testing.assert_allclose(pooled, outputs["pooled_output"].numpy()[0], atol=1e-5)
    lengths = np.linalg.norm(masked_lm.embed(TEXTS, normalize=True), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-6)
    assert masked_lm.embed([]).shape == (0, masked_lm.description.model.hidden_size)
    with pytest.raises(ValueError, match=r"`pooling` must be mean or cls or pooler\. Received: 'max'"):
        masked_lm.embed(TEXTS, pooling="max")


def test_more_tokens_than_the_vocabulary_has_are_refused(masked_lm):
    with pytest.raises(
        ValueError, match=r"`top_k` must be between 1 and the \d+ tokens of the vocabulary\. Received: "
    ):
        masked_lm.fill_mask(["[MASK]"], top_k=masked_lm.tokenizer.vocab_size + 1)


def test_every_method_that_a_kind_of_model_names_exists():
    named = {method for kind in MODEL_KINDS.values() for method in kind.methods}
    assert named == {
        *("classify", "score", "tag", "answer", "embed", "search", "generate", "stream"),
        *("choose", "rerank"),
        *("fill_mask", "complete", "log_likelihood", "perplexity"),
    }
    assert all(callable(getattr(Predictor, method)) for method in named)


def test_methods_of_other_tasks_are_refused(classifier, masked_lm):
    with pytest.raises(
        ValueError, match=r"`fill_mask` needs a model for pretraining.*for classification, .*`classify`"
    ):
        classifier.fill_mask(["[MASK]"])
    message = "`classify` needs a model for classification or multi_label.*for pretraining, .*`fill_mask` and .*`embed`"
    with pytest.raises(ValueError, match=message):
        masked_lm.classify(["text"])
    with pytest.raises(ValueError, match="`predict` needs a fine-tuned model"):
        masked_lm.predict(["text"])


def test_items_that_are_not_texts_are_refused(classifier):
    with pytest.raises(ValueError, match=r"`texts` must be a list of texts, not one text\. Received: 'boat'"):
        classifier.classify("boat")
    with pytest.raises(ValueError, match=r"`texts\[1\]` must be a text\. Received: None"):
        classifier.classify(["boat", None])
    with pytest.raises(ValueError, match=r"`text_pairs\[0\]` must be a text\. Received: 3"):
        classifier.classify(["boat"], [3])


def test_what_is_asked_must_be_what_the_model_was_trained_on(classifier, pair_classifier):
    with pytest.raises(
        ValueError, match=r"`text_pairs` must be given, .*trained on pairs.*Received: none, for .*pairs"
    ):
        pair_classifier.classify(TEXTS)
    with pytest.raises(ValueError, match=r"`text_pairs` must be left out, .*trained on single texts.*single, a model"):
        classifier.classify(TEXTS, TEXTS)
    single, pair = TextExample("boat"), TextExample("boat", "river")
    with pytest.raises(ValueError, match=r"`examples\[1\]` must be a pair of texts.*Received: one text, for .*pairs"):
        pair_classifier.predict([pair, single])
    with pytest.raises(ValueError, match=r"`examples\[0\]` must be one text.*Received: a pair of texts, for .*single"):
        classifier.predict([pair])
    with pytest.raises(ValueError, match=r"`examples\[0\]` must be a TextExample for .*Received: TaggedExample"):
        classifier.predict([TaggedExample.from_words(["boat"])])
    with pytest.raises(ValueError, match=r"`examples\[0\]` must be a TextExample for .*Received: 'boat'"):
        classifier.predict(["boat"])


@pytest.mark.parametrize("items", [{"boat": 1}, {"boat"}, frozenset(["boat"]), {"text": ["boat"]}.keys(), 5, None])
def test_items_without_an_order_are_refused(classifier, masked_lm, items):
    asked = [classifier.classify, classifier.predict, masked_lm.embed, masked_lm.fill_mask]
    for ask in (
        *asked,
        lambda given: masked_lm.search(given, ["boat"]),
        lambda given: masked_lm.search(["boat"], given),
    ):
        with pytest.raises(ValueError, match=r"`\w+` must be a list\. Received: a "):
            ask(items)


def test_the_columns_of_a_table_are_not_texts(classifier):
    class Table:
        columns = ("text", "label")

        def __iter__(self):
            return iter(self.columns)

    with pytest.raises(ValueError, match=r"`texts` must be a list\. Received: a Table"):
        classifier.classify(Table())
    assert len(classifier.classify(np.array(["a boat", "a river"]))) == 2
    assert len(classifier.classify(text for text in ("a boat", "a river"))) == 2


def test_a_missing_run_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match="`path` must name a folder that holds a BERT"):
        load(str(tmp_path))
