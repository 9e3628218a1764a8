"""Sequence to sequence: rows, packed rows, loss, scores, and bad input."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, shake, write_vocab

from bert_tf.configs import ConfigError
from bert_tf.configs.tasks import Seq2SeqConfig
from bert_tf.examples import Seq2SeqExample
from bert_tf.features import seq2seq_batch
from bert_tf.tasks import task_of
from bert_tf.tasks.seq2seq import packed_rows
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

TASK = task_of(Seq2SeqConfig(max_seq_length=16, max_target_length=8))
EXAMPLES = [
    Seq2SeqExample("the old miller", "the boat", source="a.tsv, line 2"),
    Seq2SeqExample("river", "a sailor near the river", source="a.tsv, line 3"),
    Seq2SeqExample("a b c d", "e", source="a.tsv, line 4"),
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return WordPieceTokenizer(str(write_vocab(tmp_path_factory.mktemp("vocab") / "vocab.txt")))


def test_a_row_holds_source_and_target(tokenizer):
    rows = TASK.encode(EXAMPLES, (), tokenizer)
    batch = rows.batch(np.arange(3), 16)
    assert set(batch) == set(seq2seq_batch(3, 16, 6))
    for name, feature in seq2seq_batch(3, 16, 6).items():
        assert batch[name].shape == feature.shape, name
        assert batch[name].dtype == feature.dtype, name
    words = ["[CLS]", "the", "old", "miller", "[SEP]", "the", "boat", "[SEP]"]
    assert batch["input_ids"][0, :8].tolist() == tokenizer.convert_tokens_to_ids(words)
    assert batch["segment_ids"][0].tolist() == [0] * 5 + [1] * 3 + [0] * 8
    assert batch["order"][0].tolist() == [0] * 5 + [1, 2, 3] + [0] * 8
    # The source's [SEP] predicts the first token of the target, and the last one predicts [SEP].
    assert batch["next_token_positions"][0].tolist() == [4, 5, 6, 0, 0, 0]
    assert batch["next_token_ids"][0].tolist() == [*tokenizer.convert_tokens_to_ids(words[5:]), 0, 0, 0]
    assert batch["next_token_weights"][0].tolist() == [1, 1, 1, 0, 0, 0]


def test_packed_rows_have_the_loss_and_the_gradients_of_the_pairs(tokenizer):
    packed = task_of(TASK.config.replace(packed=True, max_seq_length=24)).encode(EXAMPLES, (), tokenizer, training=True)
    alone = TASK.encode(EXAMPLES, (), tokenizer, training=True)
    assert len(packed) == 2
    assert packed.token_features["input_mask"][0].max() == 2
    model = TASK.make_model(SMALL.replace(vocab_size=tokenizer.vocab_size), ())
    shake(model)
    found = []
    for rows in (packed, alone):
        batch = rows.batch(np.arange(len(rows)), int(rows.lengths.max()))
        with tf.GradientTape() as tape:
            [(total, weight)] = TASK.objective(training=True).losses(model(batch), batch).values()
        pooler = model.encoder.pooler.trainable_variables
        weights = [w.value for w in model.trainable_variables if not any(w is one for one in pooler)]
        found.append((total, weight, *map(tf.convert_to_tensor, tape.gradient(total, weights))))
    assert float(found[0][1]) == float(found[1][1]) == 3 + 6 + 2
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)


def test_training_has_a_pair_for_each_target(tokenizer):
    example = Seq2SeqExample("river", "a boat", other_targets=("the river", "e"))
    examples = [EXAMPLES[0], example]
    rows = TASK.encode(examples, (), tokenizer, training=True)
    assert rows.sources == [0, 1, 1, 1]
    each = [Seq2SeqExample("river", target) for target in example.references]
    expected = TASK.encode([EXAMPLES[0], *each], (), tokenizer)
    for name, values in {**expected.token_features, **expected.example_features}.items():
        np.testing.assert_array_equal((rows.token_features | rows.example_features)[name], values, err_msg=name)
    held_out = TASK.encode(examples, (), tokenizer)
    assert held_out.sources == [0, 1]
    np.testing.assert_array_equal(held_out.lengths, expected.lengths[:2])


def test_packing_fills_rows_and_leaves_out_nothing():
    lengths = np.random.default_rng(0).integers(1, 40, 300).tolist()
    rows = packed_rows(lengths, 40)
    assert sorted(index for row in rows for index in row) == list(range(300))
    sums = [sum(lengths[index] for index in row) for row in rows]
    assert max(sums) <= 40
    assert len(rows) <= sum(lengths) / 40 * 1.05 + 1


def test_sources_are_cut_with_a_warning(tokenizer, caplog):
    example = Seq2SeqExample("the old miller saw a boat near the river", "boat")
    rows = TASK.encode([example], (), tokenizer)
    assert rows.lengths.tolist() == [8 + 2]
    assert "1 of 1 sources have more than 8 tokens and were cut" in caplog.text


def test_a_source_may_have_parts_and_lose_its_beginning(tokenizer):
    example = Seq2SeqExample("the old miller [SEP] saw a boat [SEP] near the river", "boat")
    [pair] = task_of(TASK.config.replace(max_seq_length=24)).pairs([example], tokenizer)
    assert pair.source.count(tokenizer.sep_id) == 3
    words = ["[CLS]", "the", "old", "miller", "[SEP]"]
    assert pair.source[:5] == tokenizer.convert_tokens_to_ids(words)
    [last] = task_of(TASK.config.replace(truncation_side="left")).pairs([example], tokenizer)
    assert last.source == [tokenizer.cls_id, *pair.source[-7:]]
    short = [
        task_of(TASK.config.replace(truncation_side=side)).pairs(EXAMPLES, tokenizer) for side in ("left", "right")
    ]
    assert short[0] == short[1]
    # In a target, `[SEP]` is no token: it would end the text.
    [pair] = TASK.pairs([Seq2SeqExample("a", "b [SEP] c")], tokenizer)
    assert pair.target.count(tokenizer.sep_id) == 1


def test_a_source_alone_predicts_the_first_token(tokenizer):
    rows = TASK.encode([EXAMPLES[0].without_label()], (), tokenizer)
    assert rows.lengths.tolist() == [5]
    assert rows.example_features["next_token_positions"].tolist() == [[4]]
    assert rows.example_features["next_token_weights"].tolist() == [[0.0]]


def test_scores_are_sums_over_the_tokens_of_all_targets(tokenizer):
    rows = TASK.encode(EXAMPLES, (), tokenizer)
    outputs = [
        {"log_probabilities": np.full(6, -2.0, np.float32), "right_tokens": np.array([1, 0, 0, 1, 1, 1], np.float32)}
    ] * 3
    answers = TASK.answers(EXAMPLES, rows, outputs, labels=())
    assert [answer["tokens"] for answer in answers] == [3, 6, 2]
    assert [answer["log_probability"] for answer in answers] == [-6.0, -12.0, -4.0]
    scores = TASK.scores(EXAMPLES, answers, ())
    assert scores == {"token_accuracy": pytest.approx(6 / 11), "perplexity": pytest.approx(np.exp(2.0))}


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (
            Seq2SeqExample("\u0000", "a", source="b.tsv, line 2"),
            "b.tsv, line 2: the source must have at least one token",
        ),
        (
            Seq2SeqExample("a", "\u0000", source="b.tsv, line 2"),
            "b.tsv, line 2: the target must have at least one token",
        ),
        (
            Seq2SeqExample("a", "a b c d e f g h", source="b.tsv, line 2"),
            r"b.tsv, line 2: the target, .* must have at most `task.max_target_length` tokens, 8. Received: 9 tokens",
        ),
    ],
)
def test_texts_that_do_not_fit_are_named(tokenizer, example, message):
    with pytest.raises(ValueError, match=message):
        TASK.encode([example], (), tokenizer)


def test_settings_and_examples_without_room_or_target_are_refused():
    with pytest.raises(ConfigError, match="`max_seq_length` must hold `max_target_length` tokens"):
        Seq2SeqConfig(max_seq_length=16, max_target_length=14)
    with pytest.raises(ValueError, match=r"the training examples \(a.tsv, line 2 ...\) must have targets"):
        TASK.label_names([EXAMPLES[0].without_label()])


def test_keras_fits_sources_and_targets(tokenizer):
    model = TASK.make_model(SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1), ())
    model.set_tokenizer(tokenizer, max_length=16, max_target_length=8)
    model.compile(keras.optimizers.Adam(1e-2))
    sources, targets = ([getattr(example, name) for example in EXAMPLES] for name in ("text", "target"))
    losses = model.fit(sources, targets, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert model.evaluate(sources, targets, verbose=0) < 0.5 * losses[0]
    assert model.predict(sources, verbose=0).shape == (3, 1, tokenizer.vocab_size)
    with pytest.raises(ValueError, match=r"`y` must have as many items as `x`, 3\. Received: 2"):
        model.fit(sources, targets[:2])
