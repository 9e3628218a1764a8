"""Tokenizer, readers and models run where TensorFlow is not installed, in a process that refuses its import."""

import functools
import json

import pytest
from small_checkpoints import HF_CONFIG, hf_encoder, write_hf
from without_packages import TENSORFLOW, packages_beside, run_without


@pytest.fixture
def run(tmp_path):
    """Run a program in a process that finds no TensorFlow; return what it prints."""
    return functools.partial(run_without, TENSORFLOW, tmp_path)


def test_text_becomes_tokens_and_files_are_read_and_written(run, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "miller", "##s"]))
    (tmp_path / "corpus.txt").write_text("The miller slept.\nNobody saw him.\n\nA second document.\n")
    (tmp_path / "train.tsv").write_text("text\tlabel\nmillers\tgood\n")
    program = """
import sys

from bert_tf.configs.experiment_files import load_config
from bert_tf.configs import FinetuningConfig
from bert_tf.preprocessing.preprocessor import Preprocessor
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from data_pipelines.corpora.documents import write_documents
from data_pipelines.corpora.readers import read_documents
from data_pipelines.finetuning.labelled import read_examples

folder = sys.argv[1]
tokenizer = WordPieceTokenizer(folder + "/vocab.txt", True)
print(tokenizer.tokenize("Millers!"))
print(Preprocessor(tokenizer, 5)(["Millers!"])["input_ids"].tolist())
try:
    tokenizer("a", return_tensors="tf")
except ImportError as error:
    print(error)
documents = list(read_documents(folder + "/corpus.txt"))
print(write_documents(documents, folder + "/new/copy.txt"))
files.write_json(folder + "/new/config.json", {"a": float("nan")})
print(files.read_json(folder + "/new/config.json"), files.names_in_folder(folder + "/new"))
task = load_config("sst2", FinetuningConfig).task
print(task.text_column)
examples = read_examples(folder + "/train.tsv", task.replace(text_column="text")).examples
print([(example.text, example.label) for example in examples])
try:
    files.exists("gs://bucket/name")
except OSError as error:
    print(error)
assert not {"keras", "jax", "tensorflow"} & set(sys.modules)
"""
    lines = run(program).splitlines()
    assert lines[0] == "['miller', '##s', '[UNK]']"
    assert lines[1] == "[[2, 5, 6, 1, 3]]"
    assert lines[2].startswith("tensors of TensorFlow need it: pip install 'bert_tf[cpu]'")
    lines = lines[2:]
    assert lines[1].startswith("2 documents, ")
    assert lines[2] == "{'a': None} ['config.json', 'copy.txt']"
    assert lines[3] == "sentence"
    assert lines[4] == "[('millers', 'good')]"
    assert lines[5] == "gs://bucket/name: TensorFlow must be installed to reach files by URL"


def test_models_run_on_jax_where_keras_and_jax_alone_are_installed(tmp_path):
    pytest.importorskip("jax")
    program = """
import importlib
import pkgutil
import sys

import bert_tf
import numpy as np

for room in ("configs", "tokenization", "layers", "models", "objectives", "tasks", "scoring", "runs"):
    package = importlib.import_module("bert_tf." + room)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"bert_tf.{room}.{module.name}")
for name in ("features", "examples", "fusion", "optimization"):
    importlib.import_module("bert_tf." + name)
config = bert_tf.BertConfig(
    vocab_size=20, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=8, max_position_embeddings=8
)
ids = np.ones((2, 8), "int32")
batch = {"input_ids": ids, "input_mask": ids, "segment_ids": 0 * ids, "position_ids": np.arange(8, dtype="int32") * ids}
outputs = bert_tf.BertEncoder(config)(batch)
print(sorted((name, tuple(output.shape)) for name, output in outputs.items()))
assert not {"tensorflow", "torch", "tqdm", "safetensors"} & set(sys.modules)
"""
    packages = packages_beside("keras", "jax", "absl-py")
    assert {"tensorflow", "tqdm", "safetensors"} <= {*packages}
    printed = run_without(packages, tmp_path, program, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    assert printed == "[('pooled_output', (2, 8)), ('sequence_output', (2, 8, 8))]\n"


def test_the_jax_engine_trains_where_keras_and_jax_alone_are_installed(tmp_path):
    pytest.importorskip("jax")
    program = """
import importlib
import pkgutil
import runpy
import sys

options = ("device=cpu", "model=bert_tiny", "precision=float32", "packed=3", "batch_size=2", "max_seq_length=16")
sys.argv = ["jax_step", *(f"--{option}" for option in (*options, "steps=7", "repetitions=1"))]
try:
    runpy.run_module("experiments.benchmarks.jax_step", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
package = importlib.import_module("bert_tf.training.jax_engine")
for module in pkgutil.iter_modules(package.__path__):
    importlib.import_module(f"bert_tf.training.jax_engine.{module.name}")
assert not {"tensorflow", "torch", "tqdm", "safetensors"} & set(sys.modules)
"""
    packages = packages_beside("keras", "jax", "absl-py")
    line = json.loads(run_without(packages, tmp_path, program, KERAS_BACKEND="jax"))
    assert (line["device"], line["num_devices"], line["packed"]) == ("cpu", 1, 3)
    assert line["seconds_per_step"] > 0 < line["compile_seconds"]
    assert line["tokens_per_second"] == pytest.approx(32 * (1 - line["padding_share"]) / line["seconds_per_step"])
    assert 9 < line["loss_last"] < line["loss_first"] < 12  # both of the first batch


def test_published_weights_load_on_jax(run, tmp_path):
    pytest.importorskip("jax")
    write_hf(tmp_path / "published", hf_encoder())
    program = """
import sys

import bert_tf

encoder = bert_tf.load_encoder(sys.argv[1] + "/published")
print(encoder.count_params())
for path in (sys.argv[1] + "/google", sys.argv[1]):
    try:
        bert_tf.load_encoder(path)
    except (ImportError, FileNotFoundError) as error:
        print(error)
"""
    (tmp_path / "google").mkdir()
    for name, contents in (("bert_model.ckpt.index", ""), ("bert_config.json", json.dumps(HF_CONFIG))):
        (tmp_path / "google" / name).write_text(contents)
    lines = run(program, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu").splitlines()
    assert int(lines[0]) > 0
    assert lines[1].startswith("TensorFlow's checkpoints need it: pip install 'bert_tf[cpu]'")
    assert lines[2].startswith("`path` must name a folder that holds a BERT")


def test_records_are_prepared_by_several_processes(run):
    program = """
import sys

from bert_tf.utils import files
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.records.manifest import PreparationConfig
from small_corpus import corpus_documents
from small_records import TOKENIZER

if __name__ == "__main__":
    folder = sys.argv[1] + "/records"
    config = PreparationConfig(max_seq_length=64)
    manifest = create_pretraining_data(corpus_documents(60), TOKENIZER, folder, config=config, num_workers=2)
    print(files.exists(folder + "/manifest.json"), manifest.max_seq_length)
    assert not {"keras", "jax", "tensorflow"} & set(sys.modules)
"""
    assert run(program) == "True 64\n"


def test_metrics_logs_are_read(run, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"kind": "eval", "step": 3, "accuracy": 0.5}\n')
    program = """
import sys

from bert_tf.runs.metrics_log import MetricsLog

print(MetricsLog(sys.argv[1], start=3).evaluations())
assert not {"keras", "jax", "tensorflow"} & set(sys.modules)
"""
    assert run(program) == "[(3, {'accuracy': 0.5})]\n"
