import gzip
from pathlib import Path

import pytest

from bert_tf.tokenization.wordpiece import WordPieceTokenizer

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


@pytest.fixture(scope="session")
def published_tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, WordPieceTokenizer]:
    """The tokenizers of the published uncased (True) and cased (False) vocabularies."""
    folder = tmp_path_factory.mktemp("vocabularies")
    tokenizers = {}
    for do_lower_case, name in ((True, "vocab_uncased.txt"), (False, "vocab_cased.txt")):
        (folder / name).write_bytes(gzip.decompress((GOLDEN / f"{name}.gz").read_bytes()))
        tokenizers[do_lower_case] = WordPieceTokenizer(str(folder / name), do_lower_case)
    return tokenizers
