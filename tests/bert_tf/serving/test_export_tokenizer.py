"""An export keeps the settings of a published tokenizer, in its graph and in its description."""

import json

import numpy as np
import pytest
import tensorflow as tf
from small_checkpoints import VOCABULARY, hf_encoder, write_hf

import bert_tf
from bert_tf.serving.export import export_saved_model

pytest.importorskip("tensorflow_text")

TEXTS = ["MÖCHTE 東京 <e1>möchte", "a b c", "möchte aaaaaaaa"]


def test_strings_get_the_vectors_of_the_published_settings(tmp_path):
    folder = tmp_path / "hf"
    source = write_hf(folder, hf_encoder())
    (folder / "vocab.txt").write_text("\n".join([*VOCABULARY[:-3], "möchte", "東京", "<e1>"]) + "\n")
    settings = {"strip_accents": False, "tokenize_chinese_chars": False, "max_input_chars_per_word": 7}
    settings |= {"do_lower_case": True, "additional_special_tokens": ["<e1>"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    published = bert_tf.load(source)
    tokenizer = published.tokenizer
    assert [tokenizer.tokenize(text) for text in TEXTS[::2]] == [
        ["möchte", "東京", "<e1>", "möchte"], ["möchte", "[UNK]"],
    ]  # fmt: skip
    version = export_saved_model(source, str(tmp_path / "export"))
    exported = bert_tf.load(version)
    assert (exported.tokenizer.options, exported.tokenizer.vocab_hash) == (tokenizer.options, tokenizer.vocab_hash)
    outputs = tf.saved_model.load(version).signatures["serving_default"](text=tf.constant(TEXTS))
    assert np.abs(outputs["embedding"].numpy() - published.embed(TEXTS)).max() < 1e-5
