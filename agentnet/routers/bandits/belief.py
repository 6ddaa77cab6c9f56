"""`Belief`: everything a bandit has learned, as one immutable snapshot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import RouterError
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes
from agentnet.routers.bandits.arms import Arms, Floats
from agentnet.routers.bandits.contexts import Contexts, learn_contexts
from agentnet.routers.bandits.looks import Features
from agentnet.routers.online import Served
from agentnet.routers.stats import AgentStats

FORMAT = 1
WARM = 128
"""Tasks seen until the contexts are learned from them; before, the bandit knows no context."""
_READ = {"agent", "basis", "context", "look", "gap"}
_STATS = ("total", "count", "cost_total", "cost_count", "trained")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One served task as a belief learns from it."""

    agent: str
    context: tuple[float, ...]
    look: tuple[float, ...]
    score: float
    cost: float | None
    gap: float


def read(one: Served) -> tuple[str, Lesson] | None:
    """Returns the id of the contexts it was decided in and the lesson; None: no evidence of a bandit's."""
    told = one.evidence
    if not set(told) >= _READ or told["agent"] not in one.ran:
        return None
    try:
        lesson = Lesson(
            agent=str(told["agent"]),
            context=tuple(float(value) for value in told["context"]),
            look=tuple(float(value) for value in told["look"]),
            score=one.score,
            cost=one.cost,
            gap=max(float(told["gap"]), 0.0),
        )
    except (TypeError, ValueError):
        return None
    return str(told["basis"]), lesson


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Belief:
    """What is believed of all agents ever seen.

    Attributes:
        contexts: What the agents are linear in.
        arms: Their regressions; `AgentStats` holds them in the same order.
        stats: Sums of score and cost by agent; c of the quality-cost dial.
        waiting: Until the contexts are learned: [m, d] looks of the tasks seen.
        told: [m, 2] their agents' positions and scores.
        number: How many updates made the snapshot.
        rounds: Tasks learned from while serving.
        spent: Their regret by the beliefs of the time: predicted utility of the best minus of the chosen.
        seen: Tasks learned from in all.
        fixed_unit: Whether c is that of training data; else it grows with what is seen.
    """

    contexts: Contexts
    arms: Arms
    stats: AgentStats
    waiting: NDArray[np.float32]
    told: Floats
    number: int = 0
    rounds: int = 0
    spent: float = 0.0
    seen: int = 0
    fixed_unit: bool = False

    @classmethod
    def start(cls, features: Features, *, ridge: float, shared: float | None) -> Belief:
        """Returns the belief that knows nothing."""
        return cls(
            contexts=Contexts(features),
            arms=Arms.start((), 1, ridge=ridge, shared=shared),
            stats=AgentStats.empty(),
            waiting=np.zeros((0, 0), np.float32),
            told=np.zeros((0, 2)),
        )

    def fitted(self, rows: Outcomes, looks: NDArray[np.float32]) -> Belief:
        """Returns the belief of recorded outcomes, a full matrix or one with holes."""
        labels = None
        if self.contexts.features == "greenserv":
            kinds, labels = np.unique(np.array(rows.queries.task), return_inverse=True)
            labels = labels.astype(np.intp) if len(kinds) > 1 else None
        contexts = learn_contexts(self.contexts.features, looks, labels)
        arms = Arms.start(rows.agents, contexts.dim, ridge=self.arms.ridge, shared=self.arms.shared)
        weight = np.nan_to_num(rows.weight.astype(np.float64), nan=1.0)
        arms = arms.of_rows(contexts.of(looks), rows.score.astype(np.float64), weight)
        return replace(
            self, contexts=contexts, arms=arms, stats=AgentStats.of(rows), seen=len(rows), fixed_unit=True,
            waiting=np.zeros((0, 0), np.float32), told=np.zeros((0, 2)), number=0, rounds=0, spent=0.0,
        )  # fmt: skip

    @property
    def warming(self) -> bool:
        """Whether the contexts are still to be learned."""
        return self.contexts.features != "none" and not self.contexts.arrays

    def arms_of(self, pool: Pool) -> Arms:
        """Returns the pool's agents, in its order."""
        return self.arms.for_agents(pool.names)

    # -- learning ------------------------------------------------------------------------------
    def learned(self, batch: Sequence[Served]) -> tuple[Belief, int]:
        """Returns the next snapshot, and how many of the served tasks could be used."""
        lessons = [lesson for one in batch if (lesson := self._usable(one)) is not None]
        if not lessons:
            return self, 0
        names = tuple(dict.fromkeys((*self.arms.names, *(lesson.agent for lesson in lessons))))
        arms = self.arms.for_agents(names)
        agent = np.array([arms.where[lesson.agent] for lesson in lessons], np.intp)
        score = np.array([lesson.score for lesson in lessons])
        after = replace(
            self,
            stats=self._counted(names, agent, lessons),
            number=self.number + 1,
            rounds=self.rounds + len(lessons),
            seen=self.seen + len(lessons),
            spent=self.spent + sum(lesson.gap for lesson in lessons),
        )
        if self.warming:
            return after._warmed(arms, agent, score, lessons), len(lessons)
        x = np.array([lesson.context for lesson in lessons])
        return replace(after, arms=arms.learned(agent, x, score)), len(lessons)

    def _usable(self, one: Served) -> Lesson | None:
        """The lesson in terms of these contexts; None where it cannot be had."""
        found = read(one)
        if found is None:
            return None
        basis, lesson = found
        if self.warming:
            known = self.waiting.shape[1] or len(lesson.look)
            return lesson if not basis and lesson.look and len(lesson.look) == known else None
        if basis == self.contexts.id and len(lesson.context) == self.contexts.dim:
            return lesson
        if basis or self.contexts.features == "none" or not lesson.look:
            return None
        try:  # decided before the contexts were learned
            context = self.contexts.of(np.array([lesson.look], np.float32))[0]
        except ValueError:  # a look of another encoder
            return None
        return replace(lesson, context=tuple(context.tolist()))

    def _warmed(
        self, arms: Arms, agent: NDArray[np.intp], score: Floats, lessons: Sequence[Lesson]
    ) -> Belief:
        """The belief with further tasks of the warm-up; the last of them makes the contexts."""
        looks = np.array([lesson.look for lesson in lessons], np.float32)
        waiting = np.concatenate((self.waiting.reshape(-1, looks.shape[1]), looks))
        told = np.concatenate((self.told, np.stack((agent.astype(np.float64), score), axis=1)))
        if len(waiting) < WARM:
            arms = arms.learned(agent, np.ones((len(lessons), 1)), score)
            return replace(self, arms=arms, waiting=waiting, told=told)
        contexts = learn_contexts(self.contexts.features, waiting)
        fresh = Arms.start(arms.names, contexts.dim, ridge=arms.ridge, shared=arms.shared)
        fresh = fresh.learned(told[:, 0].astype(np.intp), contexts.of(waiting), told[:, 1])
        none = np.zeros((0, 0), np.float32)
        return replace(self, contexts=contexts, arms=fresh, waiting=none, told=np.zeros((0, 2)))

    def _counted(
        self, names: tuple[str, ...], agent: NDArray[np.intp], lessons: Sequence[Lesson]
    ) -> AgentStats:
        old = self.stats
        new = len(names) - len(old.names)
        sums: dict[str, Any] = {
            key: np.append(getattr(old, key), np.zeros(new, getattr(old, key).dtype)) for key in _STATS
        }
        for at, lesson in zip(agent.tolist(), lessons, strict=True):
            sums["total"][at] += lesson.score
            sums["count"][at] += 1
            sums["trained"][at] = True
            if lesson.cost is not None:
                sums["cost_total"][at] += lesson.cost
                sums["cost_count"][at] += 1
        unit = old.unit_cost
        paid = sums["cost_count"] > 0
        if not self.fixed_unit and paid.any():
            unit = float((sums["cost_total"][paid] / sums["cost_count"][paid]).max())
        return replace(old, names=names, unit_cost=unit, **sums)

    # -- as bytes ------------------------------------------------------------------------------
    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        stats, arrays = self.stats.state()
        config = stats | {
            "features": self.contexts.features,
            "ridge": self.arms.ridge,
            "shared": self.arms.shared,
            "number": self.number,
            "rounds": self.rounds,
            "spent": self.spent,
            "seen": self.seen,
            "fixed_unit": self.fixed_unit,
        }
        arms = {key: getattr(self.arms, key) for key in ("inverse", "sums", "common", "pull")}
        arrays |= {f"arms_{key}": value for key, value in arms.items()}
        arrays |= {f"context_{key}": value for key, value in self.contexts.arrays.items()}
        return config, arrays | {"waiting": self.waiting, "told": self.told}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Belief:
        """Builds a belief from what `state` returned."""
        learned = {k.removeprefix("context_"): v for k, v in arrays.items() if k.startswith("context_")}
        stats = AgentStats.restore(config, arrays)
        shared = config["shared"]
        arms = Arms(
            names=stats.names,
            ridge=float(config["ridge"]),
            shared=None if shared is None else float(shared),
            inverse=arrays["arms_inverse"],
            sums=arrays["arms_sums"],
            common=arrays["arms_common"],
            pull=arrays["arms_pull"],
        )
        return cls(
            contexts=Contexts(config["features"], learned),
            arms=arms,
            stats=stats,
            waiting=arrays["waiting"],
            told=arrays["told"],
            number=int(config["number"]),
            rounds=int(config["rounds"]),
            spent=float(config["spent"]),
            seen=int(config["seen"]),
            fixed_unit=bool(config["fixed_unit"]),
        )

    def to_bytes(self, fit: str) -> bytes:
        """Returns the snapshot as safetensors, with the version of the fit it learned on."""
        from safetensors.numpy import save

        config, arrays = self.state()
        plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        # One entry: the order of several is not the same from call to call, and bytes are compared.
        told = json.dumps({"format": FORMAT, "fit": fit, "belief": config}, sort_keys=True)
        data: bytes = save(plain, {"bandit": told})
        return data

    def adopted(self, data: bytes, fit: str) -> Belief:
        """Returns the snapshot that `to_bytes` gave, here or in another process.

        Raises:
            RouterError: it is no such snapshot, or one of another fit or of other settings.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            size = int.from_bytes(data[:8], "little")
            meta = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["bandit"])
            belief = Belief.restore(meta["belief"], load(data))
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise RouterError(f"this is not a bandit's snapshot: {type(error).__name__}.") from None
        if meta.get("fit") != fit or meta.get("format") != FORMAT:
            raise RouterError(
                f"the snapshot is of fit {meta.get('fit')!r} (format {meta.get('format')}), this router of "
                f"{fit!r} (format {FORMAT}); load the router it came from, or give the learner another name."
            )
        mine, other = self.arms, belief.arms
        alike = (mine.ridge, mine.shared) == (other.ridge, other.shared)
        if not alike or belief.contexts.features != self.contexts.features:
            raise RouterError(
                "the snapshot is of a bandit with other features or another prior; make the router with the "
                "same settings, or give the learner another name."
            )
        return belief
