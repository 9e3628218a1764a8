"""Bad input stops a launcher with one line that names flag or file, rule and value, and leaves nothing."""

import gzip
import shutil
from pathlib import Path

import pytest
from launch_many import launch_many
from small_corpus import write_corpus
from small_model import write_run, write_vocab

from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from data_pipelines.corpora.readers import read_documents
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.records.manifest import PreparationConfig

REPOSITORY = Path(__file__).resolve().parents[2]
DEBUG = f"--config={REPOSITORY}/experiments/configs/bert_tiny_debug.py"
CLASSIFICATION = f"--config={REPOSITORY}/experiments/configs/classification.py"
VOCAB = "data_pipelines.create_vocab"
RECORDS = "data_pipelines.create_pretraining_data"
PRETRAIN, FINETUNE, EVALUATE, PREDICT, EXPORT, QUERY = (
    f"experiments.{name}"
    for name in ("pretrain", "finetune", "evaluate", "predict", "export_saved_model", "query_saved_model")
)

_VOCAB_OUT = ["--output=out/vocab.txt", "--vocab_size=100"]
_RECORDS_OUT = ["--vocab_file=vocab.txt", "--output_dir=out", "--max_seq_length=24"]
_PRETRAIN = [DEBUG, "--train_data=records", "--set=train.jit_compile=false"]
_FINETUNE = [
    CLASSIFICATION,
    "--model_dir=out",
    "--init_checkpoint=run",
    "--train_file=train.tsv",
    "--set=task.max_seq_length=24",
]

_TAGGING = [
    f"--config={REPOSITORY}/experiments/configs/conll2003.py",
    "--model_dir=out",
    "--train_file=train.conll",
    "--set=task.max_seq_length=24",
]

# name -> (command, what the message must hold)
CASES = {
    "no corpus": ([VOCAB, "--input=nothing/*.txt", *_VOCAB_OUT], ["--input", "no file matches", "'nothing/*.txt'"]),
    "empty corpus": ([VOCAB, "--input=empty.txt", *_VOCAB_OUT], ["--input", "at least one sentence", "'empty.txt'"]),
    "corpus not UTF-8": ([VOCAB, "--input=latin.txt", *_VOCAB_OUT], ["latin.txt, line 2", "not UTF-8", "0xe9"]),
    "corpus of broken gzip": ([VOCAB, "--input=broken.txt.gz", *_VOCAB_OUT], ["broken.txt.gz", "end too early"]),
    "corpus of bad JSON": ([RECORDS, "--input=bad.jsonl", *_RECORDS_OUT], ["bad.jsonl, line 2", "not JSON"]),
    "no such field": (
        [RECORDS, "--input=bad.jsonl", "--text_field=body", *_RECORDS_OUT],
        ["bad.jsonl, line 1", "--text_field", "'body'"],
    ),
    "weights of other corpora": (
        [VOCAB, "--input=a=corpus.txt", "--input=b=corpus.txt", "--weights=a=1,c=2", *_VOCAB_OUT],
        ["--weights", "a, b", "a=1,c=2"],
    ),
    "weights without numbers": (
        [VOCAB, "--input=a=corpus.txt", "--weights=a=much", *_VOCAB_OUT],
        ["--weights", "NAME=NUMBER", "'a=much'"],
    ),
    "weights without names": (
        [RECORDS, "--input=corpus.txt", "--temperature=2", *_RECORDS_OUT],
        ["--temperature", "NAME=GLOBS", "corpus.txt"],
    ),
    "some corpora with names": (
        [VOCAB, "--input=a=corpus.txt", "--input=corpus.txt", *_VOCAB_OUT],
        ["--input", "NAME=GLOBS", "a=corpus.txt"],
    ),
    "vocabulary to a file's inside": (
        [VOCAB, "--input=corpus.txt", "--output=empty.txt/vocab.txt", "--vocab_size=100"],
        ["--output", "can be written to", "'empty.txt'"],
    ),
    "unknown flag": ([VOCAB, "--input=corpus.txt", *_VOCAB_OUT, "--vocab_sise=9"], ["Unknown", "vocab_sise"]),
    "no documents for records": (
        [RECORDS, "--input=no.txt", *_RECORDS_OUT],
        ["--input", "no file matches", "'no.txt'"],
    ),
    "empty documents for records": ([RECORDS, "--input=empty.txt", *_RECORDS_OUT], ["--input", "'empty.txt'"]),
    "records not UTF-8": ([RECORDS, "--input=latin.txt", *_RECORDS_OUT], ["latin.txt, line 2", "not UTF-8"]),
    "vocabulary without specials": (
        [RECORDS, "--input=corpus.txt", *_RECORDS_OUT, "--vocab_file=plain.txt"],
        ["plain.txt", "[PAD]"],
    ),
    "no vocabulary": (
        [RECORDS, "--input=corpus.txt", *_RECORDS_OUT, "--vocab_file=absent.txt"],
        ["no such file", "absent.txt"],
    ),
    "records to a file's inside": (
        [RECORDS, "--input=corpus.txt", *_RECORDS_OUT, "--output_dir=empty.txt/records"],
        ["--output_dir", "can be written to", "'empty.txt/records'"],
    ),
    "no records": ([PRETRAIN, *_PRETRAIN, "--train_data=out", "--model_dir=out"], ["--train_data", "'out'"]),
    "records of another vocabulary": (
        [PRETRAIN, *_PRETRAIN, "--eval_data=others", "--model_dir=out"],
        ["--eval_data", "vocabulary"],
    ),
    "longer records than positions": (
        [PRETRAIN, *_PRETRAIN, "--model_dir=out", "--set=model.max_position_embeddings=16"],
        ["`model.max_position_embeddings`", "24", "Received: 16"],
    ),
    "fewer embeddings than tokens": (
        [PRETRAIN, *_PRETRAIN, "--model_dir=out", "--set=model.vocab_size=50"],
        ["`model.vocab_size`", "Received: 50"],
    ),
    "checkpoint of another size": (
        [PRETRAIN, *_PRETRAIN, "--model_dir=out", "--init_checkpoint=run"],
        ["--init_checkpoint", "`model.hidden_size` is 16 there and 64 here", "'run'"],
    ),
    "checkpoint of another vocabulary": (
        [PRETRAIN, *_PRETRAIN, "--train_data=others", "--model_dir=out", "--init_checkpoint=run"],
        ["--init_checkpoint", "vocabulary", "'run'"],
    ),
    "no checkpoint": (
        [PRETRAIN, *_PRETRAIN, "--model_dir=out", "--init_checkpoint=records"],
        ["--init_checkpoint", "config.json", "'records'"],
    ),
    "unknown field": (
        [PRETRAIN, *_PRETRAIN, "--model_dir=out", "--set=train.num_stepz=3"],
        ["unknown field `train.num_stepz`", "'3'"],
    ),
    "field of another type": (
        [PRETRAIN, *_PRETRAIN, "--model_dir=out", "--set=train.num_steps=many"],
        ["`train.num_steps` must be a whole number", "'many'"],
    ),
    "misspelt field in the experiment": (
        [PRETRAIN, "--config=misspelt.py", "--train_data=records", "--model_dir=out"],
        ["misspelt.py, line 6", "num_stepz"],
    ),
    "experiment of another kind": (
        [PRETRAIN, CLASSIFICATION, "--train_data=records", "--model_dir=out"],
        ["get_config() must return a PretrainingConfig", "FinetuningConfig", "classification.py"],
    ),
    "no experiment": (
        [PRETRAIN, "--config=absent.py", "--train_data=records", "--model_dir=out"],
        ["--config must be an experiment's name or file", "'absent.py'"],
    ),
    "run in a file's inside": (
        [PRETRAIN, *_PRETRAIN, "--model_dir=empty.txt/run"],
        ["--model_dir", "can be written to", "'empty.txt/run'"],
    ),
    "folder of another experiment": (
        [PRETRAIN, *_PRETRAIN, "--model_dir=run"],
        ["--model_dir holds another experiment", "'run'"],
    ),
    "a TPU that the engine does not reach": (
        [PRETRAIN, *_PRETRAIN, "--model_dir=out", "--tpu=local", "--topology=v7x-8"],
        ["--engine must be jax on the topology v7x-8. Received: 'tensorflow'"],
    ),
    "too many devices": (
        [PRETRAIN, *_PRETRAIN, "--model_dir=out", "--num_devices=99"],
        ["a multiple of the 99 replicas", "Received: 16"],
    ),
    "no labelled file": (
        [FINETUNE, *_FINETUNE, "--train_file=absent.tsv"],
        ["--train_file must be a file", "absent.tsv"],
    ),
    "no column": ([FINETUNE, *_FINETUNE, "--set=task.label_column=mark"], ["train.tsv, line 2", "'mark'"]),
    "unknown label": (
        [FINETUNE, *_FINETUNE, "--eval_file=strange.tsv", "--set=task.labels=river,land"],
        ["strange.tsv, line 2", "'lake'"],
    ),
    "tags of another scheme": (
        [FINETUNE, *_TAGGING, "--init_checkpoint=run", "--set=task.scheme=bilou"],
        ["`task.scheme` must fit the tags", "'bilou'", "E-X, S-Y"],
    ),
    "tags and no start": ([FINETUNE, *_TAGGING, "--init_checkpoint=absent"], ["--init_checkpoint", "absent"]),
    "two starts": ([FINETUNE, *_FINETUNE, "--vocab_file=vocab.txt"], ["--init_checkpoint", "--vocab_file", "both"]),
    "rows longer than positions": (
        [FINETUNE, *_FINETUNE, "--set=task.max_seq_length=200"],
        ["`model.max_position_embeddings`", "200", "Received: 32"],
    ),
    "nothing to evaluate": ([EVALUATE, "--model_dir=records", "--eval_data=others"], ["--model_dir", "'records'"]),
    "evaluation of another vocabulary": ([EVALUATE, "--model_dir=run", "--eval_data=others"], ["--eval_data"]),
    "longer records than the model": (
        [EVALUATE, "--model_dir=run", "--eval_data=long"],
        ["`model.max_position_embeddings`", "64", "Received: 32"],
    ),
    "answers to a file's inside": (
        [PREDICT, "--model_dir=run", "--input=corpus.txt", "--output=empty.txt/answers"],
        ["--output", "'empty.txt'"],
    ),
    "no texts": ([PREDICT, "--model_dir=run", "--input=absent.txt", "--output=out/a"], ["no such file", "absent.txt"]),
    "nothing in the texts": ([PREDICT, "--model_dir=run", "--input=nil.txt", "--output=out/a"], ["--input", "nil.txt"]),
    "texts without a mask": (
        [PREDICT, "--model_dir=run", "--input=corpus.txt", "--output=out/a"],
        ["[MASK]", "Received: "],
    ),
    "nothing to export": ([EXPORT, "--model_dir=records"], ["--model_dir", "'records'"]),
    "export to a file's inside": (
        [EXPORT, "--model_dir=run", "--export_dir=empty.txt/export"],
        ["--export_dir", "'empty.txt/export'"],
    ),
    "export of another task": (
        [EXPORT, "--model_dir=run", "--export_dir=out", "--task=tagging"],
        ["--task must be 'pretraining'", "'tagging'"],
    ),
    "answers of another task": (
        [PREDICT, "--model_dir=run", "--task=tagging", "--input=corpus.txt", "--output=answers.jsonl"],
        ["--task must be 'pretraining'", "'tagging'"],
    ),
    "no export": ([QUERY, "--saved_model=absent", "--input=corpus.txt", "--output=answers.jsonl"], ["absent"]),
}


def _records(folder, vocab, length=24):
    create_pretraining_data(
        read_documents(str(folder.parent / "corpus.txt")),
        WordPieceTokenizer(str(vocab)),
        str(folder),
        config=PreparationConfig(max_seq_length=length),
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The result of every case, run in one folder that holds good and bad files, and what the case left in `out`."""
    folder = tmp_path_factory.mktemp("bad_input")
    write_corpus(folder / "corpus.txt", 20)
    vocab = write_vocab(folder / "vocab.txt")
    tokens = vocab.read_text().splitlines()
    (folder / "plain.txt").write_text("\n".join(tokens[5:]) + "\n")
    (folder / "other.txt").write_text("\n".join([*tokens, "extra"]) + "\n")
    (folder / "empty.txt").write_text("\n \n")
    (folder / "nil.txt").write_text("")
    (folder / "broken.txt.gz").write_bytes(gzip.compress(b"One line.\n" * 99)[:-9])
    (folder / "bad.jsonl").write_text('{"text": "good"}\n{"text": "bad\n')
    (folder / "latin.txt").write_bytes(b"One line.\nA caf\xe9.\n")
    (folder / "train.tsv").write_text("text\tlabel\n" + "the boat\triver\nthe road\tland\n" * 4)
    (folder / "train.conll").write_text("the B-X\nboat E-X\nis O\n\nred S-Y\n" * 4)
    (folder / "strange.tsv").write_text("text\tlabel\nthe boat\tlake\n")
    (folder / "misspelt.py").write_text(
        "from bert_tf.configs import PretrainingConfig, TrainConfig\n\n\ndef get_config():\n"
        "    return PretrainingConfig(\n        train=TrainConfig(num_stepz=3),\n    )\n"
    )
    _records(folder / "records", vocab)
    _records(folder / "others", folder / "other.txt")
    _records(folder / "long", vocab, length=64)
    write_run(folder / "run", "pretraining")
    before = {path.relative_to(folder) for path in folder.rglob("*")}
    found = dict(zip(CASES, launch_many([command for command, _ in CASES.values()], folder), strict=True))
    left = {path.relative_to(folder) for path in folder.rglob("*")} - before
    shutil.rmtree(folder / "out", ignore_errors=True)
    return found, left


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_reported_in_one_line(results, name):
    result = results[0][name]
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    for part in CASES[name][1]:
        assert part in result.stderr
    if CASES[name][0][0] != QUERY and name != "unknown flag":
        assert [line for line in result.stderr.splitlines() if line.startswith("error: ")] != []


def test_the_scheme_of_tags_is_printed_first(results):
    assert "tags: scheme iobes, with spans of X, Y\n" in results[0]["tags and no start"].stdout


def test_nothing_is_left_that_looks_done(results):
    names = {path.name for path in results[1]}
    assert names <= {"out", "heldout", ".lock"}, "folders and what locks them may be left, no other file"
