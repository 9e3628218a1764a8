"""The tokenizer of a published folder, from all the files that transformers and Sentence Transformers write.

```
vocab.txt  tokenizer_config.json  tokenizer.json  added_tokens.json  special_tokens_map.json
config.json (`tokenizer_class`)  sentence_bert_config.json (`do_lower_case`)
```

Every setting that changes ids is read, or refused by its name. A setting of `tokenizer_config.json` comes before that
of `tokenizer.json`, as in `BertTokenizerFast`.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bert_tf.tokenization.options import MAX_WORD_CHARACTERS, AddedToken, TokenizerOptions
from bert_tf.tokenization.vocab_files import read_vocab_file
from bert_tf.tokenization.vocabulary import SPECIAL_TOKENS
from bert_tf.utils import files

VOCAB_FILE, CONFIG_FILE, FAST_FILE = "vocab.txt", "tokenizer_config.json", "tokenizer.json"
ADDED_FILE, MAP_FILE = "added_tokens.json", "special_tokens_map.json"
SENTENCE_FILE, MODEL_FILE = "sentence_bert_config.json", "config.json"
TOKENIZER_FILES = (VOCAB_FILE, CONFIG_FILE, FAST_FILE, ADDED_FILE, MAP_FILE, SENTENCE_FILE)
"""The files to fetch for a tokenizer."""

# Classes of `transformers` that compute what `BertTokenizer` does, without `Fast` at the end.
_CLASSES = (
    *("BertTokenizer", "PreTrainedTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer"),
    *("ConvBertTokenizer", "LayoutLMTokenizer", "LxmertTokenizer", "RetriBertTokenizer", "SqueezeBertTokenizer"),
    *("DPRQuestionEncoderTokenizer", "DPRContextEncoderTokenizer", "DPRReaderTokenizer", "TokenizersBackend"),
)
ROLES = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL_TOKENS, strict=True))
"""The names of the special tokens in `transformers`."""


@dataclasses.dataclass(frozen=True)
class PublishedTokenizer:
    """The settings of a published tokenizer.

    Attributes:
        tokens: the vocabulary's tokens by id, added tokens included; None if the folder has no vocabulary.
        do_lower_case: whether texts are lower-cased.
        options: the other options.
        problem: the reason why the tokenizer cannot be reproduced; "" if it can.
    """

    tokens: tuple[str, ...] | None
    do_lower_case: bool = True
    options: TokenizerOptions = dataclasses.field(default_factory=TokenizerOptions)
    problem: str = ""

    def fields(self) -> dict[str, Any]:
        """Return the fields of `conversion.pretrained.Pretrained` for the tokenizer."""
        return {
            "tokens": self.tokens,
            "do_lower_case": self.do_lower_case,
            "tokenizer_options": self.options,
            "tokenizer_problem": self.problem,
        }

    def check(self) -> tuple[str, ...]:
        """Return the tokens of a vocabulary that a tokenizer can be made of.

        Raises:
            ValueError: the folder has no vocabulary, or an unsupported tokenizer.
        """
        if self.problem:
            raise ValueError(self.problem)
        if self.tokens is None:
            raise ValueError(f"the folder must hold a vocabulary ({VOCAB_FILE} or {FAST_FILE}). Received: none")
        return self.tokens


def read_tokenizer(folder: str) -> PublishedTokenizer:
    """Read the tokenizer of a published folder.

    What cannot be reproduced does not raise here, since weights may be used without their tokenizer: it is `problem`.

    Raises:
        ValueError: a file is damaged.
    """
    config, fast = (json_object(os.path.join(folder, name)) for name in (CONFIG_FILE, FAST_FILE))
    kind = config.get("tokenizer_class") or json_object(os.path.join(folder, MODEL_FILE)).get("tokenizer_class")
    kind = str(kind or "BertTokenizer")
    tokens: tuple[str, ...] | None = None
    try:
        _check_class(folder, config, kind)
        _check_fast(os.path.join(folder, FAST_FILE), fast)
        tokens, added = _with_added_tokens(folder, *_wordpiece(folder, fast), _added_entries(folder, config, fast))
    except _UnsupportedError as error:
        return PublishedTokenizer(tokens or (), problem=str(error))
    normalizer = _only(fast.get("normalizer"), "normalizers")
    # `PreTrainedTokenizerFast` reads tokenizer.json alone.
    stated = (normalizer, config) if kind.startswith(("PreTrained", "TokenizersBackend")) else (config, normalizer)
    accents = next((settings["strip_accents"] for settings in stated if "strip_accents" in settings), None)
    lower_case = _stated(stated, "do_lower_case", "lowercase")
    if lower_case is None:
        lower_case = looks_uncased(tokens or ())
    if not lower_case and json_object(os.path.join(folder, SENTENCE_FILE)).get("do_lower_case") is True:
        # Sentence Transformers lower-cases texts before the tokenizer, which then keeps their accents.
        lower_case, accents = True, bool(accents)
    limit = config.get("max_input_chars_per_word", (fast.get("model") or {}).get("max_input_chars_per_word"))
    options = TokenizerOptions(
        strip_accents=accents if isinstance(accents, bool) else None,
        tokenize_chinese_chars=_stated(stated, "tokenize_chinese_chars", "handle_chinese_chars") is not False,
        max_input_chars_per_word=limit if isinstance(limit, int) and limit >= 1 else MAX_WORD_CHARACTERS,
        added_tokens=added,
    )
    return PublishedTokenizer(tokens, lower_case, options)


def tokenizer_settings(folder: str) -> dict[str, Any]:
    """Return the content of `tokenizer_config.json`; {} if there is none.

    Raises:
        ValueError: the file is damaged.
    """
    return json_object(os.path.join(folder, CONFIG_FILE))


def looks_uncased(tokens: tuple[str, ...]) -> bool:
    """Return whether no token has a capital, special tokens aside."""
    return not any(token != token.lower() for token in tokens if not (token.startswith("[") and token.endswith("]")))


class _UnsupportedError(Exception):
    """A setting that cannot be reproduced; the message names it."""


def _refuse(file: str, name: str, rule: str, received: Any) -> None:
    raise _UnsupportedError(f"{file}: `{name}` must be {rule}. Received: {received!r:.200}")


def _stated(settings: Iterable[Mapping[str, Any]], *names: str) -> bool | None:
    """Return the first of several settings that is stated; None if none is."""
    values = (one.get(name) for one in settings for name in names)
    return next((value for value in values if isinstance(value, bool)), None)


def _only(part: Any, kind: str) -> dict[str, Any]:
    """Return a part of `tokenizer.json`, or the only member of a sequence; {} if there is none."""
    if isinstance(part, dict) and part.get("type") == "Sequence" and isinstance(members := part.get(kind), list):
        return members[0] if len(members) == 1 and isinstance(members[0], dict) else part
    return part if isinstance(part, dict) else {}


def _check_class(folder: str, config: Mapping[str, Any], kind: str) -> None:
    file = os.path.join(folder, CONFIG_FILE)
    if kind.removesuffix("Fast") not in _CLASSES:
        _refuse(file, "tokenizer_class", "BertTokenizer or one that computes the same", kind)
    expected: dict[str, tuple[Any, ...]] = {
        "do_basic_tokenize": (None, True),
        "word_tokenizer_type": (None, "basic"),
        "subword_tokenizer_type": (None, "wordpiece"),
        "wordpieces_prefix": (None, "##"),
        **{role: (None, token) for role, token in ROLES.items()},
    }
    for name, values in expected.items():
        found = config.get(name)
        found = found.get("content") if isinstance(found, dict) else found
        if found not in values:
            _refuse(file, name, repr(values[-1]), found)
    never_split = set(config.get("never_split") or ()) - set(SPECIAL_TOKENS)
    if never_split:
        # Only the slow tokenizers of old versions had it; the others ignore it, so that ids depend on the version.
        _refuse(file, "never_split", "empty (make the tokens added tokens)", sorted(never_split))


def _check_fast(file: str, fast: Mapping[str, Any]) -> None:
    """Refuse a `tokenizer.json` that computes something else than `BertTokenizer`."""
    if not fast:
        return
    model = fast.get("model") or {}
    rules: dict[str, tuple[Any, Callable[[Any], bool], str]] = {
        "model.type": (model.get("type", "WordPiece"), lambda value: value == "WordPiece", "'WordPiece'"),
        "model.unk_token": (model.get("unk_token", "[UNK]"), lambda value: value == "[UNK]", "'[UNK]'"),
        "model.continuing_subword_prefix": (
            model.get("continuing_subword_prefix", "##"),
            lambda value: value == "##",
            "'##'",
        ),
    }
    for name, kind, plural in (
        ("normalizer", "BertNormalizer", "normalizers"),
        ("pre_tokenizer", "BertPreTokenizer", "pretokenizers"),
    ):
        if name in fast:
            part = fast[name]
            rules[name] = (_description(part, plural), _equals(_only(part, plural).get("type"), kind), kind)
    clean_text = _only(fast.get("normalizer"), "normalizers").get("clean_text", True)
    rules["normalizer.clean_text"] = (clean_text, lambda value: value is True, "true")
    if "post_processor" in fast:
        fits = _is_bert_processor(fast["post_processor"])
        rules["post_processor"] = (fast["post_processor"], lambda _: fits, "[CLS] A [SEP] and [CLS] A [SEP] B [SEP]")
    for name, (value, holds, rule) in rules.items():
        if not holds(value):
            _refuse(file, name, rule, value)


def _equals(found: Any, expected: str) -> Callable[[Any], bool]:
    return lambda _: found == expected


def _description(part: Any, plural: str) -> Any:
    """Return the kind of a part, or the kinds of its members."""
    if isinstance(part, dict) and isinstance(part.get(plural), list):
        return [member.get("type") for member in part[plural] if isinstance(member, dict)]
    return part.get("type") if isinstance(part, dict) else part


def _is_bert_processor(part: Any) -> bool:
    """Return whether a post-processor adds `[CLS]` and `[SEP]`, with the segments 0 and 1."""
    if not isinstance(part, dict):
        return False
    if part.get("type") == "BertProcessing":
        return [(part.get(end) or [None])[0] for end in ("cls", "sep")] == ["[CLS]", "[SEP]"]
    if part.get("type") == "Sequence" and isinstance(part.get("processors"), list):
        return len(part["processors"]) == 1 and _is_bert_processor(part["processors"][0])
    if part.get("type") != "TemplateProcessing":
        return False
    pieces = [_template(part.get(name)) for name in ("single", "pair")]
    single = [("[CLS]", 0), ("A", 0), ("[SEP]", 0)]
    return pieces == [single, [*single, ("B", 1), ("[SEP]", 1)]]


def _template(pieces: Any) -> list[tuple[Any, Any]]:
    if not isinstance(pieces, list):
        return []
    parts = [next(iter(piece.values())) for piece in pieces if isinstance(piece, dict) and len(piece) == 1]
    return [(part.get("id"), part.get("type_id")) for part in parts if isinstance(part, dict)]


def _wordpiece(folder: str, fast: Mapping[str, Any]) -> tuple[list[str] | None, dict[str, int]]:
    """Return the vocabulary of `vocab.txt` or `tokenizer.json` by id, and the ids of WordPiece's tokens."""
    vocabulary = (fast.get("model") or {}).get("vocab")
    of_fast: dict[str, int] = {}
    if isinstance(vocabulary, dict):
        of_fast = {token.strip(): index for token, index in vocabulary.items()}
    by_id = {index: token for token, index in of_fast.items()}
    file = os.path.join(folder, VOCAB_FILE)
    if not files.exists(file):
        return [by_id.get(index, "") for index in range(max(by_id) + 1)] if by_id else None, of_fast
    lines = read_vocab_file(file)
    of_file = {token: index for index, token in enumerate(lines) if token}
    if not of_fast:
        return lines, of_file
    # vocab.txt may hold tokens that tokenizer.json only adds. Where vocab.txt has none, tokenizer.json may hold one.
    added = {entry.get("content") for entry in _values(fast.get("added_tokens"))} - set(of_fast)
    of_file = {token: index for token, index in of_file.items() if token not in added}
    more = {token: index for token, index in of_fast.items() if index >= len(lines)}
    other = next((token for token in {**of_file, **more} if of_fast.get(token) != of_file.get(token)), None)
    if other is not None:
        raise _UnsupportedError(
            f"{file} and {FAST_FILE} must hold the same vocabulary. Received: {other!r} with the ids "
            f"{of_file.get(other)} and {of_fast.get(other)}"
        )
    return lines, of_file


def _added_entries(folder: str, config: Mapping[str, Any], fast: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what the files say about added tokens: content -> `id` (None for a new one) and flags."""
    entries: dict[str, dict[str, Any]] = {}

    def add(entry: Any, index: Any = None, special: bool = False) -> None:
        flags = dict(entry) if isinstance(entry, dict) else {"content": entry}
        content = flags.get("content")
        if not isinstance(content, str) or content in entries:
            return
        is_special = bool(flags.get("special", special))
        entries[content] = {"normalized": not is_special, "special": is_special, "id": index} | flags

    decoder, numbers = config.get("added_tokens_decoder"), json_object(os.path.join(folder, ADDED_FILE))
    roles = json_object(os.path.join(folder, MAP_FILE))
    more = [
        token
        for settings in (config, roles)
        for name in ("additional_special_tokens", "extra_special_tokens")
        for token in _values(settings.get(name))
    ]
    contents = {token.get("content") if isinstance(token, dict) else token for token in more}
    for entry in _values(fast.get("added_tokens")):
        add(entry)
    for index, entry in (decoder if isinstance(decoder, dict) else {}).items():
        add(entry, int(index))
    for content, index in numbers.items():
        add(content, index, content in contents)
    for entry in more:
        add(entry, None, True)
    return entries


def _values(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _with_added_tokens(
    folder: str, tokens: list[str] | None, wordpiece: Mapping[str, int], entries: Mapping[str, Mapping[str, Any]]
) -> tuple[tuple[str, ...] | None, tuple[AddedToken, ...]]:
    """Return all tokens by id, and the added tokens that are none of the special tokens."""
    if tokens is None:
        return None, ()
    by_id = dict(enumerate(tokens))
    ids = {token: index for index, token in by_id.items() if token}
    added = []
    for content, entry in entries.items():
        index = entry["id"]
        if index is None:
            index = ids.get(content, max(by_id, default=-1) + 1)
        known = ids.get(content, index)
        if known != index or by_id.get(index, content) not in (content, ""):
            raise _UnsupportedError(
                f"{folder}: the added token {content!r} must have an id of its own, the vocabulary's if it is there. "
                f"Received: {index}, beside {by_id.get(index)!r} and the id {known}"
            )
        ids[content], by_id[index] = index, content
        if content not in SPECIAL_TOKENS:
            flags = {name: bool(entry.get(name, False)) for name in ("single_word", "lstrip", "rstrip")}
            flags |= {name: bool(entry[name]) for name in ("normalized", "special")}
            added.append(AddedToken(content, **flags, in_wordpiece=content in wordpiece))
    return tuple(by_id.get(index, "") for index in range(max(by_id, default=-1) + 1)), tuple(added)


def json_object(file: str) -> dict[str, Any]:
    """Return the content of a file of settings; {} if there is no such file.

    Raises:
        ValueError: the file does not hold a JSON object.
    """
    if not files.exists(file):
        return {}
    value = files.read_json(file)
    if not isinstance(value, dict):
        raise ValueError(f"{file} must hold a JSON object. Received: a {type(value).__name__}")
    return value
