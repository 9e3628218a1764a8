import collections
import itertools
import json

import numpy as np
import pytest

from bert_tf import features
from bert_tf.configs import ClassificationConfig
from bert_tf.tokenization import WordPieceTokenizer
from data_pipelines.finetuning import classification
from data_pipelines.finetuning.classification import ClassificationExample

CONFIG = ClassificationConfig(max_seq_length=8)
PAIR_CONFIG = CONFIG.replace(text_pair_column="second")


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return str(path)


def read(path, config=CONFIG, **options):
    return classification.read_examples(path, config, "--train_file", **options)


def test_the_three_formats_give_the_same_examples(tmp_path):
    rows = [("a text", "its pair", "yes"), ('one "quoted" word', "é, and more", "no")]
    tsv = write(
        tmp_path / "a.tsv", "\ufeffid\ttext\tsecond\tlabel\r\n" + "".join(f"7\t{a}\t{b}\t{c}\r\n" for a, b, c in rows)
    )
    quoted = [tuple('"' + field.replace('"', '""') + '"' for field in row) for row in rows]
    comma = write(tmp_path / "a.csv", "label,second,text\n" + "".join(f"{c},{b},{a}\n" for a, b, c in quoted))
    lines = [json.dumps({"text": a, "second": b, "label": c, "more": [1]}) for a, b, c in rows]
    json_lines = write(tmp_path / "a.jsonl", "\n\n".join(lines))
    expected = [ClassificationExample(*row) for row in rows]
    assert read(tsv, PAIR_CONFIG) == read(comma, PAIR_CONFIG) == read(json_lines, PAIR_CONFIG) == expected
    assert read(tsv) == [ClassificationExample(a, None, c) for a, _, c in rows]
    assert read(tsv)[1].source == f"{tsv}, line 3"


def test_a_quoted_field_may_run_over_lines_and_labels_may_be_numbers(tmp_path):
    comma = write(tmp_path / "a.csv", 'text,label\n"one\ntwo",0\nthree,1\n')
    assert [(example.text, example.label, example.source[-6:]) for example in read(comma)] == [
        ("one\ntwo", "0", "line 2"),
        ("three", "1", "line 4"),
    ]
    assert read(write(tmp_path / "a.jsonl", '{"text": "x", "label": 3}'))[0].label == "3"


def test_without_labels_the_column_is_not_needed(tmp_path):
    path = write(tmp_path / "a.tsv", "text\nhello\n")
    assert read(path, labelled=False) == [ClassificationExample("hello", None, None)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "text\tlabels\nx\ty\n", r"a\.tsv, line 2: there is no column 'label'; there are: 'text', 'labels'"),
        ("a.tsv", "text\tlabel\nx\ty\nx\ty\tz\n", r"a\.tsv, line 3: must have 2 fields.*Received: 3"),
        ("a.tsv", "text\tlabel\nx\t \n", r"a\.tsv, line 2, column 'label': must not be empty"),
        ("a.tsv", "text\tlabel\n", r"--train_file .*no rows.*a\.tsv"),
        ("a.tsv", "", r"--train_file .*no rows.*a\.tsv"),
        ("a.tsv", "text\ttext\nx\ty\n", r"a\.tsv, line 1: .*'text' twice"),
        ("a.csv", 'text,label\nx,y\n"x,y\n', r"a\.csv, line 3: not CSV"),
        ("a.csv", "text,label\nx\n", r"a\.csv, line 2: must have 2 fields.*Received: 1"),
        ("a.jsonl", '{"text": "x", "label": "y"}\n{"text" "x"}', r"a\.jsonl, line 2, column 9: not JSON"),
        ("a.jsonl", "[1]", r"a\.jsonl, line 1: must be a JSON object"),
        ("a.jsonl", '{"text": null, "label": "y"}', r"a\.jsonl, line 1, column 'text'.*Received: None"),
        ("a.jsonl", '{"text": "x", "label": true}', r"a\.jsonl, line 1, column 'label'.*Received: True"),
        ("a.txt", "text\tlabel\nx\ty\n", r"--train_file must name a file that ends in \.tsv.*a\.txt"),
    ],
)
def test_bad_files_are_named_with_line_and_column(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path / name, text))


def test_missing_and_mis_encoded_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        read(str(tmp_path / "absent.tsv"))
    with pytest.raises(ValueError, match=r"a\.tsv, line 2: not UTF-8"):
        read(write(tmp_path / "a.tsv", "text\tlabel\ncaf\xe9\ty\n", encoding="latin1"))


def test_labels_are_sorted_and_at_least_two():
    examples = [ClassificationExample("x", None, label) for label in ("b", "a", "b", "c")]
    assert classification.label_names(examples) == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"at least two labels.*\['b'\]"):
        classification.label_names(examples[:1])


@pytest.fixture
def tokenizer(tmp_path):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "one", "two", "three", "##s"]
    return WordPieceTokenizer(write(tmp_path / "vocab.txt", "\n".join(pieces) + "\n"))


def test_examples_become_arrays_of_the_contract(tokenizer):
    examples = [
        ClassificationExample("one twos", None, "b"),
        ClassificationExample("three", "one two", "a"),
        ClassificationExample("one " * 20, None, None),
    ]
    arrays = classification.encode_examples(examples, ["a", "b"], tokenizer, CONFIG)
    contract = features.classification_batch(3, 8)
    assert {name: (array.shape, str(array.dtype)) for name, array in arrays.items()} == {
        name: (feature.shape, feature.dtype) for name, feature in contract.items()
    }
    np.testing.assert_array_equal(
        arrays["input_ids"], [[2, 5, 6, 8, 3, 0, 0, 0], [2, 7, 3, 5, 6, 3, 0, 0], [2, 5, 5, 5, 5, 5, 5, 3]]
    )
    np.testing.assert_array_equal(arrays["segment_ids"], [[0] * 8, [0, 0, 0, 1, 1, 1, 0, 0], [0] * 8])
    np.testing.assert_array_equal(arrays["input_mask"], [[1] * 5 + [0] * 3, [1] * 6 + [0] * 2, [1] * 8])
    np.testing.assert_array_equal(arrays["position_ids"], [list(range(8))] * 3)
    np.testing.assert_array_equal(arrays["label_ids"], [1, 0, 0])
    np.testing.assert_array_equal(arrays["label_weights"], [1, 1, 0])


def test_an_unknown_label_is_named_with_its_line(tokenizer):
    example = ClassificationExample("one", None, "maybe", source="dev.tsv, line 7")
    with pytest.raises(ValueError, match=r"dev\.tsv, line 7, column 'label'.*a, b.*'maybe'"):
        classification.encode_examples([example], ["a", "b"], tokenizer, CONFIG)


def numbered_arrays(count, length=4):
    arrays = {
        name: np.zeros([count, length][: len(feature.shape)], feature.dtype)
        for name, feature in features.classification_batch(count, length).items()
    }
    arrays["input_ids"][:] = np.arange(count)[:, None]
    arrays["label_ids"][:] = np.arange(count)
    arrays["label_weights"][:] = 1
    return arrays


def rows(dataset, batches):
    return [batch["label_ids"].tolist() for batch in dataset.take(batches).as_numpy_iterator()]


@pytest.mark.parametrize(("count", "batch_size"), [(10, 4), (3, 8), (8, 4), (1, 2)])
def test_training_batches_depend_on_seed_and_step_alone(count, batch_size):
    arrays = numbered_arrays(count)
    whole = rows(classification.training_dataset(arrays, batch_size, seed=5), 12)
    for step in (0, 1, 2, 3, 7, 11):
        dataset = classification.training_dataset(arrays, batch_size, seed=5, start_step=step)
        assert rows(dataset, 12 - step) == whole[step:]
    stream = list(itertools.chain.from_iterable(whole))
    epochs = [stream[start : start + count] for start in range(0, len(stream) - count + 1, count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)


def test_epochs_and_seeds_have_orders_of_their_own():
    arrays = numbered_arrays(50)
    first, second = rows(classification.training_dataset(arrays, 50, seed=1), 2)
    [other] = rows(classification.training_dataset(arrays, 50, seed=2), 1)
    assert len({tuple(order) for order in (first, second, other, range(50))}) == 4


def test_starting_far_into_a_run_is_as_quick_as_starting_it():
    arrays = numbered_arrays(1000)
    far = rows(classification.training_dataset(arrays, 32, seed=0, start_step=10**9), 2)
    assert far[1:] == rows(classification.training_dataset(arrays, 32, seed=0, start_step=10**9 + 1), 1)


@pytest.mark.parametrize("name", ["training", "evaluation"])
def test_batches_have_static_shapes_and_keep_rows_together(name):
    arrays = numbered_arrays(10)
    options = {"seed": 0} if name == "training" else {}
    dataset = getattr(classification, f"{name}_dataset")(arrays, batch_size=4, **options)
    assert {key: (tuple(spec.shape), spec.dtype.name) for key, spec in dataset.element_spec.items()} == {
        key: (feature.shape, feature.dtype) for key, feature in features.classification_batch(4, 4).items()
    }
    for batch in dataset.take(2).as_numpy_iterator():
        np.testing.assert_array_equal(batch["input_ids"][:, 0], batch["label_ids"])


@pytest.mark.parametrize(("count", "batch_size"), [(10, 4), (8, 4), (2, 8)])
def test_evaluation_gives_every_example_once_and_in_order(count, batch_size):
    arrays = numbered_arrays(count)
    batches = list(classification.evaluation_dataset(arrays, batch_size).as_numpy_iterator())
    assert len(batches) == -(-count // batch_size)
    labels = np.concatenate([batch["label_ids"] for batch in batches])
    weights = np.concatenate([batch["label_weights"] for batch in batches])
    assert labels[weights > 0].tolist() == list(range(count))
    assert weights.sum() == count
    assert collections.Counter(weights.tolist()).keys() <= {0.0, 1.0}


def test_numbers_out_of_range_are_errors():
    with pytest.raises(ValueError, match="batch_size=0"):
        classification.training_dataset(numbered_arrays(3), 0, seed=0)
    with pytest.raises(ValueError, match="start_step=-1"):
        classification.training_dataset(numbered_arrays(3), 2, seed=0, start_step=-1)
    with pytest.raises(ValueError, match="`batch_size`"):
        classification.evaluation_dataset(numbered_arrays(3), 0)
    with pytest.raises(ValueError, match="at least one example"):
        classification.evaluation_dataset(numbered_arrays(0), 2)
