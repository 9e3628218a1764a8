"""Examples from lists, arrays, tables and tuples, and the errors that name the item at fault."""

import numpy as np
import pytest

from bert_tf.examples import QuestionExample, RetrievalExample, TaggedExample, TextExample
from bert_tf.tasks import natural_inputs, natural_targets

PAIRS = [TextExample("a", "c"), TextExample("b", "d")]


class Table(dict):
    """The part of a pandas DataFrame that is used: columns by name."""

    @property
    def columns(self):
        return list(self)


@pytest.mark.parametrize(
    "x",
    [
        (["a", "b"], ["c", "d"]),
        (np.array(["a", "b"]), ["c", b"d"]),
        [("a", "c"), ["b", "d"]],
        {"text": ["a", "b"], "text_pair": ["c", "d"]},
        Table(text=["a", "b"], text_pair=np.array(["c", "d"], object)),
        PAIRS,
    ],
)
def test_pairs_of_texts_in_every_form(x):
    assert natural_inputs.text_examples(x) == PAIRS


@pytest.mark.parametrize("x", [["a", "b"], np.array(["a", "b"], object), {"text": ["a", b"b"]}])
def test_single_texts_in_every_form(x):
    assert natural_inputs.text_examples(x) == [TextExample("a"), TextExample("b")]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (["a", None], r"`x\[1\]` must be a text\. Received: None"),
        (["a", float("nan")], r"`x\[1\]` must be a text\. Received: nan"),
        ((["a"], ["b", "c"]), r"`x\[1\]` must have as many texts as `x\[0\]`, 1\. Received: 2"),
        (("a", "b"), r"`x` must be a list of texts, or a tuple \(texts, pairs\)"),
        ({"sentence": ["a"]}, r"`x` must have the columns `text`, and perhaps `text_pair`\. Received: sentence"),
        (({"a"}, ["b"]), r"`x\[0\]` must be a text or a list of texts"),
        (3, r"`x` must be a text or a list of texts\. Received: a int"),
    ],
)
def test_what_is_no_text_is_named(x, message):
    with pytest.raises(ValueError, match=message):
        natural_inputs.text_examples(x)


@pytest.mark.parametrize("y", [["no", "yes"], [0, 1], np.array([0, 1]), np.array([0.0, 1.0]), [b"no", True]])
def test_classes_by_name_or_number(y):
    examples = natural_targets.with_classes([TextExample("a"), TextExample("b")], y, ("no", "yes"))
    assert [example.label for example in examples] == ["no", "yes"]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["no", "maybe"], r"`y\[1\]` must be a class \(no, yes\) or its number, 0 to 1\. Received: 'maybe'"),
        ([0, 2], r"`y\[1\]` must be a class .* Received: 2"),
        ([0, -1], r"`y\[1\]` must be a class .* Received: -1"),
        ([0, None], r"`y\[1\]` must be a class .* Received: None"),
        ([0, float("nan")], r"`y\[1\]` must be a class .* Received: nan"),
        ([0], r"`y` must have as many items as `x`, 2\. Received: 1"),
        ("no", r"`y` must be a list with an item for each of `x`"),
        ([[1, 0], [0, 1]], r"`y\[0\]` must be a class"),
    ],
)
def test_what_is_no_class_is_named(y, message):
    with pytest.raises(ValueError, match=message):
        natural_targets.with_classes([TextExample("a"), TextExample("b")], y, ("no", "yes"))


@pytest.mark.parametrize(
    "y", [[["a", "c"], []], np.array([[1, 0, 1], [0, 0, 0]]), [{"a", "c"}, [0, 0, 0]], [(0, "c"), ()]]
)
def test_sets_of_labels_by_name_or_number(y):
    examples = natural_targets.with_label_sets([TextExample("x")] * 2, y, ("a", "b", "c"))
    assert [sorted(example.label) for example in examples] == [["a", "c"], []]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([["d"]], r"`y\[0\]` must be a class \(a, b\)"),
        ([[1, 0, 1]], r"`y\[0\]` must be 0 or 1 for each of 2 labels"),
        ([[0.5, 1]], r"`y\[0\]` must be 0 or 1"),
        (["a"], r"`y\[0\]` must be a list of labels"),
    ],
)
def test_what_is_no_set_of_labels_is_named(y, message):
    with pytest.raises(ValueError, match=message):
        natural_targets.with_label_sets([TextExample("x")], y, ("a", "b"))


def test_numbers():
    texts = [TextExample("a"), TextExample("b")]
    assert [example.label for example in natural_targets.with_numbers(texts, np.array([1, 2.5]))] == [1.0, 2.5]
    for value in (float("inf"), float("nan"), None, "1", True):
        with pytest.raises(ValueError, match=r"`y\[1\]` must be a finite number"):
            natural_targets.with_numbers(texts, [1.0, value])


def test_words_and_their_tags():
    split = lambda text: [(0, 1), (2, 3)]  # noqa: E731
    examples = natural_inputs.tagged_examples([["New", "York"], "a b", np.array(["x"])], split)
    assert [example.words for example in examples] == [["New", "York"], ["a", "b"], ["x"]]
    tagged = natural_targets.with_tags(examples, [["B", "O"], [0, 1], np.array([1])], ("B", "O"))
    assert [example.tags for example in tagged] == [("B", "O"), ("B", "O"), ("O",)]
    again = natural_inputs.tagged_examples(tagged, split)
    assert natural_targets.with_tags(again, None, ("B", "O")) == tagged
    assert isinstance(again[0], TaggedExample)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ("a b", [["O"]], r"`x` must be a list of lists of words"),
        ([["a", None]], [["O", "O"]], r"`x\[0\]` must be a list of words, or a text"),
        ([["a", "b"]], [["O"]], r"`y\[0\]` must have a tag for each of 2 words\. Received: 1"),
        ([["a"]], ["O"], r"`y\[0\]` must be a list of tags"),
        ([["a"]], [["X"]], r"`y\[0\]\[0\]` must be a class \(B, O\)"),
    ],
)
def test_words_and_tags_that_do_not_fit_are_named(x, y, message):
    with pytest.raises(ValueError, match=message):
        natural_targets.with_tags(natural_inputs.tagged_examples(x, None), y, ("B", "O"))


@pytest.mark.parametrize(
    "answer",
    [
        ("mill", 4),
        [("mill", 4)],
        {"text": ["mill"], "answer_start": [4]},
        {"text": "mill", "answer_start": np.int64(4)},
    ],
)
def test_questions_and_their_answers(answer):
    found = natural_inputs.question_examples((["who", "what"], ["the mill", "the boat"]), [answer, None])
    assert found == [
        QuestionExample("who", "the mill", "0", (("mill", 4),)),
        QuestionExample("what", "the boat", "1", ()),
    ]
    unlabelled = natural_inputs.question_examples({"question": ["who"], "context": ["the mill"]}, None)
    assert not unlabelled[0].labelled


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([("mill", 3)], r"`y\[0\]` must be in the context at its start\. Received: \('mill', 3\)"),
        ([("mill", -4)], r"`y\[0\]` must be in the context"),
        ([["mill"]], r"`y\[0\]` must be \{'text': \[\.\.\.\], 'answer_start'"),
        ([{"text": ["mill"]}], r"`y\[0\]` must be"),
        (["mill"], r"`y\[0\]` must be"),
        ([], r"`y` must have as many items as `x`, 1\. Received: 0"),
    ],
)
def test_answers_that_do_not_fit_are_named(y, message):
    with pytest.raises(ValueError, match=message):
        natural_inputs.question_examples((["who"], ["the mill"]), y)


def test_queries_and_passages():
    expected = [RetrievalExample("q", "p", ("n", "m")), RetrievalExample("r", "s")]
    assert natural_inputs.retrieval_examples((["q", "r"], ["p", "s"], [["n", "m"], []])) == expected
    table = {"query": ["q", "r"], "passage": ["p", "s"], "negatives": [["n", "m"], []]}
    assert natural_inputs.retrieval_examples(table) == expected
    assert natural_inputs.retrieval_examples((["r"], ["s"])) == expected[1:]
    for x, message in [
        (["q"], r"`x` must be a tuple \(queries, passages\)"),
        ((["q"], ["p"], [["n"], []]), r"`negatives` must have as many items as `x`, 1\. Received: 2"),
        ((["q"], ["p"], [[None]]), r"`negatives\[0\]\[0\]` must be a text"),
    ]:
        with pytest.raises(ValueError, match=message):
            natural_inputs.retrieval_examples(x)
