"""The base of all configurations: a strict dictionary form, typed fields, and changes by dotted name."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from bert_tf.utils.arguments import keeping_names


class ConfigError(ValueError):
    """An unknown field of a configuration, or a value of another type or out of range."""


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Check that a value is one of the choices.

    Raises:
        ConfigError: `value` is none of `choices`; the message names the field.
    """
    if value not in choices:
        raise ConfigError(f"`{name}` must be one of {', '.join(choices)}. Received: {value!r}")


def check_range(name: str, value: float, low: float, *, high: float = math.inf) -> None:
    """Check that a number is finite and in [low, high].

    Raises:
        ConfigError: `value` is out of range; the message names the field.
    """
    if not (low <= value <= high and math.isfinite(value)):
        bound = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise ConfigError(f"`{name}` must be {bound}. Received: {value!r}")


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union such as `int | None`, or () if `annotation` is no union."""
    return typing.get_args(annotation) if typing.get_origin(annotation) in (types.UnionType, typing.Union) else ()


def _convert(name: str, value: Any, annotation: Any) -> Any:
    """Convert `value` to the type `annotation` without loss.

    Raises:
        ConfigError: the value cannot be converted. The message names the field.
    """
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        if isinstance(value, annotation):
            return value
        if isinstance(value, Mapping):
            return _from_dict(annotation, value, f"{name}.")
    elif _members(annotation):
        if value is None and type(None) in _members(annotation):
            return None
        if value is not None:
            return _convert(name, value, _chosen_member(name, value, annotation))
    elif typing.get_origin(annotation) is tuple:
        if isinstance(value, list | tuple):
            return tuple(_convert(name, item, typing.get_args(annotation)[0]) for item in value)
    elif annotation is bool:
        if isinstance(value, bool):
            return value
    elif annotation is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif annotation is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(value, annotation):
        return value
    expected = getattr(annotation, "__name__", str(annotation))
    raise ConfigError(f"`{name}` must be of type {expected}. Received: {value!r} ({type(value).__name__})")


def _chosen_member(name: str, value: Any, annotation: Any) -> Any:
    """Choose T of `T | None`, or the member of a union of configurations that `value` is, or names by its `kind`.

    The members have a field `kind`, each with another default. A `value` without `kind` is the first member.
    """
    members = [member for member in _members(annotation) if member is not type(None)]
    if len(members) == 1 or type(value) in members:
        return type(value) if type(value) in members else members[0]
    by_kind = {member.kind: member for member in members}
    kind = value.get("kind", members[0].kind) if isinstance(value, Mapping) else None
    if kind not in by_kind:
        raise ConfigError(f"`{name}` must have a kind, one of {', '.join(by_kind)}. Received: {value!r}")
    return by_kind[kind]


def _from_dict(cls: type, values: Mapping[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(
            f"unknown field `{prefix}{unknown[0]}`; {cls.__name__} has: {', '.join(hints)}. "
            f"Received: {values[unknown[0]]!r}"
        )
    return cls(**{name: _convert(prefix + name, value, hints[name]) for name, value in values.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Config):
        return value.to_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _parse(name: str, text: str, annotation: Any) -> Any:
    """Return the value of `text` from a command line."""
    if _members(annotation):
        if text.lower() in ("none", "null"):
            return None
        annotation = _chosen_member(name, text, annotation)
    if annotation is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ConfigError(f"`{name}` must be true or false. Received: {text!r}")
    if annotation in (int, float):
        try:
            return annotation(text)
        except ValueError:
            expected = "a whole number" if annotation is int else "a number"
            raise ConfigError(f"`{name}` must be {expected}. Received: {text!r}") from None
    if typing.get_origin(annotation) is tuple:
        member = typing.get_args(annotation)[0]
        return tuple(_parse(name, part.strip(), member) for part in text.split(",") if part.strip())
    return text


def _field_names(config: "Config") -> Iterator[str]:
    """Yield the dotted names of all fields, those of parts included."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        yield field.name
        if isinstance(value, Config):
            yield from (f"{field.name}.{name}" for name in _field_names(value))


@dataclasses.dataclass(frozen=True)
class Config:
    """The base class of configurations, with a strict dictionary form and changes by dotted name.

    Every way of making a configuration checks its values, and converts whole numbers to real ones where the field is
    real. Subclasses that check more call `super().__post_init__()` first.
    """

    def __post_init__(self) -> None:
        for name, annotation in typing.get_type_hints(type(self)).items():
            object.__setattr__(self, name, _convert(name, getattr(self, name), annotation))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make the configuration whose `to_dict` returned `values`. Missing fields have their defaults.

        Raises:
            ConfigError: a field is unknown, its value of another type or out of range; the message names it.
        """
        return _from_dict(cls, values, "")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold: dictionaries, lists, strings, numbers, booleans and None."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: _plain(value) for name, value in values.items()}

    def replace(self, **changes: Any) -> Self:
        """Return a copy with changed fields.

        Raises:
            ConfigError: a new value is of another type or out of range.
        """
        return dataclasses.replace(self, **changes)

    def with_name(self, name: str) -> Self | None:
        """Return a copy with the values that a name stands for; None for a class without named values.

        Raises:
            ConfigError: there is no such name.
        """
        return None

    def override(self, assignment: str) -> Self:
        """Return a copy with one field changed.

        Args:
            assignment: `"field=value"`, or `"part.field=value"` for a field of a part, as `--set` takes them. The
                values of a tuple are separated by commas, and `none` means None.

        Raises:
            ConfigError: the field is unknown, or the value is of another type or out of range.
        """
        path, equals, text = assignment.partition("=")
        with keeping_names():
            if not equals:
                raise ConfigError(f"overrides must be of the form NAME=VALUE. Received: {assignment!r}")
            return self._changed(path.strip(), text.strip(), parse=_parse)

    def with_field(self, name: str, value: Any) -> Self:
        """Return a copy with one field changed.

        Args:
            name: the field, or `part.field` for a field of a part.
            value: its value, of the field's type. A list may stand for a tuple.

        Raises:
            ConfigError: the field is unknown, or the value is of another type or out of range.
        """
        with keeping_names():
            return self._changed(name, value, parse=lambda full_name, value, annotation: value)

    def _changed(self, full_name: str, given: Any, *, parse: Callable[[str, Any, Any], Any]) -> Self:
        """Return a copy with the field `full_name` changed to what `parse` makes of `given`."""
        return self._changed_at(full_name.split("."), given, full_name, parse)

    def _changed_at(self, path: list[str], given: Any, full_name: str, parse: Callable[[str, Any, Any], Any]) -> Self:
        hints = typing.get_type_hints(type(self))
        name, *rest = path
        if name not in hints:
            raise ConfigError(
                f"unknown field `{full_name}`; {type(self).__name__} has: {', '.join(hints)}. Received: {given!r}"
            )
        value = getattr(self, name)
        if rest:
            if not isinstance(value, Config):
                raise ConfigError(f"`{full_name}`: `{name}` has no fields. Received: {given!r}")
            return self.replace(**{name: value._changed_at(rest, given, full_name, parse)})
        named = value.with_name(given) if isinstance(value, Config) and isinstance(given, str) else None
        if named is not None:
            return self.replace(**{name: named})
        if isinstance(value, Config) and not isinstance(given, Config):
            fields = ", ".join(f"{full_name}.{field.name}" for field in dataclasses.fields(value))
            raise ConfigError(f"`{full_name}` has fields of its own; set one of them: {fields}. Received: {given!r}")
        parsed = parse(full_name, given, hints[name])
        try:
            return self.replace(**{name: parsed})
        except ConfigError as error:
            raise ConfigError(f"{full_name}={given}: {error}") from None

    def field_named(self, name: str) -> str:
        """Return the dotted name of a field that is given by it, or by its last part alone.

        `field_named("batch_size")` of an experiment is `train.batch_size`.

        Raises:
            ConfigError: there is no such field, or several parts have one. The message lists the nearest names.
        """
        names = list(_field_names(self))
        ends = [full_name for full_name in names if full_name.rpartition(".")[2] == name]
        if name in names or len(ends) == 1:
            return name if name in names else ends[0]
        if ends:
            raise ConfigError(f"`{name}` must be one of {', '.join(ends)}. Received: {name!r}")
        by_end = {full_name.rpartition(".")[2]: full_name for full_name in reversed(names)}
        near = difflib.get_close_matches(name, [*names, *by_end])
        near = list(dict.fromkeys(by_end.get(close, close) for close in near))
        hint = f"did you mean {', '.join(near)}?" if near else f"{type(self).__name__} has: {', '.join(names)}."
        raise ConfigError(f"unknown field `{name}`; {hint} Received: {name!r}")
