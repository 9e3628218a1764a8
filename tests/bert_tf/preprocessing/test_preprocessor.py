"""The preprocessor gives the same ids in Python, in eager tensors and in pipelines of tf.data."""

import copy
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.preprocessing.preprocessor import Preprocessor
from bert_tf.tokenization.options import AddedToken, TokenizerOptions
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
CASES = [json.loads(line) for line in (GOLDEN / "tokenizer_cases.jsonl").read_text("utf-8").splitlines()]
TOKENS = [*SPECIAL_TOKENS, "un", "##aff", "##able", "a", "b", "##b", ",", "<e1>"]
OPTIONS = TokenizerOptions(added_tokens=(AddedToken("<e1>", normalized=False, special=True),))
TOKENIZER = WordPieceTokenizer.from_tokens(TOKENS, True, OPTIONS)
FIRST = ["unaffable, a", "", "a <e1>b a b a b a b a b", "[MASK] é"]
SECOND = ["b", "unaffable", "a b", ""]
NAMES = ["input_ids", "input_mask", "segment_ids"]


@pytest.fixture(params=["graph", "python"])
def mapped(request, monkeypatch):
    """Make a preprocessor whose pipelines run in the graph, or in Python because TensorFlow Text is missing."""
    if request.param == "python":
        monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    else:
        pytest.importorskip("tensorflow_text")
    return lambda *arguments, **options: Preprocessor(TOKENIZER, *arguments, **options)


def equal(found, expected):
    assert list(found) == list(expected) == NAMES
    for name in NAMES:
        assert np.asarray(found[name]).dtype == np.int32
        np.testing.assert_array_equal(np.asarray(found[name]), expected[name], name)


def concatenated(batches):
    batches = list(batches)
    return {name: np.concatenate([batch[name] for batch in batches]) for name in NAMES}


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_a_pipeline_gives_the_golden_ids(published_tokenizers, do_lower_case):
    pytest.importorskip("tensorflow_text")
    cases = [case for case in CASES if case["do_lower_case"] is do_lower_case]
    texts = [case["text"] for case in cases]
    preprocessor = Preprocessor(published_tokenizers[do_lower_case], 64)
    expected = preprocessor(texts)
    for case, ids in zip(cases, expected["input_ids"], strict=True):
        kept = case["input_ids"][:62]
        assert ids.tolist() == [101, *kept, 102, *[0] * (62 - len(kept))], case["name"]
    dataset = tf.data.Dataset.from_tensor_slices(texts)
    equal(concatenated(dataset.batch(50).map(preprocessor)), expected)


@pytest.mark.parametrize(
    "options",
    [{}, {"long_texts": "head_tail"}, {"parse_mask": True, "padding": "longest"}],
    ids=str,
)
def test_texts_in_python_and_in_a_pipeline_agree(mapped, options):
    preprocessor = mapped(8, **options)
    expected = preprocessor(FIRST)
    assert expected["input_ids"].shape == (4, 8)
    equal(expected, TOKENIZER(FIRST, max_length=8, padding=options.get("padding", "max_length"),
                              long_texts=options.get("long_texts", "cut"),
                              parse_special_tokens=["[MASK]"] if "parse_mask" in options else False))  # fmt: skip
    equal(preprocessor(tf.constant(FIRST)), expected)
    batches = tf.data.Dataset.from_tensor_slices(FIRST).batch(4, drop_remainder=True).map(preprocessor)
    width = None if options.get("padding") == "longest" else 8
    assert {spec.shape.as_list()[1] for spec in batches.element_spec.values()} == {width}
    assert batches.element_spec["input_ids"].shape[0] == 4
    equal(concatenated(batches), expected)


def test_scalars_become_rows(mapped):
    preprocessor = mapped(8)
    rows = tf.data.Dataset.from_tensor_slices(FIRST).map(preprocessor)
    assert {spec.shape.as_list()[0] for spec in rows.element_spec.values()} == {8}
    equal(concatenated(rows.batch(2)), preprocessor(FIRST))
    equal(preprocessor(tf.constant(FIRST[0])), {name: values[0] for name, values in preprocessor(FIRST[:1]).items()})


def test_labels_and_weights_stay_beside_the_inputs_of_pairs(mapped):
    preprocessor = mapped(6)
    labels, weights = np.arange(4), np.ones(4, np.float32)
    expected = TOKENIZER(FIRST, SECOND, max_length=6, padding="max_length")
    for x in ((FIRST, SECOND), {"text": FIRST, "text_pair": SECOND}, (np.array(FIRST), np.array(SECOND))):
        batch, y, sample_weight = preprocessor(x, labels, weights)
        equal(batch, expected)
        assert y is labels
        assert sample_weight is weights
    dataset = tf.data.Dataset.from_tensor_slices(((FIRST, SECOND), labels, weights)).batch(3).map(preprocessor)
    found = list(dataset)
    equal(concatenated(batch for batch, _, _ in found), expected)
    assert np.concatenate([y for _, y, _ in found]).tolist() == labels.tolist()
    assert len(preprocessor(FIRST, labels)) == 2


def test_an_empty_batch_gives_no_rows(mapped):
    preprocessor = mapped(8, padding="longest")
    function = tf.function(preprocessor, input_signature=[tf.TensorSpec([None], tf.string)])
    assert function(tf.constant([], tf.string))["input_ids"].shape == preprocessor([])["input_ids"].shape == (0, 0)
    # A second function uses the tables that the first one made.
    equal(tf.function(preprocessor)(tf.constant(FIRST)), preprocessor(FIRST))


def test_a_missing_tensorflow_text_is_said_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    preprocessor = Preprocessor(TOKENIZER, 8)
    for _ in range(2):
        tf.data.Dataset.from_tensor_slices(FIRST).map(preprocessor)
    assert caplog.text.count("A pipeline calls the tokenizer in Python") == 1


def test_more_added_tokens_than_a_graph_finds_are_found_in_python(caplog):
    added = tuple(AddedToken(f"<{number}>") for number in range(2049))
    tokens = [*SPECIAL_TOKENS, *(token.content for token in added)]
    preprocessor = Preprocessor(WordPieceTokenizer.from_tokens(tokens, True, TokenizerOptions(added_tokens=added)), 4)
    batches = tf.data.Dataset.from_tensor_slices(["<2048>", "<1>"]).batch(2).map(preprocessor)
    assert concatenated(batches)["input_ids"].tolist() == [[2, 2053, 3, 0], [2, 6, 3, 0]]
    assert "`added_tokens` must be at most 2048 in a graph. Received: 2049" in caplog.text


def test_the_configuration_holds_the_tokenizer():
    preprocessor = Preprocessor(TOKENIZER, 8, padding="longest", long_texts="head_tail", parse_mask=True)
    tf.data.Dataset.from_tensor_slices(FIRST).map(preprocessor)  # what a graph holds is no part of it
    config = json.loads(json.dumps(preprocessor.get_config()))
    for again in (
        Preprocessor.from_config(config),
        pickle.loads(pickle.dumps(preprocessor)),
        copy.deepcopy(preprocessor),
    ):
        assert again.get_config() == preprocessor.get_config()
        assert again.tokenizer.vocab_hash == TOKENIZER.vocab_hash
        equal(again(FIRST), preprocessor(FIRST))
    assert repr(preprocessor) == (
        f"Preprocessor({TOKENIZER!r}, max_length=8, padding='longest', long_texts='head_tail', parse_mask=True)"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("a", "b"),), r"`x` must be a list of texts, or a tuple \(texts, pairs\).*a tuple of 2, \('a', 'b'\)"),
        (((["a"], ["b"], ["c"]),), r"`x` must be a list of texts, or a tuple .*a tuple of 3"),
        (({"text": ["a"], "label": [1]},), r"`x` must have the names `text` and perhaps `text_pair`.*text, label"),
        ((["a", None],), r"`texts\[1\]` must be a text\. Received: None"),
        (((["a"], ["b", "c"]),), r"`pairs` must be as many as `texts`, 1\. Received: 2"),
        ((["a"], ["b"]), r"`y` must be labels as numbers.*`x` is a tuple \(texts, pairs\)"),
        ((["a"], np.array(["b"])), r"`y` must be labels as numbers"),
        ((tf.constant(["a"]), tf.constant(["b"])), r"`y` must be labels as numbers"),
        ((tf.constant([1]),), r"`x` must be a string tensor of shape \[\] or \[B\]"),
        ((tf.constant([["a"]]),), r"`x` must be a string tensor of shape \[\] or \[B\]"),
        (((tf.constant(["a"]), tf.constant(["a", "b"])),), r"`x` must hold as many texts as pairs"),
        (((tf.constant("a"), tf.constant(["a"])),), r"`x` must hold as many texts as pairs"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Preprocessor(TOKENIZER, 8)(*arguments)


def test_texts_and_pairs_of_unequal_number_stop_a_pipeline(mapped):
    signature = [(tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.string))]
    function = tf.function(mapped(8), input_signature=signature)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"`x` must hold as many texts as pairs|`pairs` must be as many as `texts`"
    ):
        function((tf.constant(["a", "b"]), tf.constant(["b"])))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("vocab.txt", 8), {}, r"`tokenizer` must be a WordPieceTokenizer\. Received: 'vocab\.txt'"),
        ((TOKENIZER, 2), {}, r"`max_length` must be at least 3\. Received: 2"),
        ((TOKENIZER, None), {"padding": "longest"}, r"`max_length` must be given.*Received: None"),
        ((TOKENIZER, 8), {"padding": None}, r"`padding` must be given.*Received: None"),
        ((TOKENIZER, 8), {"padding": "all"}, r"`padding` must be 'longest', 'max_length' or None"),
        ((TOKENIZER, 8), {"long_texts": "tail"}, r"`long_texts` must be one of cut, head_tail"),
    ],
)
def test_bad_options_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        Preprocessor(*arguments, **options)


def test_pairs_are_not_for_head_and_tail():
    for x in ((["a"], ["b"]), (tf.constant(["a"]), tf.constant(["b"]))):
        with pytest.raises(ValueError, match="`long_texts` must be 'cut' for pairs"):
            Preprocessor(TOKENIZER, 8, long_texts="head_tail")(x)
