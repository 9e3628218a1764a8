"""The settings of published tokenizers that change ids: read, written again, or refused by their names."""

import itertools
import json

import pytest
import tokenizers
from small_checkpoints import VOCABULARY, hf_encoder, with_heads, write_hf

import bert_tf
from bert_tf.conversion.convert import convert_checkpoint
from bert_tf.conversion.loading import load_encoder, read_pretrained
from bert_tf.tokenization.options import AddedToken, TokenizerOptions
from bert_tf.tokenization.published import read_tokenizer
from bert_tf.tokenization.published_writer import write_tokenizer
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

TOKENS = [
    *SPECIAL_TOKENS,
    "mochte",
    "möchte",
    "東京",
    "東",
    "京",
    "か",
    "が",
    "a",
    "##a",
    "##b",
    "b",
    "<",
    "e",
    ">",
    "1",
]
ADDED = (
    AddedToken("a", single_word=True, in_wordpiece=True),
    AddedToken("<e1>", normalized=False, special=True, rstrip=True),
    AddedToken("Möchte b", lstrip=True),
)
TEXT = "möchte MÖCHTE が か 東京 <e1>a ab möchte  b Möchte b aaaaaaa [ <e1"
BERT_PARTS = {
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": {}},
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
}


def _tokenizer(lower=True, added=(), **options):
    tokens = [*TOKENS, *(token.content for token in added if token.content not in TOKENS)]
    return WordPieceTokenizer.from_tokens(tokens, lower, TokenizerOptions(added_tokens=added, **options))


def _write(folder, **files):
    folder.mkdir(exist_ok=True)
    if not (folder / "vocab.txt").exists():
        (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return str(folder)


def _same(one, other):
    assert (one.tokens, one.do_lower_case, one.options) == (other.tokens, other.do_lower_case, other.options)
    assert one.vocab_hash == other.vocab_hash


@pytest.mark.parametrize(
    ("lower", "strip", "chinese"), list(itertools.product((True, False), (None, True, False), (True, False)))
)
def test_written_files_are_read_again_and_the_library_gives_the_same_ids(lower, strip, chinese, tmp_path):
    options = {"strip_accents": strip, "tokenize_chinese_chars": chinese, "max_input_chars_per_word": 6}
    for number, added in enumerate(((), ADDED)):
        tokenizer = _tokenizer(lower, added, **options)
        folder = tmp_path / str(number)
        folder.mkdir()
        write_tokenizer(tokenizer, 12, str(folder))
        _same(WordPieceTokenizer.from_pretrained(str(folder)), tokenizer)
        fast = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        assert fast.encode(TEXT).ids == tokenizer.encode_pair(TEXT)[0]
        # Old versions of transformers read the other files, and some folders have tokenizer.json alone.
        saved = (folder / "tokenizer.json").read_text()
        (folder / "tokenizer.json").unlink()
        again = WordPieceTokenizer.from_pretrained(str(folder))
        assert (again.tokens, again.encode(TEXT)) == (tokenizer.tokens, tokenizer.encode(TEXT))
        for file in folder.iterdir():
            file.unlink()
        (folder / "tokenizer.json").write_text(saved)
        _same(WordPieceTokenizer.from_pretrained(str(folder)), tokenizer)


def test_blank_and_repeated_lines_keep_their_ids_everywhere(tmp_path):
    tokens = [*TOKENS[:8], "", "b", *TOKENS[8:], "<e1>"]
    options = TokenizerOptions(added_tokens=(AddedToken("<e1>"),))
    tokenizer = WordPieceTokenizer.from_tokens(tokens, True, options)
    write_tokenizer(tokenizer, 12, str(tmp_path))
    _same(WordPieceTokenizer.from_pretrained(str(tmp_path)), tokenizer)
    fast = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert fast.encode(TEXT).ids == tokenizer.encode_pair(TEXT)[0]


def test_the_settings_of_a_folder_change_ids(tmp_path):
    """The sample of a German and a Japanese vocabulary."""
    text = "möchte が 東京"
    plain = WordPieceTokenizer.from_pretrained(_write(tmp_path / "a"))
    assert plain.tokenize(text) == ["mochte", "か", "東", "京"]
    accents = _write(tmp_path / "b", tokenizer_config={"do_lower_case": True, "strip_accents": False})
    assert WordPieceTokenizer.from_pretrained(accents).tokenize(text) == ["möchte", "が", "東", "京"]
    chinese = _write(tmp_path / "c", tokenizer_config={"tokenize_chinese_chars": False})
    assert WordPieceTokenizer.from_pretrained(chinese).tokenize(text) == ["mochte", "か", "東京"]
    fast = BERT_PARTS | {
        "normalizer": {"type": "BertNormalizer", "strip_accents": False, "handle_chinese_chars": False}
    }
    fast["model"] = {"vocab": {token: index for index, token in enumerate(TOKENS)}, "max_input_chars_per_word": 5}
    of_fast = _write(tmp_path / "d", tokenizer=fast)
    assert WordPieceTokenizer.from_pretrained(of_fast).tokenize(text) == ["[UNK]", "が", "東京"]
    # What tokenizer_config.json states comes first, also where it states None.
    both = _write(tmp_path / "e", tokenizer=fast, tokenizer_config={"strip_accents": None})
    assert read_tokenizer(both).options.strip_accents is None
    alone = {"strip_accents": None, "tokenizer_class": "PreTrainedTokenizerFast"}
    assert read_tokenizer(_write(tmp_path / "f", tokenizer=fast, tokenizer_config=alone)).options.strip_accents is False


def test_added_tokens_are_found_in_every_file(tmp_path):
    index = len(TOKENS)
    flags = {"content": "<e1>", "single_word": True, "normalized": False, "special": True}
    token = AddedToken("<e1>", single_word=True, normalized=False, special=True)
    new = {"additional_special_tokens": ["<e1>"]}
    cases = [
        ({"tokenizer_config": {"added_tokens_decoder": {str(index): flags}}}, token),
        ({"tokenizer": BERT_PARTS | {"model": {}, "added_tokens": [flags | {"id": index}]}}, token),
        ({"added_tokens": {"<e1>": index}}, AddedToken("<e1>")),
        (
            {"added_tokens": {"<e1>": index}, "special_tokens_map": new},
            AddedToken("<e1>", normalized=False, special=True),
        ),
        ({"tokenizer_config": new}, AddedToken("<e1>", normalized=False, special=True)),
    ]
    for number, (found, expected) in enumerate(cases):
        tokenizer = WordPieceTokenizer.from_pretrained(_write(tmp_path / str(number), **found))
        assert tokenizer.options.added_tokens == (expected,)
        assert tokenizer.encode("b <e1> b") == [*tokenizer.encode("b"), index, *tokenizer.encode("b")]
    # Special tokens are in these files too, but no text yields them.
    special = {"added_tokens_decoder": {"4": {"content": "[MASK]", "special": True}}}
    assert read_tokenizer(_write(tmp_path / "special", tokenizer_config=special)).options == TokenizerOptions()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"tokenizer_config": {"tokenizer_class": "BertJapaneseTokenizer"}},
            "`tokenizer_class`.*'BertJapaneseTokenizer'",
        ),
        ({"config": {"tokenizer_class": "BertJapaneseTokenizer"}}, "`tokenizer_class` must be BertTokenizer or"),
        ({"tokenizer_config": {"word_tokenizer_type": "mecab"}}, "`word_tokenizer_type` must be 'basic'.*'mecab'"),
        ({"tokenizer_config": {"do_basic_tokenize": False}}, "`do_basic_tokenize` must be True"),
        ({"tokenizer_config": {"never_split": ["x1"]}}, r"`never_split` must be empty.*\['x1'\]"),
        ({"tokenizer_config": {"unk_token": "<unk>"}}, r"`unk_token` must be '\[UNK\]'.*'<unk>'"),
        ({"tokenizer_config": {"mask_token": {"content": "<mask>"}}}, r"`mask_token` must be '\[MASK\]'"),
        ({"tokenizer": BERT_PARTS | {"model": {"type": "BPE"}}}, "`model.type` must be 'WordPiece'.*'BPE'"),
        (
            {"tokenizer": BERT_PARTS | {"model": {"continuing_subword_prefix": "@"}}},
            "`model.continuing_subword_prefix`",
        ),
        ({"tokenizer": BERT_PARTS | {"normalizer": None}}, "`normalizer` must be BertNormalizer. Received: None"),
        (
            {"tokenizer": BERT_PARTS | {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {}]}}},
            r"`normalizer` must be BertNormalizer. Received: \['NFC', None\]",
        ),
        ({"tokenizer": BERT_PARTS | {"normalizer": {"type": "Precompiled"}}}, "`normalizer`.*'Precompiled'"),
        (
            {"tokenizer": BERT_PARTS | {"normalizer": {"type": "BertNormalizer", "clean_text": False}}},
            "`normalizer.clean_text` must be true. Received: False",
        ),
        ({"tokenizer": BERT_PARTS | {"pre_tokenizer": {"type": "Metaspace"}}}, "`pre_tokenizer`.*'Metaspace'"),
        ({"tokenizer": BERT_PARTS | {"post_processor": None}}, r"`post_processor` must be \[CLS\] A \[SEP\]"),
        ({"tokenizer": BERT_PARTS | {"post_processor": {"type": "RobertaProcessing"}}}, "`post_processor`"),
        ({"tokenizer": {"model": {"vocab": {"[PAD]": 0, "a": 1}}}}, "must hold the same vocabulary.*the ids"),
        ({"added_tokens": {"<e1>": 3}}, r"the added token '<e1>' must have an id of its own.*3, beside '\[SEP\]'"),
    ],
)
def test_a_setting_that_cannot_be_reproduced_is_refused_by_its_name(files, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        WordPieceTokenizer.from_pretrained(_write(tmp_path / "folder", **files))


def test_sequences_of_one_and_templates_are_understood(tmp_path):
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    }
    template["single"].append({"SpecialToken": {"id": "[SEP]", "type_id": 0}})
    second = [{"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}]
    template["pair"] = template["single"] + second
    fast = {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "BertNormalizer", "lowercase": False}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}]},
        "post_processor": template,
    }
    assert read_tokenizer(_write(tmp_path / "folder", tokenizer=fast)).do_lower_case is False
    template["pair"] = template["single"]
    with pytest.raises(ValueError, match="`post_processor`"):
        WordPieceTokenizer.from_pretrained(_write(tmp_path / "folder", tokenizer=fast))


def test_sentence_transformers_may_lower_case_texts_of_a_cased_tokenizer(tmp_path):
    lowered = _write(
        tmp_path / "a", tokenizer_config={"do_lower_case": False}, sentence_bert_config={"do_lower_case": True}
    )
    assert WordPieceTokenizer.from_pretrained(lowered).tokenize("MÖCHTE が") == ["möchte", "が"]


def test_weights_are_loaded_without_a_tokenizer_that_cannot_be_reproduced(tmp_path):
    folder = tmp_path / "hf"
    source = write_hf(folder, hf_encoder())
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertJapaneseTokenizer"}')
    assert load_encoder(source).config.vocab_size == 40
    for use in (bert_tf.load, lambda path: convert_checkpoint(path, str(tmp_path / "out"), "google")):
        with pytest.raises(ValueError, match=r"`tokenizer_class` must be BertTokenizer .*BertJapaneseTokenizer"):
            use(source)
    assert not (tmp_path / "out").exists()


def test_every_format_and_the_predictor_keep_the_options(tmp_path):
    folder = tmp_path / "hf"
    source = write_hf(folder, hf_encoder())
    size = len(VOCABULARY)
    settings = {"strip_accents": False, "tokenize_chinese_chars": False, "max_input_chars_per_word": 50}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"do_lower_case": True}))
    original = read_pretrained(source).tokenizer()
    assert original.options == TokenizerOptions(False, False, 50)
    assert original.vocab_size == size
    for format_ in ("huggingface", "google"):
        convert_checkpoint(source, str(tmp_path / format_), format_)
        _same(read_pretrained(str(tmp_path / format_)).tokenizer(), original)
        _same(bert_tf.load(str(tmp_path / format_)).tokenizer, original)


def test_a_vocabulary_larger_than_the_table_is_refused_by_all_who_use_it(tmp_path):
    folder = tmp_path / "hf"
    source = write_hf(folder, hf_encoder())
    (folder / "vocab.txt").write_text("\n".join([*VOCABULARY, *(f"w{number}" for number in range(40))]) + "\n")
    assert load_encoder(source).config.vocab_size == 40
    for use in (bert_tf.load, lambda path: convert_checkpoint(path, str(tmp_path / "out"), "google")):
        with pytest.raises(ValueError, match=r"`model\.vocab_size` must be at least the vocabulary's"):
            use(source)


def test_pairs_need_a_model_with_two_segments(tmp_path):
    tensors = with_heads("classifier")
    segments = "bert.embeddings.token_type_embeddings.weight"
    tensors[segments] = tensors[segments][:1]
    source = write_hf(tmp_path / "hf", tensors, architectures=["BertForSequenceClassification"], type_vocab_size=1)
    predictor = bert_tf.load(source)
    assert len(predictor.classify(["a"])) == 1
    with pytest.raises(ValueError, match=r"`model\.type_vocab_size` must be at least the 2 segments of a pair"):
        predictor.classify(["a"], ["b"])


def test_a_model_of_questions_needs_two_segments(tmp_path):
    tensors = with_heads("qa", pooler=False)
    segments = "bert.embeddings.token_type_embeddings.weight"
    tensors[segments] = tensors[segments][:1]
    source = write_hf(tmp_path / "hf", tensors, architectures=["BertForQuestionAnswering"], type_vocab_size=1)
    with pytest.raises(ValueError, match=r"`model\.type_vocab_size` must be at least the 2 segments of a pair"):
        bert_tf.load(source)
