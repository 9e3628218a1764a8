import json

import pytest

from bert_tf.configs.tasks import ClassificationConfig, MultiLabelConfig, RegressionConfig, TaggingConfig
from bert_tf.examples import TextExample
from data_pipelines.finetuning import tables
from data_pipelines.finetuning.tagging import read_tagged
from data_pipelines.finetuning.texts import read_texts

CONFIG = ClassificationConfig()
PAIR_CONFIG = CONFIG.replace(text_pair_column="second")


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return str(path)


def read(path, config=CONFIG, **options):
    return read_texts(path, config, **options)


def test_all_formats_give_the_same_examples(tmp_path):
    rows = [("a text", "its pair", "yes"), ('one "quoted" word', "é, and more", "no")]
    tsv = write(
        tmp_path / "a.tsv", "\ufeffid\ttext\tsecond\tlabel\r\n" + "".join(f"7\t{a}\t{b}\t{c}\r\n" for a, b, c in rows)
    )
    quoted = [tuple('"' + field.replace('"', '""') + '"' for field in row) for row in rows]
    comma = write(tmp_path / "a.csv", "label,second,text\n" + "".join(f"{c},{b},{a}\n" for a, b, c in quoted))
    lines = [json.dumps({"text": a, "second": b, "label": c, "more": [1]}) for a, b, c in rows]
    json_lines = write(tmp_path / "a.jsonl", "\n\n".join(lines))
    expected = [TextExample(*row) for row in rows]
    assert read(tsv, PAIR_CONFIG) == read(comma, PAIR_CONFIG) == read(json_lines, PAIR_CONFIG) == expected
    assert read(tsv) == [TextExample(a, None, c) for a, _, c in rows]
    assert read(tsv)[1].source == f"{tsv}, line 3"


def test_a_quoted_field_may_run_over_lines_and_labels_may_be_numbers(tmp_path):
    comma = write(tmp_path / "a.csv", 'text,label\n"one\ntwo",0\nthree,1\n')
    assert [(example.text, example.label, example.source[-6:]) for example in read(comma)] == [
        ("one\ntwo", "0", "line 2"),
        ("three", "1", "line 4"),
    ]
    assert read(write(tmp_path / "a.jsonl", '{"text": "x", "label": 3}'))[0].label == "3"


def test_sets_of_labels_and_numbers_are_read(tmp_path):
    path = write(tmp_path / "a.tsv", "text\tlabel\tdoc\nx\tb, a,b\t7\ny\t\t8\n")
    many = MultiLabelConfig(group_column="doc")
    assert [(example.label, example.group) for example in read(path, many)] == [(("b", "a"), "7"), ((), "8")]
    lists = write(tmp_path / "a.jsonl", '{"text": "x", "label": ["a", "c"]}\n{"text": "y", "label": []}')
    assert [example.label for example in read(lists, MultiLabelConfig())] == [("a", "c"), ()]
    numbers = write(tmp_path / "b.jsonl", '{"text": "x", "label": 2.5}\n{"text": "y", "label": "-1"}')
    assert [example.label for example in read(numbers, RegressionConfig())] == [2.5, -1.0]


def test_without_labels_the_column_is_not_needed(tmp_path):
    path = write(tmp_path / "a.tsv", "text\nhello\n")
    assert read(path, labelled=False) == [TextExample("hello", None, None)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.tsv",
            "text\tlabels\nx\ty\n",
            r"a\.tsv, line 2: must have a column 'label'\. Received: columns 'text', 'labels'",
        ),
        ("a.tsv", "text\tlabel\nx\ty\nx\ty\tz\n", r"a\.tsv, line 3: must have 2 fields.*Received: 3"),
        ("a.tsv", "text\tlabel\nx\t \n", r"a\.tsv, line 2, column 'label': must not be empty"),
        ("a.tsv", "text\tlabel\n", r"`path` .*a\.tsv', which has no rows"),
        ("a.tsv", "", r"`path` .*a\.tsv', which has no rows"),
        ("a.tsv", "text\ttext\nx\ty\n", r"a\.tsv, line 1: .*'text' twice"),
        ("a.csv", 'text,label\nx,y\n"x,y\n', r"a\.csv, line 3: not CSV"),
        ("a.csv", "text,label\nx\n", r"a\.csv, line 2: must have 2 fields.*Received: 1"),
        ("a.jsonl", '{"text": "x", "label": "y"}\n{"text" "x"}', r"a\.jsonl, line 2, column 9: not JSON"),
        ("a.jsonl", "[1]", r"a\.jsonl, line 1: must be a JSON object"),
        ("a.jsonl", '{"text": null, "label": "y"}', r"a\.jsonl, line 1, column 'text'.*Received: None"),
        ("a.jsonl", '{"text": true, "label": "y"}', r"a\.jsonl, line 1, column 'text'.*Received: True"),
        ("a.jsonl", '{"text": "x", "label": 1.5}', r"a\.jsonl, line 1, column 'label'.*Received: 1.5"),
        ("a.jsonl", '{"text": "x", "label": null}', r"a\.jsonl, line 1, column 'label'.*Received: None"),
        ("a.txt", "text\tlabel\nx\ty\n", r"`path` must name a file that ends in \.tsv.*a\.txt"),
    ],
)
def test_bad_files_are_named_with_line_and_column(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path / name, text))


@pytest.mark.parametrize("value", ["nan", "inf", "high", "", "1,5"])
def test_numbers_that_are_not_finite_are_errors(tmp_path, value):
    path = write(tmp_path / "a.tsv", f"text\tlabel\nx\t1\ny\t{value}\n")
    with pytest.raises(ValueError, match=rf"a\.tsv, line 3, column 'label': must be a finite number.*'{value}'"):
        read(path, RegressionConfig())


def test_empty_labels_in_a_set_are_errors(tmp_path):
    with pytest.raises(ValueError, match=r"line 2, column 'label'.*none of them empty.*'a,,b'"):
        read(write(tmp_path / "a.tsv", "text\tlabel\nx\ta,,b\n"), MultiLabelConfig())
    for name in ('" "', "1.5", "[]"):
        with pytest.raises(ValueError, match=r"line 1, column 'label': must (not be empty|be a text)"):
            read(write(tmp_path / "a.jsonl", f'{{"text": "x", "label": ["a", {name}]}}'), MultiLabelConfig())


@pytest.mark.parametrize(
    ("value", "listed", "label"),
    [
        ("1", (), "1"),
        ("true", (), "true"),
        ("false", ("no", "yes"), "no"),
        ("true", ("no", "yes"), "yes"),
        ("true", ("false", "true"), "true"),
        ("0", ("no", "yes"), "no"),
        ('"1"', ("no", "yes"), "yes"),
        ('"yes"', ("no", "yes"), "yes"),
        ("1", ("2", "1"), "1"),  # a number that is a label's name stands for that label
        ('"other"', ("no", "yes"), "other"),  # the task refuses it, and says which line
    ],
)
def test_labels_are_given_by_name_number_or_truth_value(tmp_path, value, listed, label):
    rows = write(tmp_path / "a.jsonl", f'{{"text": "x", "label": {value}, "labels": [{value}], "tokens": ["x"]}}')
    assert read(rows, ClassificationConfig(labels=listed))[0].label == label
    assert read(rows, MultiLabelConfig(labels=listed, label_column="labels"))[0].label == (label,)
    assert read_tagged(rows, TaggingConfig(labels=listed, tags_field="labels"))[0].tags == (label,)


def test_a_number_beyond_the_listed_labels_is_an_error(tmp_path):
    path = write(tmp_path / "a.tsv", "text\tlabel\nx\t1\nx\t2\n")
    with pytest.raises(ValueError, match=r"line 3, column 'label': must be one of the labels \(no, yes\).*0 to 1.*'2'"):
        read(path, ClassificationConfig(labels=("no", "yes")))


def test_missing_and_wrongly_encoded_files_are_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        read(str(tmp_path / "absent.tsv"))
    with pytest.raises(ValueError, match=r"a\.tsv, line 2: not UTF-8"):
        read(write(tmp_path / "a.tsv", "text\tlabel\ncaf\xe9\ty\n", encoding="latin1"))


def test_data_sets_of_tfds_are_read(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    import tensorflow as tf

    texts = tf.data.Dataset.from_tensor_slices(
        {"sentence": ["good", "bad", "fine"], "label": tf.constant([1, 0, 1], tf.int64)}
    )
    features = tfds.features.FeaturesDict(
        {"sentence": tfds.features.Text(), "label": tfds.features.ClassLabel(names=["negative", "positive"])}
    )
    tfds.dataset_builders.store_as_tfds_dataset(
        name="small_reviews", version="1.0.0", features=features, split_datasets={"train": texts}, data_dir=tmp_path
    )
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    config = ClassificationConfig(text_column="sentence")
    found = read("tfds:small_reviews[train[:2]]", config)
    assert found == [TextExample("good", None, "positive"), TextExample("bad", None, "negative")]
    assert found[1].source == "tfds:small_reviews[train[:2]], example 1"
    with pytest.raises(ValueError, match=r"`path` must be tfds:NAME\[SPLIT\].*'tfds:small_reviews'"):
        read("tfds:small_reviews", config)
    with pytest.raises(ValueError, match=r"`path` must name a data set.*tfds:small_reviews\[dev\]"):
        read("tfds:small_reviews[dev]", config)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "sentence;label\ngood, good;1\n", r"must have 1 fields.*separated by ';'.*csv\.writer"),
        ("a.csv", "sentence;label\ngood;1\n", r"must have a column 'sentence'.*separated by ';'.*> NEW\.csv"),
        ("a.csv", "sentence|label\ngood|1\n", r"separated by '\|'"),
        ("a.csv", "sentence\tlabel\ngood\t1\n", r"looks like TSV.*name it \.tsv"),
        ("a.tsv", "sentence,label\ngood,1\n", r"looks like CSV.*name it \.csv"),
        ("a.csv", "text,label\ngood,1\n", r"Received: columns 'text', 'label'$"),
        ("a.csv", "text\ngood\n", r"Received: columns 'text'$"),
    ],
)
def test_other_separators_are_told_with_what_helps(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        [tables.text_field(row, "sentence", source) for source, row in tables.read_rows(str(tmp_path / name))]
