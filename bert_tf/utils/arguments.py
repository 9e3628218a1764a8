"""Names in error messages: a library function names its argument, and callers replace it by the name that they know.

A function writes `` `path` must be a record folder ``. A caller that took the value from an argument or a flag with
another name gives this name around the call:

>>> with renamed(path="train_data"):
...     raise ValueError("`path` must be a record folder. Received: 'a'")
Traceback (most recent call last):
ValueError: `train_data` must be a record folder. Received: 'a'

Launchers turn the names of their flags into `--train_data` (`bert_tf.utils.launching.run`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


@contextmanager
def renamed(**names: str) -> Iterator[None]:
    """Within the block, let errors of bad input name arguments as the caller knows them.

    Args:
        **names: for each argument of the called function, the caller's name, without backticks. A name that holds
            a space or a dash is a phrase, such as `--input en`, and is shown without backticks.

    Raises:
        ValueError, OSError: the errors of the block, with each `` `argument` `` replaced in the message.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        shown = {
            name: as_name if " " in as_name or "-" in as_name else f"`{as_name}`" for name, as_name in names.items()
        }
        replace_names(error, shown)
        raise


def renamed_items(items: Iterable[Item], **names: str) -> Iterator[Item]:
    """Yield the items of an iterable, whose errors name arguments as the caller knows them (`renamed`).

    An iterator may find bad input only when an item is asked for, after the block that made it has ended.
    """
    with renamed(**names):
        yield from items


@contextmanager
def keeping_names() -> Iterator[None]:
    """Within the block, let errors keep their names, because these are fields of a configuration, not arguments.

    A field may share its name with a flag: the `strategy` of a masking is not `--strategy`.

    Raises:
        Exception: the exceptions of the block, which `renamed` and launchers leave unchanged.
    """
    try:
        yield
    except Exception as error:
        error.__dict__["keeps_names"] = True
        raise


def replace_names(error: BaseException, shown: Mapping[str, str]) -> None:
    """Replace `` `name` `` in an error's message, in place; errors from a `keeping_names` block stay as they are.

    Args:
        error: any exception; only the strings among its `args` change.
        shown: the replacement for each name; the names are without backticks, the replacements as they are shown.
    """
    if not shown or error.__dict__.get("keeps_names"):
        return
    pattern = re.compile("`(" + "|".join(map(re.escape, sorted(shown, key=len, reverse=True))) + ")`")

    def replaced(part: object) -> object:
        return pattern.sub(lambda match: shown[match[1]], part) if isinstance(part, str) else part

    error.args = tuple(map(replaced, error.args))
    if isinstance(error, OSError):  # its message is made of these attributes if it has a number
        error.strerror = replaced(error.strerror)  # type: ignore[assignment]
