"""The measurements of the preparation benchmark: the processor time and the peak memory of whole processes.

Processor time is the user and system time of a process and all of its threads, so that the number of cores does not
matter.
"""

import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from data_pipelines.corpora.documentation import python_documentation
from data_pipelines.corpora.documents import write_documents
from data_pipelines.corpora.readers import read_documents

MAX_SEQ_LENGTH = 128
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WORD = re.compile(r"[a-z]{4,}")


def corpus_and_vocabulary(work_dir: str, corpus: str | None, vocab_file: str | None) -> tuple[str, str]:
    """Return the paths of the text and the vocabulary, which are made in `work_dir` unless they are given.

    Raises:
        OSError: the vocabulary could not be made.
    """
    if corpus is None:
        corpus = os.path.join(work_dir, "corpus.txt")
        if not files.exists(corpus):
            modules = python_documentation()
            print(write_documents([module.document for module in modules], corpus), file=sys.stderr)
    if vocab_file is None:
        vocab_file = os.path.join(work_dir, "vocab.txt")
        if not files.exists(vocab_file):
            command = [sys.executable, "-P", "-m", "data_pipelines.create_vocab", "--vocab_size=30522"]
            measure([*command, f"--input={corpus}", f"--output={vocab_file}"])
    return corpus, vocab_file


def write_text(corpus: str, path: str, megabytes: float) -> None:
    """Write `megabytes` of the corpus in whole documents, repeated with other words if the corpus is too short.

    In the n-th repetition, the letters of every fourth word of at least four letters are shifted in the alphabet by n
    (modulo 25, plus 1). These are new words, so that repetition helps a cache of words less. In the documentation of
    Python packages, 10 MB hold 80,000 words between spaces, and each further 10 MB hold 24,000 new ones.
    """
    files.write_text(path, "".join(_documents(corpus, int(megabytes * 1e6))))


def _documents(corpus: str, wanted: int) -> Iterator[str]:
    size = 0
    for repetition in itertools.count():
        for document in read_documents(corpus):
            text = "\n".join(document) + "\n\n"
            if repetition:
                text = _with_other_words(text, repetition)
            yield text
            size += len(text.encode())
            if size >= wanted:
                return


def _with_other_words(text: str, repetition: int) -> str:
    shift = repetition % 25 + 1
    table = str.maketrans(_LETTERS, _LETTERS[shift:] + _LETTERS[:shift])
    # Letters decide which words change, so that a word changes wherever it occurs.
    return _WORD.sub(lambda match: match[0].translate(table) if sum(map(ord, match[0])) % 4 == 0 else match[0], text)


def race(text: str, vocab_file: str, work_dir: str, *, peer_python: str, rounds: int) -> dict[str, Any]:
    """Let both prepare the same text with the same vocabulary, in turns.

    Returns:
        The medians over the rounds of the processor seconds, wall-clock seconds and peak memory of the whole process;
        the processor seconds of work, which is all but the imports of TensorFlow and the libraries; the megabytes (10^6
        bytes) of text in a second of work; and the ratio of the two speeds.
    """
    megabytes = os.path.getsize(text) / 1e6
    commands = {"ours": _our_command, "tf_models_official": _peer_command(peer_python)}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            with tempfile.TemporaryDirectory(dir=work_dir) as folder:
                runs[name].append(measure(command(text, vocab_file, os.path.join(folder, "records"))))
    results: dict[str, Any] = {"megabytes": megabytes, "rounds": rounds}
    for name, found in runs.items():
        speeds = [megabytes / run["work_cpu_seconds"] for run in found]
        results[name] = {key: statistics.median(run[key] for run in found) for key in found[0]} | {
            "megabytes_per_core_second": statistics.median(speeds),
            "all_speeds": speeds,
        }
    results["ratio"] = (
        results["ours"]["megabytes_per_core_second"] / results["tf_models_official"]["megabytes_per_core_second"]
    )
    return results


def tokenizer_speed(text: str, vocab_file: str, rounds: int) -> dict[str, float]:
    """Measure the megabytes a second of `encode_ragged` with no words in its cache, and with all words in it."""
    sentences = [sentence for document in read_documents(text) for sentence in document]
    megabytes = os.path.getsize(text) / 1e6
    speeds: dict[str, list[float]] = {"cold": [], "warm": []}
    for _ in range(rounds):
        tokenizer = WordPieceTokenizer(vocab_file)
        for found in speeds.values():
            start = time.process_time()
            tokenizer.encode_ragged(sentences)
            found.append(megabytes / (time.process_time() - start))
    return {name: statistics.median(found) for name, found in speeds.items()}


def memory(corpus: str, vocab_file: str, work_dir: str, *, megabytes: float) -> dict[str, float]:
    """Measure the peak memory and the time in which this project prepares text of a given size."""
    with tempfile.TemporaryDirectory(dir=work_dir) as folder:
        text = os.path.join(folder, "text.txt")
        write_text(corpus, text, megabytes)
        return {"megabytes": os.path.getsize(text) / 1e6} | measure(
            _our_command(text, vocab_file, os.path.join(folder, "records"))
        )


def _our_command(text: str, vocab_file: str, output: str) -> list[str]:
    return [
        *_timed(sys.executable, "data_pipelines.create_pretraining_data", _OUR_LIBRARIES),
        "--num_workers", "1", "--input", text,
        "--vocab_file", vocab_file, "--output_dir", output, "--max_seq_length", str(MAX_SEQ_LENGTH),
    ]  # fmt: skip


def _peer_command(python: str) -> Callable[[str, str, str], list[str]]:
    def command(text: str, vocab_file: str, output: str) -> list[str]:
        return [
            *_timed(python, "official.nlp.data.create_pretraining_data", _PEER_LIBRARIES),
            "--input_file", text, "--vocab_file", vocab_file, "--output_file", output,
            "--max_seq_length", str(MAX_SEQ_LENGTH), "--dupe_factor", "1", "--max_predictions_per_seq", "20",
        ]  # fmt: skip

    return command


# This code imports libraries, then runs a module as `python -m` does, and prints the processor time after the imports.
_TIMER = """
import atexit, importlib, runpy, sys, time
for name in sys.argv[2].split(","):
    importlib.import_module(name)
start = time.process_time()
atexit.register(lambda: print("\\nwork:", time.process_time() - start, file=sys.stderr))
sys.argv = sys.argv[1:2] + sys.argv[3:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
_OUR_LIBRARIES = (
    "tensorflow,data_pipelines.corpora.readers,data_pipelines.records.document_shards,data_pipelines.records.writer"
)
_PEER_LIBRARIES = "tensorflow,tf_keras,official.nlp.tools.tokenization"


def _timed(python: str, module: str, libraries: str) -> list[str]:
    return [python, "-c", _TIMER, module, libraries]


# This code starts a command and prints its times and memory. It runs in a small process, because the peak memory of a
# child starts from that of its parent.
_METER = """
import os, subprocess, sys, time
start = time.monotonic()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_utime + usage.ru_stime, time.monotonic() - start, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""


def measure(command: Sequence[str]) -> dict[str, float]:
    """Measure processor seconds, wall-clock seconds and peak memory in megabytes of a whole process.

    Raises:
        OSError: the process failed. The message ends with its output.
    """
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, "-c", _METER, *command], capture_output=True, text=True, check=False, env=environment
    )
    if result.returncode:
        raise OSError(f"{' '.join(command)} failed: {result.stderr[-2000:]}")
    cpu, wall, peak = map(float, result.stdout.split()[-3:])
    results = {"cpu_seconds": cpu, "wall_seconds": wall, "peak_megabytes": peak / 1e3}
    work = re.findall(r"^work: (\S+)$", result.stderr, re.MULTILINE)
    return results | ({"work_cpu_seconds": float(work[0])} if work else {})
