import dataclasses
import json

import numpy as np
import pytest
from small_model import random_classification_batch, write_run, write_vocab

from bert_tf.configs import BertConfig, PretrainingConfig
from bert_tf.examples import DIGESTS
from bert_tf.models.classifier import BertClassifier
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.models.weights import named_weights
from bert_tf.runs import checkpoints
from bert_tf.runs import folder as run_folder
from bert_tf.runs.descriptions import RunDescription
from bert_tf.tokenization.options import AddedToken, TokenizerOptions
from bert_tf.tokenization.wordpiece import WordPieceTokenizer


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run", "classification")


@pytest.fixture
def tokenizer(tmp_path):
    return WordPieceTokenizer(str(write_vocab(tmp_path / "words.txt")))


def _description(tokenizer, **changes):
    config = PretrainingConfig(model=BertConfig.named("bert_tiny"))
    for field, value in changes.items():
        config = config.override(f"{field.replace('__', '.')}={value}")
    return RunDescription(
        task="pretraining",
        model=config.model,
        do_lower_case=True,
        vocab_hash=tokenizer.vocab_hash,
        max_seq_length=24,
        labels=(),
        experiment=config.to_dict(),
        data={"train": {"records": 3}, "eval": None},
    )


def test_a_folder_is_claimed_once(tmp_path, tokenizer):
    folder = str(tmp_path / "run")
    run_folder.claim(folder, _description(tokenizer), tokenizer)
    (tmp_path / "run" / "metrics.jsonl").write_text("{}\n")
    description, again = run_folder.read_run(folder)
    assert description == _description(tokenizer)
    assert again.tokens == tokenizer.tokens
    before = (tmp_path / "run" / "config.json").read_text()
    with pytest.raises(ValueError, match=r"another experiment: experiment\.train\.learning_rate was 0\.0001, now 0\.2"):
        run_folder.claim(folder, _description(tokenizer, train__learning_rate=0.2), tokenizer)
    other_data = dataclasses.replace(_description(tokenizer), data={"train": {"records": 4}, "eval": None})
    with pytest.raises(ValueError, match=r"data\.train\.records was 3, now 4"):
        run_folder.claim(folder, other_data, tokenizer)
    assert (tmp_path / "run" / "config.json").read_text() == before


def test_the_options_of_a_tokenizer_are_kept(tmp_path, tokenizer):
    added = AddedToken(tokenizer.tokens[-1], single_word=True)
    options = TokenizerOptions(strip_accents=False, max_input_chars_per_word=50, added_tokens=(added,))
    other = WordPieceTokenizer.from_tokens(tokenizer.tokens, options=options)
    description = dataclasses.replace(_description(other), tokenizer_options=options)
    folder = str(tmp_path / "run")
    run_folder.claim(folder, description, other)
    found, again = run_folder.read_run(folder)
    assert found == description
    assert found.of_model().tokenizer_options == options
    assert (again.options, again.vocab_hash) == (options, other.vocab_hash)
    # A run of an earlier version has no such field.
    file = tmp_path / "run" / "config.json"
    values = json.loads(file.read_text()) | {"vocab_hash": tokenizer.vocab_hash}
    values.pop("tokenizer_options")
    file.write_text(json.dumps(values))
    assert run_folder.read_run(folder)[1].options == TokenizerOptions()


def test_another_vocabulary_is_told_by_its_first_other_line(tmp_path, tokenizer):
    folder = str(tmp_path / "run")
    run_folder.claim(folder, _description(tokenizer), tokenizer)
    (tmp_path / "run" / "metrics.jsonl").write_text("{}\n")
    tokens = list(tokenizer.tokens)
    other = WordPieceTokenizer.from_tokens([*tokens[:-1], "zebra"])
    message = rf"its vocabulary differs: line {len(tokens)} is '{tokens[-1]}' and not 'zebra'"
    with pytest.raises(ValueError, match=message):
        run_folder.claim(folder, _description(other), other)


def test_examples_that_changed_are_refused(tmp_path, tokenizer):
    folder = str(tmp_path / "run")
    data = {"train": "all.tsv", "eval": None, DIGESTS: {"train": "1f", "eval": "2e"}}
    description = dataclasses.replace(_description(tokenizer), data=data)
    run_folder.claim(folder, description, tokenizer)
    (tmp_path / "run" / "metrics.jsonl").write_text("{}\n")
    run_folder.claim(folder, description, tokenizer)
    changed = dataclasses.replace(description, data=data | {DIGESTS: {"train": "3a", "eval": "2e"}})
    with pytest.raises(ValueError, match=r"the data changed since it began.*changed examples of train \(all\.tsv\)$"):
        run_folder.claim(folder, changed, tokenizer)
    assert run_folder.read_run(folder)[0] == description


def test_a_run_of_an_earlier_version_takes_the_digests_of_its_examples(tmp_path, tokenizer):
    folder = str(tmp_path / "run")
    description = dataclasses.replace(_description(tokenizer), data={"train": "all.tsv"})
    run_folder.claim(folder, description, tokenizer)
    (tmp_path / "run" / "metrics.jsonl").write_text("{}\n")
    with_digests = dataclasses.replace(description, data={"train": "all.tsv", DIGESTS: {"train": "1f"}})
    run_folder.claim(folder, with_digests, tokenizer)
    assert run_folder.read_run(folder)[0] == with_digests


def test_reports_may_change(tmp_path, tokenizer):
    folder = str(tmp_path / "run")
    run_folder.claim(folder, _description(tokenizer), tokenizer)
    (tmp_path / "run" / "checkpoints").mkdir()
    changed = _description(tokenizer, train__log_every=7, train__keep_checkpoints=9, train__checkpoint_every=2)
    run_folder.claim(folder, changed, tokenizer)
    assert run_folder.read_run(folder)[0].experiment["train"]["log_every"] == 7


def test_options_of_execution_may_change(tmp_path, tokenizer):
    folder = tmp_path / "run"
    without_dropout = {"model__attention_dropout_rate": 0}
    run_folder.claim(str(folder), _description(tokenizer, **without_dropout), tokenizer)
    (folder / "checkpoints").mkdir()
    changes = without_dropout | {"model__attention": "fused", "model__recompute": "true"}
    changes |= {"train__concurrent_parts": 2, "train__gradient_accumulation_steps": 2}
    run_folder.claim(str(folder), _description(tokenizer, **changes), tokenizer)
    assert json.loads((folder / "config.json").read_text())["model"]["attention"] == "fused"
    run_folder.claim(str(folder), _description(tokenizer, **without_dropout), tokenizer)


def test_a_run_of_an_earlier_version_can_be_continued(tmp_path, tokenizer):
    folder = tmp_path / "run"
    run_folder.claim(str(folder), _description(tokenizer), tokenizer)
    (folder / "checkpoints").mkdir()
    old = json.loads((folder / "config.json").read_text())
    # As if these fields had come since.
    del old["experiment"]["train"]["ema_decay"], old["model"]["recompute"], old["model"]["attention"]
    (folder / "config.json").write_text(json.dumps(old))
    run_folder.claim(str(folder), _description(tokenizer), tokenizer)
    (folder / "config.json").write_text(json.dumps(old))
    with pytest.raises(ValueError, match=r"ema_decay was 0.0, now 0.5"):
        run_folder.claim(str(folder), _description(tokenizer, train__ema_decay=0.5), tokenizer)


def test_a_folder_in_use(tmp_path, tokenizer):
    folder = str(tmp_path / "run")
    with run_folder.claimed(folder, _description(tokenizer), tokenizer) as lock:
        lock.check()
        before = (tmp_path / "run" / "config.json").read_text()
        # Another experiment may replace a description that nothing came of, but not under a job that is at work.
        another = run_folder.claimed(folder, _description(tokenizer, train__batch_size=8), tokenizer)
        with pytest.raises(OSError, match="`run_dir` is in use by process"), another:
            pass
        # Other workers of the same job go in.
        with run_folder.claimed(folder, _description(tokenizer), tokenizer, is_chief=False) as other:
            other.check()
        assert (tmp_path / "run" / "config.json").read_text() == before
    with run_folder.claimed(folder, _description(tokenizer, train__batch_size=8), tokenizer):
        pass


def test_a_start_that_left_nothing_does_not_block(tmp_path, tokenizer):
    folder = str(tmp_path / "run")
    run_folder.claim(folder, _description(tokenizer), tokenizer)
    run_folder.claim(folder, _description(tokenizer, train__batch_size=8), tokenizer)
    assert run_folder.read_run(folder)[0].experiment["train"]["batch_size"] == 8


def test_checkpoints_without_a_description(tmp_path, tokenizer):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"holds checkpoints, but no config\.json"):
        run_folder.claim(str(tmp_path / "run"), _description(tokenizer), tokenizer)


def test_unwritable(tmp_path, tokenizer):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="`run_dir` must be a folder that can be written to"):
        run_folder.claim(str(tmp_path / "file"), _description(tokenizer), tokenizer)


def test_a_run_with_fused_attention_is_read_with_plain_attention(tmp_path, caplog):
    run = str(write_run(tmp_path / "run", "pretraining", attention="fused"))
    caplog.set_level("INFO", logger="absl")
    model, description, _ = run_folder.load_run(run)
    assert caplog.messages == [f"{run} was trained with fused attention, and is read with plain attention."]
    assert model.config.attention == description.model.attention == "plain"
    assert description.experiment["model"]["attention"] == "fused"


@pytest.mark.parametrize(("task", "kind"), [("pretraining", BertPretrainer), ("classification", BertClassifier)])
def test_load_model(tmp_path, task, kind):
    run = write_run(tmp_path / "run", task)
    model, description, tokenizer = run_folder.load_run(str(run))
    assert isinstance(model, kind)
    assert description.task == task
    assert tokenizer.vocab_size == description.model.vocab_size
    checkpoint = checkpoints.newest_checkpoint(str(run))
    again = run_folder.model_of(description)
    checkpoints.restore(checkpoint, named_weights(again))
    for one, other in zip(model.trainable_weights, again.trainable_weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`run_dir` must be a run's folder, with a config\.json"):
        run_folder.read_run(str(tmp_path))


def test_a_changed_vocabulary_is_refused(finished):
    vocab = finished / "vocab.txt"
    text = vocab.read_text()
    try:
        vocab.write_text(text.replace("\nboat\n", "\nship\n"))
        assert vocab.read_text() != text
        with pytest.raises(ValueError, match=r"vocab\.txt is not the vocabulary that .*config\.json names"):
            run_folder.load_run(str(finished))
    finally:
        vocab.write_text(text)


def test_a_damaged_description_is_reported(finished):
    config = finished / "config.json"
    text = config.read_text()
    try:
        config.write_text(text[:100])
        with pytest.raises(ValueError, match=r"config\.json, line \d+, column \d+: not JSON"):
            run_folder.read_run(str(finished))
        config.write_text(json.dumps(json.loads(text) | {"colour": 1}))
        with pytest.raises(ValueError, match="unknown field `colour`"):
            run_folder.read_run(str(finished))
    finally:
        config.write_text(text)


def test_a_checkpoint_that_does_not_fit_its_description(tmp_path):
    run = write_run(tmp_path / "run", "classification")
    description = json.loads((run / "config.json").read_text())
    description["model"]["intermediate_size"] = 48
    (run / "config.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="a checkpoint of another size: 'encoder/block_0/intermediate_dense"):
        run_folder.load_run(str(run))


def test_pooling_and_dropout_come_from_the_task(finished):
    description, _ = run_folder.read_run(str(finished))
    description.experiment["task"]["pooling"] = "mean"
    description.experiment["task"]["dropout_rate"] = 0.25
    model = run_folder.model_of(description)
    assert (model.pooling, model.dropout_rate, model.num_classes) == ("mean", 0.25, 3)
    assert model(random_classification_batch()).shape == (4, 3)
    unknown = dataclasses.replace(description, task="translation")
    with pytest.raises(ValueError, match=r"`task` must be pretraining or .*classification\. Received: 'translation'"):
        run_folder.model_of(unknown)
