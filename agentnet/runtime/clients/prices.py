"""What a call costs: a price, where it came from, and what follows for an answer."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, runtime_checkable

from agentnet.graphs.agent import Backend

BACKEND_PRICE = "backend price"
PRICE_MAP = "litellm price map"
PROVIDER = "provider"
ESTIMATED = "estimated from text"
"""Stands in `Response.cost_source` when the backend reported no usage and tokens were counted by us."""
_MTOK = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens, both known."""

    in_per_mtok: Decimal
    out_per_mtok: Decimal
    source: str = BACKEND_PRICE

    def of(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """Returns USD for these tokens."""
        return (prompt_tokens * self.in_per_mtok + completion_tokens * self.out_per_mtok) / _MTOK


@runtime_checkable
class Prices(Protocol):
    """A client that can tell beforehand what its calls cost."""

    def price(self, backend: Backend) -> Price | None:
        """Returns the most a token can cost with this backend or its fallbacks; None if unknown."""
        ...


def backend_price(backend: Backend) -> Price | None:
    """Returns the price that the backend itself states, if it states both halves.

    >>> backend_price(Backend(name="b", model="m")) is None
    True
    """
    if backend.price_in_per_mtok is None or backend.price_out_per_mtok is None:
        return None
    return Price(backend.price_in_per_mtok, backend.price_out_per_mtok)


def dearest(prices: list[Price | None]) -> Price | None:
    """Returns the highest price half by half, or None as soon as one is unknown."""
    known = [price for price in prices if price is not None]
    if not known or len(known) < len(prices):
        return None
    return Price(
        max(price.in_per_mtok for price in known), max(price.out_per_mtok for price in known), known[0].source
    )


def with_estimate(source: str | None, estimated: bool) -> str | None:
    """Returns the cost's source, flagged when the tokens were counted by us."""
    if not estimated:
        return source
    return f"{source} ({ESTIMATED})" if source else ESTIMATED
