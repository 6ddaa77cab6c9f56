"""Why a set of agents was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentnet.graphs.pool import Pool
from agentnet.routers.decision import Evidence, Floats
from agentnet.routers.sets.linear import likeliest

if TYPE_CHECKING:
    from agentnet.routers.sets.decide import Verdict
    from agentnet.routers.sets.model import SetModel

_LEFT_OUT, _SHOWN = 3, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An agent of the set, or one that nearly was.

    Attributes:
        agent: Its name.
        chance: Probability that it is one of the agents the task needs.
        known: Whether it has logged queries; else it is known by description and examples only.
        like: Queries it is known for: its most typical logged ones, else its examples.
        least: Its own threshold; None where it has none.
    """

    agent: str
    chance: float
    known: bool
    like: tuple[str, ...] = ()
    least: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a query that joins several requests."""

    text: str
    agent: str
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEvidence(Evidence):
    """Evidence of `tcar`.

    Attributes:
        decided_by: ``fast``, or ``reason`` where a language model decided.
        chosen: The set; empty when nobody fits.
        others: The likeliest agents that were left out.
        familiarity: How much any agent has to say of the task; below ``threshold`` nobody fits.
        threshold: As learned; None never turns a task away.
        parts: Parts of a joined query; empty for a single request.
        joined: Probability that the query joins several requests; None where nobody looked.
        unsure: 1 minus the probability of the chosen set; a hybrid router asks a model above its bound.
        reason: What the language model said.
        shown: Agents it was shown.
        notes: What went wrong on the way, for example an answer that could not be read.
    """

    decided_by: str
    chosen: tuple[Member, ...] = ()
    others: tuple[Member, ...] = ()
    familiarity: float | None = None
    threshold: float | None = None
    parts: tuple[Part, ...] = ()
    joined: float | None = None
    unsure: float | None = None
    reason: str = ""
    shown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Returns the evidence for a person, a line each."""
        lines = []
        if self.familiarity is not None and self.threshold is not None:
            side = "below" if self.familiarity < self.threshold else "above"
            lines.append(f"familiarity {self.familiarity:.2f}, {side} the threshold {self.threshold:.2f}")
        if self.reason:
            lines.append(f"the model, shown {len(self.shown)} agents: {self.reason}")
        for part in self.parts:
            lines.append(f"part {part.text!r}: {part.agent} ({part.chance:.2f})")
        for member in self.chosen:
            how = "" if member.known else ", known by description and examples only"
            lines.append(f"{member.agent}: needed with probability {member.chance:.2f}{how}")
            lines += [f"  it gets queries such as: {text}" for text in member.like[:2]]
        if not self.chosen:
            lines.append("no agent fits")
        if self.others:
            rest = ", ".join(f"{member.agent} {member.chance:.2f}" for member in self.others)
            lines.append(f"left out: {rest}")
        lines += self.notes
        return lines


def set_evidence(
    model: SetModel,
    pool: Pool,
    chances: Floats,
    verdict: Verdict | None,
    least: Mapping[str, float],
    familiarity: float | None = None,
) -> SetEvidence:
    """Returns the evidence of a fast decision.

    Args:
        model: What was learned.
        pool: The A agents.
        chances: [A] probability of each to be needed.
        verdict: The decision; None where the task was turned away.
        least: Thresholds of single agents.
        familiarity: How much any agent has to say of the task; None is not told.
    """
    known = set(model.columns.names)

    def member(name: str) -> Member:
        like = model.exemplars.get(name, ()) if name in known else pool[name].examples
        return Member(
            agent=name,
            chance=round(float(chances[pool.index(name)]), 4),
            known=name in known,
            like=tuple(like[:_SHOWN]),
            least=least.get(name),
        )

    chosen = verdict.chosen if verdict else ()
    order = likeliest(chances, pool.names, _LEFT_OUT + len(chosen))
    rest = [pool.names[i] for i in order if pool.names[i] not in chosen]
    return SetEvidence(
        decided_by="fast",
        familiarity=None if familiarity is None else round(familiarity, 4),
        threshold=None if familiarity is None else model.threshold,
        chosen=tuple(member(name) for name in chosen),
        others=tuple(member(name) for name in rest[:_LEFT_OUT]),
        parts=verdict.parts if verdict and len(chosen) > 1 else (),
        joined=verdict.joined if verdict else None,
        unsure=round(verdict.unsure, 4) if verdict else None,
    )
