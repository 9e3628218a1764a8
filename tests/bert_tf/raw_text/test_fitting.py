"""Models are fitted, evaluated and asked on raw strings, with the numbers that arrays have."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_model import LABELS, SMALL, TAGS, shake

import bert_tf
from bert_tf.raw_text.preprocessor import TaskPreprocessor
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

WORDS = [
    "the",
    "old",
    "miller",
    "found",
    "a",
    "young",
    "sailor",
    "near",
    "river",
    "and",
    "forgot",
    "letter",
    "in",
    "boat",
]
TOKENIZER = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *WORDS])
TEXTS = [" ".join((WORDS * 2)[start : start + 2 + 2 * (start % 6)]) for start in range(12)]
LABELLED = [LABELS[number % 3] for number in range(12)]


def fresh(model_class, *arguments, **settings):
    config = SMALL.replace(vocab_size=TOKENIZER.vocab_size, num_layers=1)
    model = model_class(config, *arguments)
    if hasattr(model, "dropout_rate"):
        model = model_class(config, *arguments, dropout_rate=0.0)
    shake(model, scale=0.2)
    model.set_tokenizer(TOKENIZER, max_length=24, **settings)
    return model


@pytest.fixture
def classifier():
    return fresh(bert_tf.BertClassifier, 3, classes=LABELS)


def test_a_classifier_is_fitted_evaluated_and_asked(classifier):
    keras.utils.set_random_seed(0)
    classifier.compile(keras.optimizers.Adam(0.01), metrics=["accuracy"])
    before = classifier.evaluate(TEXTS, LABELLED, batch_size=5, verbose=0, return_dict=True)
    history = classifier.fit(TEXTS, LABELLED, epochs=40, batch_size=5, verbose=0).history
    assert history["accuracy"][-1] == 1.0
    after = classifier.evaluate(TEXTS, LABELLED, batch_size=5, verbose=0, return_dict=True)
    assert after["accuracy"] == 1.0
    assert after["loss"] < before["loss"] / 2
    logits = classifier.predict(TEXTS, batch_size=5, verbose=0)
    assert logits.shape == (12, 3)
    assert [LABELS[number] for number in logits.argmax(-1)] == LABELLED
    answers = classifier.classify(TEXTS)
    assert [answer["label"] for answer in answers] == LABELLED
    np.testing.assert_allclose(
        [list(answer["probabilities"].values()) for answer in answers], keras.ops.softmax(logits), atol=1e-5
    )
    np.testing.assert_allclose(logits, classifier(classifier.preprocessor(TEXTS)), atol=1e-5)


def test_the_loss_is_that_of_keras_on_arrays(classifier):
    classifier.compile(run_eagerly=True)
    own = classifier.evaluate(TEXTS, LABELLED, batch_size=12, verbose=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(loss=loss, run_eagerly=True)
    numbers = np.arange(12) % 3
    assert classifier.evaluate(TEXTS, numbers, batch_size=12, verbose=0) == pytest.approx(own, rel=1e-5)
    assert classifier.evaluate(classifier.preprocessor(TEXTS), numbers, batch_size=12, verbose=0) == pytest.approx(
        own, rel=1e-5
    )


def test_weights_of_samples_and_classes_count(classifier):
    classifier.compile(run_eagerly=True)
    weights = np.array([1.0, 0.0, 0.0] * 4)
    weighted = classifier.evaluate(TEXTS, LABELLED, batch_size=12, verbose=0, sample_weight=weights)
    alone = classifier.evaluate(TEXTS[::3], LABELLED[::3], batch_size=12, verbose=0)
    assert weighted == pytest.approx(alone, rel=1e-5)
    classifier.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    options = {"batch_size": 12, "verbose": 0, "epochs": 1}
    by_class = classifier.fit(TEXTS, LABELLED, class_weight={"river": 0.0, 2: 0.0}, **options).history["loss"][0]
    by_sample = classifier.fit(TEXTS, LABELLED, sample_weight=weights, **options).history["loss"][0]
    assert by_class == pytest.approx(by_sample, rel=1e-5)


def test_held_out_data_in_every_form(classifier):
    classifier.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    expected = classifier.evaluate(TEXTS[9:], LABELLED[9:], batch_size=12, verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices((TEXTS[9:], [0, 1, 2])).batch(12)
    for options in (
        {"validation_split": 0.25},
        {"validation_data": (TEXTS[9:], LABELLED[9:])},
        {"validation_data": dataset, "validation_batch_size": 3},
    ):
        history = classifier.fit(TEXTS, LABELLED, batch_size=12, verbose=0, **options).history
        assert history["val_loss"] == [pytest.approx(expected, rel=1e-5)], options


@pytest.mark.parametrize("batched", [True, False])
def test_a_dataset_of_strings(classifier, batched):
    classifier.compile(metrics=["accuracy"], run_eagerly=True)
    dataset = tf.data.Dataset.from_tensor_slices((TEXTS, LABELLED))
    dataset = dataset.batch(4) if batched else dataset
    expected = classifier.evaluate(TEXTS, LABELLED, batch_size=4, verbose=0)
    assert classifier.evaluate(dataset, batch_size=4, verbose=0)[1] == pytest.approx(expected[1])
    logits = classifier.predict(TEXTS, verbose=0)
    np.testing.assert_allclose(classifier.predict(dataset.map(lambda x, y: x), verbose=0), logits, atol=1e-5)
    assert len(classifier.fit(dataset, verbose=0, epochs=2).history["loss"]) == 2
    by_map = tf.data.Dataset.from_tensor_slices(TEXTS).batch(12).map(classifier.preprocessor)
    found = next(iter(by_map))
    for name, array in classifier.preprocessor(TEXTS).items():
        np.testing.assert_array_equal(found[name], array)


def _same_losses(model, dataset, x, y):
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    expected = model.evaluate(x, y, batch_size=12, verbose=0)
    assert model.evaluate(dataset, batch_size=12, verbose=0) == pytest.approx(expected, rel=1e-5)
    history = model.fit(dataset, batch_size=12, validation_data=dataset, verbose=0).history
    assert history["val_loss"] == [pytest.approx(expected, rel=1e-5)]


@pytest.mark.parametrize("batched", [True, False])
def test_datasets_of_words_questions_and_queries(batched):
    words = [text.split() for text in TEXTS]
    tags = [["B-PER" if word == "miller" else "O" for word in sentence] for sentence in words]
    dataset = tf.data.Dataset.from_tensor_slices((tf.ragged.constant(words), tf.ragged.constant(tags)))
    dataset = dataset.batch(5) if batched else dataset.map(lambda x, y: (x, y))
    _same_losses(fresh(bert_tf.BertTokenClassifier, 4, classes=TAGS), dataset, words, tags)

    contexts = [f"{text} miller" for text in TEXTS]
    starts = [context.rindex("miller") for context in contexts]
    answers = {"text": [["miller"]] * 12, "answer_start": [[start] for start in starts]}
    dataset = tf.data.Dataset.from_tensor_slices(({"question": TEXTS, "context": contexts}, answers))
    dataset = dataset.batch(5) if batched else dataset
    reader = fresh(bert_tf.BertQuestionAnswerer)
    _same_losses(reader, dataset, (TEXTS, contexts), [("miller", start) for start in starts])
    outputs = reader.predict(dataset.map(lambda x, y: x), verbose=0)
    np.testing.assert_allclose(outputs["start_logits"], reader.predict((TEXTS, contexts), verbose=0)["start_logits"])

    dataset = tf.data.Dataset.from_tensor_slices((TEXTS, contexts))
    dataset = (dataset.batch(5) if batched else dataset).map(lambda *x: (x, tf.strings.length(x[0])))
    _same_losses(fresh(bert_tf.BertDualEncoder, 2), dataset, (TEXTS, contexts), None)


def test_datasets_that_cannot_be_read_are_refused(classifier):
    classifier.compile()
    dataset = tf.data.Dataset.from_tensor_slices((TEXTS, LABELLED)).batch(4)
    for options in ({"y": LABELLED}, {"sample_weight": np.ones(12)}):
        with pytest.raises(ValueError, match=r"`y` and `sample_weight` must be left out with a tf\.data\.Dataset"):
            classifier.fit(dataset, **options)
    with pytest.raises(ValueError, match=r"`validation_split` must be left out with a tf\.data\.Dataset"):
        classifier.fit(dataset, validation_split=0.5)
    with pytest.raises(ValueError, match=r"the dataset must have elements \(texts, labels\)"):
        classifier.fit(dataset.map(lambda x, y: x))
    model = fresh(bert_tf.BertDualEncoder, 2)
    model.compile()
    endless = tf.data.Dataset.from_tensor_slices(((TEXTS, TEXTS), [0] * 12)).repeat()
    with pytest.raises(ValueError, match=r"a tf\.data\.Dataset must end"):
        model.fit(endless)


def test_batches_have_the_lengths_of_their_texts(classifier, monkeypatch):
    seen = []
    call = bert_tf.BertClassifier.call
    monkeypatch.setattr(
        bert_tf.BertClassifier,
        "call",
        lambda self, inputs, *rest, **more: (
            seen.append(tuple(inputs["input_ids"].shape)) or call(self, inputs, *rest, **more)
        ),
    )
    classifier.compile(run_eagerly=True)
    classifier.fit(TEXTS, LABELLED, batch_size=1, epochs=1, verbose=0)
    assert {length for _, length in seen} == {8, 16}
    assert len(seen) == 12


def test_pairs_numbers_and_sets_of_labels():
    pairs = (TEXTS, TEXTS[::-1])
    regressor = fresh(bert_tf.BertRegressor)
    regressor.compile(metrics=["mse"], run_eagerly=True)
    numbers = np.linspace(0, 1, 12)
    assert regressor.fit(pairs, numbers, verbose=0).history["loss"][0] > 0
    loss, error = regressor.evaluate(pairs, numbers, batch_size=12, verbose=0)
    assert loss == pytest.approx(error, rel=1e-5)
    np.testing.assert_allclose(regressor.score(*pairs), regressor.predict(pairs, verbose=0), atol=1e-5)
    several = fresh(bert_tf.BertMultiLabelClassifier, 3, classes=LABELS)
    several.compile(run_eagerly=True)
    sets = [["miller", "river"], []] * 6
    own = several.evaluate(TEXTS, sets, batch_size=12, verbose=0)
    several.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True), run_eagerly=True)
    assert several.evaluate(TEXTS, np.array([[1, 1, 0], [0, 0, 0]] * 6), batch_size=12, verbose=0) == pytest.approx(
        own, rel=1e-5
    )
    assert set(several.classify(TEXTS)[0]) == {"labels", "probabilities"}


def test_words_with_tags():
    tagger = fresh(bert_tf.BertTokenClassifier, 4, classes=TAGS)
    words = [text.split() for text in TEXTS]
    tags = [["B-PER" if word == "miller" else "O" for word in sentence] for sentence in words]
    tagger.compile(keras.optimizers.Adam(0.02), weighted_metrics=["accuracy"])
    history = tagger.fit(words, tags, epochs=25, verbose=0).history
    assert history["accuracy"][-1] == 1.0
    assert [answer["tags"] for answer in tagger.tag(words)] == tags
    assert tagger.predict(words, batch_size=5, verbose=0).shape == (12, 16, 4)


def test_questions_with_answers():
    reader = fresh(bert_tf.BertQuestionAnswerer)
    contexts = [f"{text} miller" for text in TEXTS]
    answers = [{"text": ["miller"], "answer_start": [context.rindex("miller")]} for context in contexts]
    reader.compile(run_eagerly=True)
    x = (["who found"] * 12, contexts)
    assert reader.fit(x, answers, verbose=0, epochs=1).history["loss"][0] > 0
    assert reader.evaluate(x, answers, verbose=0) > 0
    outputs = reader.predict(x, verbose=0)
    assert {name: len(array) >= 12 for name, array in outputs.items()} == {"start_logits": True, "end_logits": True}
    assert [set(answer) >= {"answer", "start", "end"} for answer in reader.answer(*x)] == [True] * 12


def test_queries_with_passages():
    model = fresh(bert_tf.BertDualEncoder, 2)
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    x = (TEXTS, [f"{text} boat" for text in TEXTS])
    before = model.evaluate(x, batch_size=12, verbose=0)
    model.fit(x, epochs=8, batch_size=12, verbose=0)
    assert model.evaluate(x, batch_size=12, verbose=0) < before
    assert [found[0]["index"] for found in model.search(TEXTS[:3], x[1])] == [0, 1, 2]
    vectors = model.predict(x, batch_size=5, verbose=0)
    np.testing.assert_allclose(model.embed(TEXTS), vectors[:, 0], atol=1e-5)
    np.testing.assert_allclose(model(model.preprocessor(x)), vectors, atol=1e-5)


def test_models_without_a_task():
    encoder = fresh(bert_tf.BertEncoder)
    outputs = encoder.predict(TEXTS, batch_size=5, verbose=0)
    assert outputs["sequence_output"].shape == (12, 16, 16)
    mask = encoder.preprocessor(TEXTS)["input_mask"][:, :, None]
    mean = (outputs["sequence_output"][:, : mask.shape[1]] * mask).sum(1) / mask.sum(1)
    np.testing.assert_allclose(encoder.embed(TEXTS), mean, atol=1e-5)
    pretrainer = fresh(bert_tf.BertPretrainer)
    assert len(pretrainer.fill_mask(["the [MASK] miller"], top_k=2)[0][0]) == 2
    encoder.compile()
    with pytest.raises(ValueError, match=r"`fit` on texts needs a model with a task\. Received: a model for encoder"):
        encoder.fit(TEXTS, LABELLED)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (TEXTS, [*LABELLED[:-1], "boat"], {}, r"`y\[11\]` must be a class \(miller, river, sailor\)"),
        (TEXTS, LABELLED[:-1], {}, r"`y` must have as many items as `x`, 12\. Received: 11"),
        ([*TEXTS[:-1], None], LABELLED, {}, r"`x\[11\]` must be a text\. Received: None"),
        ([None, *TEXTS[1:]], LABELLED, {}, r"`x\[0\]` must be a text\. Received: None"),
        ([*TEXTS[:-1], float("nan")], LABELLED, {}, r"`x\[11\]` must be a text\. Received: nan"),
        (TEXTS, None, {}, r"`y` must be given for `fit`\. Received: none for `x\[0\]`"),
        (TEXTS, LABELLED, {"validation_split": 1.0}, r"`validation_split` must leave examples on both sides"),
        ([], [], {}, r"`x` must hold at least one text\. Received: none"),
        (TEXTS, LABELLED, {"batch_size": 0}, r"`batch_size` must be a whole number of at least 1\. Received: 0"),
        (
            TEXTS,
            LABELLED,
            {"validation_split": 0.5, "validation_batch_size": -1},
            r"`validation_batch_size` must be a whole number of at least 1\. Received: -1",
        ),
        (TEXTS, LABELLED, {"sample_weight": [1.0]}, r"`sample_weight` must have as many items as `x`"),
        (TEXTS, LABELLED, {"class_weight": {"boat": 1.0}}, r"`class_weight` must be a class"),
        (TEXTS, LABELLED, {"validation_data": (TEXTS, ["boat"] * 12)}, r"`y\[0\]` must be a class"),
    ],
)
def test_bad_data_is_one_clear_error(classifier, monkeypatch, x, y, options, message):
    monkeypatch.setattr(bert_tf.BertClassifier, "call", lambda *_, **__: pytest.fail("something was computed"))
    classifier.compile()
    with pytest.raises(ValueError, match=message):
        classifier.fit(x, y, verbose=0, **options)


def test_a_model_without_a_tokenizer_says_how_to_get_one():
    model = bert_tf.BertClassifier(SMALL, 2)
    model.compile()
    for ask in (model.fit, model.evaluate, model.predict, model.classify):
        with pytest.raises(
            ValueError, match=r"on texts needs the model's tokenizer: make the model by `BertClassifier"
        ):
            ask(TEXTS)


def test_tokenizers_that_do_not_fit_are_refused():
    model = bert_tf.BertClassifier(SMALL, 2)
    for options, message in [
        ({"classes": ["a", "b", "c"]}, r"`classes` must be the model's 2 classes"),
        ({"classes": "ab"}, r"`classes` must be a list of names"),
        ({"max_length": 99}, "must be at least the rows' length of 99"),
        ({"focus": 1}, "`focus` is no setting of classification"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.set_tokenizer(TOKENIZER, **options)
    with pytest.raises(ValueError, match=r"`tokenizer` must be a WordPieceTokenizer\. Received: 'vocab.txt'"):
        model.set_tokenizer("vocab.txt")
    with pytest.raises(ValueError, match=r"`model.vocab_size` must be at least the vocabulary's 60 tokens"):
        model.set_tokenizer(WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *map(str, range(55))]))
    assert model.preprocessor is None


def test_a_model_with_fused_attention_is_described_as_it_is_exported():
    config = SMALL.replace(vocab_size=TOKENIZER.vocab_size, attention="fused")
    described = TaskPreprocessor.of_task("encoder", config, TOKENIZER).description.model
    assert described == config.replace(attention="plain")
