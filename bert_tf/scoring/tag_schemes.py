"""Tagging schemes: how tags mark spans, in the notations that data sets use.

A tag is a letter and a type, as `B-PER`, `B_PER` or `PER-B`; the letter alone if there is one type only; or `O` outside
of spans. Scores, answers and exports read tags with `scheme_of`.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

from bert_tf.configs.tag_schemes import TAG_SCHEMES, tag_scheme_named

_MEANINGS = {"O": "O", "B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "W": "S"}
"""Each scheme's letters in those of IOBES: middle is inside, last is end, unit and whole are single."""

_NOTATIONS = {
    "prefix": re.compile(r"(?P<letter>[BIMELSUWO])(?:[-_](?P<type>.*))?", re.DOTALL),
    "suffix": re.compile(r"(?:(?P<type>.*)[-_])?(?P<letter>[BIMELSUWO])", re.DOTALL),
}
_LOOKS_PREFIXED = re.compile(r"[A-Za-z](?:[^\w\s]|_).|.+[-_][BIMELSUW]$", re.DOTALL)

# The spans that each scheme allows, in the letters of `TagScheme._code`. IOB2, IOE2 and IOBES are exactly as in
# seqeval's strict mode. So is IOB1, where seqeval lets I follow a B that begins nothing. IOE1 is IOB1 backwards.
_VALID_SPANS = {
    "io": re.compile("iI*"),
    "iob1": re.compile("(?:i|(?<=b)I)I*|B(?:I+|(?!b))"),
    "iob2": re.compile("[bB]I*"),
    "ioe1": re.compile("[iI]I*(?:E(?=[IE])|(?![IE]))|[eE](?=[IE])"),
    "ioe2": re.compile("[iI]I*E|[eE]"),
    "iobes": re.compile("[bB]I*E|[sS]"),
}


@dataclasses.dataclass(frozen=True)
class TagScheme:
    """A set of tags, read by one scheme.

    Attributes:
        name: a key of `TAG_SCHEMES`, or `none` for tags that mark no spans.
        meanings: the letter in IOBES, and the type, of each tag.
    """

    name: str
    meanings: Mapping[str, tuple[str, str]]

    @property
    def marks_spans(self) -> bool:
        """True if the tags mark spans."""
        return self.name != "none"

    @property
    def types(self) -> list[str]:
        """The types of spans, sorted."""
        return sorted({type_ for letter, type_ in self.meanings.values() if letter != "O"})

    def spans(self, tags: Sequence[str]) -> list[tuple[str, int, int]]:
        """Return the spans in a sequence as (type, index of the first word, index after the last word).

        The rules are those of conlleval (CoNLL-2000) and of seqeval by default. They accept sequences that no scheme
        allows: an `I-PER` after an `O` starts a span.

        >>> scheme_of(["B-PER", "I-PER", "B-LOC", "I-LOC", "O"]).spans(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
        [('PER', 0, 2), ('LOC', 3, 4), ('LOC', 4, 5)]
        """
        spans = []
        start = None
        before, type_before = "O", ""
        for index, (letter, type_) in enumerate([*(self.meanings[tag] for tag in tags), ("O", "")]):
            if start is not None and (letter in "BSO" or before in "ES" or type_ != type_before):
                spans.append((type_before, start, index))
                start = None
            if letter != "O" and start is None:
                start = index
            before, type_before = letter, type_
        return spans

    def form(self, sentences: Iterable[Sequence[str]]) -> str:
        """Return the rules that `strict_spans` checks, as the sentences follow them: a key of `_VALID_SPANS`.

        Tags that may be IOB1 or IOB2 are IOB1 if none of the sentences has a `B` that is not needed, which would follow
        `O` or another type. They are IOE1 if none has an `E` without a span of its type after it.
        """
        if self.name not in ("iob", "ioe"):
            return self.name if self.name in _VALID_SPANS else "iobes"
        code = "\n".join(map(self._code, sentences))
        if self.name == "iob":
            return "iob1" if "i" in code and "b" not in code else "iob2"
        return "ioe1" if "i" in code and not re.search("[eE](?![IE])", code) else "ioe2"

    def strict_spans(self, tags: Sequence[str], form: str) -> list[tuple[str, int, int]]:
        """Return the spans that the scheme allows, as in seqeval's strict mode.

        Args:
            tags: the tags of a sentence.
            form: the result of `form` for the true sentences.

        >>> scheme = scheme_of(["B-PER", "I-PER", "O"])
        >>> scheme.strict_spans(["I-PER", "O", "B-PER"], "iob2"), scheme.strict_spans(["I-PER", "O", "B-PER"], "iob1")
        ([('PER', 2, 3)], [('PER', 0, 1)])
        """
        return [
            (self.meanings[tags[match.start()]][1], *match.span())
            for match in _VALID_SPANS[form].finditer(self._code(tags))
        ]

    def _code(self, tags: Sequence[str]) -> str:
        """Return a letter for each tag: a capital if the tag before it is of the same type, or if it is `O`."""
        code = ""
        before: str | None = None
        for letter, type_ in (self.meanings[tag] for tag in tags):
            code += letter if letter == "O" or type_ == before else letter.lower()
            before = None if letter == "O" else type_
        return code


def scheme_of(tags: Iterable[str], name: str = "auto") -> TagScheme:
    """Return the scheme of the tags.

    Letters alone, and letters that follow the type, count as tags of spans only if `B` or `I` is among them. Where both
    notations are possible, as for `B-I`, the letter comes first.

    >>> [scheme_of(tags).name for tags in (["O", "B-PER", "I-PER"], ["U-LOC", "O"], ["NN", "VB"])]
    ['iob', 'bilou', 'none']

    Args:
        tags: all tags that occur.
        name: `auto` to find the scheme; or its name, for `tag_scheme_named`; or `none`.

    Raises:
        ValueError: the tags do not fit the scheme that `name` wants.
    """
    names = set(tags)
    wanted = set(TAG_SCHEMES) if name == "auto" else {tag_scheme_named(name)}
    for notation in _NOTATIONS if name != "none" else ():
        readings = {tag: reading for tag in names if (reading := _read(tag, notation)) is not None}
        letters = {letter for letter, _ in readings.values()} - {"O"}
        has_types = any(type_ for _, type_ in readings.values())
        sure = letters & {"B", "I"} or (notation == "prefix" and has_types) or name != "auto"
        if len(readings) < len(names) or not letters or not sure:
            continue
        for scheme, allowed in TAG_SCHEMES.items():
            if scheme in wanted and letters <= set(allowed):
                return TagScheme(scheme, {tag: (_MEANINGS[letter], type_) for tag, (letter, type_) in readings.items()})
    if name in ("auto", "none"):
        return TagScheme("none", {})
    [known] = wanted
    raise ValueError(
        f"`task.scheme` must fit the tags: those of {known} are O or have one of the letters "
        f"{', '.join(TAG_SCHEMES[str(known)])}, as {TAG_SCHEMES[str(known)][0]}-PER has. Received: {name!r}, and the "
        f"tags {', '.join(_misfits(names, str(known)))}"
    )


def unreadable_tags(tags: Iterable[str]) -> list[str]:
    """Return the tags that keep a set of tags from fitting a scheme, if most of the set look as if they marked spans.

    >>> unreadable_tags(["B-PER", "I-PER", "O", "X"]), unreadable_tags(["NN", "VB", "PRP$"])
    (['X'], [])
    """
    names = set(tags)
    inside = names - {"O"}
    if scheme_of(names).marks_spans or 2 * sum(map(bool, map(_LOOKS_PREFIXED.match, inside))) <= len(inside):
        return []
    return min((_misfits(names, scheme) for scheme in TAG_SCHEMES), key=len) or sorted(inside)


def _read(tag: str, notation: str) -> tuple[str, str] | None:
    """Return the letter and the type of a tag, or None if the notation has no such tag."""
    match = _NOTATIONS[notation].fullmatch(tag)
    return None if match is None else (match["letter"], match["type"] or "")


def _misfits(tags: Iterable[str], scheme: str) -> list[str]:
    """Return the tags that the scheme does not have, in the notation that fits more of them."""
    allowed = {"O", *TAG_SCHEMES[scheme]}
    return min(
        (
            sorted(tag for tag in tags if (reading := _read(tag, notation)) is None or reading[0] not in allowed)
            for notation in _NOTATIONS
        ),
        key=len,
    )
