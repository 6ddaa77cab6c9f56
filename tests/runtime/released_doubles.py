"""A registry in memory, routers made by hand, and a process that serves what a registry says."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet import Agent, Decision, Pool, Router, Runtime, Task, TaskGraph
from agentnet.errors import RegistryError
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.task import Message
from agentnet.outcomes.table import Outcomes
from agentnet.registry.book import Book, BookRegistry, Step
from agentnet.registry.content import whole_id
from agentnet.registry.records import Change, RouterVersion, Serving
from agentnet.routers.base import FitReport, RouteOptions
from agentnet.routers.decision import Scores
from agentnet.routers.reasoning.model import RouterModel

POOL = Pool([Agent(name=name, call=lambda text, name=name: f"{name}: {text}") for name in ("a", "b", "c")])


class Says(Router):
    """Always the same graph; ``before`` runs first and may raise, wait or look."""

    name = "says"
    needs_fit = False

    def __init__(
        self,
        graph: TaskGraph | str | None,
        *,
        version: str = "",
        propensity: float = 1.0,
        before: Callable[[Task], None] = lambda task: None,
        asks: bool = False,
    ) -> None:
        super().__init__()
        self.graph = TaskGraph.of([graph]) if isinstance(graph, str) else graph
        self.version = version or str(graph)
        self.propensity, self.before, self.asks = propensity, before, asks
        self.model = "judge" if asks else None

    @property
    def asks_model(self) -> bool:
        return self.asks

    def route(
        self,
        task: Task | str,
        pool: Pool,
        *,
        live: LiveState | None = None,
        seen: PartialRun | None = None,
        options: RouteOptions | None = None,
    ) -> Decision:
        self.before(Task.of(task))
        return Decision(
            graph=self.graph,
            candidates=pool.names,
            raw=[0.5] * len(pool),
            calibrated=[0.5] * len(pool),
            cost=[float("nan")] * len(pool),
            propensity=self.propensity,
            router=self.name,
            version=self.version,
        )

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
        assert model is not None
        await model.complete((Message("user", Task.of(task).text),), max_tokens=5)
        return self.route(task, pool, live=live, seen=seen, options=options)

    def score_batch(
        self, tasks: Any, pool: Pool, *, vectors: NDArray[np.float32] | None = None
    ) -> Scores:  # pragma: no cover
        raise NotImplementedError

    def _fit(
        self, outcomes: Outcomes, pool: Pool, *, seed: int, device: str
    ) -> FitReport:  # pragma: no cover
        raise NotImplementedError

    def _decide(self, *args: Any, **kwargs: Any) -> list[Decision]:  # pragma: no cover
        raise NotImplementedError

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {}

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Nothing to restore."""


class MemoryRegistry(BookRegistry):
    """Holds routers as they are; ``before`` runs in front of everything that is read, and may raise."""

    url = "memory"

    def __init__(self, *routers: Router) -> None:
        self.routers = {router.version: router for router in routers}
        self.book = Book()
        self.changes: list[Change] = []
        self.loaded: list[str] = []
        self.before_state: Callable[[], None] = lambda: None
        self.before_load: Callable[[str], None] = lambda version: None
        self.closed = False
        if routers:
            self.promote(routers[0].version)

    def add(self, router: Router, **_: Any) -> RouterVersion:
        self.routers[router.version] = router
        return self.version(router.version)

    def versions(self) -> list[RouterVersion]:
        return [self.version(name) for name in self.routers]

    def version(self, version_id: str) -> RouterVersion:
        found = whole_id(self.routers, version_id)
        return RouterVersion(id=found, router=self.routers[found].name, created_at=0.0)

    def load(self, version_id: str) -> Router:
        self.loaded.append(version_id)
        self.before_load(version_id)
        return self.routers[version_id]

    def state(self) -> Serving:
        self.before_state()
        return self.book.now

    def reject(self, version_id: str, *, reason: str) -> None:  # pragma: no cover
        raise NotImplementedError

    def history(self, limit: int = 100) -> list[Change]:
        return self.changes[::-1][:limit]

    def close(self) -> None:
        self.closed = True

    def _change(self, step: Step) -> Serving:
        made = step.of(self.book)
        if made is not None:
            self.book, change = made
            self.changes.append(change)
        return self.book.now


def until(condition: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Waits until something is so; a test that waits for it in vain fails."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.005)


def best_of(agent: str) -> Router:
    """A fitted router that always takes one agent, as a registry can keep it."""
    from agentnet import make_router
    from agentnet.outcomes.table import Queries

    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(4)]),
        text=tuple(f"question {i}" for i in range(4)),
        split=np.array(["train", "train", "val", "val"]),
    )
    score = np.array([[float(name == agent) for name in POOL.names]] * 4, np.float32)
    router = make_router("best_single")
    router.fit(Outcomes(queries=queries, pool=POOL, score=score, cost=np.full((4, 3), 1e-3)), POOL)
    return router


def serve(where: str) -> None:
    """Answers each line of standard input with what a runtime on a registry says to it."""
    try:
        runtime = Runtime(POOL, registry=where, refresh_s=0.02)
    except RegistryError as error:
        sys.stdout.write(f"{error}\n")
        return
    with runtime:
        for line in sys.stdin:
            result = runtime.run(line.strip())
            cost = Decimal(0) if result.cost is None else result.cost
            sys.stdout.write(f"{result.answer} by {runtime.router_version} for {cost}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
