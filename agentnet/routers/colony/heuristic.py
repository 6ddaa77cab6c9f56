"""`Heuristic`: what makes the ants react to this moment: ability, load and response time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.live import BackendState, LiveState

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """The backends of A agents at one moment, each part in (0, 1].

    Attributes:
        room: [A] 1 / (1 + calls in flight / capacity).
        speed: [A] the fastest agent's response time over the agent's own; 1 where none is known.
        pace: [A] the agent's usual response time over its recent one, at most 1: slower than usual?
        sound: [A] share of calls that did not fail.
        open: [A] whether the agent may be chosen; all, if no backend is healthy.
    """

    room: Floats
    speed: Floats
    pace: Floats
    sound: Floats
    open: NDArray[np.bool_]

    @classmethod
    def idle(cls, agents: int) -> Moment:
        """Returns the moment at which nothing is known to be wrong with any of the agents."""
        ones = np.ones(agents)
        return cls(room=ones, speed=ones, pace=ones, sound=ones, open=np.ones(agents, bool))

    @classmethod
    def of(cls, agents: list[Agent], live: LiveState | None) -> Moment:
        """Reads a moment; agents without a backend, and all without ``live``, are idle and healthy."""
        idle = BackendState()
        states = [live.of(a.backend.name) if live and a.backend else idle for a in agents]
        load = np.array([_load(state, agent) for state, agent in zip(states, agents, strict=True)])
        times = np.array([_seconds(state.latency_s) for state in states])
        usual = np.array([_seconds(state.usual_latency_s) for state in states])
        healthy = np.array([state.healthy for state in states])
        fastest = np.nanmin(times) if not np.isnan(times).all() else 1.0
        return cls(
            room=1 / (1 + load),
            speed=np.where(np.isnan(times), 1.0, fastest / np.where(np.isnan(times), 1.0, times)),
            pace=np.minimum(1.0, np.nan_to_num(usual / times, nan=1.0)),
            sound=np.array([1 - state.error_rate for state in states]),
            open=healthy if healthy.any() else np.ones(len(states), bool),
        )


def _seconds(value: float | None) -> float:
    return float("nan") if value is None else max(value, 1e-6)


def _load(state: BackendState, agent: Agent) -> float:
    most = state.capacity or (agent.backend.max_parallel if agent.backend else None)
    return state.in_flight / (most or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heuristic:
    r"""Weights of the parts of eta.

    .. math:: \eta_j(t) = \lambda_A \hat A_j(t) + \lambda_L \frac{1}{Load_j + \epsilon}
              + \lambda_R \frac{1}{RT_j + \epsilon}

    AMRO-S, heuristic [quoted]. Its reciprocals have different scales, so each part is brought to (0, 1]
    among the candidates first, and the query's eta is the mixture of its task types' (default, not in
    paper). Price is not a part: cost enters through the deposit.

    Attributes:
        ability: lambda_A (0.6: default, not in paper).
        load: lambda_L (0.2: default, not in paper).
        latency: lambda_R (0.2: default, not in paper).
        product: Take the product of what changes instead (ours): eta = pace^2 * sound^6 / (1 + load), with
            the agent's pace against its own usual one. A sum stops telling agents apart once all are
            full; and a backend that fails at once looks idle, so failures have to weigh most. That an
            agent is always slow is left to the deposit.
    """

    ability: float = 0.6
    load: float = 0.2
    latency: float = 0.2
    product: bool = False

    def __post_init__(self) -> None:
        parts = (self.ability, self.load, self.latency)
        if min(parts) < 0 or not sum(parts) > 0:
            raise InvalidInput(f"the heuristic's weights are at least 0 and not all 0; got {parts}.")

    def eta(self, ability: Floats, moment: Moment) -> Floats:
        """Returns [n, A] eta, 0 for agents that may not be chosen.

        Args:
            ability: [n, A] or [1, A] the agents' abilities for the queries, in [0, 1].
            moment: The backends now.
        """
        if self.product:
            now = moment.room * moment.pace**2 * moment.sound**6
            eta: Floats = np.broadcast_to(now, ability.shape)
        else:
            eta = self.ability * ability + self.load * moment.room + self.latency * moment.speed
        # An edge of eta 0 could never be learned; only closed agents have it.
        return np.where(moment.open, np.maximum(eta, 1e-6), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemCost:
    """f_sys: what a path cost the system, in [0, 1].

    f_sys = (w_usd * usd / usd_ref + w_latency * latency / latency_ref + w_load * mean load) over the
    weights of the parts that are known, each part cut at 1 (section 1: the form is not known; 0.4, 0.4
    and 0.2 are default, not in paper). A part without a reference or without a value is left out.

    >>> SystemCost(usd_ref=0.01).of(usd=0.005, latency_s=None, load=None)
    0.5
    """

    usd_ref: float | None = None
    latency_ref: float | None = None
    usd: float = 0.4
    latency: float = 0.4
    load: float = 0.2
    cut: bool = True
    """False lets a part be above 1: then a path of several calls costs more than one call."""

    def of(self, *, usd: float | None, latency_s: float | None, load: float | None) -> float:
        """Returns the cost of one path; that of the references where nothing of it is known."""
        parts = []
        for weight, value, reference in (
            (self.usd, usd, self.usd_ref),
            (self.latency, latency_s, self.latency_ref),
            (self.load, load, 1.0),
        ):
            if weight > 0 and value is not None and reference:
                part = value / reference
                parts.append((weight, min(1.0, part) if self.cut else part))
        total = sum(weight for weight, _ in parts)
        if not total:  # nothing known must not look cheap beside what is known
            return 1.0 if self.usd_ref or self.latency_ref else 0.0
        return sum(weight * value for weight, value in parts) / total
