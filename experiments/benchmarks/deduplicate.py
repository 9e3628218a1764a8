"""The filters of duplicate documents, compared with `datasketch`'s MinHash and locality-sensitive hashing.

    python -m experiments.benchmarks.deduplicate --input 'docs/*.txt' --output deduplicate.json

`datasketch` is measured if it is installed. Times are processor seconds of one process, so that other work on the
machine changes them little. README.md in this folder gives the results.
"""

import itertools
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.launching import run
from data_pipelines.corpora.deduplication import RUN_LENGTH, ExactDuplicateFilter, normalized_words
from data_pipelines.corpora.documents import Document
from data_pipelines.corpora.near_duplicates import NearDuplicateDocumentFilter
from data_pipelines.corpora.readers import read_documents

THRESHOLD = 0.5  # the Jaccard similarity from which datasketch calls documents duplicates
PERMUTATIONS = 128  # its default


def datasketch_judged(documents: Sequence[Document]) -> Iterator[tuple[Document, bool]]:
    """Yield each document, and whether `datasketch` finds no similar one among those that were new."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    for number, document in enumerate(documents):
        words = normalized_words("\n".join(document))
        sketch = MinHash(num_perm=PERMUTATIONS)
        last = max(1, len(words) - RUN_LENGTH + 1)
        sketch.update_batch([" ".join(words[start : start + RUN_LENGTH]).encode() for start in range(last)])
        new = not index.query(sketch)
        if new:
            index.insert(number, sketch)
        yield document, new


Judged = Callable[[Sequence[Document]], Iterator[tuple[Document, bool]]]


def measure(judged: Judged, documents: Sequence[Document]) -> dict[str, float]:
    """Return the speed of a filter, the memory it takes and the share of documents that it admits."""
    characters = sum(len(sentence) + 1 for document in documents for sentence in document)
    start = time.process_time()
    admitted = sum(new for _, new in judged(documents))
    seconds = time.process_time() - start
    tracemalloc.start()
    stream = judged(documents)
    for _ in range(len(documents)):
        next(stream)
    memory, _ = tracemalloc.get_traced_memory()  # while the stream, and so the filter, is alive
    tracemalloc.stop()
    return {
        "documents": len(documents),
        "megabytes": round(characters / 1e6, 2),
        "admitted": admitted,
        "documents_per_second": round(len(documents) / seconds),
        "megabytes_per_second": round(characters / 1e6 / seconds, 2),
        "bytes_per_admitted_document": round(memory / max(1, admitted)),
    }


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string(
        "input", None, "The text, one sentence on each line, blank lines between documents.", required=True
    )
    flags.DEFINE_integer("documents", 100_000, "The largest number of documents to read.", lower_bound=1)
    flags.DEFINE_string("output", None, "The JSON file for all measurements.")


def main(_: Sequence[str]) -> None:
    """Measure all filters, and print and write the results."""
    values = flags.FLAGS
    documents = list(itertools.islice(read_documents(values.input), values.documents))
    filters: dict[str, Any] = {
        "exact": lambda documents: ExactDuplicateFilter().judged(documents),
        "near": lambda documents: NearDuplicateDocumentFilter().judged(documents),
    }
    try:
        import datasketch

        filters[f"datasketch {datasketch.__version__}"] = datasketch_judged
    except ImportError:
        print("datasketch is not installed, and not measured")
    results = {name: measure(judged, documents) for name, judged in filters.items()}
    print(json.dumps(results, indent=2))
    if values.output:
        files.write_json(values.output, results)


if __name__ == "__main__":
    run(main, define_flags)
