"""`BanditEvidence`: what a bandit believed when it chose, and all that it needs to learn from what came."""

from __future__ import annotations

from dataclasses import dataclass

from agentnet.routers.decision import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class BanditEvidence(Evidence):
    """One choice of a bandit.

    Attributes:
        agent: The agent chosen; None: it abstained.
        best: The agent of highest predicted utility.
        chance: Probability with which the chosen one was drawn.
        expected: Predicted score of the chosen one.
        deviation: Standard deviation of that prediction, in units of the noise's.
        gap: Predicted utility of ``best`` minus that of the chosen one: what exploring costs.
        outcomes: Outcomes of the chosen one seen so far, weighted.
        exploring: Whether the budget of regret let it explore beyond the floor.
        dial: Setting of the quality-cost dial.
        rounds: Tasks learned from so far while serving.
        basis: Id of the contexts; empty until they are learned.
        context: The numbers the agents are linear in.
        look: What was seen of the task, until the contexts are learned; empty afterwards.
    """

    agent: str | None
    best: str
    chance: float
    expected: float
    deviation: float
    gap: float
    outcomes: float
    exploring: bool
    dial: float
    rounds: int
    basis: str
    context: tuple[float, ...]
    look: tuple[float, ...] = ()

    def lines(self) -> list[str]:
        """Returns the choice in words."""
        if self.agent is None:
            return [f"no agent is expected to be good enough; the best would be {self.best}"]
        said = [
            f"{self.agent} is expected to score {self.expected:.3f} "
            f"(deviation {self.deviation:.2f} of the noise, {self.outcomes:g} outcomes seen)",
            f"drawn with probability {self.chance:.3f}",
        ]
        if self.agent == self.best:
            said.append("it is the one believed best: nothing is spent on exploring")
        else:
            said.append(f"explores: {self.best} is believed better by {self.gap:.3f} of utility")
        if not self.exploring:
            said.append("the budget of regret is used up: only the floor explores")
        if not self.basis and self.look:
            said.append("no context is known yet: too few tasks were seen")
        return said
