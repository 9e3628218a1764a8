"""Pre-training goes on from published weights if their tokenizer means the same."""

import json

import pytest
from small_checkpoints import hf_encoder, write_hf

from bert_tf.configs import PretrainingConfig
from bert_tf.conversion.loading import read_pretrained
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.training.pretraining import _weights_to_start_from


def test_another_limit_of_a_word_is_no_other_vocabulary(tmp_path):
    folder = tmp_path / "hf"
    source = write_hf(folder, hf_encoder())
    config = PretrainingConfig(model=read_pretrained(source).config)
    records = WordPieceTokenizer(str(folder / "vocab.txt"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"max_input_chars_per_word": 100}))
    assert read_pretrained(source).tokenizer().vocab_hash != records.vocab_hash
    assert _weights_to_start_from(source, config, records, None).tokens == records.tokens
    (folder / "tokenizer_config.json").write_text(json.dumps({"strip_accents": False}))
    with pytest.raises(ValueError, match=r"Received: .* \(uncased, strip_accents False\)"):
        _weights_to_start_from(source, config, records, None)
