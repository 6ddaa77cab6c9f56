"""Cold start: what is known of agents before there are traces, as outcomes that count little.

A prior is an `Outcomes` table: public outcomes of agents of the same name (or said to be the same), or what
descriptions and list prices let one guess. Beside a log it counts as so many pseudo-observations an agent:
with n observations of one's own, its share is weight / (weight + n), so that it fades by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.pool import Pool
from agentnet.outcomes.encoders import Encoder, make_encoder
from agentnet.outcomes.join import concat
from agentnet.outcomes.splits import hash_split
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.base import Router
from agentnet.routers.registry import make_router

WEIGHT = 50.0
"""Pseudo-observations of an agent that a prior counts for, unless told otherwise."""
MOST = 2_000
"""Queries of a prior that are kept."""
_PRICE, _FIT = 0.1, 0.2


def public_prior(
    public: Outcomes, pool: Pool, *, same_as: Mapping[str, str] | None = None, most: int = MOST, seed: int = 0
) -> Outcomes:
    """Takes public outcomes for the agents of a pool.

    Queries that a log's own division by text would hold out, and those the pack holds out, are left out: no
    version may ever learn from them. Costs come from the pool's list prices where tokens were recorded.

    Args:
        public: Recorded outcomes, such as a pack's.
        pool: One's own agents.
        same_as: By own name, the name in the public outcomes; agents of equal names need none.
        most: Queries to keep, drawn.
        seed: Of the draw.

    Raises:
        InvalidInput: ``same_as`` names an agent there is not.
        DataError: no agent of the pool has public outcomes.
    """
    same = dict(same_as or {})
    if wrong := sorted(set(same) - set(pool.names)):
        raise InvalidInput(f"no agent {', '.join(wrong)} in the pool; there are: {', '.join(pool.names)}.")
    if wrong := sorted(set(same.values()) - set(public.agents)):
        raise InvalidInput(
            f"the public outcomes have no agent {', '.join(wrong)}; they have: {', '.join(public.agents)}."
        )
    source = [same.get(name, name) for name in pool.names]
    if not any(name in public.agents for name in source):
        raise DataError(
            "no agent of the pool has public outcomes: name those that are the same (same_as, OWN=PUBLIC)."
        )
    rows = np.flatnonzero((public.queries.split != "test") & (hash_split(public.queries.text) != "test"))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:most])
    taken = public.take(rows)
    where = [public.agents.index(name) if name in public.agents else -1 for name in source]

    def columns(matrix: NDArray[np.floating]) -> NDArray[np.floating]:
        picked = matrix[:, where].copy()
        picked[:, np.array(where) < 0] = np.nan
        return picked

    return Outcomes(
        queries=replace(
            taken.queries,
            query_id=np.array([f"prior:{name}" for name in taken.queries.query_id.tolist()], np.str_),
        ),
        pool=pool,
        score=columns(taken.score).astype(np.float32),
        cost=_priced(pool, *(columns(m) for m in (taken.cost, taken.prompt_tokens, taken.completion_tokens))),
        propensity=columns(taken.propensity).astype(np.float32),
        weight=np.nan_to_num(columns(taken.weight), nan=1.0).astype(np.float32),
        source=f"prior {public.source}".strip(),
        kind=taken.kind,
    )


def _priced(
    pool: Pool, cost: NDArray[np.floating], prompt: NDArray[np.floating], completion: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Costs at the pool's list prices where tokens are known; else as recorded."""
    found = np.array(cost, np.float64)
    for a, agent in enumerate(pool):
        if agent.price_in_per_mtok is None or agent.price_out_per_mtok is None:
            continue
        own = prompt[:, a] * float(agent.price_in_per_mtok) + completion[:, a] * float(
            agent.price_out_per_mtok
        )
        found[:, a] = np.where(np.isnan(own), found[:, a], own / 1e6)
    return found


def described_prior(pool: Pool, *, encoder: Encoder | None = None) -> Outcomes:
    """Guesses outcomes from descriptions and list prices alone, for pools of which nothing is known.

    The tasks are the agents' own profiles and examples. An agent is guessed at 0.5, up to 0.1 more or less
    by the rank of its list price (dearer ones tend to be better), and up to 0.2 more or less by how much
    nearer the task is to its profile than to the others'. These figures are a convention, not measured: give
    such a prior little weight.

    >>> from agentnet.graphs.agent import Agent
    >>> pool = Pool([Agent(name="cook", description="recipes, oven, flour"), Agent(name="lawyer",
    ...              description="contracts, courts, clauses")])
    >>> described_prior(pool).score.argmax(1).tolist()
    [0, 1]
    """
    encoder = encoder or make_encoder("hash")
    texts = list(dict.fromkeys(text for agent in pool for text in (agent.profile, *agent.examples) if text))
    vectors = encoder.encode(texts)
    near = vectors @ encoder.encode([agent.profile for agent in pool]).T
    fit = near - near.mean(1, keepdims=True)
    widest = np.abs(fit).max(1, keepdims=True)
    fit = np.divide(fit, widest, out=np.zeros_like(fit), where=widest > 1e-6)
    score = 0.5 + _PRICE * _price_rank(pool) + _FIT * fit
    return Outcomes(
        queries=Queries(
            query_id=np.array([f"prior:{i}" for i in range(len(texts))], np.str_),
            text=tuple(texts),
            split=np.full(len(texts), "train"),
        ),
        pool=pool,
        score=np.clip(score, 0, 1).astype(np.float32),
        cost=np.full(score.shape, np.nan),
        propensity=np.ones(score.shape, np.float32),
        source="prior descriptions and prices",
    )


def _price_rank(pool: Pool) -> NDArray[np.float64]:
    """[A] from -1, cheapest, to 1, dearest; 0 where the price is unknown."""
    price = np.array(
        [np.nan if a.price_out_per_mtok is None else float(a.price_out_per_mtok) for a in pool], np.float64
    )
    known = np.flatnonzero(~np.isnan(price))
    rank = np.zeros(len(price))
    if len(known) > 1:
        order = np.unique(price[known], return_inverse=True)[1]
        rank[known] = 2 * order / max(order.max(), 1) - 1 if order.max() else 0.0
    return rank


def with_prior(outcomes: Outcomes, prior: Outcomes | None, weight: float = WEIGHT) -> Outcomes:
    """Returns one's own outcomes with a prior's below them, as a router's ``fit`` takes them.

    Each agent's prior scores together count ``weight``; its prior costs are left out as soon as one cost of
    its own is known.

    Args:
        outcomes: One's own; may have no rows.
        prior: From `public_prior` or `described_prior`; None changes nothing.
        weight: Pseudo-observations an agent; 0 changes nothing.

    Raises:
        InvalidInput: the weight is no number from 0.
    """
    if not (weight >= 0 and np.isfinite(weight)):
        raise InvalidInput(f"a prior's weight is a number of observations from 0; got {weight!r}.")
    if prior is None or weight == 0:
        return outcomes
    below = prior.for_pool(outcomes.pool)
    known = below.observed
    mass = np.where(known, np.nan_to_num(below.weight, nan=1.0), 0).astype(np.float64)
    total = mass.sum(0)
    scale = np.divide(weight, total, out=np.zeros_like(total), where=total > 0)
    own_cost = ~np.isnan(outcomes.cost).all(0) if len(outcomes) else np.zeros(len(outcomes.pool), bool)
    below = replace(
        below,
        weight=(mass * scale).astype(np.float32),
        cost=np.where(own_cost, np.nan, below.cost),
    )
    return concat([outcomes, below.take(np.flatnonzero(known.any(1)))], outcomes.pool)


def cold_router(
    pool: Pool, prior: Outcomes, *, router: str = "kmeans", encoder: Encoder | None = None, seed: int = 0
) -> Router:
    """Returns a router to serve with before there are any traces: fitted on a prior alone.

    Agents without public outcomes are guessed by their descriptions and prices, as routers guess new agents.
    """
    made = make_router(router)
    if encoder is not None:
        made.use_encoder(encoder)
    seen = prior.for_pool(pool)
    made.fit(seen.take(np.flatnonzero(seen.observed.any(1))), pool, seed=seed)
    return made
