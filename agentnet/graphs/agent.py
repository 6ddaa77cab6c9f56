"""`Backend` and `Agent`: who can be asked, at what price."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal, InvalidOperation
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

from agentnet.errors import PoolError
from agentnet.graphs.secrets import check_options

STRATEGIES = (
    "direct",
    "chain_of_thought",
    "self_consistency",
    "program",
    "react",
    "critic",
    "refine",
    "summarise",
    "debate",
    "callable",
    "recorded",
)
"""Names of the built-in ways in which an agent uses its backend (see ``agentnet.runtime``)."""

_NAME = re.compile(r"[^\s\x00-\x1f][^\n\r\t\x00-\x1f]{0,199}")
_MTOK = Decimal(1_000_000)


def to_money(value: object, what: str) -> Decimal | None:
    """Returns ``value`` as non-negative USD, or None where it is unknown.

    Raises:
        PoolError: the value is not a finite, non-negative number.

    >>> to_money("0.15", "price"), to_money(None, "price")
    (Decimal('0.15'), None)
    """
    if value is None:
        return None
    try:
        money = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        raise PoolError(f"{what} must be a number of USD, or None if unknown; got {value!r}.") from None
    if not money.is_finite() or money < 0:
        raise PoolError(f"{what} must be a non-negative number of USD, or None; got {value!r}.")
    return money


def frozen_mapping(values: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Returns a read-only copy, so that a frozen value stays frozen."""
    return MappingProxyType(dict(values or {}))


def _at_least(value: Any, least: float) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and float(value) >= least


def _check_whole(value: Any, least: int, what: str, otherwise: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise PoolError(f"{what} must be a whole number from {least}{otherwise}; got {value!r}.")


def _texts(value: Any, what: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise PoolError(f"{what} must be a list of texts; got {value!r}.")
    return tuple(str(item) for item in value)


def _shots(value: Any, what: str) -> tuple[Shot, ...]:
    try:
        return tuple(item if isinstance(item, Shot) else Shot(*item) for item in value)
    except TypeError:
        raise PoolError(f"{what} must be pairs of a question and an answer; got {value!r}.") from None


def _check_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PoolError(
            f"{kind} names are non-empty, at most 200 characters and hold no line breaks; got {name!r}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A language model that can be called, and what a call costs.

    >>> b = Backend(name="mini", model="openai/gpt-4o-mini",
    ...             price_in_per_mtok="0.15", price_out_per_mtok="0.60")
    >>> b.cost(prompt_tokens=1000, completion_tokens=500)
    Decimal('0.00045')
    """

    name: str
    model: str
    """The model as LiteLLM names it, for example ``openai/gpt-4o-mini`` or ``ollama/llama3.1``."""
    description: str = ""
    price_in_per_mtok: Decimal | None = None
    """USD per million prompt tokens; None is unknown, never zero."""
    price_out_per_mtok: Decimal | None = None
    """USD per million completion tokens; None is unknown, never zero."""
    price_source: str | None = None
    """Where the price comes from, for example a price list's address and date."""
    context_window: int | None = None
    """Tokens of prompt and completion together."""
    params_b: float | None = None
    """Billions of parameters."""
    max_parallel: int | None = None
    """Most calls in flight at once; further ones wait. None: no bound."""
    timeout_s: float = 60.0
    """Seconds one attempt may take."""
    retries: int = 2
    """Further attempts after a failure that may pass. This is the only place that retries."""
    fallbacks: tuple[str, ...] = ()
    """Names of backends tried, in order, when this one has failed for good."""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Further LiteLLM arguments (``api_base``, ``temperature``, ...). Secrets are refused at any depth:
    they stay in the environment, and ``api_key_env`` names the key's variable."""

    def __post_init__(self) -> None:
        _check_name("backend", self.name)
        if not self.model or not isinstance(self.model, str):
            raise PoolError(f"backend {self.name!r} needs a model, such as 'openai/gpt-4o-mini'.")
        for key in ("price_in_per_mtok", "price_out_per_mtok"):
            object.__setattr__(self, key, to_money(getattr(self, key), f"{key} of {self.name!r}"))
        owner = f"backend {self.name!r}"
        if not _at_least(self.timeout_s, 1e-9):
            raise PoolError(f"{owner}: timeout_s must be a number above 0; got {self.timeout_s!r}.")
        _check_whole(self.retries, 0, f"{owner}: retries")
        for key in ("max_parallel", "context_window"):
            if getattr(self, key) is not None:
                _check_whole(getattr(self, key), 1, f"{owner}: {key}", " or None")
        options = check_options(self.options, owner)
        object.__setattr__(self, "fallbacks", _texts(self.fallbacks, f"fallbacks of {self.name!r}"))
        object.__setattr__(self, "options", frozen_mapping(options))

    def cost(self, *, prompt_tokens: int | None, completion_tokens: int | None) -> Decimal | None:
        """Returns USD for these tokens, or None when a price or a count is unknown."""
        parts = ((prompt_tokens, self.price_in_per_mtok), (completion_tokens, self.price_out_per_mtok))
        total = Decimal(0)
        for tokens, price in parts:
            if tokens is None or price is None:
                return None
            total += tokens * price / _MTOK
        return total

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values; the inverse of `from_dict`."""
        return _plain(
            self,
            (
                "name",
                "model",
                "description",
                "price_in_per_mtok",
                "price_out_per_mtok",
                "price_source",
                "context_window",
                "params_b",
                "max_parallel",
                "timeout_s",
                "retries",
                "fallbacks",
                "options",
            ),
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Backend:
        """Builds a backend from JSON values.

        Raises:
            PoolError: a key is unknown or a value cannot be used.
        """
        return cls(**_known(cls, data, "backend"))


@dataclass(frozen=True, slots=True)
class Shot:
    """A worked example that stands in an agent's prompt."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A backend with a role and a strategy: the unit that routers choose.

    An agent without a backend is a Python callable, a LangGraph runnable, or an agent known only from
    recorded outcomes.

    >>> a = Agent(name="algebra", description="Solves linear equations.")
    >>> a.strategy, a.price_in_per_mtok
    ('direct', None)
    """

    name: str
    description: str = ""
    """What it is good for, in words: routers know a new agent by this."""
    backend: Backend | None = None
    strategy: str = "direct"
    system: str = ""
    """The role prompt."""
    shots: tuple[Shot, ...] = ()
    """Worked examples that go into the prompt."""
    examples: tuple[str, ...] = ()
    """Questions this agent should get: routing knowledge, never part of a prompt."""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Settings of the strategy, for example ``{"n": 5}`` for self-consistency."""
    call: Any = field(default=None, compare=False, repr=False)
    """A Python callable (sync or async) or LangGraph runnable that answers instead of a backend."""
    tools: tuple[Callable[..., Any], ...] = field(default=(), compare=False, repr=False)
    """Python functions the ``react`` strategy may call."""
    params_b: float | None = None
    context_window: int | None = None
    price_in_per_mtok: Decimal | None = None
    """USD per million prompt tokens; taken from the backend when there is one."""
    price_out_per_mtok: Decimal | None = None
    price_source: str | None = None

    def __post_init__(self) -> None:
        _check_name("agent", self.name)
        if self.backend is not None and not isinstance(self.backend, Backend):
            raise PoolError(f"agent {self.name!r}: backend is a Backend or None; got {self.backend!r}.")
        for key in ("price_in_per_mtok", "price_out_per_mtok"):
            object.__setattr__(self, key, to_money(getattr(self, key), f"{key} of {self.name!r}"))
        if self.backend is not None:
            for key in (
                "price_in_per_mtok",
                "price_out_per_mtok",
                "price_source",
                "context_window",
                "params_b",
            ):
                if getattr(self, key) is None:
                    object.__setattr__(self, key, getattr(self.backend, key))
        if self.call is not None and self.strategy == "direct":
            object.__setattr__(self, "strategy", "callable")
        object.__setattr__(self, "shots", _shots(self.shots, f"shots of {self.name!r}"))
        object.__setattr__(self, "examples", _texts(self.examples, f"examples of {self.name!r}"))
        object.__setattr__(self, "tools", tuple(self.tools))
        options = check_options(self.options, f"agent {self.name!r}")
        object.__setattr__(self, "options", frozen_mapping(options))

    @property
    def profile(self) -> str:
        """The text by which routers know this agent: name, description and role."""
        return ". ".join(part for part in (self.name, self.description) if part)

    def with_(self, **changes: Any) -> Agent:
        """Returns a copy with some fields changed."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values; callables and tools are left out."""
        data = _plain(
            self,
            (
                "name",
                "description",
                "strategy",
                "system",
                "examples",
                "options",
                "params_b",
                "context_window",
                "price_in_per_mtok",
                "price_out_per_mtok",
                "price_source",
            ),
        )
        if self.shots:
            data["shots"] = [[s.question, s.answer] for s in self.shots]
        if self.backend is not None:
            data["backend"] = self.backend.to_dict()
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Agent:
        """Builds an agent from JSON values, such as an entry of a pack's ``agents.json``.

        Raises:
            PoolError: a key is unknown or a value cannot be used.
        """
        known = _known(cls, data, "agent")
        backend = known.get("backend")
        if isinstance(backend, Mapping):
            known["backend"] = Backend.from_dict(backend)
        return cls(**known)


def _plain(value: object, keys: tuple[str, ...]) -> dict[str, Any]:
    """JSON values of the fields that differ from empty; money as text, so that nothing is rounded."""
    data: dict[str, Any] = {}
    for key in keys:
        item = getattr(value, key)
        if item is None or item in ("", ()):
            continue
        if isinstance(item, Decimal):
            item = str(item)
        elif isinstance(item, Mapping):
            if not item:
                continue
            item = dict(item)
        elif isinstance(item, tuple):
            item = list(item)
        data[key] = item
    return data


def _known(cls: type[Backend] | type[Agent], data: Mapping[str, Any], kind: str) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise PoolError(f"each {kind} must be an object with a name; got {type(data).__name__}.")
    names = {item.name for item in fields(cls)} - {"call", "tools"}
    unknown = sorted(set(data) - names)
    if unknown:
        raise PoolError(
            f"{kind} {data.get('name', '?')!r} has unknown keys {unknown}; known: {sorted(names)}."
        )
    if "name" not in data:
        raise PoolError(f"every {kind} needs a name; got keys {sorted(data)}.")
    return {key: item for key, item in data.items() if item is not None}


def content_hash(data: object) -> str:
    """Returns 12 hexadecimal digits that change whenever the JSON content changes."""
    return text_hash(content_text(data))


def content_text(data: object) -> str:
    """Returns the JSON text behind `content_hash`: equal content, equal text."""
    return json.dumps(data, sort_keys=True, default=str, ensure_ascii=False)


def text_hash(text: str) -> str:
    """Returns 12 hexadecimal digits of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
