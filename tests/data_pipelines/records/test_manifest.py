"""Manifests that are missing, contradict their folder or belong to another vocabulary."""

import pytest
from small_records import CONFIG, TOKENIZER, make, small_tokenizer

from bert_tf.tokenization.options import AddedToken, TokenizerOptions
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.records.manifest import check_vocabulary, read_manifest, read_vocabulary


def test_a_missing_manifest_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`folder` must hold manifest.json.*was interrupted"):
        read_manifest(str(tmp_path))


def test_missing_and_cut_shards_are_reported(tmp_path):
    manifest = make(tmp_path)
    shard = tmp_path / manifest.shards[0].file_name
    contents = shard.read_bytes()
    shard.write_bytes(contents[:-1])
    size = len(contents)
    with pytest.raises(ValueError, match=rf"shard-00000-00.tfrecord must have {size} bytes.*Received: {size - 1}"):
        read_manifest(str(tmp_path))
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"a shard of the manifest is missing.*shard-00000-00.tfrecord"):
        read_manifest(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"format_version": 1', '"format_version": 3', r"must have format_version 1 or 2\. Received: 3"),
        ('"do_lower_case": true,', "", r"is not the manifest of a record folder: .*do_lower_case"),
        (
            '"vocab_size"',
            '"vocabulary_size"',
            r"not the manifest of a record folder: unknown field `vocabulary_size`",
        ),
        ("{", "[", r"manifest.json, line \d+, column \d+: not JSON"),
    ],
)
def test_other_manifests_are_refused(tmp_path, old, new, message):
    make(tmp_path)
    path = tmp_path / "manifest.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        read_manifest(str(tmp_path))


def test_another_vocabulary_is_refused(tmp_path):
    manifest = make(tmp_path)
    check_vocabulary(str(tmp_path), manifest, TOKENIZER)
    other = small_tokenizer(("zebra",))
    cased = WordPieceTokenizer.from_tokens(TOKENIZER.tokens, do_lower_case=False)
    size = TOKENIZER.vocab_size
    line = rf"; it ends before line {size + 1}, which should be 'zebra'$"
    with pytest.raises(
        ValueError, match=rf"`manifest`: .*model has {size + 1} tokens .*Received: {size} tokens.*{line}"
    ):
        check_vocabulary(str(tmp_path), manifest, other)
    with pytest.raises(ValueError, match=r"model has .*, cased, .*Received: .*, uncased,.*the tokens are the same$"):
        check_vocabulary(str(tmp_path), manifest, cased)


def test_records_keep_the_options_of_their_tokenizer(tmp_path):
    options = TokenizerOptions(strip_accents=False, added_tokens=(AddedToken(TOKENIZER.tokens[-1]),))
    tokenizer = WordPieceTokenizer.from_tokens(TOKENIZER.tokens, options=options)
    documents = [["the first one", "the second one"], ["a third one", "a fourth one"]]
    manifest = create_pretraining_data(documents, tokenizer, str(tmp_path), config=CONFIG)
    assert manifest.tokenizer_options == read_manifest(str(tmp_path)).tokenizer_options == options
    assert read_vocabulary(str(tmp_path), manifest).vocab_hash == tokenizer.vocab_hash
    with pytest.raises(ValueError, match=r"Received: .*, uncased, strip_accents False, 1 added tokens, Unicode"):
        check_vocabulary(str(tmp_path), manifest, TOKENIZER)
