"""The flags of a tokenizer give the same tokenizer for vocabularies, records and runs."""

import json

import pytest
from absl import flags

from bert_tf.tokenization import command_line
from bert_tf.tokenization.options import AddedToken, TokenizerOptions
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS
from data_pipelines.vocabulary import create_vocab


@pytest.fixture
def parse(monkeypatch):
    values = flags.FlagValues()
    for name in ("DEFINE_bool", "DEFINE_integer"):
        define = getattr(flags, name)
        monkeypatch.setattr(flags, name, lambda *a, _d=define, **k: _d(*a, **k, flag_values=values))
    command_line.define_flags()
    flags.DEFINE_string("vocab_file", None, "", flag_values=values)
    return lambda *arguments: values(["command", *arguments]) and values


def test_flags_describe_the_tokenizer_of_a_file(parse, tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL_TOKENS, "möchte"]))
    values = parse("--vocab_file", str(path), "--nostrip_accents", "--notokenize_chinese_chars")
    tokenizer = command_line.tokenizer_from_flags(values)
    assert tokenizer.options == TokenizerOptions(strip_accents=False, tokenize_chinese_chars=False)
    assert tokenizer.tokenize("MÖCHTE") == ["möchte"]
    assert command_line.given_word_flags(values) == " --nostrip_accents --notokenize_chinese_chars"


def test_a_folder_states_its_options_itself(parse, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "möchte"]))
    settings = {"strip_accents": False, "do_lower_case": True, "additional_special_tokens": ["<e1>"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = command_line.tokenizer_from_flags(parse("--vocab_file", str(tmp_path), "--nostrip_accents"))
    added = AddedToken("<e1>", normalized=False, special=True)
    assert tokenizer.options == TokenizerOptions(strip_accents=False, added_tokens=(added,))
    with pytest.raises(ValueError, match=r"--do_lower_case must be as the folder .* True\. Received: False"):
        command_line.tokenizer_from_flags(parse("--vocab_file", str(tmp_path), "--nodo_lower_case"))


def test_vocabularies_are_learnt_from_the_words_of_the_options():
    documents = [["möchte möchte が 東京 東京 東京"] * 5]
    accents = create_vocab(documents, 200, options=TokenizerOptions(strip_accents=False), report=lambda _: None)
    assert "möchte" in accents
    assert "が" in accents
    assert "東京" not in accents
    plain = create_vocab(documents, 200, report=lambda _: None)
    assert "mochte" in plain
    assert "möchte" not in plain
    joined = create_vocab(documents, 200, options=TokenizerOptions(tokenize_chinese_chars=False), report=lambda _: None)
    assert "東京" in joined
    assert "##京" in joined
