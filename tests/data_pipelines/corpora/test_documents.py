import pytest

from data_pipelines.corpora import readers
from data_pipelines.corpora.readers import ReadingOptions


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return str(path)


def test_lines_are_sentences_and_blank_lines_or_file_ends_separate_documents(tmp_path):
    write(tmp_path / "b.txt", "third\n")
    write(tmp_path / "a.txt", "\ufeffone. two.\r\n  and three \r\n\r\n \n\nsecond")
    documents = list(readers.read_documents(str(tmp_path / "*.txt")))
    assert documents == [["one. two.", "and three"], ["second"], ["third"]]


def test_raw_paragraphs_are_split_into_sentences(tmp_path):
    path = write(tmp_path / "raw.txt", "Dr. Smith went\nhome to tf.Tensor. He slept, e.g. well.\n\n他来了。我走了。\n")
    documents = list(readers.read_documents(path, options=ReadingOptions(sentences="split")))
    assert documents == [["Dr. Smith went home to tf.Tensor.", "He slept, e.g. well."], ["他来了。", "我走了。"]]


def test_a_missing_file_is_told_before_the_first_document(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`patterns`.*nothing"):
        readers.read_documents(str(tmp_path / "nothing*.txt"))


@pytest.mark.parametrize("text", ["", "\n \n\t\n"])
def test_files_without_a_sentence_are_an_error_that_names_the_pattern(tmp_path, text):
    path = write(tmp_path / "empty.txt", text)
    with pytest.raises(ValueError, match=r"`patterns` must name files with at least one sentence.*empty\.txt"):
        list(readers.read_documents(path))


def test_an_empty_file_among_others_is_no_error(tmp_path):
    write(tmp_path / "a.txt", "")
    write(tmp_path / "b.txt", "text\n")
    assert list(readers.read_documents(str(tmp_path / "*.txt"))) == [["text"]]


def test_text_that_is_not_utf8_is_named_by_file_and_line(tmp_path):
    path = write(tmp_path / "latin.txt", "good\nwell\ncaf\xe9\n", encoding="latin1")
    with pytest.raises(ValueError, match=r"latin\.txt, line 3"):
        list(readers.read_documents(path))


def test_sentences_takes_two_values(tmp_path):
    with pytest.raises(ValueError, match="'words'"):
        ReadingOptions(sentences="words")


def test_held_out_share_is_the_fraction_stable_and_nested():
    documents = [[f"Sentence {number}.", "Another."] for number in range(4000)]
    smaller, larger = ([readers.is_held_out(document, fraction) for document in documents] for fraction in (0.1, 0.3))
    assert 320 < sum(smaller) < 480
    assert 1080 < sum(larger) < 1320
    assert all(also for held, also in zip(smaller, larger, strict=True) if held)
    # By value: a change of the hash would move documents between training and evaluation of existing runs.
    assert [number for number in range(15) if smaller[number]] == [0, 1, 2, 4, 6, 13, 14]
    assert not any(readers.is_held_out(document, 0.0) for document in documents)
    assert all(readers.is_held_out(document, 1.0) for document in documents)


@pytest.mark.parametrize("fraction", [-0.1, 1.5])
def test_held_out_fraction_is_checked(fraction):
    with pytest.raises(ValueError, match=str(fraction)):
        readers.is_held_out(["x"], fraction)


def test_written_documents_are_read_again_and_counted(tmp_path):
    documents = [["One two.", "Three é."], ["Four five six."]]
    path = tmp_path / "folder" / "corpus.txt"
    statistics = readers.write_documents(iter(documents), str(path))
    assert list(readers.read_documents(str(path))) == documents
    assert statistics == readers.CorpusStatistics(2, 3, 7, path.stat().st_size / 1e6)
    assert str(statistics) == "2 documents, 3 sentences, 7 words, 0.00 MB"


@pytest.mark.parametrize("documents", [[], [["good"], ["two\nlines"]], [["good", " "]]])
def test_what_cannot_be_written_leaves_nothing(tmp_path, documents):
    with pytest.raises(ValueError, match=r"corpus\.txt"):
        readers.write_documents(documents, str(tmp_path / "corpus.txt"))
    assert list(tmp_path.iterdir()) == []
