"""The vocabulary of a tokenizer: tokens by id, ids by token, and the text that ids stand for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.tokenization.vocab_files import vocab_hash
from bert_tf.utils import files

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Vocabulary:
    """The tokens of a tokenizer with their ids, its casing and its options.

    Args:
        tokens: the tokens in the order of their ids. A blank token takes up an id that no text can yield, and the last
            one of equal tokens counts, as in the reference.
        do_lower_case: whether the vocabulary is uncased.
        options: the other options; None for those of the reference.
        source: the name of the vocabulary's source, for messages.

    Attributes:
        tokens: the tokens in the order of their ids.
        do_lower_case: whether the vocabulary is uncased.
        options: the options beside the casing.
        continuation: bool [V], True for the tokens that continue a word (`##...`).
        vocab_hash: SHA-256, in hexadecimal digits, of the tokens joined by LF, and of the options that are not the
            defaults. With the same casing, equal hashes mean equal ids.
        pad_id: the id of `[PAD]`.
        unk_id: the id of `[UNK]`.
        cls_id: the id of `[CLS]`.
        sep_id: the id of `[SEP]`.
        mask_id: the id of `[MASK]`.

    Raises:
        ValueError: the vocabulary is empty, or lacks a special token or an added token.
    """

    def __init__(
        self,
        tokens: Iterable[str],
        do_lower_case: bool = True,
        options: TokenizerOptions | None = None,
        *,
        source: str = "tokens",
    ) -> None:
        options = options or TokenizerOptions()
        tokens = list(tokens)
        while tokens and not tokens[-1]:
            tokens.pop()
        if not tokens:
            raise ValueError(f"{source}: a vocabulary must hold one token on each line. Received: an empty one")
        ids = {token: index for index, token in enumerate(tokens)}
        needed = (*SPECIAL_TOKENS, *(token.content for token in options.added_tokens))
        missing = [token for token in needed if token not in ids]
        if missing:
            raise ValueError(
                f"{source}: a vocabulary must hold {', '.join(needed)}. "
                f"Received: one of {len(tokens)} tokens without {', '.join(missing)}"
            )
        self.tokens = tuple(tokens)
        self.do_lower_case = do_lower_case
        self.options = options
        self.vocab_hash = vocab_hash(tokens, options)
        self.continuation = np.array([token.startswith("##") for token in tokens], np.bool_)
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (ids[token] for token in SPECIAL_TOKENS)
        self._ids = ids

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        casing = "uncased" if self.do_lower_case else "cased"
        parts = [f"{len(self):,} tokens", casing, *filter(None, [str(self.options)]), f"hash {self.vocab_hash[:12]}"]
        return f"{type(self).__name__}({', '.join(parts)})"

    @property
    def vocab_size(self) -> int:
        """The number of tokens, V."""
        return len(self.tokens)

    @property
    def special_ids(self) -> tuple[int, int, int, int, int]:
        """The ids of `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` and `[MASK]`."""
        return self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id

    @property
    def added_ids(self) -> tuple[int, ...]:
        """The ids of the added tokens, in the order of the options."""
        return tuple(self._ids[token.content] for token in self.options.added_tokens)

    def save(self, vocab_file: str) -> None:
        """Write the vocabulary, one token on each line, whole or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        files.write_text(vocab_file, "".join(token + "\n" for token in self.tokens))

    def convert_tokens_to_ids(self, tokens: Sequence[str]) -> list[int]:
        """Return the id of each token; that of `[UNK]` for one that the vocabulary lacks.

        Args:
            tokens: tokens, such as those that `tokenize` returns.

        Raises:
            ValueError: `tokens` is one string, or holds something else than strings.
        """
        if isinstance(tokens, str | bytes):
            raise ValueError(f"`tokens` must be a list of tokens, not one string. Received: {tokens!r:.100}")
        for number, token in enumerate(tokens):
            if not isinstance(token, str):
                raise ValueError(f"`tokens[{number}]` must be a string. Received: {token!r:.100}")
        return [self._ids.get(token, self.unk_id) if token else self.unk_id for token in tokens]

    def convert_ids_to_tokens(self, ids: Any) -> list[str]:
        """Return the token of each id.

        Args:
            ids: the ids of one text: a list, an array or an eager tensor.

        Raises:
            ValueError: an id is outside the vocabulary, or `ids` does not hold the ids of one text.
        """
        return [self.tokens[index] for index in self._checked_ids("ids", ids)]

    def decode(self, ids: Any, skip_special_tokens: bool = False) -> str:
        """Return the tokens as text: a `##` token joins the one before it, and a space precedes any other.

        Padding (`[PAD]`) is no part of the text.

        Args:
            ids: the ids of one text: a list, an array or an eager tensor.
            skip_special_tokens: whether to leave the special tokens out, and the added tokens that are `special`.

        Raises:
            ValueError: an id is outside the vocabulary, or `ids` does not hold the ids of one text.
        """
        return self._joined(self._checked_ids("ids", ids), self._skipped(skip_special_tokens))

    def batch_decode(self, batch: Any, skip_special_tokens: bool = False) -> list[str]:
        """Return the text of each row of ids, as `decode` does for one.

        Args:
            batch: the ids of several texts: a list of lists or arrays, an array or eager tensor [B, L], or a ragged
                tensor.
            skip_special_tokens: see `decode`.

        Raises:
            ValueError: an id is outside the vocabulary, or `batch` does not hold rows of ids.
        """
        rows = batch.to_list() if hasattr(batch, "to_list") else batch
        if isinstance(rows, Mapping | str | bytes) or not isinstance(rows, Iterable):
            found = f"a dict of {', '.join(rows)}" if isinstance(rows, Mapping) else f"{rows!r:.100}"
            raise ValueError(f"`batch` must hold rows of ids, such as `input_ids`. Received: {found}")
        rows = np.asarray(rows) if hasattr(rows, "shape") else rows
        skipped = self._skipped(skip_special_tokens)
        return [self._joined(self._checked_ids(f"batch[{row}]", ids), skipped) for row, ids in enumerate(rows)]

    def _skipped(self, skip_special_tokens: bool) -> set[int]:
        if not skip_special_tokens:
            return {self.pad_id}
        added = zip(self.added_ids, self.options.added_tokens, strict=True)
        return {*self.special_ids, *(index for index, token in added if token.special)}

    def _joined(self, ids: Iterable[int], skipped: set[int]) -> str:
        text: list[str] = []
        for index in ids:
            if index in skipped:
                continue
            token = self.tokens[index]
            if token.startswith("##") and text:
                text.append(token[2:])
            else:
                text.extend((" ", token) if text else (token,))
        return "".join(text)

    def _checked_ids(self, name: str, ids: Any) -> list[int]:
        """Return the ids of one text as numbers of Python.

        Args:
            name: the argument's name, for messages.
            ids: a list, an array, or an eager tensor of any backend.
        """
        is_text = isinstance(ids, Iterable) and not isinstance(ids, str | bytes | Mapping)
        try:
            array = np.asarray(ids if hasattr(ids, "shape") or not is_text else list(ids))
        except ValueError:  # lists of several lengths
            array = np.zeros((0, 0))
        if not is_text or array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise ValueError(f"`{name}` must hold the ids of one text, integers. Received: {ids!r:.100}")
        outside = np.flatnonzero((array < 0) | (array >= len(self)))
        if len(outside):
            raise ValueError(
                f"`{name}` must be from 0 to {len(self) - 1}. Received: {array[outside[0]]} at index {outside[0]}"
            )
        return array.tolist()
