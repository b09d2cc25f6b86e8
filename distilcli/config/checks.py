"""What all option objects share: limits refused in the same words, and what differs from a default."""

from __future__ import annotations

from dataclasses import fields

from distilcli.errors import UsageError


def at_least(options: object, limits: dict[str, float]) -> None:
    """Raise `UsageError` for the first option under its limit; None has no limit."""
    for name, smallest in limits.items():
        value = getattr(options, name)
        if value is not None and value < smallest:
            raise UsageError(f"--{name.replace('_', '-')} must be at least {smallest:g}, not {value:g}")


def changed(options: object) -> dict[str, object]:
    """The fields of an option object that differ from their defaults."""
    default = type(options)()
    return {
        one.name: getattr(options, one.name)
        for one in fields(options)  # type: ignore[arg-type]  # every caller passes a dataclass instance
        if getattr(options, one.name) != getattr(default, one.name)
    }
