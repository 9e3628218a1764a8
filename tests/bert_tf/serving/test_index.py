"""Indices of passages: searched as `search` does, added to, saved, and read again by their own model only."""

import functools
import json
import os
import sys

import numpy as np
import pytest
from launch_many import run_program
from small_model import write_run

from bert_tf.scoring.retrieval import nearest, nearest_among
from bert_tf.serving import index as index_module
from bert_tf.serving.neighbour_graph import NeighbourGraph
from bert_tf.serving.predictor import load
from bert_tf.utils import files

WORDS = "the old miller found a young sailor near river and forgot letter in boat"
PASSAGES = [" ".join(WORDS.split()[start : start + size]) for size in (1, 2, 5) for start in range(0, 12, 2)]
QUERIES = ["a sailor near the boat", "letter", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def predictor(folder):
    return load(str(write_run(folder / "run", "retrieval")))


@pytest.fixture(scope="module")
def index(predictor):
    return predictor.index(PASSAGES)


@pytest.fixture
def saved(index, tmp_path):
    index.save(str(tmp_path / "index"))
    return tmp_path / "index"


def _close(found, expected):
    assert [[each["passage"] for each in answers] for answers in found] == [
        [each["passage"] for each in answers] for answers in expected
    ]
    scores = [[each["score"] for each in answers] for answers in found]
    np.testing.assert_allclose(scores, [[each["score"] for each in answers] for answers in expected], atol=1e-5)


def test_an_index_answers_as_search_does_and_as_the_vectors_say(predictor, index):
    found = index.search(QUERIES, 4)
    assert found == predictor.search(QUERIES, PASSAGES, 4)
    scores = predictor.embed(QUERIES, normalize=True) @ predictor.embed(PASSAGES, normalize=True).T
    for answers, row in zip(found, scores, strict=True):
        np.testing.assert_allclose([each["score"] for each in answers], np.sort(row)[::-1][:4], atol=1e-5)
        assert all(each["passage"] == PASSAGES[each["index"]] for each in answers)
    assert len(index) == len(PASSAGES)
    assert repr(index).startswith(f"<PassageIndex of {len(PASSAGES)} passages, exact, float32 [16], ")
    assert index.search([]) == []
    assert len(index.search(["boat"], 99)[0]) == len(PASSAGES)


def test_equal_passages_keep_their_order(predictor, monkeypatch):
    vectors = dict(zip(PASSAGES, predictor.embed(PASSAGES, normalize=True), strict=True))
    monkeypatch.setattr(predictor, "embed", lambda texts, **_: np.stack([vectors[text] for text in texts]))
    [found] = predictor.search([PASSAGES[3]], [*PASSAGES, *PASSAGES[::-1]], 4)
    assert [each["index"] for each in found[:2]] == [3, 2 * len(PASSAGES) - 4]


def test_a_model_without_normalization_compares_by_the_product(folder):
    model = load(str(write_run(folder / "dot", "retrieval", options={"normalize": False})))
    [best, *_] = model.index(PASSAGES).search(QUERIES[:1])[0]
    products = model.embed(PASSAGES) @ model.embed(QUERIES)[0]
    assert best["index"] == products.argmax()
    assert best["score"] == pytest.approx(products.max(), rel=1e-4)


def test_passages_are_embedded_in_parts_and_added(predictor, index, monkeypatch):
    expected = index.search(QUERIES, 6)
    monkeypatch.setattr(index_module, "_TOGETHER", 5)
    _close(predictor.index(PASSAGES).search(QUERIES, 6), expected)
    for merged_below in (index_module._MERGED_BELOW, 4):
        monkeypatch.setattr(index_module, "_MERGED_BELOW", merged_below)
        grown = predictor.index(PASSAGES[:7])
        grown.add([])
        for start in (7, 8, 12):
            grown.add(PASSAGES[start : {7: 8, 8: 12}.get(start)])
        _close(grown.search(QUERIES, 6), expected)
        with pytest.raises(ValueError, match=r"`passages\[1\]` must be a text, or a dictionary with a `text`"):
            grown.add(["boat", 3])
        assert len(grown) == len(PASSAGES)


def test_fields_of_passages_are_in_the_answers(predictor, tmp_path):
    passages = [{"text": "a boat", "id": 7, "tags": ("x", "y")}, "the river", {"text": "a letter"}]
    made = predictor.index(passages)
    made.save(str(tmp_path / "index"))
    expected = {"index": 0, "passage": "a boat", "id": 7, "tags": ["x", "y"]}
    for each in (made, predictor.load_index(str(tmp_path / "index"))):
        answers = {answer["index"]: answer for answer in each.search(["a boat"])[0]}
        assert {name: value for name, value in answers[0].items() if name != "score"} == expected
        assert set(answers[1]) == set(answers[2]) == {"index", "passage", "score"}
    assert predictor.search(["a boat"], passages, 1)[0][0]["id"] == 7


@pytest.mark.parametrize(
    ("passages", "message"),
    [
        ([], "`passages` must have at least one text. Received: none"),
        ("boat", "`passages` must be a list of texts, not one text"),
        (["boat", None], r"`passages\[1\]` must be a text, or a dictionary with a `text`. Received: None"),
        ([{"title": "boat"}], r"`passages\[0\]` must be a text, or a dictionary with a `text`"),
        ([{"text": "boat", "score": 1}], r"`passages\[0\]` must have no field 'score', which an answer has"),
        ([{"text": "boat", "of": {1, 2}}], r"`passages\[0\]` must have a form in JSON \(JSON has no form for set"),
        (["boat \ud800"], r"`passages\[0\]` must have a form in JSON"),
    ],
)
def test_other_passages_are_refused(predictor, passages, message):
    with pytest.raises(ValueError, match=message):
        predictor.index(passages)


def test_other_settings_are_refused(predictor, index):
    with pytest.raises(ValueError, match=r"`dtype` must be float32 or float16\. Received: 'int8'"):
        predictor.index(PASSAGES, dtype="int8")
    with pytest.raises(ValueError, match="`long_texts` must be cut or windows"):
        predictor.index(PASSAGES, long_texts="all")
    with pytest.raises(ValueError, match=r"`top_k` must be at least 1\. Received: 0"):
        index.search(QUERIES, 0)
    with pytest.raises(ValueError, match=r"`queries\[0\]` must be a text"):
        index.search([{"text": "boat"}])


def test_vectors_that_are_not_finite_are_refused(predictor, monkeypatch):
    bad = np.full((2, 16), 1e5, np.float32)
    monkeypatch.setattr(predictor, "embed", lambda texts, **_: bad[: len(texts)])
    with pytest.raises(ValueError, match=r"`passages\[0\]` has a vector that is not finite in float16"):
        predictor.index(["boat", "river"], dtype="float16")


def test_a_model_that_was_trained_since_is_refused(folder):
    model = load(str(write_run(folder / "trained", "classification")))
    index = model.index(PASSAGES)
    head = model.model.weights[-1]
    head.assign(head + 1)
    index.search(QUERIES)
    bias = next(weight for weight in model.model.encoder.weights if weight.path.endswith("bias"))
    bias.assign(bias + 0.01)
    for ask in (lambda: index.search(QUERIES), lambda: index.add(["boat"])):
        with pytest.raises(ValueError, match="must have the weights that made the index: they have changed since"):
            ask()
    assert len(index) == len(PASSAGES)


_PROGRAM = """
import json, sys
import bert_tf
run, path, queries = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
print(json.dumps(bert_tf.load(run).load_index(path).search(queries, 4)))
"""


def test_a_fresh_process_gives_the_same_answers(folder, index, saved):
    result = run_program(_PROGRAM, str(folder / "run"), str(saved), json.dumps(QUERIES), folder=folder)
    assert result.returncode == 0, result.stderr
    _close(json.loads(result.stdout.splitlines()[-1]), index.search(QUERIES, 4))


def test_a_saved_index_is_mapped_and_saved_again_where_it_lies(predictor, index, saved):
    loaded = predictor.load_index(str(saved))
    assert isinstance(loaded._parts[0], np.memmap)
    _close(loaded.search(QUERIES, 4), index.search(QUERIES, 4))
    with pytest.raises(FileExistsError, match="`path` holds an index, which `overwrite` replaces"):
        loaded.save(str(saved))
    loaded.add(["a new boat"])
    (saved / "vectors-0123abcd.npy.tmp-01234567").touch()  # what a killed save left
    loaded.save(f"{saved}/", overwrite=True)
    again = predictor.load_index(str(saved))
    assert len(again) == len(PASSAGES) + 1
    assert again.search(["a new boat"], 1)[0][0]["index"] == len(PASSAGES)
    _close(loaded.search(QUERIES, 4), again.search(QUERIES, 4))
    assert sorted(path.name.split("-")[0] for path in saved.iterdir()) == ["index.json", "passages", "vectors"]
    (saved / "notes.txt").touch()
    for path in (saved, saved / "notes.txt"):
        with pytest.raises(FileExistsError, match="`path` must be a new or an empty folder, or that of an index"):
            loaded.save(str(path), overwrite=True)


def test_a_failure_leaves_the_saved_index(index, saved, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    monkeypatch.setattr(files, "sha256", fail)
    for path, overwrite in ((saved, True), (saved.parent / "new", False)):
        with pytest.raises(OSError, match="disk full"):
            index.save(str(path), overwrite=overwrite)
    assert [path.name for path in saved.parent.iterdir()] == ["index"]
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_half_precision_is_kept_in_files(predictor, index, tmp_path):
    half = predictor.index(PASSAGES, dtype="float16")
    half.save(str(tmp_path / "half"))
    loaded = predictor.load_index(str(tmp_path / "half"))
    loaded.add(PASSAGES[:1])
    assert (loaded.dtype, loaded._parts[0].dtype) == ("float16", np.float16)
    for each in (half, loaded):
        found = [[answer["score"] for answer in answers] for answers in each.search(QUERIES, 1)]
        np.testing.assert_allclose(found, [[a["score"] for a in b] for b in index.search(QUERIES, 1)], atol=2e-3)


def test_an_object_store_holds_an_index(predictor, index):
    index.save("ram://indices/first")
    loaded = predictor.load_index("ram://indices/first")
    _close(loaded.search(QUERIES, 4), index.search(QUERIES, 4))
    loaded.save("ram://indices/first", overwrite=True)
    assert len(predictor.load_index("ram://indices/first")) == len(PASSAGES)


def _shorten(path):
    path.write_bytes(path.read_bytes()[:-5])


def _flip(path):
    contents = bytearray(path.read_bytes())
    contents[-9] ^= 1
    path.write_bytes(contents)


def _write(values, path):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (
            "vectors-*.npy",
            _shorten,
            r"vectors-\w+\.npy: must have \d+ bytes\. Make the index again.*Received: \d+ bytes",
        ),
        ("vectors-*.npy", _flip, r"vectors-\w+\.npy: damaged"),
        ("passages-*.jsonl", _flip, r"passages-\w+\.jsonl: damaged"),
        ("passages-*.jsonl", os.remove, r"passages-\w+\.jsonl: this file of the index is missing"),
        ("index.json", os.remove, r"`path` must be the folder of an index, with index\.json"),
        ("index.json", _shorten, r"index\.json, line \d+, column \d+: not JSON"),
        ("index.json", functools.partial(_write, {"format_version": 9}), "`format_version` must be 1. Received: 9"),
        ("index.json", functools.partial(_write, {"dtype": "int4"}), "not the description of an index"),
        ("index.json", functools.partial(_write, {"count": 3}), r"must hold float32 \[3, 16\].*Received: float32 \[18"),
    ],
)
def test_damaged_files_are_named(predictor, saved, name, damage, message):
    [path] = saved.glob(name)
    damage(path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        predictor.load_index(str(saved))


@pytest.mark.parametrize(
    ("seed", "options", "message"),
    [
        (1, {}, "the weights are others, or their precision is lower"),
        (0, {"pooling": "cls"}, "whose embedding is .*pooling='mean'.*for .*, whose embedding is .*pooling='cls'"),
        (0, {"max_seq_length": 20}, "whose max_seq_length is 24, for .*, whose max_seq_length is 20"),
    ],
)
def test_an_index_of_another_model_is_refused(saved, tmp_path, seed, options, message):
    other = load(str(write_run(tmp_path / "other", "retrieval", seed=seed, options=options)))
    with pytest.raises(ValueError, match=f"`path` must hold an index that this model made.*{message}"):
        other.load_index(str(saved))


class TestApproximate:
    @pytest.fixture(autouse=True)
    def _needs_faiss(self):
        pytest.importorskip("faiss")

    def test_a_graph_finds_nearly_all(self):
        random = np.random.default_rng(0)
        vectors, queries = random.standard_normal((3000, 16)), random.standard_normal((50, 16))
        parts = [vectors[:2000].astype(np.float32), vectors[2000:].astype(np.float16)]
        graph = NeighbourGraph(16)
        for part in parts:
            graph.add(part)
        queries = queries.astype(np.float32)
        expected = nearest(queries, parts, 10)
        found = nearest_among(queries, parts, graph.candidates(queries, 10), 10)
        shared = [len(dict(one).keys() & dict(other).keys()) for one, other in zip(found, expected, strict=True)]
        assert np.mean(shared) > 9.5
        np.testing.assert_allclose([row[0][1] for row in found], [row[0][1] for row in expected], rtol=1e-5)

    def test_it_is_saved_with_its_graph(self, predictor, index, tmp_path):
        made = predictor.index(PASSAGES[:9], approximate=True)
        made.add(PASSAGES[9:])
        path = str(tmp_path / "index")
        made.save(path)
        loaded = predictor.load_index(path)
        assert (loaded.approximate, predictor.load_index(path, exact=True).approximate) == (True, False)
        for each in (made, loaded, predictor.load_index(path, exact=True)):
            _close(each.search(QUERIES, 3), index.search(QUERIES, 3))


def test_a_missing_faiss_is_named(predictor, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"approximate search needs faiss: pip install 'bert_tf\[ann\]'"):
        predictor.index(PASSAGES, approximate=True)
