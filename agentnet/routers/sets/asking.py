"""`Advised`: a router that may ask a language model after it has decided by itself."""

from __future__ import annotations

import asyncio
import threading
import time
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import BackendError, RouterError
from agentnet.graphs.agent import Agent
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.decision import Decision, Scores
from agentnet.routers.gnn.plan import TrainingOptions
from agentnet.routers.reasoning.consult import consult, consult_many_sync, failed_consultation
from agentnet.routers.reasoning.consultation import Consultation
from agentnet.routers.reasoning.model import RouterModel
from agentnet.routers.reasoning.narrow import narrow
from agentnet.routers.sets.advised import advised
from agentnet.routers.sets.evidence import SetEvidence
from agentnet.routers.sets.fitting import Labelled
from agentnet.routers.sets.model import Encode, described

LOCAL = "local"
"""The setting ``model`` that stands for SmolLM2-135M in this process."""


class Advised(Router):
    """Mixed into a router whose settings hold ``mode``, ``model`` and the other ones named below.

    In mode ``fast`` it never asks, in ``reason`` always, in ``hybrid`` where the fast side chose a set and is
    unsure of it. A task that a hybrid router's fast side turned away stays turned away: a query that is like
    nothing known is not a matter of reasons.
    """

    mode: str
    model: str | None
    model_minutes: float
    shown: int
    hand_over: float
    max_agents: int
    least: Mapping[str, float]
    """Least probability at which an agent may be chosen, or shown to the model."""
    asked: int = 0
    """Decisions for which the model was asked."""
    spared: int = 0
    """Decisions of a hybrid router that did without: calls saved."""
    _adviser: RouterModel | None = None
    _counting = threading.Lock()

    @abstractmethod
    def _star(self, names: Sequence[str], weights: Mapping[str, float]) -> TaskGraph:
        """The graph of a chosen set."""

    @abstractmethod
    def _logged(self) -> Collection[str]:
        """Agents with logged queries."""

    # -- a model of one's own --------------------------------------------------------------------
    def _wants_own_model(self) -> bool:
        return self.mode != "fast" and self.model == LOCAL

    def _train_own_model(
        self, data: Labelled, encode: Encode, seed: int, device: str, options: TrainingOptions
    ) -> None:
        """Trains SmolLM2-135M, where it is wanted; agents that are alike are its hard negatives."""
        if not self._wants_own_model():
            return
        from agentnet.routers.reasoning.training import train_local

        vectors = encode([described(agent) for agent in data.pool])
        rows = np.flatnonzero(~data.val)
        names = data.pool.names
        self._adviser = train_local(
            [data.texts[i] for i in rows] + list(data.outside),
            [{names[data.labels[i]]} for i in rows] + [set()] * len(data.outside),
            data.pool.agents,
            seed=seed,
            seconds=60 * self.model_minutes,
            vectors=dict(zip(names, vectors, strict=True)),
            folder=options.checkpoint and options.checkpoint / "model",
            device=device,
            progress=options.progress,
        )

    def _adviser_state(self) -> tuple[dict[str, Any] | None, dict[str, NDArray[Any]]]:
        if not self._wants_own_model() or self._adviser is None:
            return None, {}
        from agentnet.routers.reasoning.local import LocalModel

        assert isinstance(self._adviser, LocalModel)
        return self._adviser.state()

    def _restore_adviser(self, config: Mapping[str, Any] | None, arrays: Mapping[str, NDArray[Any]]) -> None:
        if config is not None:
            from agentnet.routers.reasoning.local import LocalModel

            self._adviser = LocalModel.restore(config, arrays)

    # -- asking ----------------------------------------------------------------------------------
    def use_model(self, model: RouterModel) -> None:
        """Takes a model to ask, instead of the one that the runtime gives."""
        self._adviser = model

    @property
    def asks_model(self) -> bool:
        """Whether deciding may ask a language model that somebody else has to give."""
        return self.mode != "fast" and self._adviser is None

    def route_batch(
        self,
        tasks: Sequence[Task],
        pool: Pool,
        *,
        live: LiveState | None = None,
        seen: PartialRun | None = None,
        options: RouteOptions | None = None,
        vectors: NDArray[np.float32] | None = None,
        scores: Scores | None = None,
    ) -> list[Decision]:
        """Decides for n tasks at once; see `Router.route_batch`.

        Raises:
            RouterError: a language model has to be asked, and there is none.
        """
        start = time.perf_counter()
        decisions = super().route_batch(
            tasks, pool, live=live, seen=seen, options=options, vectors=vectors, scores=scores
        )
        shown = [self._advisers_view(decision, pool) for decision in decisions]
        rows = [i for i, agents in enumerate(shown) if agents]
        if not rows:
            return decisions
        if self._adviser is None:
            raise RouterError(
                f"the router {self.name!r} asks a language model in mode {self.mode!r}: run it in a Runtime "
                "with the setting model, give it one with use_model(...), or take mode=fast."
            )
        asked = consult_many_sync(
            [tasks[i] for i in rows], [shown[i] for i in rows], self._adviser, most=self.max_agents
        )
        for i, found in zip(rows, asked, strict=True):
            decisions[i] = self._advised(decisions[i], found)
        each = (time.perf_counter() - start) / len(tasks)
        for decision in decisions:
            decision.latency_s = each
        return decisions

    async def aroute(
        self,
        task: Task | str,
        pool: Pool,
        *,
        live: LiveState | None = None,
        seen: PartialRun | None = None,
        options: RouteOptions | None = None,
        model: RouterModel | None = None,
    ) -> Decision:
        """Decides for one task, awaiting the model; where that fails for good, the fast decision stands."""
        start = time.perf_counter()
        task = Task.of(task)
        fast = super().route_batch
        decision = (await asyncio.to_thread(fast, [task], pool, live=live, seen=seen, options=options))[0]
        asked = model or self._adviser
        if shown := self._advisers_view(decision, pool):
            if asked is None:
                raise RouterError(
                    f"the router {self.name!r} has no language model to ask; set its setting model."
                )
            try:
                found = await consult(task, shown, asked, most=self.max_agents)
            except BackendError as error:  # a limit, though, ends the run
                found = failed_consultation(shown, asked, [], error)
            decision = self._advised(decision, found)
        decision.latency_s = time.perf_counter() - start
        return decision

    def _advisers_view(self, decision: Decision, pool: Pool) -> list[Agent]:
        """The agents to show the model; none where it is not to be asked."""
        if self.mode == "fast":
            return []
        shown = self._shown(decision, pool) if self._wants_advice(decision) else []
        with self._counting:
            self.asked += bool(shown)
            self.spared += not shown
        return shown

    def _wants_advice(self, decision: Decision) -> bool:
        if self.mode == "reason":
            return True
        evidence = decision.evidence
        unsure = evidence.unsure if isinstance(evidence, SetEvidence) else None
        if unsure is None:
            unsure = 0.0 if decision.abstained else 1 - float(np.max(decision.calibrated))
        return not decision.abstained and unsure >= self.hand_over

    def _shown(self, decision: Decision, pool: Pool) -> list[Agent]:
        """The likeliest agents, best first; none that is below its own threshold."""
        scores = np.asarray(decision.calibrated)
        may = [i for i, name in enumerate(decision.candidates) if scores[i] >= self.least.get(name, 0.0)]
        if not may:
            return []
        names = [decision.candidates[i] for i in may]
        return [pool[name] for name in narrow(scores[may][None], names, self.shown)[0]]

    def _advised(self, decision: Decision, found: Consultation) -> Decision:
        evidence = decision.evidence
        if not isinstance(evidence, SetEvidence):
            evidence = SetEvidence(decided_by="fast", notes=tuple(evidence.lines()))
        return advised(decision, found, evidence, self._star, self._logged())
