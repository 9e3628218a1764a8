import pytest

from bert_tf.configs.tasks import TaggingConfig
from bert_tf.examples import TaggedExample
from bert_tf.tasks.tagging import Tagging
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from data_pipelines.finetuning.tagging import read_tagged

TOKENIZER = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *"北京"])

CONLL = (
    "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\nPeter NNP B-NP B-PER\nBlackburn NNP I-NP I-PER\n"
)


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def read(path, labelled=True, **config):
    return read_tagged(path, TaggingConfig(**config), labelled=labelled)


def test_conll_columns_are_read(tmp_path):
    path = write(tmp_path / "a.conll", CONLL)
    first, second = read(path)
    assert first == TaggedExample("EU rejects", ((0, 2), (3, 10)), ("B-ORG", "O"), "1")
    assert (second.words, second.tags, second.source) == (["Peter", "Blackburn"], ("B-PER", "I-PER"), f"{path}, line 7")
    assert read(path, tag_column=2)[1].tags == ("B-NP", "I-NP")
    assert read(path, labelled=False)[0].tags is None


def test_tabs_and_lines_of_white_space_are_read(tmp_path):
    """W-NUT 2017 has tabs, lines with only a tab between sentences, and no line break at the end."""
    first, second = read(write(tmp_path / "a.conll", "@paul\tO\nEmpire\tB-location\n\t\nso\u00a0far\tO"))
    assert first.words == ["@paul", "Empire"]
    assert (second.words, second.tags) == (["so\u00a0far"], ("O",))


@pytest.mark.parametrize("row", [" \tO", "\tO", "  O", "\u3000\tO"])
def test_a_word_that_is_a_space_stays_a_word(tmp_path, row):
    separator = "\t" if "\t" in row else " "
    [sentence] = read(write(tmp_path / "a.conll", f"北{separator}B-LOC\n{row}\n京{separator}I-LOC\n"))
    assert sentence.words == ["北", " ", "京"]
    assert sentence.tags == ("B-LOC", "O", "I-LOC")
    [encoded] = [Tagging(TaggingConfig(max_seq_length=8)).encode([sentence], ("B-LOC", "I-LOC", "O"), TOKENIZER)]
    assert encoded.sources == [(0, [(0, 1), (2, 2)])]  # it has no token, and so no place in the row


def test_an_empty_tag_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"line 2, column .*must not be empty"):
        read(write(tmp_path / "a.conll", "a O\nb \n"))


def test_json_lines_are_read(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"tokens": ["New", "York"], "tags": ["B-LOC", "I-LOC"], "doc": "d1"}\n')
    assert read(path, group_field="doc") == [TaggedExample("New York", ((0, 3), (4, 8)), ("B-LOC", "I-LOC"), "d1")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.conll", "a O\nb\n", r"a\.conll, line 2: must have 2 columns.*Received: 1, 'b'"),
        ("a.conll", "a\nb\n", r"a\.conll, line 1: must have a word and a tag.*'a'"),
        ("a.conll", "\n\n", r"`path` must name a file with at least one sentence.*a\.conll"),
        ("a.jsonl", '{"tokens": ["a", "b"], "tags": ["O"]}', r"a\.jsonl, line 1: must have a tag.*2 words, 1 tags"),
        ("a.jsonl", '{"tokens": []}', r"line 1, field 'tokens': must not be empty"),
        ("a.jsonl", '{"tokens": ["a"]}', r"line 1: must have a column 'tags'"),
        ("a.jsonl", '{"tokens": "a", "tags": ["O"]}', r"field 'tokens': must be a list of texts.*'a'"),
        ("a.csv", "a O\n", r"`path` must name a file that ends in \.conll.*a\.csv"),
    ],
)
def test_bad_files_are_reported(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path / name, text))


def test_a_missing_column_is_reported(tmp_path):
    with pytest.raises(
        ValueError, match=r"line 1: `task\.tag_column` must be one of the 2 columns, counted from 0.*: 5"
    ):
        read(write(tmp_path / "a.conll", "a O\n"), tag_column=5)
