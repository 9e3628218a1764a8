"""The words of languages that are written without spaces, as segmenters find them in a text.

BERT's tokens of Chinese are characters, and those of Thai and of kana are pieces of whole sentences. Masks that fall on
whole words (Cui et al. 2019, "Pre-Training with Whole Word Masking for Chinese BERT") need a segmenter, which runs when
records are written: beside the tokens, they hold which ones continue a word (`features.RECORD_CONTINUES`). The tokens
themselves are those that the tokenizer gives without a segmenter.
"""

import dataclasses
import functools
import importlib.metadata
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils.ideographs import is_written_without_spaces

NO_SEGMENTER = "none"

_SUDACHI_CHARACTERS = 8000  # at most four bytes each; SudachiPy takes texts of up to 49,149 bytes


@dataclasses.dataclass(frozen=True)
class Segmenter:
    """A function from a text to its words, with the name and the version that the manifest of records states.

    Attributes:
        name: the name, other than "none".
        version: the version of whatever decides the words: another one may give other records.
        words: returns the words of a text in their order, each as it is written there. It may leave out what is
            between words, such as spaces. It must be a function of a module, or another object that can be pickled,
            if several processes or machines write the records.
        packages: the packages that `version` describes, which are compared on every machine.

    Raises:
        ValueError: the name is empty or "none".
    """

    name: str
    version: str
    words: Callable[[str], Iterable[str]]
    packages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or self.name == NO_SEGMENTER:
            raise ValueError(f"`name` of a segmenter must not be empty or none. Received: {self.name!r}")

    def require_version(self) -> None:
        """Check that this machine has the packages of the launching one.

        Raises:
            ValueError: it has other versions, or lacks one.
        """
        if self.packages and (found := installed(self.name).version) != self.version:
            raise ValueError(f"`segmenter` {self.name} must be {self.version} on every worker. Received: {found}")

    def starts(self, text: str) -> np.ndarray:
        """Return whether each character begins a word, bool [characters]. One outside all words begins one of its own.

        Raises:
            ValueError: `words` gives an empty word, or one that the rest of the text does not hold.
        """
        starts = np.ones(len(text), np.bool_)
        end = 0
        for word in self.words(text):
            start = text.find(word, end)
            if not word or start < 0:
                raise ValueError(
                    f"`segmenter` {self.name} must give the words of a text in their order. Received: {word!r}, after "
                    f"{end} of the {len(text)} characters of {text[:80]!r}"
                )
            end = start + len(word)
            starts[start + 1 : end] = False
        return starts


class SegmentedTexts(NamedTuple):
    """The tokens of many texts (`WordPieceTokenizer.encode_ragged`) and which of them continue a word.

    Attributes:
        ids: int32 [all ids].
        lengths: int64 [texts], the number of ids of each text.
        continues: uint8 [all ids], 1 on each token of the same word as the token before it.
    """

    ids: np.ndarray
    lengths: np.ndarray
    continues: np.ndarray


def encode(tokenizer: WordPieceTokenizer, segmenter: Segmenter, texts: Sequence[str]) -> SegmentedTexts:
    """Tokenize texts, and say which tokens continue a word.

    Between two tokens, a word ends where the segmenter begins one. A token that lies in two words of the segmenter
    makes one word of them. In text that is written with spaces, a `##` token always continues a word, wherever the
    segmenter cuts.

    Raises:
        ValueError: the segmenter gives something else than the words of a text.
    """
    ids: list[int] = []
    lengths: list[int] = []
    continues: list[int] = []
    for text in texts:
        text_ids, offsets = tokenizer.encode_with_offsets(text)
        words = np.cumsum(segmenter.starts(text)).tolist()  # the number of the word that each character is in
        last = -1
        for index, (start, end) in zip(text_ids, offsets, strict=True):
            same_word = last >= 0 and words[last] >= words[start]
            if not same_word and tokenizer.continuation[index]:
                same_word = not (is_written_without_spaces(text[last]) or is_written_without_spaces(text[start]))
            continues.append(int(same_word))
            last = end - 1
        ids += text_ids
        lengths.append(len(text_ids))
    return SegmentedTexts(np.array(ids, np.int32), np.array(lengths, np.int64), np.array(continues, np.uint8))


def installed(name: str) -> Segmenter:
    """Return a segmenter of `SEGMENTERS`.

    Raises:
        ValueError: there is none of this name, or its packages are not installed.
    """
    if name not in _KNOWN:
        raise ValueError(f"`segmenter` must be one of {', '.join(SEGMENTERS)}. Received: {name!r}")
    known = _KNOWN[name]
    try:
        versions = [f"{package} {importlib.metadata.version(package)}" for package in known.packages]
    except importlib.metadata.PackageNotFoundError as error:
        raise ValueError(
            f"`segmenter` {name} needs the package {error.name}: pip install 'bert_tf[{known.extra}]'. "
            f"Received: {name!r}"
        ) from None
    return Segmenter(name, ", ".join(versions), known.words, known.packages)


def _imported(module: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jieba's source and its import of pkg_resources are old
        return importlib.import_module(module)


@functools.cache
def _jieba() -> Any:
    jieba = _imported("jieba")
    tokenizer = jieba.Tokenizer()
    # `initialize` would read, and write, a copy in the folder for temporary files, which anyone can change.
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer


def _words_of_jieba(text: str) -> Iterable[str]:
    return _jieba().cut(text)


def _words_of_rjieba(text: str) -> Iterable[str]:
    return _imported("rjieba").cut(text)


@functools.cache
def _sudachi() -> Any:
    return _imported("sudachipy").Dictionary(dict="small").tokenizer()


def _words_of_sudachipy(text: str) -> Iterable[str]:
    for first in range(0, len(text), _SUDACHI_CHARACTERS):
        for morpheme in _sudachi().tokenize(text[first : first + _SUDACHI_CHARACTERS]):
            yield morpheme.surface()


def _words_of_pythainlp(text: str) -> Iterable[str]:
    # The safe form takes a time in proportion to the text, however ambiguous it is.
    return _imported("pythainlp.tokenize").word_tokenize(text, engine="newmm-safe")


class _Known(NamedTuple):
    """A segmenter that a package brings: its function, its packages, and the extra of setup.cfg that installs them."""

    words: Callable[[str], Iterable[str]]
    packages: tuple[str, ...]
    extra: str


_KNOWN = {
    "jieba": _Known(_words_of_jieba, ("jieba",), "chinese"),
    "rjieba": _Known(_words_of_rjieba, ("rjieba",), "chinese"),
    "sudachipy": _Known(_words_of_sudachipy, ("sudachipy", "sudachidict-small"), "japanese"),
    "pythainlp": _Known(_words_of_pythainlp, ("pythainlp",), "thai"),
}

SEGMENTERS = tuple(_KNOWN)
"""The names that `installed` takes: Chinese (jieba, and its rewriting in Rust), Japanese, Thai."""
