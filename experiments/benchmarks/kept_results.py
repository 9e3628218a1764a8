"""Results that an earlier command left are gone on with only if the settings are the same."""

from collections.abc import Mapping
from typing import Any


def require_same_settings(flag: str, path: str | None, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that results were made with these settings.

    Args:
        flag: the name of the flag, without dashes, that gave the path.
        path: where the results are.
        before: the settings of the results.
        now: the settings of this command.

    Raises:
        ValueError: they differ. The message names the first setting that does.
    """
    for name, value in now.items():
        if before.get(name) != value:
            raise ValueError(
                f"--{flag} must be new, or hold results of {name}={value!r}. Received: {name}={before.get(name)!r} in "
                f"{path!r}"
            )
