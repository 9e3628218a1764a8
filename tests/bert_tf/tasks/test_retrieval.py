"""Retrieval: rows, loss and answers by hand, and what becomes of a run: vectors, search, exports, other libraries."""

import json

import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, shake, write_run

import bert_tf
from bert_tf.configs.tasks import RetrievalConfig
from bert_tf.conversion.convert import convert_checkpoint
from bert_tf.conversion.sentence_transformers import read_settings
from bert_tf.examples import RetrievalExample
from bert_tf.features import retrieval_batch
from bert_tf.models.dual_encoder import BertDualEncoder
from bert_tf.objectives.losses import retrieval_losses
from bert_tf.objectives.metrics import retrieval_metrics
from bert_tf.runs.folder import load_run
from bert_tf.serving.export import export_saved_model
from bert_tf.tasks import task_of
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from bert_tf.training.encoded_batches import training_dataset

TOKENIZER = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *"abcdefghijklmnopqrstuvwxyz"])
CLS, SEP = TOKENIZER.cls_id, TOKENIZER.sep_id
EXAMPLES = [
    RetrievalExample("a", "b c", ("d", "e f g"), source="train.jsonl, line 1"),
    RetrievalExample("h", "d"),
    RetrievalExample("a", "i j k l", ("b c",)),
]
TEXTS = ["the miller saw a boat", "a lantern", "the road"]


def _task(**changes):
    return task_of(RetrievalConfig(**({"max_seq_length": 5, "max_query_length": 4, "num_negatives": 2} | changes)))


def _letters(text):
    return [TOKENIZER.tokens.index(letter) for letter in text.split()]


def test_a_row_of_training_is_a_query_with_its_passages():
    rows = _task().encode(EXAMPLES, (), TOKENIZER, training=True)
    first = [
        CLS,
        *_letters("a"),
        SEP,
        CLS,
        *_letters("b c"),
        SEP,
        CLS,
        *_letters("d"),
        SEP,
        CLS,
        *_letters("e f g"),
        SEP,
    ]
    assert rows.token_features["input_ids"][0, : rows.lengths[0]].tolist() == first
    assert rows.token_features["input_mask"][0, :15].tolist() == [1] * 3 + [2] * 4 + [3] * 3 + [4] * 5
    assert rows.token_features["position_ids"][0, :15].tolist() == [*range(3), *range(4), *range(3), *range(5)]
    assert rows.token_features["input_ids"][2, 3:8].tolist() == [CLS, *_letters("i j k"), SEP], (
        "cut to `max_seq_length`"
    )
    assert rows.example_features["query_ids"].tolist() == [0, 1, 0]
    assert rows.example_features["passage_ids"].tolist() == [[0, 1, 2], [1, 0, 0], [3, 0, 0]]
    assert rows.example_features["passage_weights"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert rows.bucket_lengths[-1] == 4 + 3 * 5
    for batch in (rows.batch(np.array([0, 2, -1]), 19), next(iter(training_dataset(rows, 3, seed=0)))):
        assert {name: np.asarray(array).dtype.name for name, array in batch.items()} == {
            name: feature.dtype for name, feature in retrieval_batch(3, 19, 3).items()
        }
        assert np.asarray(batch["input_mask"]).max() == 4
    assert rows.batch(np.array([0, -1]), 19)["passage_weights"].tolist() == [[1, 1, 1], [0, 0, 0]]


def test_a_row_of_evaluation_is_one_text():
    rows = _task(bucket_lengths=(4, 9)).encode(EXAMPLES, (), TOKENIZER)
    assert rows.sources == [("query", 0), ("query", 1), *(("passage", number) for number in range(4))]
    assert rows.lengths.tolist() == [3, 3, 4, 3, 5, 5]
    assert rows.bucket_lengths == (4, 5)


def test_answers_and_scores():
    task = _task(top_k=2)
    rows = task.encode(EXAMPLES, (), TOKENIZER)
    queries, passages = [[1, 0], [0, 1]], [[1, 0], [2, 1], [3, 0], [0.5, 0]]
    answers = task.answers(EXAMPLES, rows, np.array([[vector] for vector in queries + passages], np.float32), labels=())
    nearest = [{"passage": "e f g", "score": 3.0}, {"passage": "d", "score": 2.0}]
    assert answers[0] == answers[2] == {"query": "a", "ranks": [3, 4], "passages": nearest}
    assert answers[1]["ranks"] == [1]
    scores = task.scores(EXAMPLES, answers, ())
    assert scores["mrr_at_10"] == pytest.approx((1 / 3 + 1) / 2), "the query that stands twice counts once"
    assert task.main_score(()) in scores
    assert task.answers([], task.encode([], (), TOKENIZER), [], labels=()) == []


def test_nothing_to_learn():
    with pytest.raises(ValueError, match=r"at least two different passages in column 'passage'.*Received: 'b'"):
        _task().label_names([RetrievalExample("a", "b"), RetrievalExample("c", "b")])


def test_the_loss_is_that_of_a_softmax_over_the_passages_of_the_batch():
    vectors = np.random.default_rng(0).standard_normal((4, 3, 5)).astype(np.float32)
    batch = {
        "query_ids": np.array([0, 1, 0, 0], np.int32),
        "passage_ids": np.array([[10, 11], [12, 10], [13, 0], [10, 11]], np.int32),
        "passage_weights": np.array([[1, 1], [1, 1], [1, 0], [0, 0]], np.float32),  # the last row fills up
    }
    # By hand, as (row, place) of each query's passage and of what it is told from.
    negatives = {
        0: [(0, 1), (1, 0)],  # not (1, 1), its own passage's text; nor (2, 0), right too; nor what fills up
        1: [(0, 0), (0, 1), (1, 1), (2, 0)],
        2: [(0, 1), (1, 0)],  # (1, 1) is a negative of another query, but answers this one in row 0
    }
    total = right = 0.0
    for row, others in negatives.items():
        scores = np.array([vectors[row, 0] @ vectors[other, 1 + place] for other, place in [(row, 0), *others]]) / 0.5
        total += np.log(np.exp(scores).sum()) - scores[0]
        right += scores.argmax() == 0
    loss, weight = retrieval_losses(tf.constant(vectors), batch, temperature=0.5)["retrieval_loss"]
    assert float(loss) == pytest.approx(total, rel=1e-5)
    assert float(weight) == 3
    assert [float(value) for value in retrieval_metrics(tf.constant(vectors), batch)["in_batch_accuracy"]] == [right, 3]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalize", [False, True])
def test_texts_of_a_row_have_the_vectors_that_they_have_alone(pooling, normalize):
    model = BertDualEncoder(SMALL, 4, pooling=pooling, normalize=normalize)
    shake(model)
    rows = _task().encode(EXAMPLES, (), TOKENIZER, training=True)
    found = model(rows.batch(np.arange(3), 19)).numpy()
    alone = _task().encode(EXAMPLES, (), TOKENIZER)
    single = model(alone.batch(np.arange(6), 5)).numpy()[:, 0]
    np.testing.assert_allclose(found[:2, 0], single[:2], atol=1e-5)
    np.testing.assert_allclose(found[:, 1], single[[2, 3, 5]], atol=1e-5)
    np.testing.assert_allclose(found[0, 2:], single[[3, 4]], atol=1e-5)
    np.testing.assert_array_equal(found[1, 2:], 0, "a text that is not there")
    if normalize:
        np.testing.assert_allclose(np.linalg.norm(single, axis=1), 1, atol=1e-5)
    copy = BertDualEncoder.from_config(model.get_config())
    assert (copy.texts_per_row, copy.pooling, copy.normalize) == (4, pooling, normalize)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling": "max"}, "`pooling` must be cls or mean"),
        ({"texts_per_row": 0}, "`texts_per_row` must be at least 1. Received: 0"),
    ],
)
def test_no_such_model(changes, message):
    with pytest.raises(ValueError, match=message):
        BertDualEncoder(SMALL, **changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run") / "run", "retrieval")


def test_a_run_embeds_and_searches(run):
    predictor = bert_tf.load(str(run))
    vectors = predictor.embed(TEXTS)
    model, description, tokenizer = load_run(str(run))
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids, _ = tokenizer.encode_pair(text, None, description.max_seq_length)
        np.testing.assert_allclose(vector, model({"input_ids": np.array([ids])})[0, 0], atol=1e-5)
    [nearest] = predictor.search([TEXTS[1]], TEXTS, top_k=2)
    assert len(nearest) == 2
    assert nearest[0] == {"index": 1, "passage": TEXTS[1], "score": pytest.approx(1.0, abs=1e-5)}
    assert nearest[1]["score"] == pytest.approx(max(vectors[1] @ vectors[0], vectors[1] @ vectors[2]), abs=1e-5)
    for arguments, message in (
        (([], []), "`passages` must have at least one text"),
        ((["a"], ["b"], 0), "`top_k` must be at least 1. Received: 0"),
        (("a", ["b"]), "`queries` must be a list of texts"),
        ((["a"], [3]), r"`passages\[0\]` must be a text, or a dictionary with a `text`. Received: 3"),
    ):
        with pytest.raises(ValueError, match=message):
            predictor.search(*arguments)
    with pytest.raises(ValueError, match="without"):
        predictor.embed(TEXTS, pooling="pooler")


def test_vectors_that_are_not_of_length_1_are_searched_by_their_products(tmp_path):
    predictor = bert_tf.load(str(write_run(tmp_path / "run", "retrieval", options={"normalize": False})))
    vectors = predictor.embed(TEXTS)
    assert np.linalg.norm(vectors[0]) != pytest.approx(1, abs=1e-2)
    found = {answer["index"]: answer["score"] for answer in predictor.search(TEXTS[:1], TEXTS)[0]}
    np.testing.assert_allclose([found[number] for number in range(3)], vectors @ vectors[0], rtol=1e-4)


@pytest.mark.long
def test_an_export_embeds_alike(run, tmp_path):
    version = export_saved_model(str(run), str(tmp_path / "export"))
    expected = bert_tf.load(str(run)).embed(TEXTS)
    np.testing.assert_allclose(bert_tf.load(version).embed(TEXTS), expected, atol=1e-5)
    served = tf.saved_model.load(version).signatures["serving_default"](text=tf.constant(TEXTS))
    np.testing.assert_allclose(served["embedding"], expected, atol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_written_for_sentence_transformers(tmp_path, pooling, normalize):
    options = {"pooling": pooling, "normalize": normalize}
    source = write_run(tmp_path / "run", "retrieval", options=options)
    folder = str(tmp_path / "written")
    convert_checkpoint(str(source), folder, "huggingface")
    settings = read_settings(folder)
    assert (settings.pooling, settings.normalize, settings.max_seq_length) == (pooling, normalize, 24)
    assert json.loads((tmp_path / "written" / "config.json").read_text())["architectures"] == ["BertModel"]
    np.testing.assert_allclose(bert_tf.load(folder).embed(TEXTS), bert_tf.load(str(source)).embed(TEXTS), atol=1e-6)
    model, pretrained = bert_tf.load_pretrained(str(source))
    assert (type(model), model.pooling, model.normalize) == (BertDualEncoder, pooling, normalize)
    assert pretrained.task == "retrieval"
    bert_tf.save_pretrained(model, str(tmp_path / "saved"), tokenizer=pretrained.tokenizer())
    assert read_settings(str(tmp_path / "saved")).pooling == pooling
