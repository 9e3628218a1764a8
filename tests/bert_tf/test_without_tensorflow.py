"""Tokenizer, readers and models run where TensorFlow is not installed, in a process that refuses its import."""

import os
import subprocess
import sys

import pytest

_BLOCKED = """
import importlib, pkgutil, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"tensorflow", "tensorflow_text", "tensorflow_datasets"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def _run(program: str, *arguments: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", _BLOCKED + program, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_text_becomes_tokens_and_files_are_read_and_written(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "miller", "##s"]))
    (tmp_path / "corpus.txt").write_text("The miller slept.\nNobody saw him.\n\nA second document.\n")
    (tmp_path / "train.tsv").write_text("text\tlabel\nmillers\tgood\n")
    program = """
from bert_tf.configs.experiment_files import load_config
from bert_tf.configs import FinetuningConfig
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from data_pipelines.corpora.readers import read_documents, write_documents
from data_pipelines.finetuning import tables

folder = sys.argv[1]
tokenizer = WordPieceTokenizer(folder + "/vocab.txt", True)
print(tokenizer.tokenize("Millers!"))
documents = list(read_documents(folder + "/corpus.txt"))
print(write_documents(documents, folder + "/new/copy.txt"))
files.write_json(folder + "/new/config.json", {"a": float("nan")})
print(files.read_json(folder + "/new/config.json"), files.names_in_folder(folder + "/new"))
print(load_config("sst2", FinetuningConfig).task.text_column)
print([row for _, row in tables.read_rows(folder + "/train.tsv", "train_file")])
try:
    files.exists("gs://bucket/name")
except OSError as error:
    print(error)
assert not {"keras", "jax", "tensorflow"} & set(sys.modules)
"""
    lines = _run(program, str(tmp_path)).splitlines()
    assert lines[0] == "['miller', '##s', '[UNK]']"
    assert lines[1].startswith("2 documents, ")
    assert lines[2] == "{'a': None} ['config.json', 'copy.txt']"
    assert lines[3] == "sentence"
    assert lines[4] == "[{'text': 'millers', 'label': 'good'}]"
    assert lines[5] == "gs://bucket/name: TensorFlow must be installed to reach files by URL"


def test_models_run_on_jax():
    pytest.importorskip("jax")
    program = """
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
    printed = _run(program, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    assert printed == "[('pooled_output', (2, 8)), ('sequence_output', (2, 8, 8))]\n"
