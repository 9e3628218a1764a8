"""Fine-tuning starts no part of a published model from random weights unasked."""

import pytest
from small_checkpoints import hf_encoder, with_heads, write_hf

from bert_tf.configs import FinetuningConfig, TrainConfig
from bert_tf.configs.tasks import ClassificationConfig, TaggingConfig
from bert_tf.examples import Examples, TaggedExample, TextExample
from bert_tf.training.finetuning import finetune
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine

TRAIN = TrainConfig(
    num_steps=1, warmup_steps=0, batch_size=2, steps_per_loop=1, log_every=0, precision="float32", jit_compile=False
)
TEXTS = Examples([TextExample("a b", label="red"), TextExample("c d", label="blue")], "texts")
WORDS = Examples([TaggedExample.from_words(["a", "b"], ["O", "B-X"])], "words")


@pytest.fixture(scope="module")
def without_pooler(tmp_path_factory):
    return write_hf(tmp_path_factory.mktemp("published") / "hf", hf_encoder(pooler=False), architectures=["BertModel"])


def _finetune(task, examples, folder, source, **options):
    config = FinetuningConfig(task=task, train=TRAIN, num_epochs=None, evals_per_epoch=0)
    return finetune(
        config, examples, None, run_dir=str(folder), engine=TensorFlowEngine(), init_checkpoint=source, **options
    )


def test_a_missing_pooler_is_an_error(tmp_path, without_pooler):
    with pytest.raises(ValueError, match=r"no weights for encoder/pooler, .*--allow_random_heads"):
        _finetune(ClassificationConfig(max_seq_length=8), TEXTS, tmp_path / "run", without_pooler)
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_a_random_pooler_is_allowed_on_request(tmp_path, without_pooler):
    task = ClassificationConfig(max_seq_length=8)
    assert "classification_loss" in _finetune(task, TEXTS, tmp_path, without_pooler, allow_random_heads=True)


@pytest.mark.long
def test_a_tagger_needs_no_pooler(tmp_path, without_pooler):
    assert _finetune(TaggingConfig(max_seq_length=8), WORDS, tmp_path, without_pooler)["learning_rate"] > 0


@pytest.mark.parametrize(("names", "is_told"), [(("red", "green"), True), (("red", "blue"), False), (None, False)])
def test_labels_that_differ_from_the_checkpoint_are_reported(tmp_path, caplog, names, is_told):
    id2label = {"id2label": {str(number): name for number, name in enumerate(names)}} if names else {}
    source = write_hf(tmp_path / "hf", with_heads("classifier", classes=2), **id2label)
    config = FinetuningConfig(task=ClassificationConfig(max_seq_length=8), train=TRAIN, reinitialize_layers=3)
    with pytest.raises(ValueError, match="reinitialize_layers"):  # all is read by then, and nothing trained
        finetune(config, TEXTS, None, run_dir=str(tmp_path / "run"), engine=TensorFlowEngine(), init_checkpoint=source)
    told = [message for message in caplog.messages if "is for the labels red, green" in message]
    assert len(told) == is_told
    if is_told:
        assert "the training examples have blue, red" in told[0]
