"""The places that a tokenizer is read from and written to."""

import json

import pytest
import tokenizers

from bert_tf.configs import BertConfig
from bert_tf.runs.descriptions import RunDescription
from bert_tf.tokenization.options import AddedToken, TokenizerOptions
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

TOKENS = [*SPECIAL_TOKENS, "möchte", "mochte", "a", "B"]
ADDED = (AddedToken("<e1>", normalized=False, special=True),)
TEXTS = ["möchte a B <e1>", "MÖCHTE b"]


def _same(one, other):
    assert (one.tokens, one.do_lower_case, one.options) == (other.tokens, other.do_lower_case, other.options)


@pytest.mark.parametrize("do_lower_case", [True, False])
@pytest.mark.parametrize("added", [(), ADDED])
def test_a_saved_tokenizer_is_loaded_again(do_lower_case, added, tmp_path):
    options = TokenizerOptions(strip_accents=not do_lower_case, added_tokens=added)
    tokens = [*TOKENS, *(token.content for token in added)]
    tokenizer = WordPieceTokenizer.from_tokens(tokens, do_lower_case, options)
    folder = tmp_path / "new" / "folder"
    tokenizer.save_pretrained(folder, max_length=64)
    for path in (folder, str(folder) + "/", folder / "vocab.txt"):
        _same(WordPieceTokenizer.from_pretrained(path), tokenizer)
    assert json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"] == 64
    peer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert [peer.encode(text).ids for text in TEXTS] == tokenizer(TEXTS, padding=None, return_tensors=None)["input_ids"]


def test_saving_replaces_the_files_of_another_tokenizer(tmp_path):
    WordPieceTokenizer.from_tokens([*TOKENS, "<e1>"], True, TokenizerOptions(added_tokens=ADDED)).save_pretrained(
        tmp_path
    )
    assert (tmp_path / "added_tokens.json").exists()
    cased = WordPieceTokenizer.from_tokens(TOKENS, False)
    cased.save_pretrained(tmp_path)
    _same(WordPieceTokenizer.from_pretrained(tmp_path), cased)
    assert "model_max_length" not in json.loads((tmp_path / "tokenizer_config.json").read_text())


def test_other_files_that_change_the_tokenizer_are_reported(tmp_path):
    (tmp_path / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    with pytest.raises(ValueError, match=r"the folder must hold no other files .*files that change `do_lower_case`"):
        WordPieceTokenizer.from_tokens(TOKENS, False).save_pretrained(tmp_path)


def test_the_folder_of_a_run_states_its_tokenizer(tmp_path):
    options = TokenizerOptions(strip_accents=False, added_tokens=(AddedToken("a", in_wordpiece=True),))
    tokenizer = WordPieceTokenizer.from_tokens(TOKENS, True, options)
    tokenizer.save(str(tmp_path / "vocab.txt"))
    description = RunDescription(
        task="pretraining",
        model=BertConfig.named("bert_tiny"),
        do_lower_case=True,
        vocab_hash=tokenizer.vocab_hash,
        max_seq_length=8,
        labels=(),
        experiment={},
        data={},
        tokenizer_options=options,
    )
    (tmp_path / "config.json").write_text(json.dumps(description.to_dict()))
    for path in (tmp_path, tmp_path / "vocab.txt"):
        _same(WordPieceTokenizer.from_pretrained(path), tokenizer)
    other = WordPieceTokenizer.from_tokens([*TOKENS, "b"])
    with pytest.raises(ValueError, match="`folder` must not be that of a run with another tokenizer"):
        other.save_pretrained(tmp_path)
    _same(WordPieceTokenizer.from_pretrained(tmp_path), tokenizer)
    other.save(str(tmp_path / "vocab.txt"))
    with pytest.raises(ValueError, match=r"vocab\.txt must be the vocabulary that config\.json describes"):
        WordPieceTokenizer.from_pretrained(tmp_path)


def test_a_vocabulary_file_alone_shows_its_casing(tmp_path):
    for name, tokens, uncased in (("a.txt", TOKENS, False), ("vocab.txt", TOKENS[:-1], True)):
        (tmp_path / name).write_text("\n".join(tokens))
        tokenizer = WordPieceTokenizer.from_pretrained(tmp_path / name)
        assert (tokenizer.do_lower_case, tokenizer.tokens) == (uncased, tuple(tokens))


def test_a_name_is_found_in_the_cache_of_the_hub(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--small-bert"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123abcd")
    tokenizer = WordPieceTokenizer.from_tokens(TOKENS, True, TokenizerOptions(strip_accents=False))
    tokenizer.save_pretrained(repository / "snapshots" / "0123abcd")
    for name in ("someone/small-bert", "hf://someone/small-bert"):
        _same(WordPieceTokenizer.from_pretrained(name), tokenizer)
    with pytest.raises(
        FileNotFoundError, match=r"vocab\.txt and tokenizer_config\.json of https://huggingface\.co/some"
    ):
        WordPieceTokenizer.from_pretrained("someone/other")


@pytest.mark.parametrize("path", ["/nowhere/at/all", "./a", "memory of a name"])
def test_a_path_that_cannot_be_a_name_is_reported(path):
    with pytest.raises(FileNotFoundError, match="no such file or folder, and not the name of a model on a hub"):
        WordPieceTokenizer.from_pretrained(path)


def test_what_is_no_path_and_a_folder_without_a_vocabulary_are_reported(tmp_path):
    with pytest.raises(ValueError, match=r"`path` must be a folder, a file or a name\. Received: 3"):
        WordPieceTokenizer.from_pretrained(3)
    with pytest.raises(ValueError, match=r"the folder must hold a vocabulary \(vocab\.txt or tokenizer\.json\)"):
        WordPieceTokenizer.from_pretrained(tmp_path)


def test_options_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"the options of a tokenizer must be those of `TokenizerOptions` .*'lower'"):
        TokenizerOptions.from_dict({"lower": True})
    assert TokenizerOptions.from_dict({}) == TokenizerOptions()
