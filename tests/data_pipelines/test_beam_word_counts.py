import pytest
from beam_corpus import corpus_of
from launch_many import run_program
from small_corpus import corpus_documents

from data_pipelines import beam_word_counts
from data_pipelines.corpora import beam_stages, file_parts
from data_pipelines.word_counts import count_words

COMMAND = """
import types
import fake_beam
fake_beam.install(types.SimpleNamespace(setitem=lambda modules, name, module: modules.__setitem__(name, module)))
from bert_tf.utils import launching
from data_pipelines import create_vocab
launching.run(create_vocab.main, create_vocab.define_flags)
"""


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(file_parts, "UNIT_BYTES", 5000)
    monkeypatch.setattr(beam_word_counts, "_PIECE_BYTES", 3000)


def _counted(tmp_path, documents, **settings):
    pipeline = beam_stages.pipeline_of("beam", "")
    staging = tmp_path / "vocab.txt.staging"
    counts = beam_word_counts.count_words(documents, pipeline=pipeline, staging_dir=str(staging), **settings)
    assert not staging.exists()
    return counts


@pytest.mark.parametrize(
    ("deduplicate", "mixing", "settings"),
    [
        ("none", {}, {}),
        ("exact", {}, {"holdout": 0.2}),
        ("near", {}, {"do_lower_case": False}),
        ("near", {"weights": {"a": 1, "b": 3}}, {"holdout": 0.2}),
    ],
)
def test_counts_are_those_of_one_process(tmp_path, texts, any_beam, deduplicate, mixing, settings):
    corpus = corpus_of(texts, deduplicate, **mixing)
    expected = count_words(corpus, **settings)
    assert len(expected.words) > 20
    assert len(expected.sample_words) > 10
    assert _counted(tmp_path, corpus, **settings) == expected
    assert _counted(tmp_path, corpus_documents(40), **settings) == count_words(corpus_documents(40), **settings)


def test_documents_without_words_are_refused(tmp_path, any_beam):
    with pytest.raises(ValueError, match="`documents` must hold at least one word"):
        _counted(tmp_path, [])


def test_the_command_writes_the_vocabulary_of_one_process(tmp_path, texts):
    flags = (f"--input={texts}/*", "--sentences=split", "--deduplicate=near", "--holdout=0.2", "--vocab_size=120")
    written = []
    for runner in ("local", "beam"):
        done = run_program(COMMAND, *flags, f"--output={runner}.txt", f"--runner={runner}", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        written.append(((tmp_path / f"{runner}.txt").read_bytes(), done.stdout.replace(f"{runner}.txt", "")))
    assert written[0] == written[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beam.txt", "local.txt"]
    done = run_program(COMMAND, *flags, "--output=a.txt", "--beam_options=--streaming", folder=tmp_path)
    assert "`--beam_options` must be empty" in done.stderr or "--beam_options must be empty" in done.stderr
