"""The tests of a drift report: of inputs, of agents' scores, and of prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.offpolicy.intervals import t_quantile
from agentnet.outcomes.choices import ChoiceLog
from agentnet.outcomes.encoders import Encoder, make_encoder, task_text
from agentnet.releases.drift import Finding
from agentnet.releases.drift_tests import (
    ChangePoint,
    Difference,
    change_point,
    energy_test,
    rank_test,
    ranks,
    share_test,
    stratified_difference,
)
from agentnet.releases.windows import Charges, Window

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
ROWS = 400
"""Tasks of each window whose encodings are compared."""
FEWEST = 30
"""Rows of an agent in each window, below which nothing is said of it."""
CLUSTERS = 16
_UNFAMILIAR = 0.05
_MOST_WEIGHT = 10.0
_ENCODE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strata:
    """Clusters of like tasks, and the drawn tasks they were found on.

    Attributes:
        encoder: Of the tasks.
        centres: [k, d] unit vectors.
        texts: Drawn tasks of the reference window and of the recent one.
        vectors: Their encodings.
        at: When they were asked.
    """

    encoder: Encoder
    centres: Vectors
    texts: tuple[list[str], list[str]]
    vectors: tuple[Vectors, Vectors]
    at: tuple[Floats, Floats]

    @classmethod
    def of(
        cls, reference: Window, recent: Window, *, rng: np.random.Generator, encoder: Encoder | None
    ) -> Strata | None:
        """Draws tasks of both windows, as many of each, and clusters them; None for too few."""
        from agentnet.routers.neighbours import to_tensor

        drawn, times = [], []
        for window in (reference, recent):
            captured = np.flatnonzero([bool(text) for text in window.texts])
            rows = np.sort(rng.permutation(captured)[:ROWS])
            drawn.append([window.texts[i] for i in rows])
            times.append(window.at[rows])
        if min(len(drawn[0]), len(drawn[1])) < FEWEST:
            return None
        made = encoder or make_encoder("hash")
        vectors = tuple(made.encode(texts) for texts in drawn)
        from agentnet.routers.clustering import spherical_kmeans

        pooled = np.concatenate(vectors)
        clusters = min(CLUSTERS, len(pooled) // (2 * FEWEST))
        centres = spherical_kmeans(to_tensor(pooled), max(clusters, 1), seed=0).numpy()
        return cls(
            encoder=made,
            centres=centres,
            texts=(drawn[0], drawn[1]),
            vectors=(vectors[0], vectors[1]),
            at=(times[0], times[1]),
        )

    def number(self, texts: Sequence[str]) -> NDArray[np.intp]:
        """[n] the cluster of each task; each different text is encoded once, a part at a time."""
        where = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        different = list(where)
        found = np.zeros(len(different), np.intp)
        for start in range(0, len(different), _ENCODE):
            part = self.encoder.encode(different[start : start + _ENCODE])
            found[start : start + _ENCODE] = (part @ self.centres.T).argmax(1)
        return found[[where[text] for text in texts]] if texts else np.zeros(0, np.intp)


# -- inputs ------------------------------------------------------------------------------------
def input_findings(strata: Strata, rng: np.random.Generator) -> list[Finding]:
    """Tests the tasks: their encodings, the share of unfamiliar ones, their lengths."""
    before, after = strata.vectors
    n = (len(before), len(after))
    distance, p = energy_test(before, after, rng)
    spread = float(np.sqrt(np.maximum(2 - 2 * before @ after.T, 0)).mean())
    moved = Finding(
        kind="input", name="tasks", unit="energy distance", before=0.0, after=distance / (2 * spread or 1.0),
        change=distance / (2 * spread or 1.0), low=None, high=None, p=p, n=n, since=_moved_at(strata),
        told=_moved(strata),
    )  # fmt: skip
    return [moved, _unfamiliar(strata), _lengths(strata, rng)]


def _moved_at(strata: Strata) -> ChangePoint | None:
    """When the tasks moved, along the line between the two windows' means."""
    line = strata.vectors[1].mean(0) - strata.vectors[0].mean(0)
    along = np.concatenate(strata.vectors) @ line
    return change_point(along.astype(np.float64), np.concatenate(strata.at))


def _moved(strata: Strata) -> str:
    """The clusters whose share of the tasks changed most, by the task nearest to their centres."""
    near = [(vectors @ strata.centres.T) for vectors in strata.vectors]
    k = len(strata.centres)
    share = [np.bincount(found.argmax(1), minlength=k) / len(found) for found in near]
    both, texts = np.concatenate(near), [*strata.texts[0], *strata.texts[1]]
    parts = []
    for cluster in np.argsort(-np.abs(share[1] - share[0]))[:3]:
        text = " ".join(texts[int(both[:, cluster].argmax())].split())
        like = text if len(text) <= 48 else text[:47] + "…"
        parts.append(f"{share[0][cluster]:.0%} -> {share[1][cluster]:.0%} like {like!r}")
    return ", ".join(parts)


def _unfamiliar(strata: Strata) -> Finding:
    """Whether more tasks are far from everything asked before.

    Half of the reference window is what is known; of the other half and the recent window together, the 5%
    farthest from it are called unfamiliar: without drift, both have their share of them.
    """
    known, rest = strata.vectors[0][::2], strata.vectors[0][1::2]
    near = [(vectors @ known.T).max(1) for vectors in (rest, strata.vectors[1])]
    limit = np.quantile(np.concatenate(near), _UNFAMILIAR)
    hits = [int((found < limit).sum()) for found in near]
    n = (len(rest), len(strata.vectors[1]))
    share = [count / size for count, size in zip(hits, n, strict=True)]
    error = float(np.sqrt(sum(s * (1 - s) / size for s, size in zip(share, n, strict=True))))
    return Finding(
        kind="input", name="unfamiliar", unit="share of tasks", before=share[0], after=share[1],
        change=share[1] - share[0], low=share[1] - share[0] - 1.96 * error,
        high=share[1] - share[0] + 1.96 * error, p=share_test(hits[1], n[1], hits[0], n[0]), n=n,
    )  # fmt: skip


def _lengths(strata: Strata, rng: np.random.Generator) -> Finding:
    sides = [np.array([len(text) for text in texts], np.float64) for texts in strata.texts]
    middle = [float(np.median(side)) for side in sides]
    drawn = [np.median(rng.choice(side, (400, len(side))), axis=1) for side in sides]
    low, high = np.quantile(drawn[1] - drawn[0], [0.025, 0.975])
    return Finding(
        kind="input", name="length", unit="median characters", before=middle[0], after=middle[1],
        change=middle[1] - middle[0], low=float(low), high=float(high), p=rank_test(sides[0], sides[1]),
        n=(len(sides[0]), len(sides[1])), since=change_point(np.log1p(np.concatenate(sides)),
        np.concatenate(strata.at)),
    )  # fmt: skip


# -- scores ------------------------------------------------------------------------------------
def score_findings(
    reference: Window, recent: Window, strata: Strata | None
) -> tuple[list[Finding], list[str]]:
    """Tests each agent's score (a graph of several agents is one by itself) on like tasks.

    An agent is compared with itself only. Rows weigh one over their propensity where that is known, so that a
    router that now asks the agent other tasks of a cluster is not taken for a worse agent.
    """
    if reference.log is None or recent.log is None:
        return [], ["there are no judged decisions in both windows: scores are not compared"]
    sides = [_Scores.of(log, strata) for log in (reference.log, recent.log)]
    found, few = [], []
    for name in sorted({*sides[0].names, *sides[1].names}):
        parts = [side.of_plan(name) for side in sides]
        if min(len(part.score) for part in parts) < FEWEST:
            few.append(name)
            continue
        finding = _score_finding(name, *parts)
        if finding is not None:
            found.append(finding)
        else:
            few.append(name)
    notes = [f"too few judged decisions in both windows to tell: {', '.join(few)}"] if few else []
    return found, notes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scores:
    """Judged decisions as columns."""

    names: tuple[str, ...]
    plan: NDArray[np.intp]
    score: Floats
    propensity: Floats
    at: Floats
    stratum: NDArray[np.intp]

    @classmethod
    def of(cls, log: ChoiceLog, strata: Strata | None) -> _Scores:
        names = tuple(" + ".join(plan.agents) for plan in log.plans)
        where = {name: i for i, name in enumerate(dict.fromkeys(names))}
        texts = [task_text(task) for task in log.queries.tasks()]
        number = np.zeros(len(texts), np.intp) if strata is None else strata.number(texts)
        return cls(
            names=tuple(where),
            plan=np.array([where[name] for name in names], np.intp)[log.plan],
            score=log.score,
            propensity=log.propensity,
            at=log.at,
            stratum=number[log.query],
        )

    def of_plan(self, name: str) -> _Scores:
        rows = self.plan == self.names.index(name) if name in self.names else np.zeros(len(self.plan), bool)
        return _Scores(
            names=(name,), plan=self.plan[rows], score=self.score[rows], propensity=self.propensity[rows],
            at=self.at[rows], stratum=self.stratum[rows],
        )  # fmt: skip


def _score_finding(name: str, before: _Scores, after: _Scores) -> Finding | None:
    value, at, stratum, propensity = (
        np.concatenate((getattr(before, column), getattr(after, column)))
        for column in ("score", "at", "stratum", "propensity")
    )
    recent = np.arange(len(value)) >= len(before.score)
    weight = np.ones(len(value))
    if not np.isnan(propensity).any():
        weight = 1 / propensity
        weight = np.minimum(weight, _MOST_WEIGHT * float(np.median(weight)))
    found = stratified_difference(value, recent, stratum, weight)
    if found.freedom < FEWEST:
        return None
    # Against each cluster's mean, so that the order of the tasks is no change of the agent.
    centre = np.bincount(stratum, value) / np.maximum(np.bincount(stratum), 1)
    return _finding("score", name, "score", found, change_point(value - centre[stratum], at))


def _finding(
    kind: str, name: str, unit: str, found: Difference, since: ChangePoint | None, *, p: float | None = None
) -> Finding:
    base, error = 1.0, found.se
    if kind == "price" and found.before:  # relative: the interval of a ratio (delta method)
        base = found.before
        error = float(np.hypot(found.errors[1], found.after / base * found.errors[0]))
    wide = t_quantile(0.95, found.freedom) * error if np.isfinite(found.freedom) else 0.0
    return Finding(
        kind=cast(Literal["score", "price"], kind), name=name, unit=unit, before=found.before,
        after=found.after, change=found.change / base, low=(found.change - wide) / base,
        high=(found.change + wide) / base, p=found.p if p is None else p, n=found.n, since=since,
    )  # fmt: skip


# -- prices ------------------------------------------------------------------------------------
def price_findings(
    reference: Window, recent: Window, strata: Strata | None
) -> tuple[list[Finding], list[str]]:
    """Tests what each agent's calls cost, by call on like tasks and by token; unknown costs are left out."""
    sides = (reference, recent)
    numbers = [
        np.zeros(len(side.texts), np.intp) if strata is None else strata.number(side.texts) for side in sides
    ]
    names = sorted({name for side in sides for name in side.charges.agent.tolist()})
    found: list[Finding] = []
    notes = []
    for name in names:
        rows = [side.charges.agent == name for side in sides]
        part = _joined([side.charges for side in sides], rows)
        recent_rows = np.arange(len(part.cost)) >= int(rows[0].sum())
        stratum = np.concatenate(
            [number[s.charges.task[r]] for number, s, r in zip(numbers, sides, rows, strict=True)]
        )
        at = np.concatenate([s.at[s.charges.task[r]] for s, r in zip(sides, rows, strict=True)])
        known = ~np.isnan(part.cost)
        unknown = [
            float((~known[side]).mean()) if side.any() else 0.0 for side in (~recent_rows, recent_rows)
        ]
        if max(unknown) > 0:
            notes.append(
                f"cost of {name} unknown in {unknown[0]:.0%} of the calls before, {unknown[1]:.0%} now"
            )
        found += _prices(name, part, known, recent_rows, stratum, at)
    return found, notes


def _joined(charges: Sequence[Charges], rows: Sequence[NDArray[np.bool_]]) -> Charges:
    columns = {
        name: np.concatenate([getattr(c, name)[r] for c, r in zip(charges, rows, strict=True)])
        for name in ("agent", "task", "cost", "prompt", "completion")
    }
    return Charges(**columns)


def _prices(
    name: str,
    part: Charges,
    known: NDArray[np.bool_],
    recent: NDArray[np.bool_],
    stratum: NDArray[np.intp],
    at: Floats,
) -> list[Finding]:
    found = []
    tokens = known & ~np.isnan(part.prompt) & ~np.isnan(part.completion)
    tokens &= np.nan_to_num(part.prompt) + np.nan_to_num(part.completion) > 0
    for unit, rows in (("USD a call", known), ("USD a million tokens", tokens)):
        if min(int((rows & recent).sum()), int((rows & ~recent).sum())) < FEWEST:
            continue
        cost = part.cost[rows]
        cells = stratum[rows]
        index = cost
        if unit != "USD a call":
            cost = 1e6 * cost / (part.prompt[rows] + part.completion[rows])
            index = _index(part.cost[rows], part.prompt[rows], part.completion[rows])
            cells = np.zeros_like(cells)
        # Ranks decide, for costs have long tails; six digits, so that rounding is no change of price.
        told = stratified_difference(ranks(_digits(index)), recent[rows], cells)
        if told.freedom < FEWEST:
            continue
        plain = stratified_difference(cost, recent[rows], cells)
        since = change_point(ranks(_digits(index)), at[rows])
        found.append(_finding("price", name, unit, plain, since, p=told.p))
    return found


def _index(cost: Floats, prompt: Floats, completion: Floats) -> Floats:
    """Cost over what the tokens cost at the prices that fit all calls best, prompt and completion apart.

    A change of the mix of prompt and completion tokens is no change of price.
    """
    tokens = np.stack((prompt, completion), axis=1)
    price = np.linalg.lstsq(tokens, cost, rcond=None)[0]
    if (price < 0).any():  # collinear or noisy: one price for all tokens
        price = np.full(2, cost.sum() / max(tokens.sum(), 1.0))
    fitted = tokens @ price
    index: Floats = np.divide(cost, fitted, out=np.ones_like(cost), where=fitted > 0)
    return index


def _digits(values: Floats) -> Floats:
    """Values to six significant digits."""
    return np.array([float(f"{value:.6g}") for value in values])
