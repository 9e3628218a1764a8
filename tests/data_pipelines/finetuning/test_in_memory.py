"""Examples in memory are those of files, in every form, and bad ones are one clear error."""

import json

import numpy as np
import pytest
from small_model import TASK_CONFIGS

from bert_tf.configs.tasks import ClassificationConfig, MultiLabelConfig
from bert_tf.examples import Examples, QuestionExample, RetrievalExample, TaggedExample, TextExample
from data_pipelines.finetuning.in_memory import MEMORY, examples_of, items_of, with_pair_column
from data_pipelines.finetuning.labelled import read_examples, read_part

TEXTS, LABELS = ["a boat", "the road ", "a river"], ["water", "land", "water"]
ROWS = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
QUESTION = {
    "question": "Who?",
    "context": "The miller sat.",
    "id": "q",
    "answers": [{"text": "miller", "answer_start": 4}],
}
PAIRS = [{"query": "who", "passage": "the miller"}, {"query": "where", "passage": "a river"}]


def read(data, config=TASK_CONFIGS["classification"], name="train"):
    items = items_of(name, data, config)
    return examples_of(items, with_pair_column(config, items))


class PandasLike:
    """A stand-in for a table of pandas, which the tests' environment does not have."""

    columns = ("text", "label")

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.columns)

    def to_dict(self, orient):
        assert orient == "records"
        return self.rows


class PolarsLike:
    def __init__(self, rows):
        self.rows = rows

    def to_dicts(self):
        return self.rows


class ClassLabel:
    def __init__(self, *names):
        self.names = names

    def int2str(self, number):
        return self.names[number]


class ListOf:
    def __init__(self, feature):
        self.feature = feature


class HubLike(list):
    """A data set of Hugging Face: an iterable of rows, with classes as numbers."""

    def __init__(self, rows, **features):
        super().__init__(rows)
        self.features = features


def tensors():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices({"text": TEXTS, "label": LABELS})


def tensor_pairs():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((TEXTS, LABELS))


FORMS = {
    "columns": (TEXTS, LABELS),
    "arrays": (np.array(TEXTS), np.array(LABELS, object)),
    "dictionary of columns": {"text": TEXTS, "label": np.array(LABELS)},
    "rows": ROWS,
    "tuples": list(zip(TEXTS, LABELS, strict=True)),
    "generator": lambda: iter(ROWS),
    "pandas": PandasLike(ROWS),
    "polars": PolarsLike(ROWS),
    "tf.data": tensors,
    "tf.data of tuples": tensor_pairs,
    "hub": HubLike(
        [{"text": text, "label": int(label == "water")} for text, label in zip(TEXTS, LABELS, strict=True)],
        label=ClassLabel("land", "water"),
        text=object(),
    ),
    "objects": [TextExample(text, label=label) for text, label in zip(TEXTS, LABELS, strict=True)],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_what_a_file_holds(form, tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    expected = read_examples(str(path), TASK_CONFIGS["classification"])
    data = FORMS[form]
    found = read(data() if callable(data) else data)
    assert list(found.examples) == list(expected.examples)
    assert found.digest() == expected.digest()
    assert found.path == MEMORY
    assert found.examples[1].source == "train[1]"


SECOND = ["b", "c", "d"]


@pytest.mark.parametrize(
    "data",
    [
        ((TEXTS, SECOND), LABELS),
        (list(zip(TEXTS, SECOND, strict=True)), LABELS),
        [(pair, label) for *pair, label in zip(TEXTS, SECOND, LABELS, strict=True)],
        [TextExample(text, second, label) for text, second, label in zip(TEXTS, SECOND, LABELS, strict=True)],
    ],
)
def test_pairs_need_no_setting(data):
    found = read(data)
    assert [(example.text, example.text_pair, example.label) for example in found.examples] == [
        ("a boat", "b", "water"),
        ("the road", "c", "land"),
        ("a river", "d", "water"),
    ]


def test_tagged_words():
    config = TASK_CONFIGS["tagging"]
    example = TaggedExample.from_words(["New", "York"], ["B-LOC", "I-LOC"])
    for data in (
        ([["New", "York"]], [["B-LOC", "I-LOC"]]),
        [{"tokens": np.array(["New", "York"]), "tags": ("B-LOC", "I-LOC")}],
        HubLike([{"tokens": ["New", "York"], "tags": [0, 1]}], tags=ListOf(ClassLabel("B-LOC", "I-LOC"))),
        [example],
    ):
        assert read(data, config).examples == [example]
    spaced = TaggedExample("New  York", ((0, 3), (5, 9)), ("B-LOC", "I-LOC"), group="g")
    assert read([spaced], config).examples == [spaced]


def test_questions():
    config = TASK_CONFIGS["question_answering"]
    columns = QUESTION | {"answers": {"text": ["miller"], "answer_start": np.array([4])}}
    paragraph = {"context": QUESTION["context"], "qas": [QUESTION]}
    for data in (
        [QUESTION],
        [columns],
        {"data": [{"paragraphs": [paragraph]}]},
        {name: [value] for name, value in QUESTION.items()},
        [QuestionExample("Who?", "The miller sat.", "q", (("miller", 4),))],
    ):
        [example] = read(data, config).examples
        assert (example.question, example.context, example.answers) == ("Who?", "The miller sat.", (("miller", 4),))
        assert example.question_id == "q"
    columns = (["Who?"], ["The miller sat."], [[{"text": "miller", "answer_start": 4}]])
    assert read(columns, config).examples[0].answers == (("miller", 4),)
    with pytest.raises(ValueError, match=r"train\[0\] \(q\).*`answer_start` must be"):
        examples_of(
            items_of("train", [QUESTION | {"answers": [{"text": "sat", "answer_start": 1}]}], config),
            config,
            strict=True,
        )


def test_queries_and_passages():
    config = TASK_CONFIGS["retrieval"]
    expected = [RetrievalExample("who", "the miller"), RetrievalExample("where", "a river")]
    columns = tuple([row[name] for row in PAIRS] for name in ("query", "passage"))
    for data in (columns, PAIRS, expected, list(zip(*columns, strict=True))):
        assert read(data, config).examples == expected
    assert read([QUESTION], config).examples == [RetrievalExample("Who?", "The miller sat.")]
    negatives = config.replace(num_negatives=1)
    assert read((*columns, [["a road"], []]), negatives).examples[0].negatives == ("a road",)
    with pytest.raises(ValueError, match=r"train\[0\]: must have no negatives, because `task.num_negatives` is 0"):
        read((*columns, [["a road"], []]), config)


def test_sets_of_labels():
    config = MultiLabelConfig(labels=("land", "water"))
    expected = [("water",), ("land", "water"), ()]
    zeros_and_ones = [[0, 1], [1, 1], [0, 0]]
    for labels in ([["water"], ["land", "water"], []], np.array(zeros_and_ones), zeros_and_ones):
        assert [example.label for example in read((TEXTS, labels), config).examples] == expected
    for given, config_given in (
        ([[0, 1], [1, 2], [0, 0]], config),
        (zeros_and_ones, MultiLabelConfig()),
        ([[1]] * 3, config),
    ):
        with pytest.raises(ValueError, match=r"train\[[01]\]: must have names of labels, or 0 or 1 for each of the"):
            read((TEXTS, given), config_given)
    with pytest.raises(ValueError, match=r"train\[0\]: must name its labels; zeros and ones are a column"):
        read([{"text": "a", "label": [0, 1]}], config)


NAN = float("nan")
WRONG = {
    "a missing text": ((["a", None], ["x", "y"]), r"train\[1\], column 'text': must be a text.*None"),
    "an empty cell": ((["a", NAN], ["x", "y"]), r"train\[1\], column 'text': must be a text.*nan"),
    "an empty text": ((["a", " "], ["x", "y"]), r"train\[1\], column 'text': must not be empty"),
    "a missing label": ((["a", "b"], ["x", None]), r"train\[1\], column 'label': must be a text.*None"),
    "a missing label of an object": ([TextExample("a")], r"train\[0\], column 'label': must be a text.*None"),
    "fewer labels": ((["a", "b"], ["x"]), "`train` must have columns of equal length. Received: 2 texts, 1 labels"),
    "fewer second texts": (
        ((["a", "b"], ("c",)), ["x", "y"]),
        "`train` must have columns of equal length. Received: 2 first texts, 1 second texts",
    ),
    "unequal columns": ({"text": ["a"], "label": []}, "Received: 1 'text', 0 'label'"),
    "no example": ([], "`train` must have at least one example"),
    "no column": ([{"sentence": "a", "label": "x"}], r"train\[0\]: must have a column 'text'"),
    "weights": ((["a"], ["x"], [1.0]), "`train` must be a tuple of texts, labels, or .* Received: 3 columns"),
    "a text for texts": (("a", ["x"]), "`train` must have columns that are lists or arrays. Received: 'a'"),
    "texts alone": (["a", "b"], r"train\[0\]: must be a dictionary, a tuple or an example.*a str, 'a'"),
    "a number": (3, "`train` must be a file, columns.*Received: a int, 3"),
    "another task": ([RetrievalExample("a", "b")], r"train\[0\]: must be a TextExample. Received: a RetrievalExample"),
    "a pair after a text": ([("a", "x"), (("a", "b"), "y")], r"train\[1\]: must be a single text, as the first"),
    "a text after a pair": ([(("a", "b"), "y"), ("a", "x")], r"train\[1\]: must have a column 'text_pair'"),
    "all splits": ({"train": HubLike(ROWS), "test": HubLike(ROWS)}, "`train` must be one data set of 'train', 'test'"),
    "no UTF-8": ([(b"\xff", "x")], r"train\[0\]: must be text in UTF-8"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_examples_are_named(case):
    data, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        read(data)


def test_numbers_of_labels():
    config = ClassificationConfig(labels=("land", "water"))
    assert [example.label for example in read((TEXTS, np.array([1, 0, 1])), config).examples] == LABELS
    with pytest.raises(ValueError, match=r"eval\[1\], column 'label': must be one of the labels \(land, water\)"):
        read((TEXTS, np.array([1, 2, 1])), config, "eval")


def test_parts_of_memory_cannot_be_read_again():
    with pytest.raises(
        ValueError, match=r"`part` needs a run on a file\. Received: 'test', for a run on data in memory"
    ):
        read_part(ClassificationConfig(), {"train": MEMORY, "split": "80/10/10", "split_seed": 0}, "test")


def test_examples_of_memory_are_examples():
    assert isinstance(read(FORMS["columns"]), Examples)
