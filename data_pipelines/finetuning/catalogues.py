"""The reader of gettext's message catalogues (`.po`, `.mo`): messages are sources, and translations are targets."""

import re
import struct
from collections.abc import Iterator
from typing import Any

from bert_tf.examples import Seq2SeqExample
from bert_tf.utils import files


def read_catalogue(path: str, *, labelled: bool = True) -> list[Seq2SeqExample]:
    """Return an example for each message of a catalogue.

    Messages that are fuzzy, obsolete or not translated have no example. A message with a plural has two: its singular
    with the first form of the translation, and its plural with the other forms, each of which is right for some
    numbers. Where the language has one form, it is the target of both.

    Args:
        path: the file, local or remote, in UTF-8. A compiled one (`.mo`) holds translated messages alone.
        labelled: whether translations are read. If not, all messages that are not obsolete are sources.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a catalogue, or the package polib is not installed.
    """
    try:
        import polib
    except ImportError:
        raise ValueError(
            f"`path` with .po needs polib: pip install 'bert_tf[generation]'. Received: {path!r}"
        ) from None
    is_compiled = path.lower().endswith(".mo")
    data: Any = files.read_bytes(path) if is_compiled else files.read_text(path)
    try:
        catalogue = polib.mofile(data) if is_compiled else polib.pofile(data)
    except (OSError, ValueError, IndexError, struct.error) as error:
        line = re.search(r"line \d+", str(error))  # the whole message may hold the text of the file
        raise ValueError(f"{path}{f', {line[0]}' if line else ''}: not a message catalogue") from None
    entries = catalogue.translated_entries() if labelled else [entry for entry in catalogue if not entry.obsolete]
    return [
        example
        for entry in entries
        for example in _examples(entry, path if is_compiled else f"{path}, line {entry.linenum}", labelled)
    ]


def _examples(entry: Any, source: str, labelled: bool) -> Iterator[Seq2SeqExample]:
    forms = [entry.msgstr_plural[number] for number in sorted(entry.msgstr_plural)] if entry.msgid_plural else []
    forms = [form.strip() for form in forms or [entry.msgstr]]
    pairs = [(entry.msgid.strip(), forms[:1])]
    if entry.msgid_plural:
        pairs.append((entry.msgid_plural.strip(), forms[1:] or forms))
    for text, targets in pairs:
        if text and (targets[0] or not labelled):
            different = list(dict.fromkeys(targets))
            yield Seq2SeqExample(
                text=text,
                target=different[0] if labelled else None,
                other_targets=tuple(filter(None, different[1:])) if labelled else (),
                source=source,
            )
