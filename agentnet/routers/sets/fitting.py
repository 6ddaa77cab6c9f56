"""Learns a `SetModel` from labelled queries; all selection on held-back rows of ``train`` and ``val``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes
from agentnet.routers.encoding import Vectors
from agentnet.routers.intents.head import fit_temperature
from agentnet.routers.sets.joins import make_joins
from agentnet.routers.sets.linear import (
    Columns,
    chances,
    choose_strength,
    fit_columns,
)
from agentnet.routers.sets.model import EXEMPLARS, SetModel, described
from agentnet.routers.sets.parts import Seen, Splitter, best_cuts, learn_splitter
from agentnet.routers.sets.strangers import Rehearsal, Rules, learn_rules

HELD = 0.1
"""Share of the agents that the encoder does not see in training, so that they can play strangers."""
FEWEST_HELD = 20
"""Fewest agents in all for which some are held."""
STRANGERS = 0.2
"""Share of strangers for which the tax is meant; so many are taken for strangers in each rehearsal where the
encoder was not tuned."""
_REHEARSALS = 3
_LEAST_AGENTS = 5
_JOINS = 400
_VAL_SHARE = 0.15


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Labelled queries.

    Attributes:
        texts: [n] queries in scope.
        labels: [n] agent of each, a position in the pool.
        val: [n] whether the row is held back: the columns do not learn from it at first.
        outside: Queries that no agent should get.
        pool: The A agents.
    """

    texts: tuple[str, ...]
    labels: NDArray[np.intp]
    val: NDArray[np.bool_]
    outside: tuple[str, ...]
    pool: Pool

    @property
    def present(self) -> NDArray[np.intp]:
        """Agents with queries that may be learned from."""
        found: NDArray[np.intp] = np.unique(self.labels[~self.val])
        return found


def labelled(outcomes: Outcomes, seed: int) -> Labelled:
    """Returns the queries of a label pack; the rows of split ``val`` are held back, else some others.

    Raises:
        DataError: no query has a right agent.
    """
    # An agent that came after the pack was made has no scores at all: NaN, not a right agent.
    score = np.nan_to_num(outcomes.score)
    inside, outside = score.max(1) > 0, outcomes.out_of_scope
    if not inside.any():
        raise DataError("there is nothing to learn from: no query of splits train and val is in scope.")
    texts = np.array(outcomes.queries.text, object)
    data = Labelled(
        texts=tuple(texts[inside].tolist()),
        labels=score[inside].argmax(1),
        val=outcomes.queries.split[inside] == "val",
        outside=tuple(texts[outside].tolist()),
        pool=outcomes.pool,
    )
    return with_validation(data, seed)


def with_validation(data: Labelled, seed: int) -> Labelled:
    """Returns the data with rows held back, where none or all are: a seventh of each agent's."""
    if data.val.any() and not data.val.all():
        return data
    rng = np.random.default_rng([seed, 5])
    val = np.zeros(len(data.texts), bool)
    for agent in np.unique(data.labels):
        rows = rng.permutation(np.flatnonzero(data.labels == agent))
        val[rows[: int(_VAL_SHARE * len(rows))]] = True
    return Labelled(data.texts, data.labels, val, data.outside, data.pool)


def held_agents(data: Labelled, seed: int) -> NDArray[np.intp]:
    """Returns the agents that the encoder must not see; none where there are few."""
    agents = data.present
    if len(agents) < FEWEST_HELD:
        return np.zeros(0, np.intp)
    rng = np.random.default_rng([seed, 11])
    return np.sort(rng.permutation(agents)[: round(HELD * len(agents))])


@dataclass(frozen=True, slots=True, kw_only=True)
class Aims:
    """What a user asks of the thresholds.

    Attributes:
        false_alarms: Share of the queries in scope that may be turned away.
        false_accepts: Share of the queries out of scope that may be let in; decides instead of
            ``false_alarms`` where queries out of scope are known. None leaves it to ``false_alarms``.
        tax: Share of the known agents' queries that may be lost to agents without logged queries, where these
            are a fifth of all.
        joined_share: Share of the tasks that is expected to join several requests.
    """

    false_alarms: float = 0.02
    false_accepts: float | None = None
    tax: float = 0.006
    joined_share: float = 0.2


def fit_model(
    data: Labelled,
    encode: Callable[[Sequence[str]], Vectors],
    *,
    held: NDArray[np.intp],
    aims: Aims,
    seed: int,
) -> tuple[SetModel, dict[str, Any], list[str]]:
    """Learns columns, rules, temperature, threshold and splitter.

    Args:
        data: Labelled queries, some of them held back.
        encode: The encoder that serves.
        held: Agents that the encoder has not seen; empty where it was not tuned.
        aims: Of the thresholds.
        seed: Of draws.

    Returns:
        The model, what was chosen, and notes.
    """
    vectors = encode(data.texts)
    profiles = encode([described(agent) for agent in data.pool])
    train = ~data.val
    judged = data.val & np.isin(data.labels, data.present)
    if not judged.any():
        judged = train  # a handful of queries: better a hasty calibration than none
    fitter = _Columns(vectors, data.labels, profiles, data.pool.names)
    columns, strength = fitter.chosen(train, judged, data.present)
    logits = columns.logits(vectors[judged])
    at = _positions(data.present, data.labels[judged])
    temperature = fit_temperature(logits, at)
    right = float((logits.argmax(1) == at).mean())
    notes = [f"right on {right:.4f} of {int(judged.sum())} held-back queries"]
    rules = _rules(data, fitter, held, strength, judged, aims, seed)
    threshold, note = _threshold(logits, columns, temperature, encode, data.outside, aims)
    notes += note
    splitter = _splitter(data, judged, columns, temperature, encode, aims, seed)
    everything = np.ones(len(data.texts), bool)
    final = fitter.fit(everything, data.present, strength) if data.val.any() else columns
    model = SetModel(
        columns=final,
        rules=rules,
        temperature=temperature,
        threshold=threshold,
        splitter=splitter,
        exemplars=_exemplars(data, vectors),
    )
    chosen = {"strength": strength, "temperature": temperature}
    return model, chosen, notes


class _Columns:
    """Fits columns for some rows and agents; every agent's description counts as one more query."""

    def __init__(
        self, vectors: Vectors, labels: NDArray[np.intp], profiles: Vectors, names: Sequence[str]
    ) -> None:
        self.vectors, self.labels, self.profiles, self.names = vectors, labels, profiles, names

    def rows(self, rows: NDArray[np.bool_], agents: NDArray[np.intp]) -> tuple[Vectors, NDArray[np.intp]]:
        """Vectors and labels (positions in ``agents``) of these agents' rows."""
        mine = rows & np.isin(self.labels, agents)
        x = np.concatenate((self.vectors[mine], self.profiles[agents]))
        y = np.concatenate((_positions(agents, self.labels[mine]), np.arange(len(agents))))
        return x, y

    def fit(self, rows: NDArray[np.bool_], agents: NDArray[np.intp], strength: float) -> Columns:
        """Columns of these agents."""
        return fit_columns(*self.rows(rows, agents), [self.names[i] for i in agents], strength=strength)

    def chosen(
        self, rows: NDArray[np.bool_], judged: NDArray[np.bool_], agents: NDArray[np.intp]
    ) -> tuple[Columns, float]:
        """Columns with the strength that is best on the judged rows."""
        x, y = self.rows(rows, agents)
        held = (self.vectors[judged], _positions(agents, self.labels[judged]))
        return choose_strength(x, y, [self.names[i] for i in agents], held)


def _positions(agents: NDArray[np.intp], labels: NDArray[np.intp]) -> NDArray[np.intp]:
    found: NDArray[np.intp] = np.searchsorted(agents, labels)
    return found


def _rules(
    data: Labelled,
    fitter: _Columns,
    held: NDArray[np.intp],
    strength: float,
    judged: NDArray[np.bool_],
    aims: Aims,
    seed: int,
) -> Rules:
    """Rules for strangers, rehearsed with the agents that the encoder has not seen, else with draws."""
    agents = data.present
    if len(agents) < _LEAST_AGENTS:
        return Rules()
    casts = [held]
    if not len(held):
        rng = np.random.default_rng([seed, 13])
        size = max(1, round(STRANGERS * len(agents)))
        casts = [np.sort(rng.permutation(agents)[:size]) for _ in range(_REHEARSALS)]
    rehearsals = []
    for strangers in casts:
        known = np.setdiff1d(agents, strangers)
        columns = fitter.fit(~data.val, known, strength)
        rehearsals.append(
            Rehearsal(
                vectors=fitter.vectors[judged],
                labels=data.labels[judged],
                known=columns.logits(fitter.vectors[judged]),
                known_labels=known,
                strangers=strangers,
                descriptions=fitter.profiles[strangers],
                examples=tuple(fitter.vectors[~data.val & (data.labels == i)] for i in strangers),
            )
        )
    # The more strangers there are, the more is lost to them: few in the rehearsal may take little.
    share = min(1.0, len(casts[0]) / len(agents) / STRANGERS)
    return learn_rules(rehearsals, tax=aims.tax * share, seed=seed)


def _threshold(
    logits: NDArray[np.float32],
    columns: Columns,
    temperature: float,
    encode: Callable[[Sequence[str]], Vectors],
    outside: Sequence[str],
    aims: Aims,
) -> tuple[float | None, list[str]]:
    """The familiarity below which no agent fits, and what it finds."""
    inside = chances(logits, temperature)[1]
    strange = np.zeros(0, np.float32)
    if outside:
        strange = chances(columns.logits(encode(outside)), temperature)[1]
    # Ranks, not interpolated quantiles, which could pass a bound by one query.
    if aims.false_accepts is not None and len(strange):
        let_in = int(aims.false_accepts * len(strange))
        cut = float(np.nextafter(np.sort(strange)[-1 - let_in], np.float32(np.inf)))
    elif aims.false_alarms > 0:
        cut = float(np.sort(inside)[int(aims.false_alarms * len(inside))])
    else:
        return None, []
    alarms = float((inside < cut).mean())
    note = f"turns away {alarms:.3f} of the held-back queries in scope"
    if len(strange):
        note += f" and {float((strange < cut).mean()):.3f} of {len(strange)} queries out of scope"
    return cut, [note]


def _splitter(
    data: Labelled,
    judged: NDArray[np.bool_],
    columns: Columns,
    temperature: float,
    encode: Callable[[Sequence[str]], Vectors],
    aims: Aims,
    seed: int,
) -> Splitter:
    """Learned on queries that the columns have not seen, alone and joined."""

    def score(texts: Sequence[str]) -> NDArray[np.float32]:
        return chances(columns.logits(encode(texts)), temperature)[0]

    rng = np.random.default_rng([seed, 17])
    rows = rng.permutation(np.flatnonzero(judged))
    texts = [data.texts[i] for i in rows]
    joins = make_joins(texts, data.labels[rows], _JOINS, seed=seed)
    if not joins:
        return Splitter()

    def seen(queries: Sequence[str]) -> Seen:
        whole = score(queries)
        return Seen(queries, whole.max(1), best_cuts(queries, whole, score))

    joined, single = seen([join.text for join in joins]), seen(texts[:_JOINS])
    return learn_splitter(joined, single, share=aims.joined_share)


def _exemplars(data: Labelled, vectors: Vectors) -> dict[str, tuple[str, ...]]:
    """A few typical queries of each agent: those nearest to the mean of its own."""
    found = {}
    for agent in data.present:
        rows = np.flatnonzero((data.labels == agent) & ~data.val)
        near = vectors[rows] @ vectors[rows].mean(0)
        best = rows[np.argsort(-near, kind="stable")[:EXEMPLARS]]
        found[data.pool.names[int(agent)]] = tuple(data.texts[i] for i in best)
    return found
