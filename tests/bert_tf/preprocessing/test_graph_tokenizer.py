import json
import random
import sys
from pathlib import Path

import pytest
import reference_tokenizer
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from launch_many import run_program

from bert_tf.preprocessing.graph_tokenizer import GraphTokenizer
from bert_tf.tokenization import unicode_tables as ucd
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

pytest.importorskip("tensorflow_text")

GOLDEN = Path(__file__).resolve().parent.parent.parent / "golden"
CODE_POINTS = [code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]  # UTF-8 has no surrogates


class Pair:
    """A Python tokenizer, and the graph tokenizer as a function of a batch."""

    def __init__(self, tokenizer: WordPieceTokenizer):
        self.tokenizer = tokenizer
        self.graph = GraphTokenizer(tokenizer)
        signature = [tf.TensorSpec([None], tf.string)]
        self.tokenize = tf.function(self.graph.tokenize, input_signature=signature)
        self.tokenize_masked = tf.function(
            lambda texts: self.graph.tokenize(texts, "[MASK]"), input_signature=signature
        )

    def differences(self, texts):
        found = self.tokenize(_tensor(texts)).to_list()
        assert len(found) == len(texts)
        expected = self.tokenizer.encode_batch(texts)
        return [entry for entry in zip(texts, expected, found, strict=True) if entry[1] != entry[2]]


def _tensor(texts):
    return tf.constant([t if isinstance(t, bytes) else t.encode() for t in texts], tf.string, shape=[len(texts)])


@pytest.fixture(scope="module")
def pairs(published_tokenizers):
    return {do_lower_case: Pair(tokenizer) for do_lower_case, tokenizer in published_tokenizers.items()}


@pytest.fixture(params=[True, False], ids=["uncased", "cased"])
def pair(request, pairs):
    return pairs[request.param]


def test_golden_cases_get_the_same_ids(pairs):
    for line in (GOLDEN / "tokenizer_cases.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        found = pairs[case["do_lower_case"]].tokenize(_tensor([case["text"]])).to_list()
        assert found == [case["input_ids"]], case["name"]


def _texts_of(code_points):
    """Return texts of 64 code points, each once inside a word and once as a word."""
    words = [f"ab{chr(code)}cd {chr(code)}" for code in code_points]
    return [" ".join(words[start : start + 64]) for start in range(0, len(words), 64)]


def test_characters_that_folding_changes(pair):
    changed = ucd.mapped_code_points() | set(range(0x3400))
    inside_blocks = {code for code in changed if 0x3400 <= code < 0xD7A4 or 0x20000 <= code < 0x2F800}
    # Ideographs and syllables follow one rule, so that a sample is enough; all other characters are tested.
    assert not pair.differences(_texts_of(sorted(changed - inside_blocks) + sorted(inside_blocks)[::37]))


@pytest.mark.long
def test_all_code_points(pair):
    texts = _texts_of(CODE_POINTS)
    for start in range(0, len(texts), 1000):
        assert not pair.differences(texts[start : start + 1000])


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(reference_tokenizer.TEXTS, max_size=8))
def test_fuzzed_batches_get_the_same_ids(pairs, texts):
    for pair in pairs.values():
        assert not pair.differences(texts)


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(
        st.lists(st.sampled_from([*b"A \xc3\xa9\xe2\x82\xac\xed\xa0\x80\xf0\x9f\x98\xff\xc0\xf4\x90\xce\xa3"])).map(
            bytes
        ),
        max_size=8,
    )
)
def test_invalid_utf8_is_dropped(pairs, texts):
    for pair in pairs.values():
        assert not pair.differences(texts)


def _random_texts(alphabets, count, most=10):
    generator = random.Random(0)
    return [
        "".join(generator.choice(generator.choice(alphabets)) for _ in range(generator.randint(0, most)))
        for _ in range(count)
    ]


def test_a_final_sigma_depends_on_its_neighbours(pair):
    assert not pair.differences(_random_texts(["ΣΣσAα.'1中", "Σ\u0301\u0345\u02b0:", " \u200b\u00ad\t"], 4000))


def test_marks_get_the_canonical_order(pair):
    marks = "".join(chr(code) for code in CODE_POINTS if ucd.COMBINING_CLASS[code])
    staying = "".join(ucd.characters_with_context())
    texts = _random_texts([marks, staying, staying, "ab éệ"], 4000)
    assert not pair.differences(texts)


def test_words_around_200_characters(pair):
    texts = [character * count for count in (199, 200, 201, 800, 3000) for character in "aé中ßﬁΣ𐐀가"]
    assert not pair.differences([*texts, " ".join(texts)])


def test_empty_batch_and_empty_texts(pair):
    assert pair.tokenize(_tensor([])).to_list() == []
    assert pair.tokenize_masked(_tensor([])).to_list() == []
    assert pair.tokenize(_tensor(["", " ", "\u0301", "a"])).to_list()[:2] == [[], []]
    assert not pair.differences(["", " ", "\u0301", "a"])


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(
        st.lists(
            st.sampled_from(
                ["[MASK]", "[MASK]", "a", "ΑΣ", " ", "[", "]", "[mask]", "[SEP]", "[MA", "SK]", "\u00ad", "\xe9"]
            )
        ).map("".join),
        max_size=6,
    )
)
def test_literal_masks_become_mask_tokens(pairs, texts):
    for pair in pairs.values():
        expected = [pair.tokenizer.encode(text, parse_special_tokens=["[MASK]"]) for text in texts]
        assert pair.tokenize_masked(_tensor(texts)).to_list() == expected


def test_invalid_bytes_inside_a_mask_are_dropped(pair):
    expected = pair.tokenizer.encode(b"x [MA\xffSK] y", parse_special_tokens=["[MASK]"])
    assert pair.tokenizer.mask_id in expected
    assert pair.tokenize_masked(tf.constant([b"x [MA\xffSK] y"])).to_list() == [expected]


@pytest.mark.parametrize("max_seq_length", [3, 4, 5, 6, 9, 16])
@pytest.mark.parametrize("is_pair", [True, False])
def test_rows_equal_encode_pair(pairs, max_seq_length, is_pair):
    pair = pairs[True]
    texts = ["", "a", "b c", "the quick brown fox", "unaffable words and more of them than fit in a row"]
    combinations = [(a, b) for a in texts for b in (texts if is_pair else [None])]
    ids_a = pair.graph.tokenize(_tensor([a for a, _ in combinations]))
    ids_b = pair.graph.tokenize(_tensor([b for _, b in combinations])) if is_pair else None
    pack_rows = tf.function(pair.graph.pack_rows)
    for length in (max_seq_length, tf.constant(max_seq_length)):
        rows = pack_rows(ids_a, ids_b, length)
        assert set(rows) == {"input_ids", "input_mask", "segment_ids", "position_ids"}
        for value in rows.values():
            assert value.dtype == tf.int32
            assert value.shape == (len(combinations), max_seq_length)
        for row, (a, b) in enumerate(combinations):
            input_ids, segment_ids = pair.tokenizer.encode_pair(a, b, max_seq_length)
            padding = [0] * (max_seq_length - len(input_ids))
            assert rows["input_ids"][row].numpy().tolist() == input_ids + padding
            assert rows["segment_ids"][row].numpy().tolist() == segment_ids + padding
            assert rows["input_mask"][row].numpy().tolist() == [1] * len(input_ids) + padding
            assert rows["position_ids"][row].numpy().tolist() == [*range(len(input_ids)), *padding]


def test_an_empty_batch_gives_no_rows(pairs):
    graph = pairs[True].graph
    rows = graph.pack_rows(graph.tokenize(_tensor([])), None, 8)
    assert {tuple(value.shape) for value in rows.values()} == {(0, 8)}


def test_rows_without_room_for_a_token_are_refused(pairs):
    graph = pairs[True].graph
    with pytest.raises(ValueError, match=r"max_seq_length.*2"):
        graph.pack_rows(graph.tokenize(_tensor(["a"])), None, 2)


def test_saved_model_in_a_fresh_process_without_this_project(pairs, tmp_path):
    graph = pairs[True].graph

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
    def serve(texts):
        return graph.pack_rows(graph.tokenize(texts, "[MASK]"), None, 12)

    module = tf.Module()
    module.graph_tokenizer, module.serve = graph, serve
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": serve})
    text = "ΌΔΟΣ [MASK] Caf\u00e9 \U0001d15e\u302e\u302f"
    program = (
        "import json, sys, tensorflow as tf, tensorflow_text\n"
        "sys.modules |= dict.fromkeys(('bert_tf', 'data_pipelines'))\n"  # they cannot be imported
        "rows = tf.saved_model.load(sys.argv[1]).signatures['serving_default'](tf.constant([sys.argv[2]]))\n"
        "print(json.dumps(rows['input_ids'].numpy().tolist()))\n"
    )
    done = run_program(program, str(tmp_path / "model"), text, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        json.loads(done.stdout)
        == graph.pack_rows(graph.tokenize(_tensor([text]), "[MASK]"), None, 12)["input_ids"].numpy().tolist()
    )


def test_blank_lines_of_a_vocabulary_match_no_word():
    pair = Pair(WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, "", "a", "", "##b", "blank", "line", "5"]))
    assert not pair.differences(["a ab b", "blank line 5", "x"])


def test_a_missing_tensorflow_text_is_reported(monkeypatch, published_tokenizers):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(ImportError, match=r"pip install 'bert_tf\[text\]'"):
        GraphTokenizer(published_tokenizers[True])
