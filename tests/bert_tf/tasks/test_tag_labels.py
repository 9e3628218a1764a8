"""The tagging task describes its labels, and warns of odd ones, before training and evaluation."""

import pytest

from bert_tf.configs import ConfigError, FinetuningConfig
from bert_tf.configs.tasks import TaggingConfig
from bert_tf.examples import Examples, TaggedExample
from bert_tf.tasks import task_of
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from bert_tf.training.finetuning import finetune, score
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine


def _examples(*sentences):
    return [
        TaggedExample.from_words(["a"] * len(tags.split()), tags.split(), source=f"a.conll, line {number}")
        for number, tags in enumerate(sentences, 1)
    ]


def _described(*sentences, **config):
    task, examples = task_of(TaggingConfig(**config)), _examples(*sentences)
    return task.describe_labels(task.label_names(examples), examples)


def _warnings(*sentences, **config):
    task, examples = task_of(TaggingConfig(**config)), _examples(*sentences)
    return task.label_warnings(task.label_names(examples), examples)


def test_a_line_names_the_scheme_and_the_types():
    assert _described("B-LOC I-LOC O", "B-PER") == "tags: scheme iob2, with spans of LOC, PER"
    assert _described("I-LOC B-LOC O", "I-PER") == "tags: scheme iob1, with spans of LOC, PER"
    assert _described("I-X E-X O") == "tags: scheme ioe2, with spans of X"
    assert _described("B_X L_X U_Y", scheme="BIOUL") == "tags: scheme bilou, with spans of X, Y"
    assert _described("B M E S") == "tags: scheme bmes, with spans of one type"
    assert _described("NN VB") == "tags: 2, which mark no spans (scheme none)"
    assert _described("B-X I-X", scheme="none") == "tags: 2, which mark no spans (scheme none)"


def test_tags_that_fit_no_scheme_are_warned_of():
    [warning] = _warnings("B-X I-X O STRANGE")
    assert "most tags look as if they marked spans, but STRANGE fit no scheme" in warning
    assert "`task.scheme`" in warning
    assert "bilou" in warning
    [warning] = _warnings(" ".join(f"b-{number}" for number in range(7)))
    assert "b-0, b-1, b-2, b-3, b-4 and 2 more fit no scheme" in warning
    assert _warnings("B-X I-X O STRANGE", scheme="none") == []
    assert _warnings("NN VB IN", "PRP$ O") == []


def test_spans_that_the_scheme_does_not_allow_are_counted():
    [warning] = _warnings("B-X I-X O B-X", "O I-X", "B-X", "I-X I-X O I-X")
    assert warning == (
        "3 of 6 spans are not as iob2 allows, the first in a.conll, line 2: strict scores leave them out"
    )
    for valid in (["B-X I-X O", "B-X B-X"], ["I-X B-X O I-X"], ["B-X E-X S-X"], ["U-X B-X L-X"], ["W-X B-X E-X"]):
        assert _warnings(*valid, "O") == []


def test_a_tag_that_is_not_listed_is_left_to_the_error_of_encoding():
    task, examples = task_of(TaggingConfig(labels=("B-X", "I-X", "O"))), _examples("B-X O", "B-Z")
    labels = task.label_names(examples)
    assert task.describe_labels(labels, examples) == "tags: scheme iob2, with spans of X"
    assert task.label_warnings(labels, examples) == []


def test_a_scheme_set_by_hand_must_fit_the_labels():
    task = task_of(TaggingConfig(scheme="bilou"))
    with pytest.raises(ValueError, match=r"`task\.scheme` must fit the tags: .*'bilou', and the tags E-X, S-X"):
        task.label_names(_examples("B-X E-X", "S-X O"))
    for name in ("bmeso", "BIOES", "io", "IOB2", "none", "auto"):
        assert TaggingConfig(scheme=name).scheme == name
    with pytest.raises(ConfigError, match=r"`scheme` must be one of auto, none, io, iob, .*, bmewo\. Received: 'crf'"):
        TaggingConfig(scheme="crf")


@pytest.mark.parametrize("sentences", [["B-X I-X O STRANGE"], ["B-X", "O I-X"]])
def test_training_logs_the_warnings(sentences, tmp_path, caplog):
    task, examples = task_of(TaggingConfig()), Examples(_examples(*sentences), "a.conll")
    labels = task.label_names(examples.examples)
    config = FinetuningConfig(task=task.config)
    absent = {"engine": TensorFlowEngine(), "init_checkpoint": str(tmp_path / "absent")}
    with pytest.raises(FileNotFoundError):
        finetune(config, examples, None, run_dir=str(tmp_path / "run"), **absent)
    [expected] = task.label_warnings(labels, examples.examples)
    assert [record.getMessage() for record in caplog.records] == [f"a.conll: {expected}"]
    assert task.main_score(labels) == ("accuracy" if "STRANGE" in labels else "f1")


def test_evaluation_logs_the_warnings(caplog):
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, "a"])
    task, examples = task_of(TaggingConfig()), Examples(_examples("B-X O", "B-X UNKNOWN"), "a.conll")
    options = {"tokenizer": tokenizer, "engine": TensorFlowEngine(), "batch_size": 1}
    with pytest.raises(ValueError, match="'UNKNOWN'"):
        score(None, task, examples, labels=("B-X", "I-X", "STRANGE", "O"), **options)
    assert [record.getMessage()[:60] for record in caplog.records] == [
        "a.conll: most tags look as if they marked spans, but STRANGE"
    ]
