"""Records of the small corpus (small_corpus.py) for tests: a vocabulary, settings, and folders as bytes."""

from pathlib import Path

from small_corpus import corpus_documents

from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from data_pipelines.create_pretraining_data import create_pretraining_data
from data_pipelines.records.manifest import Manifest, PreparationConfig

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CONFIG = PreparationConfig(max_seq_length=64)


def small_tokenizer(extra: tuple[str, ...] = ()) -> WordPieceTokenizer:
    """Return the tokenizer of a vocabulary with every word of the corpus."""
    words = sorted({word.strip(".").lower() for doc in corpus_documents(60) for line in doc for word in line.split()})
    return WordPieceTokenizer.from_tokens([*SPECIALS, ".", *words, *extra])


TOKENIZER = small_tokenizer()


def make(folder: Path, config: PreparationConfig = CONFIG, documents=None, **options) -> Manifest:
    """Make the record folder of `documents`, by default the small corpus, and return its manifest."""
    documents = corpus_documents(60) if documents is None else documents
    return create_pretraining_data(documents, TOKENIZER, str(folder), config=config, **options)


def contents_of(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below `folder`, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
