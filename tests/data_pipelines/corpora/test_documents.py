import pytest

from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from data_pipelines.corpora.documents import CorpusStatistics, is_blank, is_held_out, without_blanks, write_documents
from data_pipelines.corpora.readers import read_documents


def test_the_held_out_share_is_the_fraction_and_the_choice_is_stable_and_nested():
    documents = [[f"Sentence {number}.", "Another."] for number in range(4000)]
    smaller, larger = ([is_held_out(document, fraction) for document in documents] for fraction in (0.1, 0.3))
    assert 320 < sum(smaller) < 480
    assert 1080 < sum(larger) < 1320
    assert all(also for held, also in zip(smaller, larger, strict=True) if held)
    # By value: a change of the hash would move documents between training and evaluation of existing runs.
    assert [number for number in range(15) if smaller[number]] == [0, 1, 2, 4, 6, 13, 14]
    assert not any(is_held_out(document, 0.0) for document in documents)
    assert all(is_held_out(document, 1.0) for document in documents)


@pytest.mark.parametrize("fraction", [-0.1, 1.5])
def test_a_held_out_fraction_out_of_range_is_an_error(fraction):
    with pytest.raises(ValueError, match=str(fraction)):
        is_held_out(["x"], fraction)


@pytest.mark.parametrize("text", ["", " \t", "\x1a", "\u200b", "\ufeff \u200d\u00ad", "\u2028", "\x00\x85"])
def test_text_that_no_tokenizer_keeps_is_blank(text):
    assert is_blank(text)
    assert WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS]).encode(text) == []
    assert list(without_blanks([[text], ["a", text], []])) == [["a"]]


@pytest.mark.parametrize("text", [" .", "\u200ba", "\u0301", "\ue000", "\u2800"])
def test_text_with_any_other_character_is_not_blank(text):
    assert not is_blank(text)


def test_written_documents_are_counted_and_can_be_read(tmp_path):
    documents = [["One two.", "Three é."], ["Four five six."]]
    path = tmp_path / "folder" / "corpus.txt"
    statistics = write_documents(iter(documents), str(path))
    assert list(read_documents(str(path))) == documents
    assert statistics == CorpusStatistics(2, 3, 7, path.stat().st_size / 1e6)
    assert str(statistics) == "2 documents, 3 sentences, 7 words, 0.00 MB"


@pytest.mark.parametrize("documents", [[], [["good"], ["two\nlines"]], [["good", " "]], [["\u200b"]]])
def test_documents_that_cannot_be_written_leave_no_file(tmp_path, documents):
    with pytest.raises(ValueError, match=r"corpus\.txt"):
        write_documents(documents, str(tmp_path / "corpus.txt"))
    assert list(tmp_path.iterdir()) == []
