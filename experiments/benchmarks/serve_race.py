"""The race of the serving benchmark, in which the workers take turns."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bert_tf.configs.tasks import ClassificationConfig
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from bert_tf.utils.progress import progress_bar
from data_pipelines.finetuning.texts import read_texts
from experiments.benchmarks.peer_environments import instruction_sets, python_of

WORKERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "serve_workers")
SOURCES = os.path.dirname(os.path.dirname(os.path.dirname(WORKERS)))
"""The folder of this project's packages."""
OURS = ("saved_model", "predictor", "litert", "onnx")
IMPLEMENTATIONS = (*OURS, "transformers", "onnxruntime", "keras_hub")
BATCH_SIZE = 32
LATENCY_CALLS = 40
LARGEST_DIFFERENCE = 0.02
"""The largest allowed difference of vectors. keras-hub's GELU differs from the weights'; all others agree to 1e-5."""

Cases = dict[str, dict[str, Any]]


def prepare(
    weights: str, work_dir: str, implementations: Sequence[str], litert_lengths: tuple[int, ...] = (16, 128)
) -> dict[str, str]:
    """Copy the weights to the work folder, and make this project's exports there.

    Args:
        weights: the folder of the published weights.
        work_dir: the folder for the copy and the exports.
        implementations: the implementations that will take part.
        litert_lengths: the lengths of the LiteRT files for one row.

    Returns:
        The path that each implementation loads: a copy of the weights, the folder of the SavedModel, or the LiteRT or
            ONNX file.

    Raises:
        FileNotFoundError: there is no such model.
    """
    from bert_tf.serving.export import export_saved_model
    from bert_tf.serving.options import ExportOptions
    from bert_tf.utils.files import copy_folder

    copied = os.path.join(work_dir, "weights")
    if not files.exists(copied):
        if not files.exists(os.path.join(weights, "model.safetensors")):
            raise FileNotFoundError(f"--weights must hold model.safetensors. Received: {weights!r}")
        copy_folder(weights, copied)
    version = os.path.join(work_dir, "export", "1")
    exported = {
        "saved_model": version,
        "litert": os.path.join(version, "litert", "model_float32.tflite"),
        "onnx": os.path.join(version, "onnx", "model.onnx"),
    }
    if set(exported) & set(implementations) and not files.exists(version):
        options = ExportOptions(litert=("float32",), litert_lengths=litert_lengths, onnx="onnx" in implementations)
        export_saved_model(copied, os.path.dirname(version), options)
    return {name: exported.get(name, copied) for name in implementations}


def make_cases(vocab_file: str, sentences_file: str, count: int) -> Cases:
    """Return the cases: one text of 16 and one of 128 tokens, and sentences in their order and sorted by length.

    Args:
        vocab_file: the vocabulary by which tokens are counted.
        sentences_file: a table with a column `sentence`.
        count: the number of sentences.
    """
    sentences = read_sentences(sentences_file)[:count]
    tokenizer = WordPieceTokenizer(vocab_file)
    cases: Cases = {
        f"one text of {length} tokens": {"texts": [_text_of(length, sentences, tokenizer)], "repeat": LATENCY_CALLS}
        for length in (16, 128)
    }
    cases["sentences as they come"] = {"texts": sentences, "repeat": 1}
    cases["sentences sorted by length"] = {"texts": sorted(sentences, key=len), "repeat": 1}
    return cases


def read_sentences(path: str) -> list[str]:
    """Return the texts of a table's column `sentence`."""
    config = ClassificationConfig(text_column="sentence")
    return [example.text for example in read_texts(path, config, labelled=False)]


def _text_of(length: int, sentences: Sequence[str], tokenizer: WordPieceTokenizer) -> str:
    """Return words of the sentences, then full stops, which make `length` tokens with `[CLS]` and `[SEP]`."""
    chosen: list[str] = []
    for word in " ".join(sentences).split():
        if len(tokenizer.encode(" ".join([*chosen, word]))) > length - 2:
            break
        chosen.append(word)
    missing = length - 2 - len(tokenizer.encode(" ".join(chosen)))
    return " ".join([*chosen, *["."] * missing])


class Worker:
    """The process of a worker, which answers lines of JSON (`serve_workers/serving_protocol.py`).

    Args:
        name: the implementation, one of `OURS` or a peer.
        python: the interpreter.
        folder: the worker's only argument.
        workers: the folder of the workers' files.
        environment: further variables of the environment.
    """

    def __init__(
        self, name: str, python: str, folder: str, workers: str = WORKERS, environment: Mapping[str, str] | None = None
    ) -> None:
        own = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
        if name in OURS:
            own["PYTHONPATH"] = SOURCES
        own |= {**instruction_sets(), **(environment or {})}
        self.name = name
        self._words = tempfile.TemporaryFile("w+")  # noqa: SIM115  (a pipe that nobody reads would fill up)
        self.process = subprocess.Popen(
            [python, os.path.join(workers, f"worker_{name}.py"), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")} | own,
        )

    def read(self) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            OSError: the worker has ended.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self._words.seek(0)
            raise OSError(f"the worker {self.name!r} ended with code {code}: {self._words.read()[-2000:]}")
        return json.loads(line)

    def ask(self, case: dict[str, Any]) -> dict[str, Any]:
        """Let the worker compute a case."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        return self.read()

    def finish(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self._words.close()


def race(
    folders: dict[str, str], cases: Cases, *, venvs: str, implementations: Sequence[str], rounds: int
) -> list[dict[str, Any]]:
    """Measure each implementation on each case.

    All workers run at once, and take turns `rounds` times to compute a case, so that changes in the machine's speed
    affect all of them.

    Returns:
        A row for each case and implementation, with `milliseconds` (the median), `p99_milliseconds`,
        `texts_per_second`, `tokenization_share`, `largest_difference` from the vectors of the first implementation, and
        `versions`.

    Raises:
        OSError: a worker ended.
        ValueError: vectors differ by more than another GELU explains.
    """
    pythons = {name: sys.executable if name in OURS else python_of(name, venvs) for name in implementations}
    workers = {name: Worker(name, python, folders[name]) for name, python in pythons.items()}
    versions = {name: worker.read()["versions"] for name, worker in workers.items()}
    seconds: dict[tuple[str, str], list[float]] = {(case, name): [] for case in cases for name in workers}
    tokenizing: dict[tuple[str, str], list[float]] = {key: [] for key in seconds}
    vectors: dict[tuple[str, str], np.ndarray] = {}
    for number in progress_bar(range(rounds + 1), label="racing", unit="round"):
        for case, asked in cases.items():
            for name, worker in workers.items():
                answer = worker.ask({"batch_size": BATCH_SIZE} | asked | ({} if number else {"repeat": 1}))
                if number:  # the first round warms up
                    seconds[case, name] += answer["seconds"]
                    tokenizing[case, name] += answer["tokenize_seconds"]
                vectors[case, name] = np.array(answer["vectors"])
                time.sleep(0.05)  # a thread pool that spins after its work must not slow the next worker
    for worker in workers.values():
        worker.finish()
    rows = []
    for case, name in seconds:
        difference = float(np.abs(vectors[case, name] - vectors[case, implementations[0]]).max())
        if difference > LARGEST_DIFFERENCE:
            raise ValueError(f"all implementations must give the same vectors. Received: {name} off by {difference}")
        row = {
            "case": case,
            "implementation": name,
            "milliseconds": 1e3 * statistics.median(seconds[case, name]),
            "p99_milliseconds": 1e3 * float(np.percentile(seconds[case, name], 99)),
            "texts_per_second": len(cases[case]["texts"]) / statistics.median(seconds[case, name]),
            "tokenization_share": statistics.median(tokenizing[case, name]) / statistics.median(seconds[case, name]),
            "largest_difference": difference,
            "versions": versions[name],
        }
        rows.append(row)
    return rows


def describe(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table, with the ratio of speeds to the fastest peer of the same case."""
    lines = [
        "| case | | p50, ms | p99, ms | texts/s | x best peer | tokenization |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        peers = [
            other["texts_per_second"]
            for other in rows
            if other["case"] == row["case"] and other["implementation"] not in OURS
        ]
        ratio = f"{row['texts_per_second'] / max(peers):.2f}" if peers and row["implementation"] in OURS else ""
        lines.append(
            f"| {row['case']} | {row['implementation']} | {row['milliseconds']:.2f} | {row['p99_milliseconds']:.2f} "
            f"| {row['texts_per_second']:,.0f} | {ratio} | {row['tokenization_share']:.0%} |"
        )
    return "\n".join(lines)
