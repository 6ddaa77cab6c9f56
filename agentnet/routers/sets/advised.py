"""Puts a language model's choice in the place of the fast one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from agentnet.graphs.task_graph import TaskGraph
from agentnet.routers.decision import Decision
from agentnet.routers.reasoning.consultation import Consultation
from agentnet.routers.sets.evidence import Member, SetEvidence


def advised(
    fast: Decision,
    asked: Consultation,
    evidence: SetEvidence,
    graph: Callable[[Sequence[str], Mapping[str, float]], TaskGraph],
    known: Collection[str] = (),
) -> Decision:
    """Returns the decision that follows from a consultation.

    Where the model's answer could not be read, the fast decision stands, and says so. Its scores stand in
    any case: a language model gives none. The propensity is 1: the model answers greedily.

    Args:
        fast: What the fast side decided.
        asked: The consultation.
        evidence: That of the fast decision.
        graph: Makes the graph of a set, given each agent's probability.
        known: Agents with logged queries.
    """
    notes = list(evidence.notes)
    if asked.failed is not None:
        notes.append(f"the model {asked.model!r} gave no choice ({asked.failed}); the fast one stands")
    if asked.contradicts:
        notes.append(f"its reason names others than it chose: {', '.join(asked.reason_names)}")
    if asked.unknown:
        notes.append(f"it named agents that are not there: {', '.join(asked.unknown)}")
    if fast.abstained and asked.agents:
        notes.append("the fast side would have turned the task away: no agent is familiar with it")
    chances = {name: score.calibrated for name, score in fast.scores.items()}
    members = {member.agent: member for member in (*evidence.chosen, *evidence.others)}
    chosen = tuple(
        members.get(name) or Member(agent=name, chance=round(chances[name], 4), known=name in known)
        for name in asked.agents
    )
    decided = asked.failed is None
    told = replace(evidence, reason=asked.reason, shown=asked.shown, notes=tuple(notes))
    if decided:
        others = tuple(m for m in members.values() if m.agent not in asked.agents)
        told = replace(told, decided_by="reason", chosen=chosen, others=others)
    made = fast.graph
    if decided:
        made = graph(asked.agents, chances) if asked.agents else None
    return Decision(
        graph=made,
        candidates=fast.candidates,
        raw=fast.raw,
        calibrated=fast.calibrated,
        cost=[float("nan") if s.cost is None else s.cost for s in fast.scores.values()],
        propensity=1.0,
        router=fast.router,
        version=fast.version,
        evidence=told,
        calibration_id=fast.calibration_id,
        router_cost=asked.cost,
        router_calls=asked.attempts,
        router_prompt_tokens=asked.prompt_tokens,
        router_completion_tokens=asked.completion_tokens,
        expected_score=None if decided or fast.abstained else fast.expected_score,
    )
