"""Finds agents of a pool that a router cannot tell apart, and descriptions that say too little.

Every query (the agents' own examples, and those of a pack or a trace database) is scored against every agent:
by a router's ``score_batch`` where one is given, else by likeness to description and examples. Queries whose
owner is known and that score higher elsewhere *stray*; queries whose two best agents are nearly equal are
*close*. Both are counted by pair. An example never counts for itself.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentnet.cards.checks import check_agents, check_fit, check_reach
from agentnet.cards.findings import Collision, Conflict, Finding, LintReport
from agentnet.cards.likeness import Likeness
from agentnet.cards.wording import suggest
from agentnet.errors import InvalidInput
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.encoders.base import task_text
from agentnet.outcomes.table import Outcomes

if TYPE_CHECKING:
    from agentnet.outcomes.encoders import Encoder
    from agentnet.routers.base import Router

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class LintOptions:
    """What counts as a conflict.

    Attributes:
        margin: Two agents' scores nearer than this are close; None is .02 for likeness, .1 for a router's
            calibrated probabilities.
        min_queries: Fewest colliding queries of a pair.
        min_share: Least share of a pair's queries that stray, or, where no owner is known, are close.
        queries: Colliding queries kept for each pair.
        suggest: How many pairs, from the worst, get a suggested wording.
    """

    margin: float | None = None
    min_queries: int = 2
    min_share: float = 0.05
    queries: int = 5
    suggest: int = 50


@dataclass(frozen=True, slots=True)
class _Rows:
    """Queries, column by column."""

    tasks: list[Task]
    owner: list[int]
    """Position of the agent it belongs to; -1 unknown."""
    example: list[int]
    """Number among the owner's examples; -1 for a query from elsewhere."""


def lint(
    pool: Pool,
    *,
    encoder: Encoder | None = None,
    router: Router | None = None,
    outcomes: Outcomes | None = None,
    options: LintOptions | None = None,
) -> LintReport:
    """Returns what is wrong with the descriptions of a pool.

    Args:
        pool: The agents, with their examples.
        encoder: Compares queries with descriptions and examples; needed where no router is given.
        router: Scores the queries instead.
        outcomes: Further queries, of a label pack or a trace database. A query's owner is the agent that
            alone scored best; rows that nobody in the pool should get are left out.
        options: What counts as a conflict.

    Raises:
        InvalidInput: neither an encoder nor a router is given, or an option cannot be used.

    >>> from agentnet.graphs.agent import Agent
    >>> from agentnet.outcomes.encoders import HashingEncoder
    >>> pool = Pool([Agent(name="refunds", description="Pays money back to customers."), Agent(name="x")])
    >>> [item.kind for item in lint(pool, encoder=HashingEncoder()).findings]
    ['empty-description', 'meaningless-name']
    """
    options = options or LintOptions()
    _check(options)
    if encoder is None and router is None:
        raise InvalidInput("lint needs an encoder (such as make_encoder('minilm')) or a fitted router.")
    rows = _rows(pool, outcomes)
    findings = list(check_agents(pool, encoder))
    if not rows.tasks:
        judged = router.name if router is not None else _name(encoder)
        return LintReport(
            agents=len(pool),
            queries=0,
            judged_by=judged,
            agreement=None,
            conflicts=(),
            findings=tuple(findings),
        )
    if router is not None:
        scores: Floats = np.asarray(router.score_batch(rows.tasks, pool).calibrated, np.float64)
        judged = f"the router {router.name}"
    else:
        assert encoder is not None
        likeness = Likeness(pool, encoder)
        scores = likeness.scores([task_text(task) for task in rows.tasks], rows.owner, rows.example)
        judged = f"likeness ({_name(encoder)})"
    margin = options.margin if options.margin is not None else (0.02 if router is None else 0.1)
    first = scores.argmax(axis=1)
    owner = np.array(rows.owner)
    owned = owner >= 0
    findings += check_reach(pool, first, owner, np.array(rows.example))
    texts = _owned(pool, rows)
    if encoder is not None:
        findings += check_fit(pool, encoder, texts)
    conflicts = _conflicts(pool, rows, scores, first, margin, options)
    worded = [suggest(item, pool, texts) for item in conflicts[: options.suggest]]
    return LintReport(
        agents=len(pool),
        queries=len(rows.tasks),
        judged_by=judged,
        agreement=float((first[owned] == owner[owned]).mean()) if owned.any() else None,
        conflicts=(*worded, *conflicts[options.suggest :]),
        findings=tuple(sorted(findings, key=_rank)),
    )


def owned_texts(pool: Pool, outcomes: Outcomes | None = None) -> dict[str, list[str]]:
    """Returns examples and queries by agent, as `lint` sees them.

    Args:
        pool: The agents.
        outcomes: As in `lint`.
    """
    return _owned(pool, _rows(pool, outcomes))


def _name(encoder: Encoder | None) -> str:
    return encoder.name if encoder is not None else "nothing"


def _rank(finding: Finding) -> tuple[bool, str, str]:
    return finding.level != "error", finding.kind, finding.agent


def _check(options: LintOptions) -> None:
    if options.margin is not None and not options.margin >= 0:
        raise InvalidInput(f"margin is a number from 0; got {options.margin!r}.")
    if options.min_queries < 1 or not 0 <= options.min_share <= 1:
        raise InvalidInput(
            "min_queries is a whole number from 1 and min_share lies in [0, 1]; got "
            f"{options.min_queries!r}, {options.min_share!r}."
        )


def _rows(pool: Pool, outcomes: Outcomes | None) -> _Rows:
    rows = _Rows([], [], [])
    for j, agent in enumerate(pool):
        for i, text in enumerate(agent.examples):
            if text.strip():
                rows.tasks.append(Task(text))
                rows.owner.append(j)
                rows.example.append(i)
    if outcomes is None or not len(outcomes):
        return rows
    known = {text for agent in pool for text in agent.examples}
    if outcomes.agents != pool.names:
        outcomes = outcomes.for_pool(pool)
    owners = _owners(outcomes)
    out = outcomes.out_of_scope
    for row, task in enumerate(outcomes.tasks()):
        if out[row] or task.text in known:
            continue
        rows.tasks.append(task)
        rows.owner.append(int(owners[row]))
        rows.example.append(-1)
    return rows


def _owners(outcomes: Outcomes) -> NDArray[np.intp]:
    """[n] the gold agent of a label row, else the agent that alone scored best, above zero; -1 for none."""
    score = np.nan_to_num(np.asarray(outcomes.score, np.float64), nan=-1.0)
    best = score.max(axis=1)
    alone = (score == best[:, None]).sum(axis=1) == 1
    owners = np.where(alone & (best > 0), score.argmax(axis=1), -1)
    where = {name: j for j, name in enumerate(outcomes.agents)}
    for row, (metric, gold) in enumerate(zip(outcomes.queries.metric, outcomes.queries.gold, strict=True)):
        if metric == "label" and gold in where:
            owners[row] = where[gold]
    return owners


def _conflicts(
    pool: Pool, rows: _Rows, scores: Floats, first: NDArray[np.intp], margin: float, options: LintOptions
) -> list[Conflict]:
    n, agents = scores.shape
    if agents < 2:
        return []
    index = np.arange(n)
    owner = np.array(rows.owner)
    rest = scores.copy()
    rest[index, first] = -np.inf
    second = rest.argmax(axis=1)
    strayed: dict[tuple[int, int], list[int]] = defaultdict(list)
    close: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row in range(n):
        top, own = int(first[row]), int(owner[row])
        if own >= 0 and own != top:
            strayed[min(own, top), max(own, top)].append(row)
        elif scores[row, top] - scores[row, second[row]] < margin:
            other = int(second[row])
            close[min(top, other), max(top, other)].append(row)
    found = []
    for pair in sorted({*strayed, *close}):
        one, two = pair
        inside = np.isin(owner, pair) | np.isin(first, pair)
        lost, near = strayed.get(pair, []), close.get(pair, [])
        unknown = sum(owner[row] < 0 for row in near)
        reached = int(inside.sum())
        hits = len(lost) + unknown
        if hits < options.min_queries or hits < options.min_share * reached:
            continue
        counted = tuple(sum(owner[row] == own for row in lost) for own in pair)
        gap = np.abs(scores[:, one] - scores[:, two])
        shown = sorted(lost, key=lambda row: (-gap[row], row)) + sorted(near, key=lambda row: (gap[row], row))
        found.append(
            Conflict(
                agents=(pool.names[one], pool.names[two]),
                strayed=(int(counted[0]), int(counted[1])),
                owned=(int((owner == one).sum()), int((owner == two).sum())),
                close=len(near),
                reached=reached,
                queries=tuple(
                    Collision(
                        query=rows.tasks[row].text,
                        owner=pool.names[owner[row]] if owner[row] >= 0 else None,
                        goes_to=pool.names[first[row]],
                        margin=float(gap[row]),
                    )
                    for row in shown[: options.queries]
                ),
            )
        )
    return sorted(found, key=lambda item: (-sum(item.strayed), -item.close, item.agents))


def _owned(pool: Pool, rows: _Rows) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {name: [] for name in pool.names}
    for task, own in zip(rows.tasks, rows.owner, strict=True):
        if own >= 0:
            texts[pool.names[own]].append(task.text)
    return texts
