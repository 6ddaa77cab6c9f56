"""Measures what an agent's absence costs, and what a few probes of it bring back, without retraining."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.evaluate import Evaluation, evaluate
from agentnet.bench.protocol import FOLDS, Entry, Lab
from agentnet.errors import RouterError
from agentnet.graphs.pool import Pool
from agentnet.outcomes.splits import cross_fit
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.registry import router_class

PROBES = (0, 5, 20, 100)
"""Outcomes of the new agent that the router is given."""
DRAWS = 5
"""Random draws of the probes."""
COUNTS = 0.01
"""An agent counts when its absence costs at least this much score: one point."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """One router on n rows with A agents left out in turn; scores are means over seeds.

    Attributes:
        label: The router.
        agents: The A agents.
        query_ids: The n rows.
        seeds: Seeds of the fits.
        full: [n] score of the router trained with all agents' outcomes.
        without: [A, n] score of the router trained without the agent, which is not in the pool either.
        probed: [A, K, n] score of that router with the agent in the pool, knowing `PROBES` outcomes of it;
            mean over the draws.
        by_draw: [A, K, D] mean score of each draw.
        inside: [A] what the agent's absence costs on rows that are not evaluated; by these agents are
            chosen. Mean over the folds where each fold has its own.
        counted: [A, n] rows on which the agent counts, as chosen on other rows.
    """

    label: str
    agents: tuple[str, ...]
    query_ids: tuple[str, ...]
    seeds: int
    full: Floats
    without: Floats
    probed: Floats
    by_draw: Floats
    inside: Floats
    counted: NDArray[np.bool_]

    @property
    def absence(self) -> Floats:
        """[A] what the agent's absence costs on the evaluated rows."""
        cost: Floats = (self.full - self.without).mean(1)
        return cost


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """The same arrays on the rows of one split, before it is known which agents count."""

    full: Floats
    without: Floats
    probed: Floats
    """[A, K, D, n]."""


def on_test(
    lab: Lab, entry: Entry, outcomes: Outcomes, seeds: Sequence[int], given: Floats | None = None
) -> Measured:
    """Evaluates on the test rows; which agents count is found by cross-fitting inside train and val.

    Args:
        lab: Fits the router.
        entry: The router.
        outcomes: The pack.
        seeds: Of the fits; the first one finds which agents count.
        given: [all agents] what their absence costs, where another router has found it: then only those
            that count are left out in turn.

    Raises:
        RouterError: the router takes no probes.
    """
    agents = outcomes.agents
    if given is not None:
        agents = tuple(agent for agent, cost in zip(agents, given, strict=True) if cost >= COUNTS)
        inside = given[given >= COUNTS]
    scores = _mean([_fold(lab, entry, outcomes, seed, agents) for seed in seeds])
    if given is None:
        inside = absences(lab, entry, outcomes.without_split("test"), seeds[0])
    ids = outcomes.queries.query_id[outcomes.queries.split == "test"]
    counted = np.repeat((inside >= COUNTS)[:, None], len(ids), axis=1)
    return _measured(entry, agents, ids.tolist(), len(seeds), scores, inside, counted)


def cross_fitted(lab: Lab, entry: Entry, outcomes: Outcomes, seeds: Sequence[int]) -> Measured:
    """Evaluates every row in the fold in which it is test.

    An agent counts on the rows of a fold when its absence costs enough on the rows of the other folds: no
    row has a say in what it is evaluated for.

    Raises:
        RouterError: the router takes no probes.
    """
    parts, places = [], []
    for number, fold in enumerate(cross_fit(outcomes, FOLDS, 0)):
        say = partial(_say, lab, f"cross-fitting, fold {number + 1} of {FOLDS}")
        within = replace(lab, progress=say)
        parts.append(_mean([_fold(within, entry, fold, seed, fold.agents) for seed in seeds]))
        places.append(np.flatnonzero(fold.queries.split == "test"))
    order = np.argsort(np.concatenate(places))
    fold_of = np.repeat(np.arange(len(parts)), [len(place) for place in places])[order]
    scores = _Scores(
        np.concatenate([part.full for part in parts])[order],
        np.concatenate([part.without for part in parts], axis=1)[:, order],
        np.concatenate([part.probed for part in parts], axis=3)[..., order],
    )
    loss = scores.full - scores.without
    elsewhere = np.stack([loss[:, fold_of != fold].mean(1) for fold in range(len(parts))], axis=1)
    counted = (elsewhere >= COUNTS)[:, fold_of]
    ids = outcomes.queries.query_id.tolist()
    return _measured(entry, outcomes.agents, ids, len(seeds), scores, elsewhere.mean(1), counted)


def _say(lab: Lab, where: str, text: str) -> None:
    lab.progress(f"{where}: {text}")


def _measured(
    entry: Entry,
    agents: tuple[str, ...],
    ids: Sequence[str],
    seeds: int,
    scores: _Scores,
    inside: Floats,
    counted: NDArray[np.bool_],
) -> Measured:
    return Measured(
        label=entry.label,
        agents=agents,
        query_ids=tuple(ids),
        seeds=seeds,
        full=scores.full,
        without=scores.without,
        probed=scores.probed.mean(2),
        by_draw=scores.probed.mean(3),
        inside=inside,
        counted=counted,
    )


def _mean(parts: Sequence[_Scores]) -> _Scores:
    return _Scores(
        np.mean([part.full for part in parts], axis=0),
        np.mean([part.without for part in parts], axis=0),
        np.mean([part.probed for part in parts], axis=0),
    )


def _fold(lab: Lab, entry: Entry, outcomes: Outcomes, seed: int, agents: Sequence[str]) -> _Scores:
    """Leaves each agent out in turn: one fit with all agents, one without each."""
    without, probed = [], []
    for agent in agents:
        lab.progress(f"{entry.label}, seed {seed}: {agent} left out")
        rest = outcomes.pool.remove(agent)
        router = _fit(lab, entry, outcomes.for_pool(rest), seed)
        # A router that takes no probes of this pool says so here, before any further fit.
        probed.append(_onboard(router, outcomes, agent, seed))
        without.append(_evaluate(router, outcomes, seed, pool=rest).scores)
    lab.progress(f"{entry.label}, seed {seed}: all agents")
    full = _evaluate(_fit(lab, entry, outcomes, seed), outcomes, seed).scores
    shape = (len(agents), len(PROBES), DRAWS, len(full))  # also where no agent is left out
    return _Scores(full, np.reshape(without, (len(agents), len(full))), np.reshape(probed, shape))


def _onboard(router: Router, outcomes: Outcomes, agent: str, seed: int) -> Floats:
    """[K, D, n] scores with the agent back in the pool and a few outcomes of it.

    Probes of one draw are nested (the 5 are among the 20), and the same for every router and seed.
    """
    train = outcomes.split("train")
    known = train.take(train.observed[:, outcomes.pool.index(agent)]).for_pool(Pool([outcomes.pool[agent]]))
    cells: dict[tuple[int, int], Floats] = {}
    for draw in range(DRAWS):
        rng = np.random.default_rng([draw, outcomes.pool.index(agent)])
        order = rng.permutation(len(known))
        for k in PROBES:
            if k == 0 and draw:
                cells[k, draw] = cells[k, 0]
                continue
            probes = known.take(order[:k]) if k else None
            cells[k, draw] = _evaluate(router, outcomes, seed, probes=probes).scores
    return np.array([[cells[k, draw] for draw in range(DRAWS)] for k in PROBES])


def absences(lab: Lab, entry: Entry, inside: Outcomes, seed: int) -> Floats:
    """Returns [A] what each agent's absence costs, cross-fitted over train and val.

    An agent chosen on a smaller share of a fold's rows than `COUNTS` is not left out there: its absence is
    taken to cost nothing.
    """
    loss = np.zeros((len(inside.pool), len(inside)))
    for number, fold in enumerate(cross_fit(inside, FOLDS, seed)):
        lab.progress(f"{entry.label}: which agents count, fold {number + 1} of {FOLDS}")
        rows = np.flatnonzero(fold.queries.split == "test")
        full = _evaluate(_fit(lab, entry, fold, seed), fold, seed)
        chosen = [sum(agent in row.chosen for row in full.rows) / len(rows) for agent in fold.agents]
        for i, agent in enumerate(fold.agents):
            if chosen[i] >= COUNTS:
                rest = fold.pool.remove(agent)
                router = _fit(lab, entry, fold.for_pool(rest), seed)
                loss[i, rows] = full.scores - _evaluate(router, fold, seed, pool=rest).scores
    cost: Floats = loss.mean(1)
    return cost


def _fit(lab: Lab, entry: Entry, outcomes: Outcomes, seed: int) -> Router:
    return lab.fit(entry.router, outcomes, seed=seed, settings=entry.settings)[0]


def _evaluate(
    router: Router, outcomes: Outcomes, seed: int, *, pool: Pool | None = None, probes: Outcomes | None = None
) -> Evaluation:
    """Quality only: the dial is at 0."""
    return evaluate(
        router,
        outcomes,
        pool=pool,
        probes=probes,
        options=RouteOptions(cost_weight=0.0, rng=np.random.default_rng(seed)),
        reference={},
        time_decisions=False,
    )


def measure(
    lab: Lab,
    entries: Sequence[Entry],
    outcomes: Outcomes,
    seeds: int,
    *,
    crossed: bool,
    counted_by: Entry | None = None,
) -> Iterator[Measured | tuple[str, str]]:
    """Yields per router what was measured, or its label and why it takes no probes.

    Args:
        lab: Fits the routers.
        entries: The routers.
        outcomes: The pack.
        seeds: Seeds of a randomised router.
        crossed: Whether all rows are evaluated, each in its fold, or the test rows.
        counted_by: Finds which agents count on the test rows, for all routers; None: each for itself.
    """
    given = None
    if counted_by is not None and not crossed:
        given = absences(lab, counted_by, outcomes.without_split("test"), 0)
    for entry in entries:
        if router_class(entry.router).with_probes is Router.with_probes:  # said before any fit
            yield entry.label, f"the router {entry.router!r} takes no probes."
            continue
        each = range(seeds if entry.randomised else 1)
        try:
            if crossed:
                yield cross_fitted(lab, entry, outcomes, each)
            else:
                yield on_test(lab, entry, outcomes, each, given)
        except RouterError as error:
            yield entry.label, str(error)
