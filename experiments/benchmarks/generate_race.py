"""The race of the generation benchmark, in which the workers take turns."""

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_tf.configs import BertConfig
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from bert_tf.utils import files
from bert_tf.utils.progress import progress_bar
from experiments.benchmarks.peer_environments import python_of
from experiments.benchmarks.serve_race import Worker

WORKERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "generate_workers")
OURS = ("predictor", "saved_model")
IMPLEMENTATIONS = (*OURS, "transformers")
SOURCE_LENGTH = 64
"""Number of tokens of a source, with `[CLS]` and `[SEP]`."""
TOKENS = 32
"""Number of tokens that are generated for each source."""
BATCHES = (1, 32)
BEAMS = (1, 4)


def prepare(work_dir: str, size: str) -> str:
    """Write weights, SavedModels and sizes to a folder that all workers read.

    The weights are random, but no text ends: the bias of `[SEP]` is far below all others.

    Args:
        work_dir: the folder of all models.
        size: a name of `configs.model.PUBLISHED_SIZES`.

    Returns:
        The folder of the model.
    """
    from bert_tf.models.seq2seq_model import BertSeq2Seq
    from bert_tf.serving.export import export_saved_model
    from bert_tf.serving.options import ExportOptions

    folder = os.path.join(work_dir, size)
    if files.exists(os.path.join(folder, "sizes.json")):
        return folder
    config = BertConfig.named(size)
    words = [f"w{number}" for number in range(config.vocab_size - len(SPECIAL_TOKENS))]
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *words])
    model = BertSeq2Seq(config)
    model.masked_lm.output_bias.assign(np.where(np.arange(config.vocab_size) == tokenizer.sep_id, -1e9, 0.0))
    model.set_tokenizer(tokenizer, max_length=256, max_target_length=64)
    model.save_pretrained(os.path.join(folder, "weights"))
    for beams in BEAMS:
        options = ExportOptions(beams=beams, max_length=TOKENS, no_repeat_ngram=0)
        export_saved_model(model, os.path.join(folder, f"beams{beams}"), options)
    names = ("vocab_size", "intermediate_size", "hidden_size")
    sizes = {name: getattr(config, name) for name in names}
    sizes |= {"num_hidden_layers": config.num_layers, "num_attention_heads": config.num_heads}
    files.write_text(
        os.path.join(folder, "sizes.json"), json.dumps({"model": sizes, "source_length": SOURCE_LENGTH}) + "\n"
    )
    return folder


def source_texts(count: int, vocab_size: int) -> list[str]:
    """Return texts of random words, each of `SOURCE_LENGTH` tokens with `[CLS]` and `[SEP]`."""
    numbers = np.random.default_rng(0).integers(vocab_size - len(SPECIAL_TOKENS), size=(count, SOURCE_LENGTH - 2))
    return [" ".join(f"w{number}" for number in row) for row in numbers]


def race(
    folder: str, *, venvs: str, implementations: Sequence[str], rounds: int, batches: Sequence[int] = BATCHES
) -> list[dict[str, Any]]:
    """Measure each implementation on each combination of batch size and beams.

    All workers run at once, and take turns `rounds` times, so that changes in the machine's speed affect all of them.

    Args:
        folder: the folder of the model, from `prepare`.
        venvs: the folder of the peers' environments.
        implementations: some of `IMPLEMENTATIONS`.
        rounds: the number of turns of each implementation.
        batches: the numbers of texts.

    Returns:
        A row for each case and implementation, with `batch_size`, `beams`, `seconds` and `processor_seconds` of each
        turn, `tokens_per_second` (of the median, all texts together) and `versions`.

    Raises:
        OSError: a worker ended.
        ValueError: a worker generated another number of tokens.
    """
    vocab_size = files.read_json(os.path.join(folder, "sizes.json"))["model"]["vocab_size"]
    pythons = {name: sys.executable if name in OURS else python_of(name, venvs) for name in implementations}
    workers = {name: Worker(name, python, folder, WORKERS) for name, python in pythons.items()}
    versions = {name: worker.read()["versions"] for name, worker in workers.items()}
    cases = [(batch, beams) for batch in batches for beams in BEAMS]
    turns: dict[tuple[int, int, str], list[dict[str, Any]]] = {(*case, name): [] for case in cases for name in workers}
    for number in progress_bar(range(rounds + 1), label="racing", unit="round"):
        for batch, beams in cases:
            texts = source_texts(batch, vocab_size)
            # Who goes first changes from round to round.
            for name in sorted(workers, reverse=bool(number % 2)):
                answer = workers[name].ask({"texts": texts, "beams": beams, "tokens": TOKENS})
                if answer["tokens"] != [TOKENS] * batch:
                    raise ValueError(f"{name} must generate {TOKENS} tokens a text. Received: {answer['tokens']}")
                if number:  # the first round warms up
                    turns[batch, beams, name].append(answer)
                time.sleep(0.05)  # a thread pool that spins after its work must not slow the next worker
    for worker in workers.values():
        worker.finish()
    rows = []
    for (batch, beams, name), answers in turns.items():
        row = {"batch_size": batch, "beams": beams, "implementation": name, "versions": versions[name]}
        row |= {unit: [answer[unit] for answer in answers] for unit in ("seconds", "processor_seconds")}
        rows.append(row | {"tokens_per_second": batch * TOKENS / statistics.median(row["seconds"])})
    return rows


def describe(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table, with the ratios of times to those of the peer: medians and least ones."""
    peers = {(row["batch_size"], row["beams"]): row for row in rows if row["implementation"] not in OURS}
    lines = [
        "| texts | beams | | tokens/s | x transformers | least times | processor time |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        peer = peers.get((row["batch_size"], row["beams"]), row)
        of = ((statistics.median, "seconds"), (min, "seconds"), (statistics.median, "processor_seconds"))
        ratios = [f"{measure(peer[unit]) / measure(row[unit]):.2f}" if peer is not row else "" for measure, unit in of]
        names = f"{row['batch_size']} | {row['beams']} | {row['implementation']}"
        lines.append(f"| {names} | {row['tokens_per_second']:,.0f} | {' | '.join(ratios)} |")
    return "\n".join(lines)
