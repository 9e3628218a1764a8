"""Windows over texts that exceed a row: their tokens, weights and pooled answers by hand, and equal answers in use."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from small_model import LABELS, SMALL, TASK_CONFIGS, shake, write_vocab

from bert_tf.configs import ConfigError
from bert_tf.configs.tasks import (
    ClassificationConfig,
    MultiLabelConfig,
    QuestionAnsweringConfig,
    RegressionConfig,
    RetrievalConfig,
)
from bert_tf.examples import QuestionExample, RetrievalExample, TextExample
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving.export import signatures_of
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.predictor import Predictor
from bert_tf.tasks import task_of
from bert_tf.tasks.long_texts import pooled, pooled_distributions, windows_of
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.evaluation import make_outputs
from experiments import prediction, prediction_inputs

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENIZER = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *LETTERS])
CONFIGS = (ClassificationConfig, MultiLabelConfig, RegressionConfig)
FIRST, SECOND = "the boat " * 25, "sailor letter river storm " * 10
LONG = FIRST + SECOND
TEXTS = ["the old miller", LONG, "", "boat " * 22, SECOND + FIRST]


@pytest.mark.parametrize(("room", "stride"), [(6, None), (6, 1), (6, 6), (1, 1), (1, None)])
def test_windows_are_full_and_cover_every_token(room, stride):
    for length in range(room + 1):
        ids = [-1, *range(length), -2]
        assert windows_of(ids, room + 2, stride) == [ids]
    for length in range(room + 1, 40):
        windows = windows_of([-1, *range(length), -2], room + 2, stride)
        assert all((window[0], window[-1]) == (-1, -2) for window in windows)
        inner = [window[1:-1] for window in windows]
        assert all(window == list(range(window[0], window[0] + room)) for window in inner)
        assert (inner[0][0], inner[-1][-1]) == (0, length - 1)
        steps = np.diff([window[0] for window in inner])
        assert set(steps[:-1]) <= {stride or max(1, room * 3 // 4)}
        assert 1 <= steps[-1] <= (stride or room)
        assert set(range(length)) == {token for window in inner for token in window}


@pytest.mark.parametrize("config", CONFIGS)
def test_the_windows_of_a_text_have_its_label_and_together_its_weight(config):
    label = {"classification": "y", "multi_label": ("y",), "regression": 2.5}[config.kind]
    other = {"classification": "x", "multi_label": ("x",), "regression": 1.0}[config.kind]
    texts = ["a b c", " ".join(LETTERS[:13]), " ".join(LETTERS[:8])]
    examples = [TextExample(texts[0], None, other), TextExample(texts[1], None, label), TextExample(texts[2])]
    weights = {} if config is RegressionConfig else {"class_weights": (1.0, 3.0)}
    options = {"max_seq_length": 8, "long_texts": "windows", "window_stride": 4} | weights
    task = task_of(config(**options))
    rows = task.encode(examples, ("x", "y"), TOKENIZER, training=True)
    assert rows.sources == [0, 1, 1, 1, 2, 2]
    found = [
        TOKENIZER.decode(ids[1 : length - 1])
        for ids, length in zip(rows.token_features["input_ids"], rows.lengths, strict=True)
    ]
    assert found == ["a b c", "a b c d e f", "e f g h i j", "h i j k l m", "a b c d e f", "c d e f g h"]
    whole = task_of(config(**(options | {"max_seq_length": 24}))).encode(examples, ("x", "y"), TOKENIZER, training=True)
    assert whole.sources == [0, 1, 2]
    for name, values in whole.example_features.items():
        of_rows = rows.example_features[name]
        assert of_rows.dtype == values.dtype == ("int32" if name == "label_ids" else "float32")
        if name == "label_weights":
            of_rows = [of_rows[0], of_rows[1:4].sum(), of_rows[4:].sum()]
            np.testing.assert_allclose(of_rows, values)
            assert values[2] == 0
            assert len(set(rows.example_features[name][1:4])) == 1
        else:
            np.testing.assert_array_equal(of_rows, values[rows.sources])
    plain = task_of(config(max_seq_length=8)).encode(examples[:1], ("x", "y"), TOKENIZER)
    alone = task.encode(examples[:1], ("x", "y"), TOKENIZER)
    for name, values in (plain.token_features | plain.example_features).items():
        np.testing.assert_array_equal((alone.token_features | alone.example_features)[name], values)


def test_pooling_by_hand():
    sources = [0, 1, 1, 1, 2]
    values = np.array([[1, 2], [3, 9], [6, 0], [0, 3], [5, 4]], np.float32)
    np.testing.assert_array_equal(pooled(values, sources), [[1, 2], [3, 4], [5, 4]])
    np.testing.assert_array_equal(pooled(values, sources, "max"), [[1, 2], [6, 9], [5, 4]])
    np.testing.assert_array_equal(pooled(values[:, 0], sources), [1, 3, 5])
    assert pooled(values, sources).dtype == np.float32
    shares = softmax(values, axis=-1)
    found = pooled_distributions(shares, sources, "max")
    largest = shares[1:4].max(axis=0)
    np.testing.assert_array_equal(found[[0, 2]], shares[[0, 4]], "a text of one window keeps its bits")
    np.testing.assert_allclose(found[1], largest / largest.sum())


@pytest.mark.parametrize("config", CONFIGS)
def test_bad_settings_are_refused_at_once(config):
    with pytest.raises(ConfigError, match="`long_texts` must be cut for pairs of texts"):
        config(long_texts="windows", text_pair_column="second")
    with pytest.raises(ConfigError, match="`long_texts` must be one of cut, head_tail, windows"):
        config(long_texts="window")
    with pytest.raises(ConfigError, match="`window_pooling` must be one of mean, max"):
        config(long_texts="windows", window_pooling="min")
    with pytest.raises(ConfigError, match="`window_stride` needs `long_texts` windows"):
        config(window_stride=8)
    for stride in (0, 15):
        with pytest.raises(ConfigError, match="`window_stride` must be between 1 and 14"):
            config(long_texts="windows", max_seq_length=16, window_stride=stride)
    pair = TextExample("a", "b")
    with pytest.raises(ValueError, match="`long_texts` must be 'cut' for pairs of texts"):
        task_of(config(long_texts="windows")).encode([pair], ("x", "y"), TOKENIZER)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A function that makes the predictor of a small model, whose weights do not depend on the options."""
    tokenizer = WordPieceTokenizer(str(write_vocab(tmp_path_factory.mktemp("vocab") / "vocab.txt")))
    config, made = SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1), {}

    def predictor(kind, **options):
        labels = () if kind == "regression" else LABELS
        task = task_of(TASK_CONFIGS[kind].replace(**options))
        if kind not in made:
            made[kind] = task.make_model(config, labels)
            shake(made[kind])
        hash_ = tokenizer.vocab_hash
        description = ModelDescription(kind, config, True, hash_, 24, labels, task_config=task.config)
        return Predictor(made[kind], description, tokenizer)

    return predictor


def _numbers(answers):
    return np.array(
        [list(each["probabilities"].values()) if "label" in str(each) else [each["value"]] for each in answers]
    )


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [("classification", "mean"), ("classification", "max"), ("multi_label", "max"), ("regression", "mean")],
)
def test_answers_are_pooled_alike_everywhere(models, kind, pooling):
    predictor = models(kind, long_texts="windows", window_stride=9, window_pooling=pooling)
    tokenizer, labels = predictor.tokenizer, predictor.description.labels
    examples = [TextExample(text) for text in TEXTS]
    found = predictor.predict(examples)
    numbers = _numbers(found)
    # By hand: each window alone, as a text of its own would be.
    plain = models(kind)
    for text, pooled_numbers in zip(TEXTS, numbers, strict=True):
        windows = windows_of(tokenizer.encode_pair(text)[0], 24, 9)
        alone = _numbers(plain.predict([TextExample(tokenizer.decode(window[1:-1])) for window in windows]))
        expected = alone.mean(axis=0) if pooling == "mean" else alone.max(axis=0)
        if kind == "classification":
            expected = expected / expected.sum()
        np.testing.assert_allclose(pooled_numbers, expected, atol=1e-5)
    short = [0, 2, 3]
    np.testing.assert_array_equal(numbers[short], _numbers(plain.predict(examples))[short])
    assert np.abs(numbers - _numbers(plain.predict(examples))).max() > 1e-3
    # In evaluation, in the command and in an export's graph.
    task = predictor.task
    rows = task.encode(examples, labels, tokenizer)
    outputs, _ = make_outputs(predictor.model, Distribution(), 4)(rows)
    evaluated = task.answers(examples, rows, outputs, labels=labels)
    np.testing.assert_allclose(_numbers(evaluated), numbers, atol=1e-5)
    assert _numbers(prediction.answers(predictor, examples)).tolist() == numbers.tolist()
    pytest.importorskip("tensorflow_text")
    module = signatures_of(kind)(predictor.model, predictor.description, tokenizer, options=ExportOptions())
    served = module.from_texts(tf.constant(TEXTS))
    assert "logits" not in served
    values = served["values"][:, None] if kind == "regression" else served["probabilities"]
    np.testing.assert_allclose(values, numbers, atol=1e-5)
    if kind == "classification":
        assert [label.decode() for label in served["labels"].numpy()] == [answer["label"] for answer in found]
    elif kind == "multi_label":
        assert served["num_labels"].numpy().tolist() == [len(answer["labels"]) for answer in found]


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_vectors_of_long_texts_are_the_means_of_their_windows(models, kind):
    predictor = models(kind)
    tokenizer = predictor.tokenizer
    for pooling in ("mean", "cls", "pooler"):
        found = predictor.embed(TEXTS, pooling, long_texts="windows")
        plain = predictor.embed(TEXTS, pooling)
        np.testing.assert_array_equal(found[[0, 2, 3]], plain[[0, 2, 3]], "texts that fit keep their bits")
        parts = windows_of(tokenizer.encode_pair(TEXTS[1])[0], 24)
        alone = predictor.embed([tokenizer.decode(part[1:-1]) for part in parts], pooling)
        assert len(parts) > 1
        np.testing.assert_allclose(found[1], alone.mean(axis=0), atol=1e-5)
        assert np.abs(found[1] - plain[1]).max() > 1e-3
        unit = predictor.embed(TEXTS, pooling, True, long_texts="windows")
        np.testing.assert_allclose(unit, found / np.linalg.norm(found, axis=-1, keepdims=True), atol=1e-6)
    [[cut]] = predictor.search([LONG], [FIRST], 1)
    assert cut["score"] == pytest.approx(1.0, abs=1e-5), "the end is not seen"
    [[best]] = predictor.search([LONG], [FIRST, LONG], 1, long_texts="windows")
    assert (best["index"], best["score"]) == (1, pytest.approx(1.0, abs=1e-5))
    for ask in (lambda: predictor.embed(TEXTS, long_texts="max"), lambda: predictor.search([""], TEXTS, long_texts="")):
        with pytest.raises(ValueError, match="`long_texts` must be cut or windows"):
            ask()


def _warnings(caplog):
    found = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    caplog.clear()
    return found


def test_cut_texts_are_counted_once_in_each_call(models, caplog, monkeypatch):
    cut, windows = models("classification"), models("classification", long_texts="windows")
    examples = [TextExample(text) for text in TEXTS]
    advice = "With `long_texts=windows` their vectors are made of all their tokens"
    with caplog.at_level("INFO", logger="absl"):
        cut.classify(TEXTS)
        [message] = _warnings(caplog)
        assert message.startswith("2 of 5 texts have more than 24 tokens and were cut. A larger `task.max_seq_length`")
        cut.embed(TEXTS)
        assert _warnings(caplog) == [f"2 of 5 texts have more than 24 tokens and were cut. {advice}"]
        cut.search(TEXTS[:2], TEXTS)
        assert _warnings(caplog) == [f"3 of 7 texts have more than 24 tokens and were cut. {advice}"]
        monkeypatch.setattr(prediction, "_TOGETHER", 2)
        list(prediction.answers(cut, examples, embed=True))
        assert _warnings(caplog) == [f"2 of 5 texts have more than 24 tokens and were cut. {advice}"]
        list(prediction.answers(cut, examples))
        assert len(_warnings(caplog)) == 1
        windows.classify(TEXTS)
        list(prediction.answers(cut, examples, embed=True, long_texts="windows"))
        cut.classify(TEXTS[:1])
        cut.embed(TEXTS[:1])
        assert _warnings(caplog) == []
    with pytest.raises(ValueError, match="`long_texts` is for vectors"):
        prediction_inputs.check_long_texts("windows", cut, embed=False)
    prediction_inputs.check_long_texts("windows", cut, embed=True)


def test_cut_queries_passages_and_questions_are_counted(caplog):
    with caplog.at_level("WARNING", logger="absl"):
        config = RetrievalConfig(max_seq_length=5, max_query_length=4)
        examples = [RetrievalExample("a b c", "d e f g"), RetrievalExample("a", "b"), RetrievalExample("a b c", "h")]
        task_of(config).encode(examples, (), TOKENIZER)
        assert _warnings(caplog) == [
            "1 of 2 queries have more than 4 tokens and were cut. A larger `task.max_query_length` may help",
            "1 of 3 passages have more than 5 tokens and were cut. A larger `task.max_seq_length` may help",
        ]
        questions = [QuestionExample(text, "d", labelled=False) for text in ("a b c", "a")]
        task_of(QuestionAnsweringConfig(max_seq_length=16, max_query_length=2)).encode(questions, (), TOKENIZER)
        [message] = _warnings(caplog)
        assert (
            message
            == "1 of 2 questions have more than 2 tokens and were cut. A larger `task.max_query_length` may help"
        )
