"""Calibration by agent and by slice, learned from held-out logged decisions.

A router's one curve brings the best-scored agents' predictions right on average; an agent that has become
worse, or is better than its kind, keeps its error. Here each agent has its own line in log-odds, and each
slice of like tasks its own offset, drawn to what all agents share where there is little evidence:

```text
logit p(a, q) = offset_a + slope_a * logit base(raw) + delta_{a, slice(q)}
(slope_a, offset_a) ~ N((slope, offset), 1 / strength),   delta ~ N(0, 1 / slice_strength)
```
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError, RouterError
from agentnet.graphs.pool import Pool
from agentnet.outcomes.choices import ChoiceLog
from agentnet.routers.base import Router
from agentnet.routers.calibration import Calibration
from agentnet.routers.calibration_fit import Rows, fit_curves
from agentnet.routers.decision import Floats
from agentnet.routers.single import SingleRouter

R = TypeVar("R", bound=Router)
SLICES = 6
FEWEST = 100
"""Judged decisions below which nothing is learned."""
_EPS = 1e-3
_DIGITS = 5


@dataclass(frozen=True)
class AgentCalibration(Calibration):
    """A curve for each agent, and an offset for each agent and slice of tasks.

    ``kind`` is ``"agents"``; ``slope`` and ``offset`` are the pooled line, that of agents not seen here.

    >>> one = AgentCalibration("agents", offset=0.0, curves={"a": (1.0, -2.0)})
    >>> one.apply_to(np.array([[0.5, 0.5]]), ("a", "b")).round(2).tolist()
    [[0.12, 0.5]]
    """

    base: Calibration = field(default_factory=Calibration)
    """The router's own curve, which comes first."""
    curves: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Slope and offset by agent."""
    centres: tuple[tuple[float, ...], ...] = ()
    """Centroids of the slices, as encodings; none for routers that encode nothing."""
    slices: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Offset of each slice by agent."""

    def apply(self, raw: Floats) -> Floats:
        """Returns calibrated scores by the pooled line, where agents are not named."""
        return _chance(self.slope * log_odds(self.base.apply(raw)) + self.offset)

    def apply_to(
        self, raw: Floats, agents: Sequence[str], vectors: NDArray[np.float32] | None = None
    ) -> Floats:
        """Returns calibrated scores [n, A] of named agents; see `Calibration.apply_to`."""
        pooled = (self.slope, self.offset)
        lines = np.array([self.curves.get(name, pooled) for name in agents], np.float64).reshape(-1, 2)
        odds = lines[:, 0] * log_odds(self.base.apply(raw)) + lines[:, 1]
        if self.centres and vectors is not None:
            flat = (0.0,) * len(self.centres)
            offsets = np.array([self.slices.get(name, flat) for name in agents], np.float64)
            odds = odds + offsets[:, slice_of(vectors, self.centres)].T
        return _chance(odds)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return super().to_dict() | {
            "base": self.base.to_dict(),
            "curves": {name: list(line) for name, line in self.curves.items()},
            "centres": [list(centre) for centre in self.centres],
            "slices": {name: list(offsets) for name, offsets in self.slices.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AgentCalibration:
        """Builds a calibration from `to_dict`."""
        return cls(
            "agents",
            float(data["slope"]),
            float(data["offset"]),
            base=Calibration.from_dict(data["base"]),
            curves={name: (float(line[0]), float(line[1])) for name, line in data["curves"].items()},
            centres=tuple(tuple(float(value) for value in centre) for centre in data["centres"]),
            slices={name: tuple(float(v) for v in offsets) for name, offsets in data["slices"].items()},
        )


def log_odds(chance: Floats) -> NDArray[np.float64]:
    """Returns log(p / (1 - p)), with p held off 0 and 1 by a thousandth."""
    clipped = np.clip(chance, _EPS, 1 - _EPS).astype(np.float64)
    odds: NDArray[np.float64] = np.log(clipped / (1 - clipped))
    return odds


def slice_of(vectors: NDArray[np.float32], centres: Sequence[Sequence[float]]) -> NDArray[np.intp]:
    """Returns [n] the nearest centre of each of [n, d] encodings."""
    nearest: NDArray[np.intp] = (vectors @ np.array(centres, np.float32).T).argmax(1)
    return nearest


def _chance(odds: Floats) -> Floats:
    chance: Floats = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    return chance


def fit_agent_calibration(
    log: ChoiceLog,
    raw: Floats,
    *,
    base: Calibration | None = None,
    vectors: NDArray[np.float32] | None = None,
    slices: int = SLICES,
    seed: int = 0,
) -> AgentCalibration:
    """Fits curves by agent on decisions that the router has not learned from.

    Each decision tells of the agent that was chosen; it weighs one over its propensity (held to ten times the
    agent's median), so that an agent's curve is of it on all tasks. How far agents and slices are drawn to
    what is shared is chosen by cross-validation over the queries; "all the way" is among the choices.

    Args:
        log: Held-out decisions.
        raw: [m, A] raw scores of the log's agents on its m queries.
        base: The router's own curve; it comes first.
        vectors: [m, d] encodings of the queries, for slices; None: no slices.
        slices: Slices at most; fewer where there are few decisions.
        seed: Of clusters and folds.

    Raises:
        DataError: fewer than `FEWEST` decisions for one agent are judged, or the shapes do not fit.
    """
    if raw.shape != (len(log.queries), len(log.pool)):
        raise DataError(f"raw has shape {raw.shape}; {(len(log.queries), len(log.pool))} is needed.")
    agent = log.agent
    used = np.flatnonzero(log.judged & (agent >= 0))
    if len(used) < FEWEST:
        raise DataError(
            f"{len(used)} judged decisions for one agent: {FEWEST} are needed to calibrate; collect more."
        )
    base = base or Calibration()
    kept = log.take(used)
    centres: tuple[tuple[float, ...], ...] = ()
    where = np.zeros(len(used), np.intp)
    count = min(slices, len(used) // (2 * FEWEST))
    if vectors is not None and count > 1:
        centres = _centres(vectors, count, seed)
        where = slice_of(vectors, centres)[kept.query]
    rows = Rows(
        odds=log_odds(base.apply(raw[kept.query, kept.agent])),
        score=kept.score,
        weight=kept.weight,
        propensity=kept.propensity,
        agent=kept.agent,
        cell=where,
        query=kept.query,
    )
    found = fit_curves(rows, agents=len(log.pool), slices=max(len(centres), 1), seed=seed)
    names, seen = log.agents, np.unique(kept.agent)
    curves = {names[a]: _rounded(found.lines[a]) for a in seen}
    offsets = {names[a]: _rounded(found.offsets[a]) for a in seen} if found.offsets.any() else {}
    slope, offset = _rounded(found.pooled)
    return AgentCalibration(
        "agents",
        slope,
        offset,
        base=base,
        curves={name: (line[0], line[1]) for name, line in curves.items()},
        centres=centres if offsets else (),
        slices=offsets,
    )


def recalibrate(router: R, log: ChoiceLog, pool: Pool, *, slices: int = SLICES, seed: int = 0) -> R:
    """Returns a copy of a router with curves by agent, learned from held-out decisions.

    Raw scores stay; calibrated ones, the calibration's id and the version change with the content. The
    router chooses by calibrated scores, so that its choices may change, too: it is a new version, to be
    judged like any other.

    Args:
        router: A fitted router of single agents.
        log: Decisions that it has not learned from.
        pool: The agents to score.
        slices: Most slices; 1: none.
        seed: Of clusters and folds.

    Raises:
        RouterError: the router has no curve of its own to put this one in the place of.
        DataError: there is too little evidence.
    """
    from agentnet.routers.persist import fingerprint

    if not isinstance(router, SingleRouter):
        raise RouterError(
            f"the router {router.name!r} plans several agents: it cannot be calibrated by agent."
        )
    vectors = router.encode(log.queries.tasks())
    kept = in_pool(log, pool)
    scores = router.score_batch(log.queries.tasks(), pool, vectors=vectors)
    now = router.calibration
    other = copy.copy(router)
    other.calibration = fit_agent_calibration(
        kept,
        np.asarray(scores.raw, np.float64),
        base=now.base if isinstance(now, AgentCalibration) else now,
        vectors=vectors,
        slices=slices,
        seed=seed,
    )
    other.version = fingerprint(other)
    return other


def in_pool(log: ChoiceLog, pool: Pool) -> ChoiceLog:
    """The decisions for one agent of the pool, with the pool's agents as columns."""
    from dataclasses import replace

    plans = [k for k, plan in enumerate(log.plans) if len(plan.nodes) == 1 and plan.agents[0] in pool]
    where = np.full(len(log.plans), -1, np.intp)
    where[plans] = np.arange(len(plans))
    kept = log.take(where[log.plan] >= 0)
    return replace(
        kept, pool=pool, plans=tuple(log.plans[k] for k in plans), plan=where[kept.plan].astype(np.intp)
    )  # fmt: skip


def _centres(vectors: NDArray[np.float32], count: int, seed: int) -> tuple[tuple[float, ...], ...]:
    from agentnet.routers.clustering import spherical_kmeans
    from agentnet.routers.neighbours import to_tensor

    rows = np.random.default_rng(seed).permutation(len(vectors))[:5000]
    centres = spherical_kmeans(to_tensor(vectors[np.sort(rows)]), count, seed=seed).numpy()
    return tuple(_rounded(centre) for centre in centres)


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), _DIGITS) for value in values)
