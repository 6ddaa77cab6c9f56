"""The plain weighted vote: the agents best in training all answer, log-odds of their scores are the weights.

A reference without any choice: no search over sets, no dial, no look at the query.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics
from agentnet.bench.protocol import FOLDS
from agentnet.bench.scoring import Scorer
from agentnet.bench.suites.routing_against import against
from agentnet.outcomes.splits import cross_fit
from agentnet.outcomes.table import Outcomes
from agentnet.routers.decision import Decision
from agentnet.routers.plans import AnswerTable, Plan
from agentnet.routers.vote import log_odds

MEMBERS = 9
Floats = NDArray[np.float64]


def plain_vote(outcomes: Outcomes, *, crossed: bool, members: int = MEMBERS) -> dict[str, Any] | None:
    """Returns what the vote scores and costs beside the best single agent; None without recorded texts.

    Args:
        outcomes: The pack, every answer recorded.
        crossed: Whether all rows are evaluated, each in its fold, or the test rows.
        members: Agents that vote; all where there are fewer.
    """
    folds = list(cross_fit(outcomes, FOLDS, 0)) if crossed else [outcomes]
    parts = [_voted(fold.without_split("test"), fold.split("test"), members) for fold in folds]
    if any(part is None for part in parts):
        return None
    scores, costs, best, best_cost = (
        np.concatenate(column) for column in zip(*(part for part in parts if part is not None), strict=True)
    )
    return {
        "members": min(members, len(outcomes.pool)),
        "score": float(scores.mean()),
        "score_ci": list(metrics.bootstrap_ci(scores)),
        **against(scores, costs, best, best_cost),
    }


def _voted(inside: Outcomes, rows: Outcomes, members: int) -> tuple[Floats, Floats, Floats, Floats] | None:
    """[n] score and cost of the vote, [n] score and cost of the best single agent."""
    table = AnswerTable.of(inside)
    if table is None or rows.response is None:
        return None
    order = np.argsort(-table.score.mean(0), kind="stable")[:members]
    weights = log_odds(table)
    plan = Plan((tuple(table.agents[i] for i in order),), (tuple(weights[i] for i in order),))
    graph, empty = plan.graph(), np.zeros(len(rows.pool))
    decision = Decision(
        graph=graph, candidates=rows.agents, raw=empty, calibrated=empty, cost=empty, propensity=1.0,
        router="plain_vote", version="",
    )  # fmt: skip
    scored = Scorer(rows).score([decision] * len(rows))
    best = int(np.nanargmax(inside.mean_score))
    return (
        np.array([row.score for row in scored]),
        np.array([np.nan if row.cost_usd is None else row.cost_usd for row in scored]),
        rows.score[:, best].astype(np.float64),
        rows.cost[:, best].astype(np.float64),
    )
