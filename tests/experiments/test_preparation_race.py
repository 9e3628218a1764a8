import sys

from experiments.benchmarks import preparation_race


def write(tmp_path, megabytes):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("A first sentence of several words.\nIts end.\n\nAnother document, also with many words.\n")
    path = tmp_path / "text.txt"
    preparation_race.write_text(str(corpus), str(path), megabytes)
    return path.read_text()


def test_text_is_cut_at_a_document(tmp_path):
    assert write(tmp_path, 1e-5) == "A first sentence of several words.\nIts end.\n\n"


def test_repetitions_have_new_words_of_the_same_length(tmp_path):
    text = write(tmp_path, 2e-3)
    documents = text.removesuffix("\n\n").split("\n\n")
    assert len(text) >= 2000 > len(text) - len(documents[-1]) - 2
    first, second, third = documents[0], documents[2], documents[4]
    assert len({first, second, third}) == 3
    assert {len(first)} == {len(second), len(third)}
    changed = [old != new for old, new in zip(first.split(), second.split(), strict=True)]
    assert 0 < sum(changed) < len(changed)


def test_the_time_of_work_leaves_out_imports():
    metrics = preparation_race.measure(preparation_race._timed(sys.executable, "this", "json"))
    assert 0 <= metrics["work_cpu_seconds"] < metrics["cpu_seconds"]
    assert metrics["peak_megabytes"] > 1
