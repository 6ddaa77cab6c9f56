"""What a lint of agent descriptions found: frozen values, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from agentnet.cards.texts import clean_text

Level = Literal["error", "warning"]

_HINT = (
    "For a router that compares embeddings leave out what follows 'not for': to it the named words of a "
    "neighbour look like the agent's own."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """A query that two agents pull at."""

    query: str
    owner: str | None
    """The agent that should get it; None where nobody said."""
    goes_to: str
    """The agent that scores highest."""
    margin: float
    """Score of the first less that of the second of the two agents, in the unit of the scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A wording that tells an agent from the other of its pair."""

    agent: str
    text: str
    """For people and for routers that read: what it handles, and what belongs to the other."""
    positive: str
    """The same without what belongs to the other: for routers that compare embeddings, to which a named
    neighbour's words look like one's own."""
    terms: tuple[str, ...] = ()
    """The words by which its queries differ from the other's."""
    source: Literal["terms", "model"] = "terms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Two agents whose queries go to each other, or cannot be told apart.

    Attributes:
        agents: The two names, in the pool's order.
        strayed: Queries of the first that go to the second, and of the second that go to the first.
        owned: Queries that are known to belong to the first, and to the second.
        close: Further queries that go right, or whose owner nobody knows, by a margin below the limit.
        reached: All queries that belong or go to one of the two: what `share` is a share of.
        queries: Some of the colliding queries, strayed ones first.
        suggestions: Wordings for both agents; empty where there are no texts to take them from.
    """

    agents: tuple[str, str]
    strayed: tuple[int, int]
    owned: tuple[int, int]
    close: int
    reached: int
    queries: tuple[Collision, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()

    @property
    def share(self) -> float:
        """Share of the pair's queries that stray from one to the other, in [0, 1]."""
        return sum(self.strayed) / max(1, self.reached)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a single agent."""

    agent: str
    kind: str
    level: Level
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LintReport:
    """What was found in a pool.

    Attributes:
        agents: How many agents were looked at.
        queries: How many queries.
        judged_by: What gave the scores: a router, or an encoder over descriptions and examples.
        agreement: Share of the queries with a known owner that go to it; None without such.
        conflicts: Pairs of agents, the worst first.
        findings: What is wrong with single agents.
    """

    agents: int
    queries: int
    judged_by: str
    agreement: float | None
    conflicts: tuple[Conflict, ...]
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        """Whether there is a conflict or an error: what a strict check refuses."""
        return bool(self.conflicts) or any(item.level == "error" for item in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        data = asdict(self)
        for item, conflict in zip(data["conflicts"], self.conflicts, strict=True):
            item["share"] = conflict.share
        return data | {"failed": self.failed}

    def table(self, *, queries: int = 3, most: int | None = None) -> str:
        """Returns the report for a person.

        Args:
            queries: Colliding queries shown for each pair.
            most: Most pairs shown; None shows all.
        """
        lines = [self._headline()]
        for finding in self.findings:
            lines.append(f"{finding.level}: {_shown(finding.agent)}: {finding.message} [{finding.kind}]")
        shown = self.conflicts if most is None else self.conflicts[:most]
        for conflict in shown:
            lines += ["", *_conflict(conflict, queries)]
        if any(item.suggestions for item in shown):
            lines += ["", _HINT]
        if len(shown) < len(self.conflicts):
            lines += ["", f"... and {len(self.conflicts) - len(shown)} more pairs"]
        return "\n".join(lines)

    def _headline(self) -> str:
        right = (
            "" if self.agreement is None else f", {self.agreement:.1%} of the owned ones go to their agent"
        )
        return (
            f"{self.agents} agents, {self.queries:,} queries by {self.judged_by}{right}: "
            f"{len(self.conflicts)} conflicting pairs, {len(self.findings)} findings"
        )


def _conflict(conflict: Conflict, queries: int) -> list[str]:
    one, two = map(_shown, conflict.agents)
    lines = [
        f"{one} <> {two}: {conflict.share:.0%} stray "
        f"({conflict.strayed[0]} of {conflict.owned[0]} to {two}, "
        f"{conflict.strayed[1]} of {conflict.owned[1]} to {one}), {conflict.close} more are close"
    ]
    lines += _queries(conflict.queries[:queries])
    for item in conflict.suggestions:
        lines.append(f"    suggested for {_shown(item.agent)}: {_shown(item.text, 400)}")
    return lines


def _queries(items: Sequence[Collision]) -> list[str]:
    lines = []
    for item in items:
        owner = f"{_shown(item.owner)}'s" if item.owner is not None else "nobody's known"
        went = "goes to" if item.owner != item.goes_to else "stays, barely, with"
        lines.append(f"    {owner}, {went} {_shown(item.goes_to)} by {item.margin:.3f}: {_shown(item.query)}")
    return lines


def _shown(text: str, most: int = 100) -> str:
    """A text of anybody's, as it may be printed: on one line, without what a terminal obeys."""
    return clean_text(text, most)
