"""Settings of routers: read from a constructor's signature, parsed from text, checked by type."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

from agentnet.errors import InvalidInput

_EMPTY = ("none", "null", "auto", "")


def setting_types(router: type) -> dict[str, Any]:
    """Returns the type of every setting of a router class, by name."""
    hints = typing.get_type_hints(router.__init__)  # type: ignore[misc]
    parameters = inspect.signature(router).parameters
    return {name: hints[name] for name in parameters}


def describe_settings(router: type) -> str:
    """Returns a router's settings in words, for error messages and the command line.

    >>> class Demo:
    ...     def __init__(self, *, k: int | None = None, encoder: str = "minilm") -> None: ...
    >>> describe_settings(Demo)
    "k (int or none, default none), encoder (str, default 'minilm')"
    """
    return ", ".join(describe_each(router)) or "none"


def describe_each(router: type) -> tuple[str, ...]:
    """Returns each setting of a router in words: name, type and default."""
    parameters = inspect.signature(router).parameters
    return tuple(
        f"{name} ({_words(kind)}, default {_default(parameters[name].default)})"
        for name, kind in setting_types(router).items()
    )


def check_at_least(**bounds: tuple[float | None, float]) -> None:
    """Checks numeric settings given as ``name=(value, least)``; None is left open.

    Raises:
        InvalidInput: a value is below its least, or not a finite number.

    >>> check_at_least(k=(None, 1), shrink=(0.5, 0))
    """
    for name, (value, least) in bounds.items():
        if value is not None and not (least <= value < float("inf")):
            raise InvalidInput(f"setting {name!r} must be at least {least:g}; got {value!r}.")


def check_choice(**choices: tuple[object, tuple[str, ...]]) -> None:
    """Checks settings given as ``name=(value, allowed)``; None is left open.

    Raises:
        InvalidInput: a value is none of the allowed ones.

    >>> check_choice(mode=("greedy", ("sample", "greedy")))
    """
    for name, (value, allowed) in choices.items():
        if value is not None and value not in allowed:
            raise InvalidInput(f"setting {name!r} is one of {', '.join(allowed)}; got {value!r}.")


def parse_settings(router: type, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``given`` as values of the router's types; text is parsed (``--set k=20``).

    Raises:
        InvalidInput: a setting does not exist or its value is of another type; lists those there are.

    >>> class Demo:
    ...     def __init__(self, *, k: int | None = None, soft: bool = True) -> None: ...
    >>> parse_settings(Demo, "demo", {"k": "20", "soft": "false"})
    {'k': 20, 'soft': False}
    """
    kinds = setting_types(router)
    if unknown := sorted(set(given) - set(kinds)):
        raise InvalidInput(
            f"router {name!r} has no setting {', '.join(map(repr, unknown))}; it has: "
            f"{describe_settings(router)}."
        )
    parsed = {}
    for key, value in given.items():
        try:
            parsed[key] = _parse(value, kinds[key])
        except (ValueError, TypeError):
            raise InvalidInput(
                f"setting {key!r} of router {name!r} is {_words(kinds[key])}; got {value!r}. "
                f"Settings: {describe_settings(router)}."
            ) from None
    return parsed


def _parse(value: Any, kind: Any) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() in _EMPTY):
            return None
        (rest,) = (item for item in inner if item is not types.NoneType)
        return _parse(value, rest)
    if origin is Literal:
        if value not in inner:
            raise ValueError(value)
        return value
    if origin is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(_parse(part, inner[0]) for part in parts)
    return _parse_plain(value, kind)


def _parse_plain(value: Any, kind: Any) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if str(value).lower() not in words:
            raise ValueError(value)
        return words[str(value).lower()]
    if isinstance(value, bool):
        raise TypeError(value)
    if kind is str:
        if not isinstance(value, str):
            raise TypeError(value)
        return value
    number = kind(value)
    if isinstance(value, float) and number != value:
        raise ValueError(value)
    return number


def _words(kind: Any) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join("none" if item is types.NoneType else _words(item) for item in inner)
    if origin is Literal:
        return "one of " + "|".join(map(str, inner))
    if origin is tuple:
        return f"{_words(inner[0])}s separated by commas"
    return str(kind.__name__)


def _default(value: Any) -> str:
    return "none" if value is None else repr(value)
