import collections

import pytest

from bert_tf.configs.tasks import ClassificationConfig
from bert_tf.examples import DIGESTS, Examples, QuestionExample, TextExample
from data_pipelines.finetuning.labelled import read_part, read_parts
from data_pipelines.finetuning.splits import Split


def labelled(counts):
    names = [label for label, count in counts.items() for _ in range(count)]
    return Examples([TextExample(f"text {number}", None, label) for number, label in enumerate(names)], "a.tsv")


def test_labels_have_the_same_shares_in_all_parts():
    parts = Split.parse("80/10/10").parts(labelled({"a": 100, "b": 50}))
    counts = {name: collections.Counter(example.label for example in part.examples) for name, part in parts.items()}
    assert counts == {"train": {"a": 80, "b": 40}, "eval": {"a": 10, "b": 5}, "test": {"a": 10, "b": 5}}
    texts = [example.text for part in parts.values() for example in part.examples]
    assert len(set(texts)) == len(texts) == 150
    assert parts["eval"].path == "a.tsv (eval of 80/10/10)"


def test_groups_stay_whole():
    items = [QuestionExample("q", "c", str(n), (("c", 0),), group=f"article {n % 12}") for n in range(120)]
    parts = Split.parse("80/20").parts(Examples(items, "a.json"))
    groups = [{example.group for example in parts[name].examples} for name in ("train", "eval")]
    assert not groups[0] & groups[1]
    assert 90 <= len(parts["train"].examples) <= 100


def test_the_seed_decides_the_parts():
    def chosen(seed):
        parts = Split.parse("1/1", seed).parts(labelled({"a": 40}))
        return [example.text for example in parts["eval"].examples]

    assert chosen(0) == chosen(0)
    assert chosen(0) != chosen(1)


@pytest.mark.parametrize("text", ["80", "80/0", "a/b", "1/2/3/4", "80/-20", "nan/1", ""])
def test_bad_shares_are_errors(text):
    with pytest.raises(ValueError, match=r"`split` must be two or three numbers above 0"):
        Split.parse(text)


def test_an_empty_part_is_an_error():
    with pytest.raises(ValueError, match=r"`split` must leave examples of a\.tsv for the part 'eval'.*98/1/1"):
        Split.parse("98/1/1").parts(labelled({"a": 5}))


def test_parts_come_from_files_or_from_a_split(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("text\tlabel\n" + "".join(f"text {n}\t{n % 2}\n" for n in range(20)))
    config = ClassificationConfig()
    parts = read_parts(config, {"train": str(path), "eval": None}, split="80/20", split_seed=3)
    assert [len(part.examples) for part in parts.values()] == [16, 4]
    data = {"train": str(path), "split": "80/20", "split_seed": 3}
    assert read_part(config, data, "eval") == parts["eval"]
    digests = {name: part.digest() for name, part in parts.items()}
    assert read_part(config, data | {DIGESTS: digests}, "eval") == parts["eval"]
    with pytest.raises(ValueError, match=r"must be the examples that the run had, .*'eval' of .*a\.tsv"):
        read_part(config, data | {DIGESTS: digests | {"eval": "1f"}}, "eval")
    with pytest.raises(ValueError, match=r"`part` must be one of train, eval.*'test'"):
        read_part(config, data, "test")
    with pytest.raises(ValueError, match="`part` needs a run made with --split"):
        read_part(config, {"train": str(path)}, "eval")
    with pytest.raises(ValueError, match=r"`split` splits `train_file`"):
        read_parts(config, {"train": str(path), "eval": str(path)}, split="80/20")
