"""`WordPieceTokenizer` in graph operations, for a SavedModel that takes raw strings.

Every table is made from the Python tokenizer's own functions, so that each rule has one source. The graph uses the
operations of TensorFlow and the `FastWordpieceTokenizer` of TensorFlow Text, which a stock TensorFlow Serving has.

Axes: B texts, C characters of all texts, L length.
"""

from typing import NamedTuple

import tensorflow as tf

from bert_tf.preprocessing.graph_added_tokens import MAX_ADDED_TOKENS, matcher_of, surrogate, wordpiece_tokens
from bert_tf.preprocessing.graph_tables import Characters, Expansion, PagedTable, Text, row_starts
from bert_tf.tokenization import unicode_tables as ucd
from bert_tf.tokenization.basic import BasicTokenizer
from bert_tf.tokenization.wordpiece import MASK, SEP, WordPieceTokenizer

_SPACE, _CAPITAL_SIGMA, _FINAL_SIGMA = map(ord, " Σς")

# An added token is a word that begins with a control character, which folding drops, so that no text holds it.
_ADDED = "\x01"


class Tokens(NamedTuple):
    """The tokens, or the words, of texts.

    Offsets count the characters of a text without its invalid bytes, as Python does, from 0.

    Attributes:
        starts: int64 [B, None], the index of the first character.
        ends: int64 [B, None], the index after the last character.
        ids: int32 [B, None], the ids of tokens; None for words.
    """

    starts: tf.RaggedTensor
    ends: tf.RaggedTensor
    ids: tf.RaggedTensor = None


class GraphTokenizer(tf.Module):
    """A tokenizer of raw strings that gives the ids of `WordPieceTokenizer.encode` on every input.

    Invalid UTF-8 is dropped, as by `bytes.decode(errors="ignore")`.

    Args:
        tokenizer: the tokenizer with the vocabulary and the rules.

    Raises:
        ImportError: TensorFlow Text is not installed.
    """

    def __init__(self, tokenizer: WordPieceTokenizer):
        super().__init__(name="graph_tokenizer")
        try:
            import tensorflow_text
        except ImportError as error:
            raise ImportError(
                "tokenization in the graph needs TensorFlow Text of the same version as TensorFlow: "
                f"pip install 'bert_tf[text]' ({error})"
            ) from error
        self._parsed_ids, self._pad_id = {MASK: tokenizer.mask_id, SEP: tokenizer.sep_id}, tokenizer.pad_id
        self._cls_id, self._sep_id = tokenizer.cls_id, tokenizer.sep_id
        self._max_characters = tokenizer.options.max_input_chars_per_word
        added_ids = self._make_added_tokens(tokenizer)
        self._make_tables(tokenizer.basic_tokenizer, [surrogate(number) for number in range(len(added_ids))])
        # UTF-8 takes at most 4 bytes a character, so that a word of more bytes has too many characters.
        max_bytes = max(4 * self._max_characters, len(f"{_ADDED}{MAX_ADDED_TOKENS}"))
        self._too_long_word = "x" * (max_bytes + 1)
        self._wordpiece = tensorflow_text.FastWordpieceTokenizer(
            wordpiece_tokens(tokenizer) + [f"{_ADDED}{number}" for number in range(len(added_ids))],
            suffix_indicator="##",
            max_bytes_per_word=max_bytes,
            token_out_type=tf.int32,
            unknown_token=tokenizer.tokens[tokenizer.unk_id],
            no_pretokenization=True,
        )

    def _make_added_tokens(self, tokenizer: WordPieceTokenizer) -> list[int]:
        """Make the searches for added tokens, and return the ids of the tokens."""
        self._literal = self._normalized = None
        tokens = tokenizer.options.added_tokens
        if len(tokens) > MAX_ADDED_TOKENS:
            raise ValueError(f"`added_tokens` must be at most {MAX_ADDED_TOKENS} in a graph. Received: {len(tokens)}")
        added = tokenizer.added
        if added is None:
            return []
        ids = list(added.ids)
        self._literal, self._normalized = matcher_of(added.literal, ids), matcher_of(added.normalized, ids)
        # Their words have numbers after the vocabulary: word -> id, for all ids of WordPiece.
        self._ids = tf.constant([*range(tokenizer.vocab_size), *ids], tf.int32)
        return ids

    def _make_tables(self, basic_tokenizer: BasicTokenizer, added: list[str]) -> None:
        lower_case, strips = basic_tokenizer.do_lower_case, basic_tokenizer.strips_accents
        self._lower_case, self._strips_accents = lower_case, strips
        characters = basic_tokenizer.folded_characters()

        def fold(character: str) -> str:
            is_added = character in added
            return f" {_ADDED}{added.index(character)} " if is_added else basic_tokenizer.fold(character)

        self._fold = Expansion(fold, characters + added)
        if self._normalized is not None:
            self._normalize = Expansion(lambda character: basic_tokenizer.normalize(character)[0], characters)
        if basic_tokenizer.context_characters:
            # These tables serve the rules that depend on neighbours: the final form of sigma, and the order of marks.
            self._has_context = PagedTable.of_characters(basic_tokenizer.context_characters)
            dropped = [character for character in characters if ucd.CHARACTER_CLASS[ord(character)] == ucd.DROPPED]
            self._is_dropped = PagedTable.of_characters(dropped)
        if lower_case:
            self._case_class = PagedTable.of_bytes(ucd.CASE_CLASS)
        if strips:
            self._combining_class = PagedTable.of_bytes(ucd.COMBINING_CLASS)
            self._decompose = Expansion(lambda character: _marks(character, lower_case), characters)
            # Offsets need the marks that are stripped, and the characters that separate a mark from the letter before.
            self._is_stripped = PagedTable.of_characters(c for c in characters if _is_stripped(c, lower_case))
            cuts = [character for character in characters if " " in basic_tokenizer.clean(character)]
            self._cuts_strings = PagedTable.of_characters(cuts + added)

    def tokenize(self, texts: tf.Tensor, parsed: str | None = None) -> tf.RaggedTensor:
        """Return the ids of each text.

        Args:
            texts: string [B], UTF-8.
            parsed: `[MASK]` or `[SEP]`, whose literal becomes the token, as in
                `encode(text, parse_special_tokens=[parsed])`; None for neither.

        Returns:
            int32 [B, None].
        """
        if parsed is None:
            return self._tokenize(texts)
        # Invalid bytes are dropped first, since they could interrupt a `[MASK]`.
        parts = tf.strings.split(tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="ignore"), parsed)
        # The token follows each part of a text. The one after the last part is removed again.
        ids = self._tokenize(parts.flat_values)
        found = tf.fill([ids.nrows(), tf.constant(1, tf.int64)], self._parsed_ids[parsed])
        joined = parts.with_flat_values(tf.concat([ids, found], axis=1)).merge_dims(1, 2)
        return joined[:, :-1]

    def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        words = _words(self._fold_texts(texts)[2])
        return self._of_wordpiece(self._wordpiece.tokenize(self._without_long_words(words)).merge_dims(1, 2))

    def _of_wordpiece(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        return ids if self._literal is self._normalized else ids.with_values(tf.gather(self._ids, ids.values))

    def tokenize_with_offsets(self, texts: tf.Tensor) -> Tokens:
        """Return the tokens of each text with their offsets, as in `WordPieceTokenizer.encode_with_offsets`.

        Args:
            texts: string [B], UTF-8.
        """
        decoded, text, folded = self._fold_texts(texts)
        words = _words(folded)
        ids, starts, ends = self._wordpiece.tokenize_with_offsets(self._without_long_words(words))
        # The letters in order are the words in order, so that both count the same bytes.
        word_bytes = tf.strings.length(words.flat_values)
        counts = ids.values.row_lengths()
        word_starts = tf.repeat(tf.cumsum(word_bytes, exclusive=True), counts)
        byte_counts = tf.where(
            tf.repeat(self._is_long(words.flat_values), counts),
            tf.repeat(word_bytes, counts),  # a word that was replaced is one token
            tf.cast(ends.flat_values - starts.flat_values, tf.int32),
        )
        letter_bytes = _utf8_lengths(tf.boolean_mask(folded.codes, folded.codes != _SPACE))
        letter_of_byte = tf.repeat(tf.range(tf.size(letter_bytes)), letter_bytes)
        first_bytes = word_starts + tf.cast(starts.flat_values, tf.int32)
        first = tf.gather(letter_of_byte, first_bytes)
        last = tf.gather(letter_of_byte, first_bytes + byte_counts - 1)
        ids = self._of_wordpiece(ids.merge_dims(1, 2))
        starts, ends = self._offsets(decoded.splits, text, folded, last - first + 1, ids.row_splits)
        return Tokens(starts, ends, ids)

    def words_with_offsets(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, Tokens]:
        """Return the words of each text, unchanged, with their offsets (`WordPieceTokenizer.word_offsets`).

        Args:
            texts: string [B], UTF-8.

        Returns:
            The words, string [B, None], without invalid bytes, and their offsets.
        """
        decoded, text, folded = self._fold_texts(texts)
        words = _words(folded)
        letters = tf.strings.length(words.flat_values, unit="UTF8_CHAR")
        starts, ends = self._offsets(decoded.splits, text, folded, letters, words.row_splits)
        return substrings(tf.RaggedTensor.from_row_splits(decoded.codes, decoded.splits), starts, ends), Tokens(
            starts, ends
        )

    def _fold_texts(self, texts: tf.Tensor) -> tuple[Text, Text, Characters]:
        """Return the characters of the texts: as decoded; with added tokens and neighbours settled; and folded."""
        ragged = tf.strings.unicode_decode(texts, "UTF-8", errors="ignore")
        indices = tf.range(tf.size(ragged.flat_values, tf.int64))
        decoded = text = Text(ragged.flat_values, ragged.row_splits, indices, indices + 1)
        if self._literal is not None:
            text = self._literal.replace(text)
        if self._lower_case or self._strips_accents:
            found = text
            resolved = tf.cond(
                tf.reduce_any(self._has_context(found.codes) == 1),
                lambda: self._resolve_context(found),
                lambda: Characters(found.codes, found.splits, tf.range(tf.size(found.codes, tf.int64))),
            )
            text = found.changed(resolved)
        if self._normalized is not None:
            normalized = self._normalize(text.codes, text.splits)
            changed = text.changed(normalized)
            ends = self._with_stripped_marks(text, normalized.sources, changed.ends)
            text = self._normalized.replace(changed._replace(ends=ends))
        return decoded, text, self._fold(text.codes, text.splits)

    def _offsets(
        self,
        text_splits: tf.Tensor,
        text: Text,
        folded: Characters,
        letter_counts: tf.Tensor,
        row_splits: tf.Tensor,
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Return the starts and ends, in their texts, of words or tokens with `letter_counts` letters each."""
        indices = tf.boolean_mask(folded.sources, folded.codes != _SPACE)  # of the letters, in `text`
        letter_starts = tf.gather(text.starts, indices)
        letter_ends = self._with_stripped_marks(text, indices, tf.gather(text.ends, indices))
        owners = tf.repeat(tf.range(tf.size(letter_counts)), letter_counts)
        text_starts = tf.repeat(text_splits[:-1], row_splits[1:] - row_splits[:-1])
        # Marks may have been reordered, so that the first letter is not always the first in the text.
        starts = tf.math.segment_min(letter_starts, owners) - text_starts
        ends = tf.math.segment_max(letter_ends, owners) - text_starts
        return (
            tf.RaggedTensor.from_row_splits(starts, row_splits, validate=False),
            tf.RaggedTensor.from_row_splits(ends, row_splits, validate=False),
        )

    def _with_stripped_marks(self, text: Text, indices: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
        """Return the `ends` of letters, moved after the stripped marks that follow each, up to a letter or a cut."""
        if not self._strips_accents:
            return ends
        cuts = tf.cast(self._cuts_strings(text.codes), tf.int64)
        # This number changes before and after each character that cuts, and at the start of a text.
        strings = tf.cumsum(cuts) + tf.cumsum(cuts, exclusive=True) + tf.cumsum(text.row_starts())
        marks = tf.where(self._is_stripped(text.codes) == 1)[:, 0]
        owners = tf.cast(tf.searchsorted(indices, marks, side="right"), tf.int32) - 1
        marks, owners = tf.boolean_mask(marks, owners >= 0), tf.boolean_mask(owners, owners >= 0)
        belongs = tf.gather(strings, tf.gather(indices, owners)) == tf.gather(strings, marks)
        marks, owners = tf.boolean_mask(marks, belongs), tf.boolean_mask(owners, belongs)
        return tf.tensor_scatter_nd_max(ends, owners[:, None], tf.gather(text.ends, marks))

    def _resolve_context(self, text: Text) -> Characters:
        """Apply the rules that depend on neighbours, so that each character can then be folded on its own."""
        is_kept = self._is_dropped(text.codes) == 0
        kept_before = tf.concat([[0], tf.cumsum(tf.cast(is_kept, tf.int32))], axis=0)
        kept = Characters(
            tf.boolean_mask(text.codes, is_kept),
            tf.cast(tf.gather(kept_before, text.splits), tf.int64),
            tf.where(is_kept)[:, 0],
        )
        if self._lower_case:
            kept = kept._replace(codes=self._final_sigmas(kept))
        if not self._strips_accents:
            return kept
        decomposed = self._decompose(kept.codes, kept.splits)
        # Canonical order sorts each run of marks stably. A starter (class 0) and the start of a text begin a run.
        combining = self._combining_class(decomposed.codes)
        begins = tf.cast(combining == 0, tf.int64) + row_starts(decomposed.codes, decomposed.splits)
        order = tf.argsort(tf.cumsum(begins) * 256 + tf.cast(combining, tf.int64), stable=True)
        sources = tf.gather(kept.sources, tf.gather(decomposed.sources, order))
        return Characters(tf.gather(decomposed.codes, order), decomposed.splits, sources)

    def _final_sigmas(self, characters: Characters) -> tf.Tensor:
        """Return the codes, with each capital sigma at the end of a word replaced (`unicode_tables.is_final_sigma`).

        The tokenizer cuts words at spaces, ideographs and added tokens. These are uncased, and so end a word here too.
        """
        codes = characters.codes
        case = self._case_class(codes)
        indices = tf.where(case != ucd.CASE_IGNORABLE)[:, 0]
        rows = tf.gather(tf.cumsum(row_starts(codes, characters.splits)), indices)
        cased = tf.gather(case, indices) == ucd.CASED
        next_is_cased = cased[1:] & (rows[1:] == rows[:-1])
        before_is_cased = cased[:-1] & (rows[1:] == rows[:-1])
        edge = tf.zeros([tf.minimum(tf.size(indices), 1)], tf.bool)
        is_final = (
            (tf.gather(codes, indices) == _CAPITAL_SIGMA)
            & tf.concat([edge, before_is_cased], axis=0)
            & ~tf.concat([next_is_cased, edge], axis=0)
        )
        finals = tf.boolean_mask(indices, is_final)[:, None]
        return tf.tensor_scatter_nd_update(codes, finals, tf.fill([tf.shape(finals)[0]], _FINAL_SIGMA))

    def _is_long(self, words: tf.Tensor) -> tf.Tensor:
        is_long = tf.strings.length(words, unit="UTF8_CHAR") > self._max_characters
        return is_long & (tf.strings.substr(words, 0, 1) != _ADDED)

    def _without_long_words(self, words: tf.RaggedTensor) -> tf.RaggedTensor:
        flat = words.flat_values
        return words.with_flat_values(tf.where(self._is_long(flat), self._too_long_word, flat))

    def pack_rows(
        self, ids_a: tf.RaggedTensor, ids_b: tf.RaggedTensor | None, max_seq_length: int | tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Return padded rows with the tokens of `WordPieceTokenizer.encode_pair`.

        Args:
            ids_a: int32 [B, None], ids from `tokenize`.
            ids_b: ids of the second texts, or None for single texts.
            max_seq_length: L, at least 3.

        Returns:
            `input_ids`, `input_mask` (1 on tokens, 0 on padding), `segment_ids`, `position_ids` (0 on padding), all
            int32 [B, L].

        Raises:
            ValueError: `max_seq_length` is below 3.
        """
        if isinstance(max_seq_length, int) and max_seq_length < 3:
            raise ValueError(f"`max_seq_length` must be at least 3. Received: {max_seq_length}")
        length_a = tf.cast(ids_a.row_lengths(), tf.int32)[:, None]
        if ids_b is None:
            ids_b = ids_a[:, :0]
        length_b = tf.cast(ids_b.row_lengths(), tf.int32)[:, None]
        budget = max_seq_length - tf.where(length_b > 0, 3, 2)
        # This is `truncated_lengths` for all rows at once.
        kept_a = tf.minimum(length_a, tf.maximum(budget - length_b, (budget + 1) // 2))
        is_cut = length_a + length_b > budget
        length_a, length_b = tf.where(is_cut, kept_a, length_a), tf.where(is_cut, budget - kept_a, length_b)

        positions = tf.range(max_seq_length)[None, :]  # [1, L]
        first_segment = length_a + 2  # [CLS] A [SEP]
        end = first_segment + tf.where(length_b > 0, length_b + 1, 0)
        index_b = positions - first_segment
        separators = (positions == first_segment - 1) | (positions == end - 1)
        input_ids = tf.where(positions <= length_a, _take(ids_a, positions - 1), _take(ids_b, index_b))
        input_ids = tf.where(separators, self._sep_id, input_ids)
        input_ids = tf.where(positions == 0, self._cls_id, input_ids)
        is_used = positions < end
        return {
            "input_ids": tf.where(is_used, input_ids, self._pad_id),
            "input_mask": tf.cast(is_used, tf.int32),
            "segment_ids": tf.cast(is_used & (index_b >= 0), tf.int32),
            "position_ids": tf.where(is_used, positions, 0),
        }


def _marks(character: str, lower_case: bool) -> str:
    """Return the folded decomposition of a character that decomposes into marks; others as they are.

    Only marks can be reordered. Folding handles the other characters.
    """
    decomposed = "".join(ucd.folded_parts(character, lower_case, True))
    return decomposed if any(ucd.COMBINING_CLASS[ord(part)] for part in decomposed) else character


def _is_stripped(character: str, lower_case: bool) -> bool:
    """Return whether the character decomposes into marks, which are stripped."""
    first = ucd.folded_parts(character, lower_case, True)[0]
    return ucd.CHARACTER_CLASS[ord(first)] == ucd.NONSPACING_MARK


def _words(folded: Characters) -> tf.RaggedTensor:
    """Return the words between the spaces of folded texts, string [B, None]."""
    codes = tf.RaggedTensor.from_row_splits(folded.codes, folded.splits, validate=False)
    return tf.strings.split(tf.strings.unicode_encode(codes, "UTF-8"))


def _utf8_lengths(codes: tf.Tensor) -> tf.Tensor:
    """Return the number of bytes of each code point in UTF-8, int32."""
    return 1 + tf.add_n([tf.cast(codes > last, tf.int32) for last in (0x7F, 0x7FF, 0xFFFF)])


def substrings(codes: tf.RaggedTensor, starts: tf.RaggedTensor, ends: tf.RaggedTensor) -> tf.RaggedTensor:
    """Return parts of texts.

    Args:
        codes: int32 [B, None], the texts' code points.
        starts: int64 [B, None], the index of each part's first character.
        ends: int64 [B, None], the index after each part's last character; not below `starts`.

    Returns:
        string [B, None], in UTF-8.
    """
    text_starts = tf.repeat(codes.row_starts(), starts.row_lengths())
    indices = tf.ragged.range(starts.flat_values + text_starts, ends.flat_values + text_starts)
    parts = indices.with_values(tf.gather(codes.flat_values, indices.values))
    return starts.with_values(tf.strings.unicode_encode(parts, "UTF-8"))


def _take(ids: tf.RaggedTensor, index: tf.Tensor) -> tf.Tensor:
    """Return `ids[b, index[b, l]]`, int32 [B, L]; any number where `index` is outside row b."""
    flat = tf.concat([ids.flat_values, [0]], axis=0)
    indices = tf.cast(ids.row_starts(), tf.int32)[:, None] + index
    return tf.gather(flat, tf.clip_by_value(indices, 0, tf.size(flat) - 1))
