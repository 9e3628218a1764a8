"""A small model learns to copy and to reverse letters, and generates them exactly."""

import keras
import numpy as np
import pytest

import bert_tf
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

LETTERS = "abcdefgh"


def _texts(number, random):
    return list({" ".join(random.choice(list(LETTERS), random.integers(3, 6))) for _ in range(number)})


@pytest.mark.long  # trains two models
@pytest.mark.parametrize("order", [1, -1], ids=["copy", "reverse"])
def test_toy_transductions_are_exact(order):
    keras.utils.set_random_seed(0)
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *LETTERS])
    config = bert_tf.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_layers=2,
        num_heads=4,
        intermediate_size=128,
        max_position_embeddings=16,
        dropout_rate=0.0,
        attention_dropout_rate=0.0,
    )
    model = bert_tf.BertSeq2Seq(config)
    model.set_tokenizer(tokenizer, max_length=14, max_target_length=6)
    schedule = keras.optimizers.schedules.CosineDecay(0.0, 2300, warmup_target=2e-3, warmup_steps=200)
    model.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0))
    texts = _texts(4000, np.random.default_rng(1))
    held_out, train = texts[:200], texts[200:]
    pairs = [" ".join(text.split()[::order]) for text in train]
    model.fit(train, pairs, batch_size=64, epochs=2500 * 64 // len(train), verbose=0)
    found = model.generate(held_out, beams=2, no_repeat_ngram=0)
    right = [
        answer["generated"] == " ".join(text.split()[::order]) for answer, text in zip(found, held_out, strict=True)
    ]
    assert np.mean(right) > 0.99
