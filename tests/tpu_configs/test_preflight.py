"""What a TPU job is refused for before its TPU is touched."""

import pytest
import tensorflow as tf
from small_records import TOKENIZER, make

from bert_tf.configs import BertConfig, FinetuningConfig, PretrainingConfig, TrainConfig
from bert_tf.configs.training import PhaseConfig
from data_pipelines.records.manifest import PreparationConfig
from tpu_configs import preflight

TRAIN = TrainConfig(batch_size=32, eval_batch_size=16)
CONFIG = PretrainingConfig(model=BertConfig(vocab_size=TOKENIZER.vocab_size), train=TRAIN)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records of length 64 and of 32."""
    path = tmp_path_factory.mktemp("records")
    for length in (64, 32):
        make(path / str(length), PreparationConfig(max_seq_length=length))
    return path


@pytest.mark.parametrize("path", ["/data/records", "records", "file:///records", "gs:/records", "gs://"])
def test_a_remote_tpu_reads_no_local_path(path):
    with pytest.raises(ValueError, match=r"--train_data must be a gs:// path.*--tpu=pod.*Received: '" + path):
        preflight.check_paths("pod", [("--model_dir", "gs://bucket/run"), ("--train_data", path)])
    preflight.check_paths("local", [("--train_data", path)])


def test_names_are_no_paths(tmp_path):
    names = [
        ("--init_checkpoint", "google/bert-base"),
        ("--train_file", "tfds:glue/sst2[train]"),
        ("--eval_file", None),
    ]
    preflight.check_paths("pod", names)
    for path in (str(tmp_path), "/absent"):
        with pytest.raises(ValueError, match=r"--init_checkpoint must be a gs:// path"):
            preflight.check_paths("pod", [("--init_checkpoint", path)])


@pytest.mark.parametrize(
    ("changes", "devices", "message"),
    [
        ({}, 12, r"`train\.batch_size` must be a multiple of the TPU's 12 devices\. Received: 32"),
        ({"eval_batch_size": 12}, 8, r"`train\.eval_batch_size` must be a multiple of the TPU's 8 devices"),
        ({"gradient_accumulation_steps": 8}, 8, r"a device's 4 rows must be a multiple of .*Received: 8"),
    ],
)
def test_batches_that_do_not_divide(changes, devices, message):
    with pytest.raises(ValueError, match=message):
        preflight.check_batches(TRAIN.replace(**changes), devices, evaluates=True)


def test_the_topology_gives_the_number_of_devices():
    preflight.check_batches_on("v3-32", [TRAIN])
    preflight.check_batches_on(None, [TRAIN.replace(batch_size=7)])
    with pytest.raises(ValueError, match="multiple of the TPU's 32 devices"):
        preflight.check_batches_on("v3-32", [TRAIN, TRAIN.replace(batch_size=16)])
    preflight.check_devices(8, "v5e-8", [TRAIN])
    with pytest.raises(ValueError, match=r"--topology must be the TPU's topology, with 8 devices\. Received: 'v5e-4'"):
        preflight.check_devices(8, "v5e-4", [TRAIN])
    with pytest.raises(ValueError, match="multiple of the TPU's 24 devices"):
        preflight.check_devices(24, None, [TRAIN])


def test_sound_records_pass(folder):
    records = [str(folder / "64")]
    preflight.check_pretraining(
        "local", "v5e-8", CONFIG, train_data=records, eval_data=records, paths={"--model_dir": "run"}
    )


def test_ids_must_have_embeddings(folder):
    config = CONFIG.replace(model=BertConfig(vocab_size=TOKENIZER.vocab_size - 1))
    with pytest.raises(ValueError, match=rf"at least the vocabulary's {TOKENIZER.vocab_size} tokens"):
        preflight.check_pretraining("local", None, config, train_data=[str(folder / "64")], eval_data=[], paths={})


def test_damaged_records_may_be_skipped(tmp_path):
    make(tmp_path / "records")
    shard = next((tmp_path / "records").glob("*.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(ValueError, match=shard.name):
        preflight.check_records(CONFIG, [str(tmp_path / "records")], [])
    preflight.check_records(CONFIG, [str(tmp_path / "records")], [], skip_corrupt=True)
    small = CONFIG.replace(model=CONFIG.model.replace(vocab_size=9))
    with pytest.raises(ValueError, match="at least the vocabulary's"):
        preflight.check_records(small, [str(tmp_path / "records")], [], skip_corrupt=True)


def test_every_phase_is_checked(folder):
    phases = (PhaseConfig(share=0.9, max_seq_length=32), PhaseConfig(share=0.1, max_seq_length=64, batch_size=12))
    config = CONFIG.replace(phases=phases)
    data = [str(folder / "32"), str(folder / "64")]
    preflight.check_pretraining("local", "v5e-4", config, train_data=data, eval_data=[], paths={})
    with pytest.raises(ValueError, match=r"multiple of the TPU's 8 devices\. Received: 12"):
        preflight.check_pretraining("local", "v5e-8", config, train_data=data, eval_data=[], paths={})
    short = config.replace(model=config.model.replace(max_position_embeddings=32))
    with pytest.raises(ValueError, match=r"at least the rows' length of 64\. Received: 32"):
        preflight.check_records(short, data, [])


def test_shapes_must_be_static():
    specs = {"input_ids": tf.TensorSpec([8, 64], tf.int32), "input_mask": tf.TensorSpec([8, None], tf.int32)}
    with pytest.raises(ValueError, match=r"records/: 'input_mask' must have a static shape.*Received: \(8, None\)"):
        preflight.check_static("records/", specs)
    preflight.check_static("records/", {"input_ids": specs["input_ids"]})


def test_fine_tuning_knows_its_vocabulary(tmp_path):
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(TOKENIZER.tokens) + "\n")
    config = FinetuningConfig(model=BertConfig(vocab_size=20), train=TRAIN)
    paths = {"--vocab_file": str(vocab), "--train_file": "train.tsv", "--init_checkpoint": None}
    with pytest.raises(ValueError, match=r"at least the vocabulary's .* tokens\. Received: 20"):
        preflight.check_finetuning("local", None, config, paths=paths)
    preflight.check_finetuning("local", "v5e-8", config.replace(model=CONFIG.model), paths=paths)
    with pytest.raises(ValueError, match=r"--vocab_file must be a gs:// path"):
        preflight.check_finetuning("pod", None, config, paths=paths)
