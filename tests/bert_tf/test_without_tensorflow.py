"""Tokenizer, readers and models run where TensorFlow is not installed, in a process that refuses its import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = str(Path(__file__).resolve().parents[1])
_MISSING = ("tensorflow", "tensorflow_text", "tensorflow_datasets")


@pytest.fixture
def run(tmp_path):
    """Run a program in a process that finds no TensorFlow, and nor do its children; return what it prints."""
    for name in _MISSING:
        (tmp_path / "missing" / name).mkdir(parents=True)
        refusal = f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')\n"
        (tmp_path / "missing" / name / "__init__.py").write_text(refusal)

    def run_program(program, **environment):
        path = os.pathsep.join([str(tmp_path / "missing"), os.environ["PYTHONPATH"], TESTS])
        (tmp_path / "program.py").write_text(program)
        result = subprocess.run(
            [sys.executable, str(tmp_path / "program.py"), str(tmp_path)],
            env=os.environ | {"PYTHONPATH": path} | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run_program


def test_text_becomes_tokens_and_files_are_read_and_written(run, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "miller", "##s"]))
    (tmp_path / "corpus.txt").write_text("The miller slept.\nNobody saw him.\n\nA second document.\n")
    (tmp_path / "train.tsv").write_text("text\tlabel\nmillers\tgood\n")
    program = """
import sys

from bert_tf.configs.experiment_files import load_config
from bert_tf.configs import FinetuningConfig
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from data_pipelines.corpora.documents import write_documents
from data_pipelines.corpora.readers import read_documents
from data_pipelines.finetuning.labelled import read_examples

folder = sys.argv[1]
tokenizer = WordPieceTokenizer(folder + "/vocab.txt", True)
print(tokenizer.tokenize("Millers!"))
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
    assert lines[1].startswith("2 documents, ")
    assert lines[2] == "{'a': None} ['config.json', 'copy.txt']"
    assert lines[3] == "sentence"
    assert lines[4] == "[('millers', 'good')]"
    assert lines[5] == "gs://bucket/name: TensorFlow must be installed to reach files by URL"


def test_models_run_on_jax(run):
    pytest.importorskip("jax")
    program = """
import importlib
import pkgutil

import bert_tf
import numpy as np

for room in ("configs", "tokenization", "utils", "layers", "models", "objectives"):
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
"""
    printed = run(program, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    assert printed == "[('pooled_output', (2, 8)), ('sequence_output', (2, 8, 8))]\n"


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
