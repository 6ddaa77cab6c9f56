"""`Consultation`: what a router's model was asked, what it chose, and what that used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from agentnet.routers.reasoning.model import Completion

_ID = re.compile(r"\bA\d+\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Consultation:
    """What a model was asked, what it chose, and what that used.

    Attributes:
        agents: Names of the chosen agents, each once, in the model's order.
        out_of_scope: The model said that no agent fits.
        reason: Its reasoning; empty where it gave none.
        shown: Names of the agents that it could choose from, in the order in which they were shown.
        unknown: Ids it named that are nobody's, as it wrote them.
        cut: Names beyond the most that may be chosen.
        reason_names: Shown agents that the reason names and that were not chosen.
        contradicts: Whether the reason names agents, but none of those chosen (TCAR's third error class).
        completions: The answers, in the order of the calls.
        model: The model's name.
        failed: Why nothing could be chosen; None where something was.
    """

    agents: tuple[str, ...] = ()
    out_of_scope: bool = False
    reason: str = ""
    shown: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    reason_names: tuple[str, ...] = ()
    contradicts: bool = False
    completions: tuple[Completion, ...] = field(default=(), repr=False)
    model: str = ""
    failed: str | None = None

    @property
    def attempts(self) -> int:
        """Calls of the model."""
        return len(self.completions)

    @property
    def prompt_tokens(self) -> int | None:
        """Prompt tokens of all calls; None when those of one are unknown."""
        return _sum(completion.prompt_tokens for completion in self.completions)

    @property
    def completion_tokens(self) -> int | None:
        """Completion tokens of all calls; None when those of one are unknown."""
        return _sum(completion.completion_tokens for completion in self.completions)

    @property
    def cost(self) -> Decimal | None:
        """USD of all calls; None when that of one is unknown."""
        total = Decimal(0)
        for completion in self.completions:
            if completion.cost is None:
                return None
            total += completion.cost
        return total

    @property
    def latency_s(self) -> float:
        """Seconds of all calls."""
        return sum(completion.latency_s for completion in self.completions)

    @property
    def note(self) -> str | None:
        """What is odd about the answer, in words; None where nothing is."""
        told = []
        if self.contradicts:
            told.append(f"the reason speaks of {', '.join(self.reason_names)}, which was not chosen")
        if self.unknown:
            told.append(f"unknown ids were dropped: {', '.join(self.unknown)}")
        if self.cut:
            told.append(f"over the most that may be chosen: {', '.join(self.cut)}")
        return "; ".join(told) or None


def named_agents(reason: str, ids: Mapping[str, str], query: str) -> tuple[str, ...]:
    """Returns the agents that a reason names by id or by name.

    What the query holds as well does not count: there the reason may only repeat the query.

    Args:
        reason: What the model wrote.
        ids: Agent's name by id.
        query: The task's text.

    >>> named_agents("A2 or the card desk", {"A1": "card_desk", "A2": "loans", "A3": "card"}, "Help!")
    ('card_desk', 'loans')
    """
    if not reason:
        return ()
    repeated = set(_ID.findall(query))
    found = {ids[key] for key in _ID.findall(reason) if key in ids and key not in repeated}
    said, asked = f" {_words(reason)} ", f" {_words(query)} "
    # The longest names first: "card arrival" does not name the agent "card".
    for name in sorted(ids.values(), key=len, reverse=True):
        words = f" {_words(name)} "
        if words.strip() and words in said:
            said = said.replace(words, " | ")
            if words not in asked:
                found.add(name)
    return tuple(name for name in ids.values() if name in found)


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _sum(parts: Iterable[int | None]) -> int | None:
    total = 0
    for part in parts:
        if part is None:
            return None
        total += part
    return total
