"""The real text of the train-step benchmark, in packed rows for this project and padded rows for its peers."""

import itertools
import os
from typing import Any

import numpy as np

from bert_tf.configs import MaskingConfig
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from data_pipelines.corpora import readers
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.input.record_folder import RecordFolder
from data_pipelines.records.manifest import MANIFEST_FILE, PreparationConfig
from data_pipelines.records.packing import DEFAULT_SEQUENCES_PER_ROW
from experiments.benchmarks.preparation_race import corpus_and_vocabulary, write_text
from experiments.benchmarks.step_race import SHAPES
from experiments.benchmarks.step_workers.protocol import Case

CASES = {f"packed_{name}": name for name, (_, _, _, length) in SHAPES.items() if length == 512}
"""The name of the sizes of each packed case in `step_race.SHAPES`."""

NUM_BATCHES = 8
_MEGABYTES = 4.0


def make_packed_cases(name: str, precision: str, *, work_dir: str, corpus: str | None = None) -> tuple[Case, Case]:
    """Make two cases of the same sizes, shape and text, with rows of several sequences, and with padded rows of one.

    Args:
        name: a key of `CASES`.
        precision: the precision of the computation.
        work_dir: the folder of text, vocabulary, records and batches. Existing files are used again.
        corpus: the text, as in the benchmark of preparation; None for the documentation of installed packages.
    """
    layers, hidden, rows, length = SHAPES[CASES[name]]
    text = os.path.join(work_dir, "packed_text.txt")
    corpus, vocab_file = corpus_and_vocabulary(work_dir, corpus, None)
    if not files.exists(text):
        write_text(corpus, text, _MEGABYTES)
    tokenizer = WordPieceTokenizer(vocab_file)
    cases = []
    for packed in (True, False):
        kind = "packed" if packed else "padded"
        records = os.path.join(work_dir, f"records_{kind}_{length}")
        if not files.exists(os.path.join(records, MANIFEST_FILE)):
            sequences = DEFAULT_SEQUENCES_PER_ROW if packed else 1
            config = PreparationConfig(max_seq_length=length, max_sequences_per_row=sequences)
            create_pretraining_data(readers.read_documents(text), tokenizer, records, config=config)
        batches = record_batches(records, rows, NUM_BATCHES)
        path = os.path.join(work_dir, f"{kind}_{CASES[name]}.npz")
        arrays: dict[str, Any] = dict(batches)
        np.savez(path, **arrays)
        predictions = batches["masked_lm_ids"].shape[-1]
        tokens = float(np.mean(np.sum(batches["input_mask"] > 0, axis=(1, 2))))
        cases.append(Case(name, layers, hidden, rows, length, predictions, precision, path, tokens_per_batch=tokens))
    return cases[0], cases[1]


def record_batches(records: str, rows: int, count: int) -> dict[str, np.ndarray]:
    """Return the first `count` batches that training on a record folder would read, stacked on the first axis."""
    dataset = RecordFolder(records).training_dataset(MaskingConfig(), rows, seed=0)
    batches = list(itertools.islice(dataset.as_numpy_iterator(), count))
    return {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
