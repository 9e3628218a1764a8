"""Rows and answers of each task, without a model: outputs are made by hand."""

import numpy as np
import pytest
from small_corpus import corpus_documents
from small_model import SMALL

from bert_tf.configs import ConfigError
from bert_tf.configs.tasks import (
    ClassificationConfig,
    MultiLabelConfig,
    QuestionAnsweringConfig,
    RegressionConfig,
    TaggingConfig,
)
from bert_tf.examples import QuestionExample, TaggedExample, TextExample
from bert_tf.tasks import TASKS, task_of
from bert_tf.tasks.long_texts import window_starts
from bert_tf.tasks.question_answering import most_context
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def tokenizer():
    """Every letter, and the words of a small corpus that start with `r`."""
    words = {word.strip(".").lower() for document in corpus_documents(20) for line in document for word in line.split()}
    tokens = [*SPECIAL_TOKENS, *LETTERS, *(f"##{letter}" for letter in LETTERS), *".,!0123456789京北"]
    return WordPieceTokenizer.from_tokens([*tokens, *sorted(word for word in words if word.startswith("r"))])


def test_classes_and_their_weights(tokenizer):
    examples = [TextExample("a", None, "x"), TextExample("b", "c", "y"), TextExample("d", None, "x")]
    task = task_of(ClassificationConfig(max_seq_length=8, balanced_classes=True))
    labels = task.label_names(examples)
    assert labels == ("x", "y")
    rows = task.encode(examples, labels, tokenizer, training=True)
    np.testing.assert_allclose(rows.example_features["label_weights"], [3 / 4, 3 / 2, 3 / 4])
    np.testing.assert_array_equal(rows.example_features["label_ids"], [0, 1, 0])
    np.testing.assert_array_equal(task.encode(examples, labels, tokenizer).example_features["label_weights"], [1, 1, 1])
    given = task_of(ClassificationConfig(class_weights=(1, 5)))
    np.testing.assert_allclose(
        given.encode(examples, labels, tokenizer, training=True).example_features["label_weights"], [1, 5, 1]
    )
    wrong = task_of(ClassificationConfig(class_weights=(1, 5, 2)))
    with pytest.raises(ValueError, match=r"`task\.class_weights` must have a weight for each of the 2 labels"):
        wrong.encode(examples, labels, tokenizer, training=True)
    rows = task.encode(examples[:1], labels, tokenizer)
    [answer] = task.answers(examples[:1], rows, [np.array([0.0, np.log(3.0)], np.float32)], labels=labels)
    assert answer["label"] == "y"
    assert answer["probabilities"] == pytest.approx({"x": 0.25, "y": 0.75})


def test_tags_have_weights_in_training(tokenizer):
    examples = [TaggedExample.from_words(["r", "abc", "d"], ["O", "X", "O"]), TaggedExample.from_words(["e"], ["O"])]
    balanced = task_of(TaggingConfig(max_seq_length=8, balanced_classes=True))
    weights = balanced.encode(examples, ("O", "X"), tokenizer, training=True).token_features["tag_weights"]
    np.testing.assert_allclose(weights[0], [0, 2 / 3, 2, 0, 0, 2 / 3, 0])  # abc has three tokens
    np.testing.assert_allclose(weights[1], [0, 2 / 3, 0, 0, 0, 0, 0])
    plain = balanced.encode(examples, ("O", "X"), tokenizer).token_features["tag_weights"]
    np.testing.assert_array_equal(plain, weights > 0)
    given = task_of(TaggingConfig(max_seq_length=8, class_weights=(1, 5)))
    weights = given.encode(examples, ("O", "X"), tokenizer, training=True).token_features["tag_weights"]
    np.testing.assert_array_equal(weights[0], [0, 1, 5, 0, 0, 1, 0])
    with pytest.raises(ValueError, match=r"`task\.class_weights` must have a weight for each of the 3 labels"):
        given.encode(examples, ("O", "X", "Y"), tokenizer, training=True)


def test_labels_have_weights_where_an_example_has_them(tokenizer):
    examples = _labelled(("x",), ("x", "y"), (), ("x",))
    balanced = task_of(MultiLabelConfig(max_seq_length=8, balanced_classes=True))
    weights = balanced.encode(examples, ("x", "y", "z"), tokenizer, training=True).example_features["target_weights"]
    np.testing.assert_allclose(weights, [[1 / 3, 1, 1], [1 / 3, 3, 1], [1, 1, 1], [1 / 3, 1, 1]])
    assert "target_weights" not in balanced.encode(examples, ("x", "y", "z"), tokenizer).example_features
    given = task_of(MultiLabelConfig(max_seq_length=8, class_weights=(2, 5)))
    weights = given.encode(examples, ("x", "y"), tokenizer, training=True).example_features["target_weights"]
    np.testing.assert_allclose(weights, [[2, 1], [2, 5], [1, 1], [2, 1]])
    with pytest.raises(ValueError, match=r"`task\.class_weights` must have a weight for each of the 3 labels"):
        given.encode(examples, ("x", "y", "z"), tokenizer, training=True)


@pytest.mark.parametrize("config", [ClassificationConfig, MultiLabelConfig, TaggingConfig])
def test_weights_and_focal_losses_are_checked(config):
    with pytest.raises(ConfigError, match="`class_weights` must be empty with `balanced_classes`"):
        config(class_weights=(1.0, 2.0), balanced_classes=True)
    with pytest.raises(ConfigError, match="focal_gamma"):
        config(focal_gamma=-1.0)
    task = task_of(config(focal_gamma=2.0))
    assert task.objective(training=True).losses.keywords["focal_gamma"] == 2.0
    assert task.objective(training=False).losses.keywords["focal_gamma"] == 0.0
    with pytest.raises(ConfigError, match="`label_smoothing` must be 0 with `focal_gamma`"):
        ClassificationConfig(label_smoothing=0.1, focal_gamma=2.0)


@pytest.mark.parametrize("config", [ClassificationConfig, MultiLabelConfig, RegressionConfig])
def test_long_texts_keep_their_head_and_tail(tokenizer, config):
    """Sun et al. 2019, section 5.3.1: the first 128 and the last 382 tokens of 510."""
    numbers = " ".join(str(number) for number in range(10)) + " " + " ".join(LETTERS)

    def tokens(text, **options):
        rows = task_of(config(**options)).encode([TextExample(text, None, None)], ("x", "y"), tokenizer)
        return tokenizer.decode(rows.token_features["input_ids"][0]).split()

    assert tokens(numbers, max_seq_length=10, long_texts="head_tail") == ["[CLS]", "0", "1", *"uvwxyz", "[SEP]"]
    assert tokens(numbers, max_seq_length=10) == ["[CLS]", *"01234567", "[SEP]"]
    many = " ".join(LETTERS[number % 26] for number in range(600))
    found = tokens(many, max_seq_length=512, long_texts="head_tail")
    assert found[1:-1] == many.split()[:128] + many.split()[-382:]
    for text in ("", "a b", " ".join(LETTERS[:8])):
        assert tokens(text, max_seq_length=10, long_texts="head_tail") == tokens(text, max_seq_length=10)
    with pytest.raises(ConfigError, match="`long_texts` must be cut for pairs of texts"):
        config(long_texts="head_tail", text_pair_column="second")


def test_texts_that_are_cut_are_counted(tokenizer, caplog):
    examples = [TextExample("a b c"), TextExample("a b c d e f g"), TextExample("a b c", "d e f g")]
    task = task_of(RegressionConfig(max_seq_length=8))
    with caplog.at_level("WARNING", logger="absl"):
        task.encode(examples, (), tokenizer)
        [message] = [record.getMessage() for record in caplog.records]
        assert message.startswith("2 of 3 texts have more than 8 tokens and were cut.")
        assert "`task.long_texts=head_tail`" in message
        caplog.clear()
        task.encode(examples[:1], (), tokenizer)
        assert not caplog.records


def test_unknown_labels_are_named_with_their_line(tokenizer):
    example = TextExample("a", None, "z", source="dev.tsv, line 7")
    with pytest.raises(ValueError, match=r"dev\.tsv, line 7, column 'label'.*x, y.*'z'"):
        task_of(ClassificationConfig()).encode([example], ("x", "y"), tokenizer)
    many = TextExample("a", None, ("x", "z"), source="dev.tsv, line 7")
    with pytest.raises(ValueError, match=r"dev\.tsv, line 7, column 'label'.*'z'"):
        task_of(MultiLabelConfig()).encode([many], ("x", "y"), tokenizer)
    tagged = TaggedExample.from_words(["a"], ["B-Z"], source="dev.conll, line 3")
    with pytest.raises(ValueError, match=r"dev\.conll, line 3: must have tags among the labels.*'B-Z'"):
        task_of(TaggingConfig()).encode([tagged], ("B-X", "O"), tokenizer)


def _labelled(*labels):
    return [TextExample("a", None, label) for label in labels]


def test_whole_numbers_are_in_the_order_of_their_values():
    numbers = [str(number) for number in range(12)]
    task = task_of(ClassificationConfig())
    assert task.label_names(_labelled(*reversed(numbers))) == tuple(numbers)
    assert task.label_names(_labelled("10", "9", "x")) == ("10", "9", "x")
    many = task_of(MultiLabelConfig())
    assert many.label_names(_labelled(("10", "2"), ("1",))) == ("1", "2", "10")


def test_listed_labels_are_in_their_order(tokenizer):
    task = task_of(ClassificationConfig(labels=("y", "z", "x"), max_seq_length=8))
    labels = task.label_names(_labelled("x", "y"))
    assert labels == ("y", "z", "x")
    encoded = task.encode(_labelled("x", "y"), labels, tokenizer)
    assert encoded.example_features["label_ids"].tolist() == [2, 0]
    with pytest.raises(ValueError, match=r"must be one of the labels \(y, z, x\)\. Received: 'w'"):
        task.encode(_labelled("w"), labels, tokenizer)
    for labels in (("x",), ("x", "x"), ("x", ""), ("x", " y")):
        for config in (ClassificationConfig, MultiLabelConfig, TaggingConfig):
            with pytest.raises(ConfigError, match=r"`labels` must be different names"):
                config(labels=labels)


def test_a_label_may_occur_in_any_part():
    task = task_of(ClassificationConfig())
    assert task.label_names_of_parts(_labelled("b", "c"), _labelled("a"), _labelled("d")) == ("a", "b", "c", "d")
    with pytest.raises(ValueError, match=r"at least two labels.*\['x'\]"):
        task.label_names_of_parts(_labelled("x"), _labelled("y"))


@pytest.mark.parametrize(
    ("config", "example", "message"),
    [
        (ClassificationConfig(), TextExample("a", None, "x"), r"at least two labels.*\['x'\]"),
        (MultiLabelConfig(), TextExample("a", None, ("x",)), r"at least two labels.*\['x'\]"),
        (RegressionConfig(), TextExample("a", None, 2.0), r"at least two different numbers.*2\.0"),
        (TaggingConfig(), TaggedExample.from_words(["a"], ["O"]), r"at least two tags.*\['O'\]"),
        (QuestionAnsweringConfig(), QuestionExample("a", "b"), r"must have answers"),
    ],
)
def test_nothing_to_learn(config, example, message):
    with pytest.raises(ValueError, match=message):
        task_of(config).label_names([example, example])


def test_sets_of_labels_and_numbers(tokenizer):
    many = task_of(MultiLabelConfig(max_seq_length=8))
    examples = [TextExample("a", None, ("y",)), TextExample("b", None, ())]
    np.testing.assert_array_equal(
        many.encode(examples, ("x", "y"), tokenizer).example_features["label_targets"], [[0, 1], [0, 0]]
    )
    logits = [np.array([1.0, -1.0], np.float32), np.array([-1.0, -1.0], np.float32)]
    rows = many.encode(examples, ("x", "y"), tokenizer)
    answers = many.answers(examples, rows, logits, labels=("x", "y"))
    assert [answer["labels"] for answer in answers] == [["x"], []]
    numbers = task_of(RegressionConfig(max_seq_length=8))
    rows = numbers.encode([TextExample("a", None, 2.5), TextExample("a")], (), tokenizer)
    np.testing.assert_array_equal(rows.example_features["label_values"], [2.5, 0.0])
    np.testing.assert_array_equal(rows.example_features["label_weights"], [1.0, 0.0])


def _tag_outputs(task, rows, labels):
    """Outputs that are sure of the right tag at each first token, and of another one elsewhere."""
    outputs = []
    for tags, weights in zip(rows.token_features["tag_ids"], rows.token_features["tag_weights"], strict=True):
        wrong = (tags + 1) % len(labels)
        outputs.append(np.eye(len(labels))[np.where(weights > 0, tags, wrong)])
    return outputs


def test_tags_are_on_first_tokens_and_become_spans_of_the_text(tokenizer):
    text = "Dr. Kim  flew\tto Zürich, Peking 北京 \u200b x"
    words = ["Dr.", "Kim", "flew", "to", "Zürich", ",", "Peking", "北京", "\u200b", "x"]
    offsets = []
    for word in words:
        start = text.index(word, offsets[-1][1] if offsets else 0)
        offsets.append((start, start + len(word)))
    tags = ("O", "B-PER", "O", "O", "B-LOC", "O", "B-LOC", "I-LOC", "O", "O")
    example = TaggedExample(text, tuple(offsets), tags)
    task = task_of(TaggingConfig(max_seq_length=9))
    labels = ("B-LOC", "B-PER", "I-LOC", "O")
    rows = task.encode([example], labels, tokenizer)
    assert len(rows) > 2, "the sentence is longer than a row"
    assert rows.lengths.max() <= 9
    assert rows.token_features["tag_weights"].sum() == 9, "the word of a zero-width space has no token"
    [answer] = task.answers([example], rows, _tag_outputs(task, rows, labels), labels=labels)
    assert answer["tags"] == list(tags)
    assert [(span["label"], span["text"]) for span in answer["spans"]] == [
        ("PER", "Kim"),
        ("LOC", "Zürich"),
        ("LOC", "Peking 北京"),
    ]
    assert all(text[span["start"] : span["end"]] == span["text"] for span in answer["spans"])
    scores = task.scores([example], [answer], labels)
    assert (scores["f1"], scores["accuracy"]) == (1.0, 1.0)


def test_windows():
    assert window_starts(10, 6, 3) == [(0, 6), (3, 6), (6, 4)]
    assert window_starts(4, 6, 3) == [(0, 4)]
    assert window_starts(0, 6, 3) == [(0, 0)]
    assert window_starts(7, 3, 9) == [(0, 3), (3, 3), (6, 1)], "no token is left out by a long stride"
    kept = most_context(window_starts(10, 6, 3))
    places = sorted(
        start + place
        for (start, _), mask in zip(window_starts(10, 6, 3), kept, strict=True)
        for place in np.flatnonzero(mask)
    )
    assert places == list(range(10)), "each token counts in one window"


def _span_outputs(rows, sure=10.0):
    """Outputs that are sure of the right start and end, where the window holds the answer."""
    outputs = []
    for row in range(len(rows)):
        logits = {name: np.zeros(rows.token_features["input_ids"].shape[1]) for name in ("start_logits", "end_logits")}
        logits["start_logits"][rows.example_features["start_positions"][row]] = sure
        logits["end_logits"][rows.example_features["end_positions"][row]] = sure
        outputs.append(logits)
    return outputs


CONTEXT = "Café 😀 in the river, 308 rivers!  Near 北京 a road ran to the river again and again."


@pytest.mark.parametrize("answer", ["Café", "308 rivers", "308", "北", "北京", "again.", "river, 308"])
def test_answers_are_substrings_of_the_context(tokenizer, answer):
    example = QuestionExample("where?", CONTEXT, "q", ((answer, CONTEXT.rindex(answer)),))
    task = task_of(QuestionAnsweringConfig(max_seq_length=40, max_query_length=4, doc_stride=12))
    rows = task.encode([example], (), tokenizer)
    assert len(rows) > 1
    assert (rows.example_features["start_positions"] > 0).any()
    [found] = task.answers([example], rows, _span_outputs(rows), labels=())
    assert found["answer"] == answer
    assert CONTEXT[found["start"] : found["end"]] == answer
    assert all(CONTEXT[each["start"] : each["end"]] == each["text"] for each in found["n_best"])
    assert sum(each["probability"] for each in found["n_best"]) == pytest.approx(1.0)
    assert task.scores([example], [found], ())["exact_match"] == 1.0


def test_no_answer_and_its_threshold(tokenizer):
    config = QuestionAnsweringConfig(max_seq_length=64, max_query_length=4, unanswerable=True)
    example = QuestionExample("where?", "a river", "q")
    task = task_of(config)
    rows = task.encode([example], (), tokenizer)
    np.testing.assert_array_equal(rows.example_features["start_positions"], [0])
    [found] = task.answers([example], rows, _span_outputs(rows), labels=())
    assert (found["answer"], found["start"], found["null_difference"]) == ("", None, 20.0)
    assert task.scores([example], [found], ())["unanswerable_exact_match"] == 1.0
    bold = task_of(config.replace(null_threshold=25.0))
    assert bold.answers([example], rows, _span_outputs(rows), labels=())[0]["answer"] != ""
    with pytest.raises(ValueError, match=r"needs `task\.unanswerable=true`.*'q'"):
        task_of(config.replace(unanswerable=False)).encode([example], (), tokenizer)


def test_answers_at_wrong_positions_are_not_learnt(tokenizer):
    examples = [
        QuestionExample("x", "a river", "q1", (("river", 0),)),
        QuestionExample("x", "a river", "q2", (("river", 0), ("river", 2))),
    ]
    rows = task_of(QuestionAnsweringConfig()).encode(examples, (), tokenizer)
    np.testing.assert_array_equal(rows.example_features["answer_weights"], [0.0, 1.0])


@pytest.mark.parametrize("kind", TASKS)
def test_a_task_describes_its_model_and_its_settings(kind):
    described = TASKS[kind]
    config = described.config_class()
    assert config.kind == kind
    assert type(task_of(config).make_model(SMALL, ("a", "b"))) is described.model_class()
    published = described.published_config(64, "mean")
    assert (type(published), published.max_seq_length) == (type(config), 64)
    assert getattr(published, "pooling", "mean") == "mean"
