"""The tokenizer as people call it: texts and pairs to a batch."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_tf.features import encoder_batch
from bert_tf.tokenization.options import AddedToken, TokenizerOptions
from bert_tf.tokenization.rows import LONG_TEXTS, RowOptions, head_length
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
CASES = [json.loads(line) for line in (GOLDEN / "tokenizer_cases.jsonl").read_text("utf-8").splitlines()]
TOKENS = [*SPECIAL_TOKENS, "un", "##aff", "##able", "a", "b", "##b", ",", "mask", "[", "]", "<e1>"]
TEXTS = st.lists(
    st.lists(st.sampled_from(["unaffable", "a", "b", " ", ",", "x", "é", "<e1>"])).map(" ".join), max_size=6
)
NAMES = {"input_ids", "input_mask", "segment_ids"}


@pytest.fixture
def tokenizer():
    return WordPieceTokenizer.from_tokens(TOKENS)


class Column:
    """A column of a table, as far as pandas and its kin agree on one."""

    def __init__(self, values):
        self.values = values

    def __iter__(self):
        return iter(self.values)


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_golden_cases_have_the_published_ids(published_tokenizers, do_lower_case):
    cases = [case for case in CASES if case["do_lower_case"] is do_lower_case]
    batch = published_tokenizers[do_lower_case]([case["text"] for case in cases])
    assert set(batch) == NAMES < set(encoder_batch(None, None))
    longest = max(len(case["input_ids"]) for case in cases) + 2
    assert {(array.dtype.name, array.shape) for array in batch.values()} == {("int32", (len(cases), longest))}
    for case, ids, mask in zip(cases, batch["input_ids"], batch["input_mask"], strict=True):
        row = [101, *case["input_ids"], 102]
        assert ids.tolist() == row + [0] * (longest - len(row)), case["name"]
        assert mask.tolist() == [1] * len(row) + [0] * (longest - len(row))
    assert not batch["segment_ids"].any()


@settings(max_examples=200, deadline=None)
@given(first=TEXTS, second=TEXTS, max_length=st.none() | st.integers(3, 12), added=st.booleans())
def test_rows_are_those_of_one_pair_at_a_time(first, second, max_length, added):
    options = TokenizerOptions(added_tokens=(AddedToken("<e1>", special=True),) if added else ())
    tokenizer = WordPieceTokenizer.from_tokens(TOKENS, True, options)
    count = min(len(first), len(second))
    for texts, pairs in ((first, None), (first[:count], second[:count])):
        found = tokenizer(
            texts,
            pairs,
            max_length=max_length,
            padding=None,
            return_tensors=None,
            return_offsets=True,
            return_special_tokens_mask=True,
        )
        rows = [
            tokenizer.encode_pair(*pair, max_length) for pair in zip(texts, pairs or [None] * len(texts), strict=True)
        ]
        assert found["input_ids"] == [ids for ids, _ in rows]
        assert found["segment_ids"] == [segments for _, segments in rows]
        assert found["input_mask"] == [[1] * len(ids) for ids, _ in rows]
        for number, (ids, segments) in enumerate(rows):
            spans = {0: iter(tokenizer.encode_with_offsets(texts[number])[1])}
            spans[1] = iter(tokenizer.encode_with_offsets(pairs[number])[1] if pairs else ())
            is_special = [index in (tokenizer.cls_id, tokenizer.sep_id) for index in ids]
            assert found["special_tokens_mask"][number] == [int(special) for special in is_special]
            assert found["offsets"][number] == [
                [0, 0] if special else list(next(spans[segment]))
                for segment, special in zip(segments, is_special, strict=True)
            ]
        arrays = tokenizer(texts, pairs, max_length=max_length)
        longest = max(map(len, found["input_ids"]), default=0)
        assert {array.shape for array in arrays.values()} == {(len(rows), longest)}
        assert arrays["input_ids"].tolist() == [[*ids, *[0] * (longest - len(ids))] for ids in found["input_ids"]]


def test_offsets_are_those_of_each_text_and_padding_is_special(tokenizer):
    found = tokenizer(
        ["a unaffable", b"x"], ["b, a", "ab"], return_offsets=True, return_special_tokens_mask=True, return_tensors=None
    )
    assert found["offsets"][0] == [
        [0, 0], [0, 1], [2, 4], [4, 7], [7, 11], [0, 0], [0, 1], [1, 2], [3, 4], [0, 0],
    ]  # fmt: skip
    assert found["special_tokens_mask"] == [[1, 0, 0, 0, 0, 1, 0, 0, 0, 1], [1, 0, 1, 0, 0, 1, 1, 1, 1, 1]]
    assert found["input_mask"][1] == [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("room", [1, 4, 6, 40])
def test_head_and_tail_of_long_texts_are_kept(room):
    tokens = [f"t{number}" for number in range(50)]
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *tokens])
    texts = [" ".join(tokens[:count]) for count in (0, 1, room, room + 1, 50)]
    found = tokenizer(texts, max_length=room + 2, long_texts="head_tail", padding=None, return_tensors=None)
    head = head_length(room)
    for text, ids in zip(texts, found["input_ids"], strict=True):
        all_ids = tokenizer.encode(text)
        kept = all_ids if len(all_ids) <= room else all_ids[:head] + all_ids[len(all_ids) - (room - head) :]
        assert ids == [tokenizer.cls_id, *kept, tokenizer.sep_id]
    rows = tokenizer.encode_rows(texts, None, RowOptions(room + 2))
    assert rows.num_cut == sum(len(tokenizer.encode(text)) > room for text in texts)


def test_texts_come_in_many_containers(tokenizer):
    tf = pytest.importorskip("tensorflow")
    texts = ["a b", "unaffable é"]
    expected = tokenizer(texts)["input_ids"]
    containers = [
        tuple(texts), np.array(texts), np.array(texts, object), Column(texts), (text for text in texts),
        [text.encode() for text in texts], np.array([text.encode() for text in texts]), tf.constant(texts),
        np.array(texts)[:, None][:, 0],
    ]  # fmt: skip
    for container in containers:
        assert np.array_equal(tokenizer(container)["input_ids"], expected), type(container)
    for one in ("a b", b"a b", np.str_("a b"), np.array("a b"), tf.constant("a b")):
        assert tokenizer(one)["input_ids"].tolist() == [tokenizer.encode_pair("a b")[0]]
    assert tokenizer("a", "b")["segment_ids"].tolist() == [[0, 0, 0, 1, 1]]
    assert tokenizer([])["input_ids"].shape == (0, 0)
    assert tokenizer([], max_length=8, padding="max_length")["input_ids"].shape == (0, 8)


def test_a_batch_comes_in_the_wanted_form(tokenizer):
    tf = pytest.importorskip("tensorflow")
    texts = ["a", "unaffable"]
    lists = tokenizer(texts, max_length=7, padding="max_length", return_tensors=None)
    assert lists["input_ids"] == [[2, 8, 3, 0, 0, 0, 0], [2, 5, 6, 7, 3, 0, 0]]
    tensors = tokenizer(texts, max_length=7, padding="max_length", return_tensors="tf")
    assert {name: (tensor.dtype, tensor.numpy().tolist()) for name, tensor in tensors.items()} == {
        name: (tf.int32, values) for name, values in lists.items()
    }
    short = [[2, 8, 3], [2, 5, 6, 7, 3]]
    for padding in (None, False):
        assert tokenizer(texts, padding=padding, return_tensors=None)["input_ids"] == short
        assert [row.tolist() for row in tokenizer(texts, padding=padding)["input_ids"]] == short
        ragged = tokenizer(texts, padding=padding, return_tensors="tf")["input_ids"]
        assert (ragged.to_list(), ragged.dtype) == (short, tf.int32)
    assert tokenizer(texts, padding=True)["input_ids"].shape == (2, 5)


def test_literal_special_tokens_are_parsed_only_if_wanted(tokenizer):
    text = "a [MASK], [SEP]b"
    for parsed in (False, True, ["[MASK]"]):
        found = tokenizer(
            text, parse_special_tokens=parsed, return_offsets=True, return_tensors=None, return_special_tokens_mask=True
        )
        assert found["input_ids"] == [tokenizer.encode_pair(text, parse_special_tokens=parsed)[0]]
        assert (tokenizer.mask_id in found["input_ids"][0]) is bool(parsed)
    assert tokenizer.convert_ids_to_tokens(found["input_ids"][0])[2] == "[MASK]"
    assert found["offsets"][0][2] == [2, 8]
    assert found["special_tokens_mask"][0][2] == 0
    assert (
        tokenizer([text, text], parse_special_tokens=True)["input_ids"][1].tolist()
        == tokenizer.encode_pair(text, parse_special_tokens=True)[0]
    )
    with pytest.raises(ValueError, match=r"`parse_special_tokens` must be some of .*'\[E\]'"):
        tokenizer(text, parse_special_tokens=["[E]"])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((["a", None],), {}, r"`texts\[1\]` must be a text\. Received: None"),
        ((np.array(["a", float("nan")], object),), {}, r"`texts\[1\]` must be a text\. Received: nan"),
        ((["a", "b"], ["c", 3]), {}, r"`pairs\[1\]` must be a text\. Received: 3"),
        ((["a", "b"], ["c"]), {}, r"`pairs` must be as many as `texts`, 2\. Received: 1"),
        (([("a", "b")],), {}, r"`texts\[0\]` must be a text \(the second texts of pairs .*Received: \('a', 'b'\)"),
        ((np.array([["a", "b"]]),), {}, r"`texts` must have one axis\. Received: the shape \[1, 2\]"),
        ((np.array([1.0]),), {}, r"`texts\[0\]` must be a text\. Received: 1\.0"),
        (({"text": "a"},), {}, r"`texts` must be a text or a list of texts\. Received: a dict"),
        (({"a", "b"},), {}, r"`texts` must be a text or a list of texts\. Received: a set"),
        ((None,), {}, r"`texts` must be a text or a list of texts\. Received: a NoneType"),
        (("a",), {"padding": "longst"}, r"`padding` must be 'longest', 'max_length' or None\. Received: 'longst'"),
        (("a",), {"padding": "max_length"}, r"`max_length` must be given for padding='max_length'"),
        (("a",), {"return_tensors": "pt"}, r"`return_tensors` must be 'np', 'tf' or None\. Received: 'pt'"),
        (("a",), {"max_length": 2}, r"`max_length` must be at least 3\. Received: 2"),
        (("a",), {"max_length": 12.0}, r"`max_length` must be a whole number or None\. Received: 12\.0"),
        (("a",), {"max_length": True}, r"`max_length` must be a whole number or None\. Received: True"),
        (("a",), {"long_texts": "tail"}, r"`long_texts` must be one of cut, head_tail\. Received: 'tail'"),
        (("a", "b"), {"long_texts": "head_tail"}, r"`long_texts` must be 'cut' for pairs of texts"),
    ],
)
def test_bad_input_is_named(tokenizer, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        tokenizer(*arguments, **options)


def test_tensors_of_a_graph_are_refused(tokenizer):
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match=r"`texts` must be texts that are known now: a `bert_tf\.Preprocessor`"):
        tf.data.Dataset.from_tensor_slices(["a"]).map(tokenizer)


def test_every_combination_of_long_texts_and_padding_agrees(tokenizer):
    texts = ["unaffable a b", "b", ""]
    for long_texts, padding in itertools.product(LONG_TEXTS, ("longest", "max_length")):
        padded = tokenizer(texts, max_length=5, padding=padding, long_texts=long_texts)
        ragged = tokenizer(texts, max_length=5, padding=None, long_texts=long_texts)
        for ids, mask, row in zip(padded["input_ids"], padded["input_mask"], ragged["input_ids"], strict=True):
            assert ids[mask == 1].tolist() == row.tolist()
