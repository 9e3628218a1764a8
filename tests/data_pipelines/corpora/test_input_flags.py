import types

import pytest

from data_pipelines.corpora import input_flags
from data_pipelines.corpora.documents import is_held_out

DEFAULTS = {
    "sentences": "line",
    "language": ["en"],
    "text_field": "text",
    "tfds_dir": None,
    "tfds_split": "train",
    "clean": False,
    "deduplicate": "none",
    "min_document_length": 0,
    "skip_unreadable": False,
    "weights": None,
    "temperature": None,
    "seed": 0,
    "num_workers": 1,
}


def _flags(*inputs, **values):
    return types.SimpleNamespace(**DEFAULTS | {"input": list(inputs)} | values)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_text("One.\n\nTwo.\n\nOne.\n")
    (tmp_path / "b.txt").write_text("Two.\n\nThree is longer.\n")
    return tmp_path


def test_inputs_without_names_are_one_corpus(folder):
    values = _flags(f"{folder}/a.txt", f"{folder}/b.txt")
    assert list(input_flags.read(values)) == [["One."], ["Two."], ["One."], ["Two."], ["Three is longer."]]
    assert input_flags.num_bytes(values) == sum(path.stat().st_size for path in folder.iterdir())


def test_options_reach_the_documents(folder):
    assert list(input_flags.read(_flags(f"{folder}/*.txt", deduplicate="exact"))) == [
        ["One."],
        ["Two."],
        ["Three is longer."],
    ]
    assert list(input_flags.read(_flags(f"{folder}/*.txt", min_document_length=9))) == [["Three is longer."]]


def test_named_corpora_are_mixed(folder, capsys):
    values = _flags(f"a={folder}/a.txt", f"b={folder}/b.txt", weights=["a=1", " b=4"], deduplicate="exact")
    documents = list(input_flags.read(values))
    # Sentences without duplicates: two in a, one in b; so b is read 0.8 x 3 / 1 times.
    assert documents.count(["Three is longer."]) in (2, 3)
    assert "corpus b: 1 sentences, share 80.00%, read 2.400 times" in capsys.readouterr().out
    assert input_flags.num_bytes(values) is None
    assert list(input_flags.read(values)) == documents


def test_each_corpus_is_split_in_its_own_language(tmp_path):
    (tmp_path / "text.txt").write_text("Am 3. Mai kam er. La Sra. Meier war da.")
    german = ["Am 3. Mai kam er.", "La Sra.", "Meier war da."]
    spanish = ["Am 3.", "Mai kam er.", "La Sra. Meier war da."]
    corpus = f"{tmp_path}/text.txt"
    for language, of_a, of_b in (
        (["a=de", " b=es"], german, spanish),
        (["es", "a=de"], german, spanish),
        (["de"], german, german),
    ):
        values = _flags(f"a={corpus}", f"b={corpus}", sentences="split", language=language, temperature=1.0)
        documents = list(input_flags.read(values))
        assert sorted(documents) == sorted([of_a, of_b])
    assert list(input_flags.read(_flags(corpus, sentences="split", language=["es"]))) == [spanish]


def test_a_held_out_document_of_a_mixture_is_never_trained_on(folder):
    values = _flags(f"a={folder}/a.txt", f"b={folder}/b.txt", weights=["a=1", "b=9"])
    sides = {(document[0], is_held_out(document, 0.5)) for document in input_flags.read(values)}
    assert len(sides) == len({text for text, _ in sides})


def test_unreadable_corpora_are_reported_before_the_first_document(folder):
    with pytest.raises(FileNotFoundError, match="--input b: no file matches"):
        input_flags.read(_flags(f"a={folder}/a.txt", f"b={folder}/none.txt"))


@pytest.mark.parametrize(
    ("inputs", "values", "message"),
    [
        (["a=x", "a=y"], {}, "a name of its own for every corpus"),
        (["a=x", "y"], {}, "--input a=x --input y"),
        (["x"], {"weights": ["a=1"]}, "corpora with names"),
        (["a=x", "b=y"], {"weights": ["a=1"]}, r"`weights` must give each corpus \(a, b\)"),
        (["a=x"], {"weights": ["a"]}, "--weights must be NAME=NUMBER"),
        (["a=x"], {"weights": ["a=nan"]}, "`weights` must give each corpus.*a=nan"),
        (["a=x"], {"weights": ["a=1"], "temperature": 2.0}, "`weights` and `temperature` exclude each other"),
        (["a=x"], {"language": ["b=de"]}, r"--language must be a code.*Received: 'b=de', and corpora a$"),
        (["x"], {"language": ["b=de"]}, "and corpora without names"),
        (["a=x"], {"language": ["a=de", "a=fr"]}, "each once"),
        (["a=x"], {"language": ["de", "fr"]}, "each once"),
        (["a=x"], {"language": ["german"]}, "Received: 'german'"),
        (["a=x"], {"language": ["=de"]}, "Received: '=de'"),
    ],
)
def test_contradicting_flags_are_errors(inputs, values, message):
    with pytest.raises(ValueError, match=message):
        input_flags.read(_flags(*inputs, **values))


def test_near_duplicates_are_left_out(tmp_path):
    sentence = "The old miller carried a heavy lantern along the narrow road before the storm"
    (tmp_path / "a.txt").write_text(f"{sentence}.\n\n{sentence.upper()}, 2.\n\nAnother one.\n")
    values = _flags(f"{tmp_path}/a.txt", deduplicate="near")
    assert list(input_flags.read(values)) == [[f"{sentence}."], ["Another one."]]
