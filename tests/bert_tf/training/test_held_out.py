"""Scores of generated texts: on replicas as on one device, and without a look at the targets."""

import pytest
from small_model import SMALL, TASK_CONFIGS, shake, write_vocab

from bert_tf.configs import TrainConfig
from bert_tf.examples import Examples, Seq2SeqExample
from bert_tf.tasks import task_of
from bert_tf.tasks.base import Member
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.training.held_out import HeldOut, Scorer
from bert_tf.training.tensorflow_engine.distribution import make_distribution
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine

TASK = task_of(TASK_CONFIGS["seq2seq"])
SOURCES = ["the old miller", "boat", "a sailor near the river a b c", "the river", "the road"]
METRICS = ("distinct_1", "distinct_2", "exact_match")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return WordPieceTokenizer(str(write_vocab(tmp_path_factory.mktemp("vocab") / "vocab.txt")))


def _scores(engine, tokenizer, *targets):
    model = SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1)
    state = engine.make_state(lambda: TASK.make_model(model, ()), TrainConfig(precision="float32"))
    shake(state.model)
    scorer = Scorer(state.model, TASK, (), tokenizer, engine=engine, batch_size=6, generation_metrics=METRICS)
    found = []
    for target in targets:
        examples = Examples([Seq2SeqExample(source, target) for source in SOURCES], "memory")
        found.append(scorer(HeldOut.of(examples, Member(TASK, ()), tokenizer)))
    return found


@pytest.fixture(scope="module")
def on_one_device(tokenizer):
    return _scores(TensorFlowEngine(), tokenizer, "boat", "river")


def test_targets_in_the_rows_are_not_read(on_one_device):
    one, other = on_one_device
    assert 0.0 < one["distinct_1"] <= one["distinct_2"]
    assert {name: other[name] for name in METRICS[:2]} == {name: one[name] for name in METRICS[:2]}
    assert one["seq2seq_loss"] != other["seq2seq_loss"]


@pytest.mark.long  # each replica is traced
def test_replicas_generate_what_one_device_does(tokenizer, on_one_device):
    [replicas] = _scores(TensorFlowEngine(make_distribution(num_devices=2)), tokenizer, "boat")
    assert replicas == pytest.approx(on_one_device[0], rel=1e-4)
