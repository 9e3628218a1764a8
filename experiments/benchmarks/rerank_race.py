"""The parts of the benchmark of reranking: its data, the commands that it runs, and its scores."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

from bert_tf.scoring.retrieval import ranking_scores
from bert_tf.utils import files
from data_pipelines import trec

FIRST_RUN = "first.trec"
PEER_LOSSES = ("softmax", "binary")
"""The losses of the peer's worker."""
WORKER = os.path.join(os.path.dirname(__file__), "rerank_workers", "worker_sentence_transformers.py")
BATCH_SIZE, GROUP_SIZE, MAX_SEQ_LENGTH = 32, 4, 128
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s*(?=[\"“(\[]?[A-Z0-9\u4e00-\u9fff])")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a race, equal for both sides.

    Attributes:
        weights: the folder of the encoder, which also makes the vectors of the search.
        folder: the folder for data and runs.
        loss: the loss of both rerankers; the peer's worker has `binary` and `softmax`.
        epochs: the number of passes over the training pairs.
        negatives: the number of mined negatives of a question.
        depth: the number of passages to re-rank for a question.
        learning_rate: the largest learning rate.
    """

    weights: str
    folder: str
    loss: str
    epochs: int
    negatives: int
    depth: int
    learning_rate: float

    def path(self, name: str) -> str:
        """Return the path of a file in the folder."""
        return os.path.join(self.folder, name)


def sentences_of(context: str) -> list[tuple[int, str]]:
    """Return the sentences of a context, without line breaks, each with the index of its first character.

    >>> sentences_of("He came. It rained.")
    [(0, 'He came.'), (9, 'It rained.')]
    """
    found, start = [], 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(context)), len(context)]:
        if context[start:end].strip():
            found.append((start, " ".join(context[start:end].split())))
        start = end
    return found


def prepare(data: str, settings: Settings) -> None:
    """Write the data of the race, mine the negatives and search for the test questions.

    The passages are sentences, and the right one holds the first answer. The articles at even places are for training:
    `train.tsv`, and `negatives.jsonl` mined from it. Those at odd places are for the test, in the form of TREC.

    Args:
        data: a SQuAD file.
        settings: the settings of the race.
    """
    articles = files.read_json(data)["data"]
    questions, _ = _questions(articles[::2])
    rows = "".join(f"{question}\t{sentence}\n" for question, sentence in questions)
    files.write_text(settings.path("train.tsv"), "query\tpassage\n" + rows)
    questions, sentences = _questions(articles[1::2])
    ids = {sentence: f"d{number}" for number, sentence in enumerate(sentences)}
    _write_lines(settings.path("collection.jsonl"), ({"id": name, "text": text} for text, name in ids.items()))
    asked = {question: f"q{number}" for number, (question, _) in enumerate(questions)}
    _write_lines(settings.path("queries.jsonl"), ({"id": name, "text": text} for text, name in asked.items()))
    judged = dict.fromkeys((asked[question], ids[sentence]) for question, sentence in questions)
    files.write_text(settings.path("qrels"), "".join(f"{query} 0 {document} 1\n" for query, document in judged))
    model = [f"--model_dir={settings.weights}"]
    mined = ["--data=train.tsv", "--output=negatives.jsonl", f"--num_negatives={settings.negatives}"]
    launch(settings.folder, "mine_negatives", *model, *mined)
    launch(settings.folder, "index", *model, "--passages=collection.jsonl", "--output_dir=index", "--overwrite")
    found = ["--queries=queries.jsonl", f"--output={FIRST_RUN}", f"--top_k={max(10, settings.depth)}"]
    launch(settings.folder, "search", *model, "--index_dir=index", *found)


def _questions(articles: Iterable[dict[str, Any]]) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the questions with the sentences that answer them, and all sentences."""
    questions: list[tuple[str, str]] = []
    sentences: dict[str, None] = {}
    for article in articles:
        for paragraph in article["paragraphs"]:
            own = sentences_of(paragraph["context"])
            sentences |= dict.fromkeys(text for _, text in own)
            for entry in paragraph["qas"]:
                start = entry["answers"][0]["answer_start"]
                [*_, right] = [text for first, text in own if first <= start]
                questions.append((" ".join(entry["question"].split()), right))
    return questions, list(sentences)


def run_own(settings: Settings, seed: int) -> dict[str, Any]:
    """Train this project's reranker, re-rank the search, and return the scores."""
    begin, run = time.monotonic(), f"own_{seed}"
    chosen = {
        "task.loss": settings.loss,
        "task.group_size": GROUP_SIZE,  # in losses that compare passages: the right one and three negatives
        "task.max_seq_length": MAX_SEQ_LENGTH,
        "train.batch_size": BATCH_SIZE,
        "train.learning_rate": settings.learning_rate,
        "train.precision": "float32",
        "train.seed": seed,
        "num_epochs": settings.epochs,
    }
    start = ["--config=reranking", "--train_file=negatives.jsonl", f"--init_checkpoint={settings.weights}"]
    options = [f"--set={name}={value}" for name, value in chosen.items()]
    launch(settings.folder, "finetune", *start, f"--model_dir={run}", *options)
    files_of = ["--queries=queries.jsonl", "--collection=collection.jsonl", f"--depth={settings.depth}"]
    launch(settings.folder, "rerank", f"--model_dir={run}", f"--run={FIRST_RUN}", *files_of, f"--output={run}.trec")
    return scores("bert_tf", settings, f"{run}.trec") | {"seed": seed, "seconds": time.monotonic() - begin}


def run_peer(settings: Settings, seed: int, python: str) -> dict[str, Any]:
    """Train the peer, re-rank the search, and return the scores. The arguments are those of `run_own`."""
    begin, run = time.monotonic(), f"peer_{seed}"
    task = dataclasses.asdict(settings) | {
        "seed": seed,
        "batch_size": BATCH_SIZE,
        "group_size": GROUP_SIZE,
        "max_seq_length": MAX_SEQ_LENGTH,
    }
    finished = subprocess.run([python, WORKER, json.dumps(task)], capture_output=True, text=True, check=False)
    if finished.returncode:
        raise OSError(f"the worker ended with code {finished.returncode}: {finished.stderr[-2000:]}")
    answers = json.loads(finished.stdout.splitlines()[-1])
    lines = []
    for found in trec.iterate_run(settings.path(FIRST_RUN)):
        new = answers[found.query]
        order = sorted(range(len(new)), key=lambda place, new=new: -new[place])  # type: ignore[misc]
        documents = [found.documents[place] for place in order] + found.documents[len(new) :]
        lines.append(trec.run_lines(found.query, documents, [-float(rank) for rank in range(len(documents))], "peer"))
    files.write_text(settings.path(f"{run}.trec"), "".join(lines))
    return scores("sentence-transformers", settings, f"{run}.trec") | {
        "seed": seed,
        "seconds": time.monotonic() - begin,
    }


def scores(name: str, settings: Settings, run: str) -> dict[str, Any]:
    """Return the scores of a run."""
    judged = trec.read_qrels(settings.path("qrels"))
    found = {each.query: each.documents for each in trec.iterate_run(settings.path(run))}
    pairs = [trec.relevances_of(found.get(query, []), own) for query, own in judged.items()]
    return {"name": name} | ranking_scores([ranking for ranking, _ in pairs], [relevant for _, relevant in pairs])


def describe(rows: Iterable[dict[str, Any]]) -> str:
    """Return the table of all scores so far."""
    names = ("mrr_at_10", "ndcg_at_10", "recall_at_1")
    lines = [" ".join(f"{title:>22}" for title in ("", "seed", *names))]
    lines += [
        " ".join([f"{row['name']:>22}", f"{row.get('seed', ''):>22}", *(f"{row[name]:>22.4f}" for name in names)])
        for row in rows
    ]
    return "\n".join(lines)


def launch(folder: str, command: str, *arguments: str) -> None:
    """Run a command of this project in a folder.

    Raises:
        OSError: it failed; the message ends with what it said.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    call = [sys.executable, "-m", f"experiments.{command}", *arguments]
    finished = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise OSError(f"experiments.{command} ended with code {finished.returncode}: {finished.stderr[-2000:]}")


def _write_lines(path: str, rows: Iterable[dict[str, Any]]) -> None:
    files.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
