"""The files of several tasks in one flag."""

import pytest

from bert_tf.configs import ClassificationConfig
from bert_tf.configs.multi_task import MemberConfig, MultiTaskConfig
from bert_tf.configs.tasks import TaggingConfig
from bert_tf.utils.arguments import renamed
from data_pipelines.finetuning.by_task import files_by_task
from data_pipelines.finetuning.labelled import read_examples, read_part, read_parts

CONFIG = MultiTaskConfig(tasks=(MemberConfig("topic", ClassificationConfig()), MemberConfig("names", TaggingConfig())))


@pytest.mark.parametrize(
    ("path", "received"),
    [
        ("a.tsv", r"'a\.tsv'"),
        ("a.tsv,topic=b.tsv", r"'a\.tsv,topic=b\.tsv'"),
        ("topic=a.tsv,ner=b.conll", r"the name 'ner' in 'topic=a\.tsv,ner=b\.conll'"),
        ("topic=a.tsv,topic=b.tsv", "two files for 'topic' in .*"),
        ("topic=a.tsv", "no file for names in 'topic=a.tsv'"),
        ("topic=a.tsv,names=", "no file for names in .*"),
    ],
)
def test_wrong_files(path, received):
    expected = f"^`train_file` must be NAME=FILE .*: {received}$"
    with pytest.raises(ValueError, match=expected), renamed(path="train_file"):
        files_by_task(path, ["topic", "names"])


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\n" + "".join(f"t{n}\t{n % 2}\n" for n in range(10)))
    (tmp_path / "b.conll").write_text("".join(f"w{n} O\nx B-X\n\n" for n in range(8)))
    return f"names={tmp_path}/b.conll,topic={tmp_path}/a.tsv"


def test_each_task_has_its_examples_and_its_split(path):
    parts = read_parts(CONFIG, {"train": path}, split="50/50")
    sizes = {part: [len(found.of_task(name).examples) for name in ("topic", "names")] for part, found in parts.items()}
    assert sizes == {"train": [6, 4], "eval": [4, 4]}
    data = {"train": path, "split": "50/50", "split_seed": 0, "digests": {"eval": parts["eval"].digest()}}
    assert read_part(CONFIG, data, "eval").digest() == parts["eval"].digest()
    whole = read_examples(path, CONFIG)
    assert (len(whole.examples), whole.digest() == parts["train"].digest()) == (18, False)


def test_a_missing_file_is_named(path):
    with pytest.raises(FileNotFoundError, match=r"^`train_file` must be .*: 'none\.tsv'$"), renamed(path="train_file"):
        read_examples(path.replace("topic=", "topic=none.tsv,").split(",")[0] + ",topic=none.tsv", CONFIG)
