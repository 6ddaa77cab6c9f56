"""`CollectiveEvidence`: which messages a decision of `collective` came from."""

from __future__ import annotations

from dataclasses import dataclass

from agentnet.routers.decision import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmEstimate:
    """What is predicted of one agent or set."""

    agents: tuple[str, ...]
    score: float
    low: float
    """Lower end of the 90% interval of the expected score."""
    high: float
    cost: float | None
    """USD; None unknown."""
    latency: float | None
    """Seconds; None unknown, and for sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedQuery:
    """A logged query that a message came from."""

    text: str
    attention: float
    """Its share of all messages from logged queries."""
    similarity: dict[str, float]
    """Cosine by relation."""
    score: float | None
    """Score there of the agent that is shown first; None not observed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectiveEvidence(Evidence):
    """Types, neighbours and predictions behind one decision."""

    task: str
    """First characters of the task."""
    types: dict[str, float]
    """Share of the query in its likeliest types."""
    reach: str
    """How far messages went for this choice: ``means``, ``types`` or ``neighbours``."""
    chosen: ArmEstimate | None
    """What was chosen; None when the router abstained."""
    stages: tuple[tuple[str, ...], ...]
    """Agents by stage: later stages run only while the answers do not agree enough."""
    rule: str
    """When a run of it ends."""
    others: tuple[ArmEstimate, ...] = ()
    """The next best at the same price."""
    neighbours: tuple[LoggedQuery, ...] = ()

    def lines(self) -> list[str]:
        """Returns the evidence for a person, a line each."""
        types = ", ".join(f"{name} {share:.0%}" for name, share in self.types.items())
        lines = [f"task types: {types}; messages went as far as: {self.reach}"]
        if self.chosen is not None:
            lines.append(f"chosen: {_arm(self.chosen)}")
        if len(self.stages) > 1 or any(len(stage) > 1 for stage in self.stages):
            steps = " -> ".join(" + ".join(stage) for stage in self.stages)
            lines.append(f"asked: {steps}; {self.rule}")
        lines += [f"  instead: {_arm(other)}" for other in self.others]
        if self.neighbours:
            lines.append("logged queries it heard most from:")
        for item in self.neighbours:
            score = "?" if item.score is None else f"{item.score:.2f}"
            similar = ", ".join(f"{name} {value:.2f}" for name, value in item.similarity.items())
            lines.append(f"  score {score}  attention {item.attention:.1%}  ({similar})  {item.text}")
        return lines

    def to_svg(self) -> str:
        """Returns types and logged queries, the task, and the arms it came to, as a drawing."""
        from agentnet.graphs.knowledge.draw import knowledge_svg

        heard = [(f"type: {name}", share, True) for name, share in self.types.items()]
        heard += [(item.text or "a logged query", item.attention, False) for item in self.neighbours]
        first = [] if self.chosen is None else [(self.chosen, 1.0)]
        arms = [*first, *((other, 0.1) for other in self.others)]
        agents = [(" + ".join(arm.agents), weight, _interval(arm)) for arm, weight in arms]
        return knowledge_svg(self.task, heard, [], agents)


def _interval(arm: ArmEstimate) -> str:
    return f"score {arm.score:.2f} [{arm.low:.2f}, {arm.high:.2f}]"


def _arm(arm: ArmEstimate) -> str:
    cost = "cost unknown" if arm.cost is None else f"${arm.cost * 1000:.4f} per 1,000"
    late = "" if arm.latency is None else f", {arm.latency:.2f} s"
    return f"{' + '.join(arm.agents)}: score {arm.score:.3f} [{arm.low:.3f}, {arm.high:.3f}], {cost}{late}"
