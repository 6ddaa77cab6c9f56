"""`PathEvidence`: why a path was taken, hop by hop, and which of its edges a run walked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.colony.heuristic import Heuristic, Moment
from agentnet.routers.colony.paths import PathGraphs
from agentnet.routers.colony.pheromones import Colony
from agentnet.routers.colony.space import STOP
from agentnet.routers.decision import Evidence

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One choice of a path: what was drawn, from what, over what."""

    layer: int
    """From 1."""
    after: str | None
    """The agent before; None at the start."""
    agreed: bool | None
    """The case the choice is for: the answers so far agree, or not; None where nothing is compared."""
    chosen: str
    """An agent, or the stop node."""
    node: str | None
    """Id of the graph's node; None for a stop."""
    parent: int
    """Position of the hop before; -1 at the start."""
    probability: float
    """Under the transition rule, also where the most probable was taken instead of drawing."""
    pheromone: float
    """Fused tau of the edge."""
    shares: tuple[float, ...]
    """What each task type contributes to it: w_t * tau^t."""
    eta: float
    ability: float | None
    """None for a stop, and where eta does not look at abilities."""
    room: float | None
    """1 / (1 + load); None for a stop."""
    speed: float | None
    """Fastest response time over the agent's, or the agent's usual one over its recent one."""
    sound: float | None
    """Share of calls that did not fail."""
    runner_up: str | None
    runner_up_probability: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PathEvidence(Evidence):
    """The colony's choices for one query: "traceable routing evidence" [quoted] in full.

    Attributes:
        types: The T task types.
        weights: [T] the query's.
        snapshot: Number of the colony's snapshot.
        dial: Setting of the quality-cost dial the colony is for.
        greedy: Whether the most probable was taken at each hop.
        hops: In the order of the space's slots; those never reached are left out.
        agents: The pool's, in the colony's order.
    """

    types: tuple[str, ...]
    weights: tuple[float, ...]
    snapshot: int
    dial: float
    greedy: bool
    hops: tuple[Hop, ...]
    agents: tuple[str, ...]

    def lines(self) -> list[str]:
        """Returns the path for a person, a line a hop."""
        order = np.argsort(-np.array(self.weights), kind="stable")[:3]
        mixture = ", ".join(f"{self.types[t]} {self.weights[t]:.2f}" for t in order)
        how = "most probable path" if self.greedy else "drawn path"
        lines = [f"task type: {mixture}; {how} of snapshot {self.snapshot}, dial {self.dial:g}"]
        return lines + [self._line(hop, order) for hop in self.hops]

    def _line(self, hop: Hop, order: NDArray[np.intp]) -> str:
        case = {None: "", True: ", if they agree", False: ", if they disagree"}[hop.agreed]
        start = "start" if hop.after is None else f"after {hop.after}{case}"
        text = f"{hop.layer}. {start}: {hop.chosen}  p {hop.probability:.2f}  tau {hop.pheromone:.3g}"
        if len(self.types) > 1:
            text += " (" + " + ".join(f"{self.types[t]} {hop.shares[t]:.3g}" for t in order) + ")"
        text += f"  eta {hop.eta:.3g}"
        parts = [(n, getattr(hop, n)) for n in ("ability", "room", "speed", "sound")]
        if hop.node is not None:
            text += " (" + ", ".join(f"{n} {part:.2f}" for n, part in parts if part is not None) + ")"
        if hop.runner_up is not None:
            text += f"; else {hop.runner_up} {hop.runner_up_probability:.2f}"
        return text


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """All that evidence is made from, for n queries; kept by reference until somebody asks.

    Attributes:
        colony: The snapshot, over the pool's agents.
        graphs: Maker of the graphs.
        dial: Setting of the dial the colony is for.
        snapshot: Its number.
        weights: [n, T] task types.
        ability: [n, A] abilities.
        eta: [n, A] or [1, A] heuristic.
        moment: The backends at the time.
        columns: [n, S] what was drawn.
        heuristic: Weights of eta's parts.
        alpha: Exponent of the pheromone.
        beta: Exponent of the heuristic.
        greedy: Whether the most probable was taken.
    """

    colony: Colony
    graphs: PathGraphs
    dial: float
    snapshot: int
    weights: Floats
    ability: Floats
    eta: Floats
    moment: Moment
    columns: list[list[int]]
    heuristic: Heuristic
    alpha: float
    beta: float
    greedy: bool

    def evidence(self, i: int) -> PathEvidence:
        """Returns the evidence of query ``i``."""
        from agentnet.routers.colony.walk import chances

        space, columns = self.colony.space, self.columns[i]
        ids = self.graphs.node_ids(columns)
        reached = [s for s, column in enumerate(columns) if column >= 0]
        slots = [space.slots[s] for s in reached]
        # The first layer has one row: what it comes after is not looked at.
        rows = [space.row(slot.layer, columns[slot.parent], slot.agreed) for slot in slots]
        parts = self.weights[i][:, None, None] * self.colony.tau[:, rows]
        eta = self.eta[min(i, len(self.eta) - 1)]
        chance = chances(parts.sum(0), eta, columns, space, reached, alpha=self.alpha, beta=self.beta)
        position = {s: h for h, s in enumerate(reached)}
        hops = [
            self._hop(i, s, parts[:, h], chance[h], node=ids[s], parent=position.get(slots[h].parent, -1))
            for h, s in enumerate(reached)
        ]
        return PathEvidence(
            types=self.colony.types,
            weights=tuple(float(w) for w in self.weights[i]),
            snapshot=self.snapshot,
            dial=self.dial,
            greedy=self.greedy,
            hops=tuple(hops),
            agents=self.colony.space.agents,
        )

    def _hop(self, i: int, s: int, parts: Floats, chance: Floats, *, node: str | None, parent: int) -> Hop:
        """The choice of slot s: [T, C] what each type contributes to the pheromone, [C] probabilities."""
        space, slot = self.colony.space, self.colony.space.slots[s]
        column = self.columns[i][s]
        eta = self.eta[min(i, len(self.eta) - 1)]
        order = np.argsort(-chance, kind="stable")
        second = next((int(k) for k in order if k != column and chance[k] > 0), None)
        stop = column == space.stop_column
        product = self.heuristic.product
        speed = self.moment.pace if product else self.moment.speed
        return Hop(
            layer=slot.layer + 1,
            after=None if slot.parent < 0 else space.agents[self.columns[i][slot.parent]],
            agreed=slot.agreed,
            chosen=space.column_label(column),
            node=node,
            parent=parent,
            probability=float(chance[column]),
            pheromone=float(parts[:, column].sum()),
            shares=tuple(float(part) for part in parts[:, column]),
            eta=float(eta.max() if stop else eta[column]),
            ability=None if stop or product else float(self.ability[min(i, len(self.ability) - 1), column]),
            room=None if stop else float(self.moment.room[column]),
            speed=None if stop else float(speed[column]),
            sound=None if stop else float(self.moment.sound[column]),
            runner_up=None if second is None else space.column_label(second),
            runner_up_probability=None if second is None else float(chance[second]),
        )


def walked(evidence: Mapping[str, Any], ran: Sequence[str]) -> list[Mapping[str, Any]]:
    """Returns the hops that a run took, in order, from evidence as JSON values.

    A node's hop was taken if the node ran. A stop was, if the node before it ran and the other case's
    node did not; where both cases stop, both hops count: it made no difference which case it was.

    Args:
        evidence: ``PathEvidence.to_dict()``, from a live decision or from its trace.
        ran: Ids of the nodes that ran.
    """
    hops = evidence["hops"]
    done = set(ran)
    lone = sum(hop["node"] is not None for hop in hops) == 1
    taken: list[Mapping[str, Any]] = []

    def was_run(hop: Mapping[str, Any]) -> bool:
        # A graph of a single node carries the agent's name as its id.
        return hop["node"] in done or (lone and hop["node"] is not None and hop["chosen"] in done)

    for at, hop in enumerate(hops):
        if hop["chosen"] != STOP:
            if was_run(hop):
                taken.append(hop)
            continue
        others = [h for i, h in enumerate(hops) if i != at and h["parent"] == hop["parent"]]
        if was_run(hops[hop["parent"]]) and not any(was_run(other) for other in others):
            taken.append(hop)
    return taken
