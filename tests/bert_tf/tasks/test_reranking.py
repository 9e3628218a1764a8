"""Reranking: rows in groups, answers and scores, and what becomes of a run: predictor, export, other libraries."""

import json

import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, shake, write_run

import bert_tf
from bert_tf.configs.tasks import RerankingConfig
from bert_tf.conversion.convert import convert_checkpoint
from bert_tf.conversion.loading import read_pretrained
from bert_tf.examples import RerankingExample
from bert_tf.features import reranking_batch
from bert_tf.models.reranker import BertReranker
from bert_tf.serving.export import export_saved_model
from bert_tf.tasks import task_of
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from bert_tf.training.encoded_batches import rows_of_batch, training_dataset

TOKENIZER = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *"abcdefghijklmnopqrstuvwxyz"])
CLS, SEP = TOKENIZER.cls_id, TOKENIZER.sep_id
EXAMPLES = [
    RerankingExample("a", ("b", "c d", "e"), (0.0, 1.0, 0.0), source="train.tsv, line 2"),
    RerankingExample("f", ("g h",), (1.0,)),
    RerankingExample("i", ("j", "k", "l", "m", "n"), (1.0, 2.0, 0.0, 1.0, 0.0)),
]
QUERY = "who found a young sailor"
PASSAGES = ["the old miller found a young sailor", "a boat", "the boat near the river " * 9, "a boat"]


def _task(**changes):
    return task_of(RerankingConfig(**({"max_seq_length": 8, "group_size": 4} | changes)))


def _letters(text):
    return [TOKENIZER.tokens.index(letter) for letter in text.split()]


def test_rows_of_training_are_groups_of_one_size():
    rows = _task().encode(EXAMPLES, (), TOKENIZER, training=True)
    assert rows.group_size == 4
    assert rows.sources == [0] * 4 + [1] * 4 + [2] * 8, "five passages, three of them relevant, take two groups"
    first = [CLS, *_letters("a"), SEP, *_letters("c d"), SEP]
    assert rows.token_features["input_ids"][0, : rows.lengths[0]].tolist() == first, "the relevant passage comes first"
    assert rows.example_features["label_values"].tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0, 1, 0, 0, 0]
    assert rows.example_features["label_weights"].tolist() == [1, 1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0]
    assert rows.lengths[3] == 2, "a missing passage is a row without a text"
    assert {name: feature.dtype for name, feature in reranking_batch(4, 8).items()} == {
        name: array.dtype.name for name, array in rows.batch(np.arange(4), 8).items()
    }


@pytest.mark.parametrize("bucket_lengths", [(8,), (6, 8)])
def test_groups_stay_together_in_every_batch_and_are_whole_on_each_device(bucket_lengths):
    rows = _task(bucket_lengths=bucket_lengths).encode(EXAMPLES * 5, (), TOKENIZER, training=True)
    seen = []
    for step in range(-(-len(rows) // 8)):
        own = np.array(rows_of_batch(rows, 8, seed=3, step=step)).reshape(-1, 4)
        assert (own == own[:, :1] + np.arange(4)).all()
        assert not (own[:, 0] % 4).any()
        seen += own.reshape(-1).tolist()
    assert sorted(seen) == list(range(len(rows)))
    batch = next(iter(training_dataset(rows, 8, seed=3)))
    assert batch["label_values"].shape == (8,)
    with pytest.raises(ValueError, match=r"`batch_size` must be a multiple of the 4 rows .*Received: 6"):
        training_dataset(rows, 6, seed=3)
    rows.check_batch_size("train.batch_size", 16, parts=4)
    with pytest.raises(ValueError, match=r"`train\.batch_size` .* on each of 4 devices and parts\. Received: 8"):
        rows.check_batch_size("train.batch_size", 8, parts=4)


def test_rows_of_evaluation_and_of_the_pointwise_loss_are_single():
    for rows in (
        _task().encode(EXAMPLES, (), TOKENIZER),
        _task(loss="binary", max_relevance=2.0).encode(EXAMPLES, (), TOKENIZER, training=True),
    ):
        assert rows.group_size == 1
        assert rows.sources == [0] * 3 + [1] + [2] * 5
        assert rows.example_features["label_values"].tolist() == [0, 1, 0, 1, 1, 2, 0, 1, 0]


def test_queries_that_nothing_can_be_learnt_from():
    bad = RerankingExample("z", ("a", "b"), (0.0, 0.0), source="train.tsv, line 9")
    for loss in ("softmax", "listnet", "ranknet"):
        with pytest.raises(
            ValueError, match=r"line 9: a query must have a passage .* above 0 .*Received: none among 2"
        ):
            _task(loss=loss).encode([*EXAMPLES, bad], (), TOKENIZER, training=True)
    assert len(_task().encode([bad], (), TOKENIZER)) == 2, "it can be evaluated"
    with pytest.raises(ValueError, match=r"must be at most `task\.max_relevance`, 1, .*Received: 2, for the query 'i'"):
        _task(loss="binary").encode(EXAMPLES, (), TOKENIZER, training=True)
    with pytest.raises(ValueError, match="at least two different relevances"):
        _task().label_names([RerankingExample("a", ("b",), (1.0,))])
    with pytest.raises(ValueError, match=r"`loss` must be .*Received: 'hinge'"):
        RerankingConfig(loss="hinge")


def test_answers_and_scores():
    task = _task(activation="identity")
    rows = task.encode(EXAMPLES, (), TOKENIZER)
    outputs = np.array([2.0, 1.0, 2.0, 0.5, 5.0, 1.0, 3.0, 2.0, 0.0], np.float32)
    answers = task.answers(EXAMPLES, rows, outputs, labels=())
    assert [passage["index"] for passage in answers[0]["passages"]] == [0, 2, 1], "equal scores keep their order"
    assert answers[0]["passages"][0] == {"index": 0, "passage": "b", "score": 2.0}
    scores = task.scores(EXAMPLES, answers, ())
    assert scores["mrr_at_10"] == pytest.approx((1 / 3 + 1 + 1) / 3)
    third = (1 + 1 / np.log2(4) + 2 / np.log2(5)) / (2 + 1 / np.log2(3) + 1 / np.log2(4))
    assert scores["ndcg_at_10"] == pytest.approx((1 / np.log2(4) + 1 + third) / 3)
    assert scores["map"] == pytest.approx((1 / 3 + 1 + (1 + 2 / 3 + 3 / 4) / 3) / 3)
    assert task.main_score(()) in scores
    assert _task().scores_of(np.zeros(1))[0] == 0.5


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run") / "run", "reranking")


def test_a_predictor_orders_passages(run):
    predictor = bert_tf.load(str(run))
    found = predictor.rerank(QUERY, PASSAGES)
    assert sorted(each["index"] for each in found) == [0, 1, 2, 3]
    scores = [each["score"] for each in found]
    assert scores == sorted(scores, reverse=True)
    same = [each["index"] for each in found if each["passage"] == "a boat"]
    assert same == [1, 3], "equal passages keep their order"
    assert predictor.rerank(QUERY, PASSAGES, top_k=2) == found[:2]
    several = predictor.rerank([QUERY, "a boat"], [PASSAGES, [{"text": "the river", "id": 7}]])
    assert [each["index"] for each in several[0]] == [each["index"] for each in found]
    assert several[1][0]["id"] == 7
    assert predictor.rerank(QUERY, []) == []
    with pytest.raises(ValueError, match=r"`passages` must be a list for each of 2 queries\. Received: 1 lists"):
        predictor.rerank([QUERY, QUERY], [PASSAGES])
    with pytest.raises(ValueError, match=r"`passages\[1\]` must be a text, or .*Received: 5"):
        predictor.rerank(QUERY, ["a", 5])
    with pytest.raises(ValueError, match=r"`top_k` must be at least 1\. Received: 0"):
        predictor.rerank(QUERY, PASSAGES, top_k=0)


def test_an_export_gives_the_scores_of_the_predictor(run, tmp_path):
    predictor = bert_tf.load(str(run))
    path = export_saved_model(str(run), str(tmp_path / "export"))
    module = tf.saved_model.load(path)
    expected = {each["index"]: each["score"] for each in predictor.rerank(QUERY, PASSAGES)}
    in_order = [expected[n] for n in range(4)]
    served = module.signatures["serving_default"](query=tf.constant([QUERY] * 4), passage=tf.constant(PASSAGES))
    np.testing.assert_allclose(served["scores"], in_order, atol=1e-6)
    lists = tf.constant([PASSAGES, ["a boat", "", "", ""]])
    ranked = module.signatures["rerank"](query=tf.constant([QUERY, QUERY]), passages=lists)["scores"].numpy()
    np.testing.assert_allclose(ranked[0], in_order, atol=1e-6)
    assert ranked[1, 0] == pytest.approx(in_order[1], abs=1e-6)
    assert (ranked[1, 1:] < -1e38).all()
    again = bert_tf.load(path).rerank(QUERY, PASSAGES)
    np.testing.assert_allclose([each["score"] for each in again], sorted(in_order, reverse=True), atol=1e-6)


def test_published_cross_encoders_are_read_and_written(run, tmp_path):
    folder = str(tmp_path / "published")
    convert_checkpoint(str(run), folder, "huggingface")
    config = json.loads((tmp_path / "published" / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["sentence_transformers"] == {"activation_fn": "torch.nn.modules.activation.Sigmoid"}
    predictor = bert_tf.load(folder)
    assert predictor.description.task == "reranking"
    expected = bert_tf.load(str(run)).rerank(QUERY, PASSAGES)
    found = predictor.rerank(QUERY, PASSAGES)
    np.testing.assert_allclose([each["score"] for each in found], [each["score"] for each in expected], atol=1e-6)

    del config["sentence_transformers"], config["problem_type"]
    stated = {
        "torch.nn.modules.linear.Identity": "identity",
        "torch.nn.modules.activation.Sigmoid": "sigmoid",
        "mine.Scaled": "identity",
    }
    for name, activation in stated.items():
        for field in (
            {"sbert_ce_default_activation_function": name},
            {"sentence_transformers": {"activation_fn": name}},
        ):
            (tmp_path / "published" / "config.json").write_text(json.dumps(config | field))
            pretrained = read_pretrained(folder)
            assert (pretrained.task, pretrained.activation) == ("reranking", activation)
    assert bert_tf.load(folder).rerank(QUERY, PASSAGES)[0]["score"] == pytest.approx(
        np.log(expected[0]["score"] / (1 - expected[0]["score"])), abs=1e-4
    )
    (tmp_path / "published" / "config.json").write_text(json.dumps(config))
    assert read_pretrained(folder).task == "regression", "as such a head always was"
    assert read_pretrained(folder, "reranking").task == "reranking"


@pytest.mark.parametrize("loss", ["softmax", "binary"])
def test_a_model_learns_from_texts_by_fit(loss):
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *"abcdefgh"])
    model = BertReranker(SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1), dropout_rate=0.0)
    shake(model, scale=0.1)
    model.set_tokenizer(tokenizer, max_length=8, loss=loss, group_size=2)
    model.compile("adam")
    queries = [*"abcdefgh"]
    passages = [[letter, other] for letter, other in zip(queries, queries[::-1], strict=True)]
    relevances = [[1, 0]] * 8
    history = model.fit((queries, passages), relevances, batch_size=4, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert np.isfinite(model.evaluate((queries, passages), relevances, batch_size=4, verbose=0))
    assert model.predict((queries, passages), verbose=0).shape == (16,)
    assert {each["passage"] for each in model.rerank("a", ["a", "b"])} == {"a", "b"}
    with pytest.raises(ValueError, match=r"`y\[0\]` must be finite numbers of at least 0\. Received: \[-1, 0\]"):
        model.fit((queries[:1], passages[:1]), [[-1, 0]], verbose=0)
