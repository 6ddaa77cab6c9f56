"""Fits calibration curves by agent: penalised logistic lines, their penalties chosen by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
STRENGTHS = (3.0, 10.0, 30.0, 100.0, np.inf)
"""Precisions of an agent's line, and of a slice's offset, around what is shared; infinite: none of it."""
_FOLDS = 5
_STEPS = 25
_MOST_WEIGHT = 10.0
_LEAST_SLOPE = 0.05
_WEAK = 1.0
"""Precision of the pooled line around the router's own curve (slope 1, offset 0)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """n judged decisions.

    Attributes:
        odds: [n] log-odds that the router's own curve gives the chosen agent.
        score: [n] what came out.
        weight: [n] how much the score counts.
        propensity: [n] chance with which that agent was chosen; NaN unknown.
        agent: [n] its number.
        cell: [n] number of the task's slice.
        query: [n] number of the query: folds keep its rows together.
    """

    odds: Floats
    score: Floats
    weight: Floats
    propensity: Floats
    agent: Ints
    cell: Ints
    query: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """What was fitted.

    Attributes:
        pooled: Slope and offset that all share.
        lines: [A, 2] slope and offset by agent.
        offsets: [A, S] further offsets by slice.
        strength: Precision of the lines that was chosen.
        slice_strength: Precision of the offsets that was chosen.
    """

    pooled: Floats
    lines: Floats
    offsets: Floats
    strength: float
    slice_strength: float

    def odds(self, rows: Rows) -> Floats:
        """[n] calibrated log-odds."""
        line = self.lines[rows.agent]
        odds: Floats = line[:, 0] * rows.odds + line[:, 1] + self.offsets[rows.agent, rows.cell]
        return odds


def weights_of(rows: Rows) -> Floats:
    """[n] one over the propensity, held to ten times the agent's median; adds up to the effective rows."""
    weight = rows.weight.copy()
    for agent in np.unique(rows.agent):
        of = rows.agent == agent
        if not np.isnan(rows.propensity[of]).any():
            inverse = 1 / rows.propensity[of]
            weight[of] *= np.minimum(inverse, _MOST_WEIGHT * np.median(inverse))
        weight[of] *= weight[of].sum() / max((weight[of] ** 2).sum(), 1e-300)
    return weight


def fit_curves(rows: Rows, *, agents: int, slices: int, seed: int) -> Curves:
    """Chooses both penalties by cross-validation over queries, one after the other, and fits on all rows."""
    weight = weights_of(rows)
    fold = np.random.default_rng(seed).permutation(int(rows.query.max()) + 1)[rows.query] % _FOLDS
    strength = _best(rows, weight, fold, agents, slices, [(value, np.inf) for value in STRENGTHS])[0]
    pairs = [(strength, value) for value in STRENGTHS] if slices > 1 else [(strength, np.inf)]
    return _fit(rows, weight, agents, slices, *_best(rows, weight, fold, agents, slices, pairs))


def _best(
    rows: Rows, weight: Floats, fold: Ints, agents: int, slices: int, pairs: list[tuple[float, float]]
) -> tuple[float, float]:
    """The penalties of lowest held-back log loss; of nearly equal ones (one standard error) the strongest."""
    losses = []
    for pair in pairs:
        loss = np.zeros(len(weight))
        for k in range(_FOLDS):
            away = fold == k
            if away.any() and (~away).any():
                curves = _fit(_take(rows, ~away), weight[~away], agents, slices, *pair)
                odds = curves.odds(_take(rows, away))
                loss[away] = weight[away] * (np.logaddexp(0, odds) - rows.score[away] * odds)
        losses.append(loss)
    best = int(np.argmin([loss.sum() for loss in losses]))
    for i in range(len(pairs) - 1, best, -1):
        gap = losses[i] - losses[best]
        if gap.sum() <= gap.std() * np.sqrt(len(gap)):
            return pairs[i]
    return pairs[best]


def _take(rows: Rows, which: NDArray[np.bool_]) -> Rows:
    return Rows(**{name: getattr(rows, name)[which] for name in rows.__slots__})


def _fit(
    rows: Rows, weight: Floats, agents: int, slices: int, strength: float, slice_strength: float
) -> Curves:
    pooled = _line(rows.odds, rows.score, weight, np.array([1.0, 0.0]), _WEAK)
    lines = np.tile(pooled, (agents, 1))
    if np.isfinite(strength):
        for agent in np.unique(rows.agent):
            of = rows.agent == agent
            lines[agent] = _line(rows.odds[of], rows.score[of], weight[of], pooled, strength)
    offsets = np.zeros((agents, slices))
    if np.isfinite(slice_strength):
        line = lines[rows.agent]
        offsets = _offsets(rows, weight, line[:, 0] * rows.odds + line[:, 1], offsets, slice_strength)
    return Curves(
        pooled=pooled, lines=lines, offsets=offsets, strength=strength, slice_strength=slice_strength
    )


def _line(x: Floats, y: Floats, weight: Floats, centre: Floats, strength: float) -> Floats:
    """Slope and offset of highest posterior density, by Newton's method with halved steps."""
    features = np.stack((x, np.ones_like(x)))
    line = centre.copy()

    def loss(at: Floats) -> float:
        odds = at @ features
        fit = float((weight * (np.logaddexp(0, odds) - y * odds)).sum())
        return fit + strength * float(((at - centre) ** 2).sum()) / 2

    now = loss(line)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(line @ features, -30, 30)))
        gradient = features @ (weight * (chance - y)) + strength * (line - centre)
        curve = (features * (weight * chance * (1 - chance))) @ features.T + strength * np.eye(2)
        step = np.linalg.solve(curve, gradient)
        while (then := loss(line - step)) > now and np.abs(step).max() > 1e-9:
            step = step / 2
        line, gain, now = line - step, now - then, then
        if gain <= 1e-9 * max(1.0, abs(now)):
            break
    if line[0] < _LEAST_SLOPE:  # the best line that still rises lies on that edge
        offset = _offset(_LEAST_SLOPE * x, y, weight, float(centre[1]), strength)
        return np.array([_LEAST_SLOPE, offset])
    return line


def _offset(odds: Floats, y: Floats, weight: Floats, centre: float, strength: float) -> float:
    """The best offset of a line whose slope is given."""
    offset = centre
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(odds + offset, -30, 30)))
        gradient = float(weight @ (chance - y)) + strength * (offset - centre)
        step = float(np.clip(gradient / (float(weight @ (chance * (1 - chance))) + strength), -1, 1))
        offset -= step
        if abs(step) < 1e-9:
            break
    return offset


def _offsets(rows: Rows, weight: Floats, odds: Floats, start: Floats, strength: float) -> Floats:
    """Offsets of all cells at once; each is a Newton step of one number, held to a step of 1."""
    cells = start.size
    at = rows.agent * start.shape[1] + rows.cell
    offset = np.zeros(cells)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(odds + offset[at], -30, 30)))
        gradient = np.bincount(at, weight * (chance - rows.score), cells) + strength * offset
        curve = np.bincount(at, weight * chance * (1 - chance), cells) + strength
        step = np.clip(gradient / curve, -1, 1)
        offset -= step
        if np.abs(step).max() < 1e-9:
            break
    return offset.reshape(start.shape)
