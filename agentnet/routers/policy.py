"""`Policy`: with which probability a router chooses each plan, for judging it on logs of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import RouterError
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.decision import Scores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """What a router does on m tasks.

    Attributes:
        plans: The K plans it chooses among; None stands for abstaining.
        chance: [m, K] probability of each plan; rows add up to 1.
        cost: [m] expected USD of the choice, as the router predicts it; NaN unknown.
        expected: [m] score that the router predicts of its own choice; NaN unknown.
    """

    plans: tuple[TaskGraph | None, ...]
    chance: NDArray[np.float64]
    cost: NDArray[np.float64]
    expected: NDArray[np.float64]

    def of_plans(self, plans: Sequence[TaskGraph]) -> NDArray[np.float64]:
        """Returns [m, len(plans)] the probabilities of these plans, such as those of a log."""
        where = {plan.fingerprint: k for k, plan in enumerate(self.plans) if plan is not None}
        found = np.zeros((len(self.chance), len(plans)))
        for column, plan in enumerate(plans):
            k = where.get(plan.fingerprint)
            if k is not None:
                found[:, column] = self.chance[:, k]
        return found

    def agents(self, pool: Pool) -> NDArray[np.float64]:
        """Returns [m, A] the probability with which each agent alone is chosen.

        Plans of several agents add nothing.
        """
        found = np.zeros((len(self.chance), len(pool)))
        for k, plan in enumerate(self.plans):
            if plan is not None and len(plan.nodes) == 1 and plan.agents[0] in pool:
                found[:, pool.index(plan.agents[0])] += self.chance[:, k]
        return found

    @property
    def share(self) -> dict[str, float]:
        """Share of each agent among all runs of agents; abstentions and costs apart."""
        total: dict[str, float] = {}
        for k, plan in enumerate(self.plans):
            for name in plan.agents if plan is not None else ():
                total[name] = total.get(name, 0.0) + float(self.chance[:, k].sum())
        runs = sum(total.values())
        return (
            {name: value / runs for name, value in sorted(total.items(), key=lambda x: -x[1])} if runs else {}
        )


def policy_of(
    router: Router,
    tasks: Sequence[Task],
    pool: Pool,
    *,
    options: RouteOptions | None = None,
    vectors: NDArray[np.float32] | None = None,
) -> Policy:
    """Returns what a router would do on tasks, with probabilities.

    A router whose choice is certain has one plan a task. One that draws gives its probabilities by
    `Router.chances`.

    Args:
        router: A fitted router.
        tasks: m tasks.
        pool: The agents.
        options: Settings of the call.
        vectors: [m, d] the tasks' encodings, where the caller has them.

    Raises:
        RouterError: the router draws, and cannot tell with which probabilities.

    >>> from agentnet import Agent, make_router
    >>> pool = Pool([Agent(name="a"), Agent(name="b")])
    >>> policy_of(make_router("random"), [Task("hi")], pool).agents(pool).tolist()
    [[0.5, 0.5]]
    """
    options = options or router.options
    vectors = router._encode(tasks, vectors)
    scores = router.score_batch(tasks, pool, vectors=vectors)
    chances = router.chances(tasks, pool, scores, options)
    if chances is not None:
        return _drawn(chances, pool, scores)
    plans: dict[str, int] = {}
    found: list[TaskGraph | None] = []
    column = np.zeros(len(tasks), np.intp)
    expected = np.full(len(tasks), np.nan)
    cost = np.full(len(tasks), np.nan)
    for i, decision in enumerate(
        router.route_batch(tasks, pool, options=options, vectors=vectors, scores=scores)
    ):
        if decision.propensity is None or decision.propensity < 1 - 1e-9:
            raise RouterError(
                f"the router {router.name!r} draws its plans and does not tell their probabilities: it "
                "cannot be judged on logs; make its choice certain (most routers are), or give it `chances`."
            )
        graph = decision.graph
        key = "" if graph is None else graph.fingerprint
        if key not in plans:
            plans[key] = len(found)
            found.append(graph)
        column[i] = plans[key]
        expected[i] = decision.expected_score
        cost[i] = _cost(graph, scores, i)
    chance = np.zeros((len(tasks), len(found)))
    chance[np.arange(len(tasks)), column] = 1
    return Policy(plans=tuple(found), chance=chance, cost=cost, expected=expected)


def _drawn(chances: NDArray[np.float64], pool: Pool, scores: Scores) -> Policy:
    """The policy of a router that draws single agents."""
    price = np.broadcast_to(scores.cost, chances.shape)
    used = chances > 0
    cost = np.where(used, chances * np.where(used, price, 0), 0).sum(1)
    return Policy(
        plans=tuple(TaskGraph.of([name]) for name in pool.names),
        chance=chances,
        cost=cost,
        expected=(chances * scores.calibrated).sum(1),
    )


def _cost(graph: TaskGraph | None, scores: Scores, i: int) -> float:
    """Predicted USD if every node runs once a round; 0 for abstaining."""
    if graph is None:
        return 0.0
    price = scores.cost[i] if scores.cost.ndim == 2 else scores.cost
    at = {name: j for j, name in enumerate(scores.agents)}
    return float(graph.rounds * sum(price[at[node.agent]] for node in graph.nodes))
