"""Reliability: what was predicted of the agents beside what came out, on logged decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import page
from agentnet.bench.plots import PALETTE
from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.outcomes.choices import ChoiceLog
from agentnet.routers.base import Router

if TYPE_CHECKING:
    from collections.abc import Iterable

Floats = NDArray[np.float64]
BINS = 8
_FEWEST = 40
_RESAMPLES = 300
_MOST_WEIGHT = 10.0
_MOST_PANELS = 12


@dataclass(frozen=True, slots=True)
class Bin:
    """Decisions with like predictions: means, and the 95% interval of what came out."""

    predicted: float
    actual: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Error:
    """Expected calibration error with its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    def line(self) -> str:
        """Returns it for people."""
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReliability:
    """One agent.

    Attributes:
        agent: Its name.
        n: Judged decisions for it.
        bins: By stage, such as raw, calibrated, recalibrated.
        error: Calibration error by stage.
    """

    agent: str
    n: int
    bins: Mapping[str, tuple[Bin, ...]]
    error: Mapping[str, Error]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """All agents with enough decisions.

    Attributes:
        stages: Names of the predictions compared, in order.
        agents: The agents, most decisions first.
        error: Mean of the agents' calibration errors, weighed by their decisions, by stage.
        change: Error of the last stage less that of the one before it: below zero is better.
        n: Judged decisions.
    """

    stages: tuple[str, ...]
    agents: tuple[AgentReliability, ...]
    error: Mapping[str, Error]
    change: Error
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values: the errors, without the bins."""

        def values(error: Error) -> list[float]:
            return [error.value, error.low, error.high]

        return {
            "n": self.n,
            "error": {stage: values(error) for stage, error in self.error.items()},
            "change": values(self.change),
            "agents": {
                item.agent: {"n": item.n} | {stage: values(error) for stage, error in item.error.items()}
                for item in self.agents
            },
        }


def reliability(log: ChoiceLog, predicted: Mapping[str, Floats], *, seed: int = 0) -> Reliability:
    """Compares predictions with logged scores; each decision weighs one over its propensity.

    The calibration error of an agent is the mean |predicted - actual| over bins of equal weight. With few
    decisions noise alone makes it larger than zero: compare stages, not with zero. Intervals are by the
    basic bootstrap over the queries (Davison and Hinkley 1997, section 5.2), the same draws for all stages.

    Args:
        log: Decisions that none of the predictions was learned from.
        predicted: By stage, [m, A] predicted scores of the log's agents on its queries.
        seed: Of the bootstrap.

    Raises:
        DataError: no agent has `_FEWEST` judged decisions.
    """
    agent, stages = log.agent, tuple(predicted)
    parts = []
    for a in range(len(log.pool)):
        rows = np.flatnonzero(log.judged & (agent == a))
        if len(rows) >= _FEWEST:
            parts.append((a, rows))
    if not parts:
        raise DataError(f"no agent has {_FEWEST} judged decisions: calibration cannot be looked at.")
    parts.sort(key=lambda part: -len(part[1]))
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(log.queries), np.full(len(log.queries), 1 / len(log.queries)), _RESAMPLES)
    found, drawn, values = [], [], []
    for a, rows in parts:
        weight = _weights(log.propensity[rows])
        drawn_rows = counts[:, log.query[rows]].astype(np.float64)
        share: Floats = np.concatenate((np.ones((1, len(rows))), drawn_rows)) * weight
        bins, errors = {}, {}
        for stage in stages:
            p = predicted[stage][log.query[rows], a].astype(np.float64)
            which = _bin_of(p, weight)
            error = _errors(p, log.score[rows], share, which)
            errors[stage] = error
            bins[stage] = tuple(_bins(p, log.score[rows], weight, which))
        name = log.agents[a]
        told = {stage: _interval(error) for stage, error in errors.items()}
        found.append(AgentReliability(agent=name, n=len(rows), bins=bins, error=told))
        drawn.append(errors)
        values.append(len(rows))
    mass = np.array(values) / sum(values)
    means = {stage: mass @ np.stack([errors[stage] for errors in drawn]) for stage in stages}
    last, before = stages[-1], stages[max(len(stages) - 2, 0)]
    return Reliability(
        stages=stages,
        agents=tuple(found),
        error={stage: _interval(mean) for stage, mean in means.items()},
        change=_interval(means[last] - means[before], least=-1.0),
        n=sum(values),
    )


def _weights(propensity: Floats) -> Floats:
    if np.isnan(propensity).any():
        return np.ones(len(propensity))
    inverse = 1 / propensity
    held: Floats = np.minimum(inverse, _MOST_WEIGHT * np.median(inverse))
    return held


def _bin_of(p: Floats, weight: Floats) -> NDArray[np.intp]:
    """Bins of about equal weight; equal predictions share one."""
    values, which = np.unique(p, return_inverse=True)
    mass = np.bincount(which, weight, len(values))
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    number: NDArray[np.intp] = np.minimum(
        (middle * min(BINS, max(len(p) // 20, 1))).astype(np.intp), BINS - 1
    )
    found: NDArray[np.intp] = number[which]
    return found


def _errors(p: Floats, y: Floats, share: Floats, which: NDArray[np.intp]) -> Floats:
    """[1 + resamples] calibration errors; the first is of the log itself."""
    gap = np.zeros(len(share))
    for k in np.unique(which):
        rows = which == k
        gap += np.abs(share[:, rows] @ (p[rows] - y[rows]))
    error: Floats = gap / np.maximum(share.sum(1), 1e-12)
    return error


def _interval(error: Floats, *, least: float = 0.0) -> Error:
    """The basic bootstrap interval: noise makes these errors larger, and more so in a resample."""
    value = float(error[0])
    low, high = (2 * value - float(end) for end in np.quantile(error[1:], [0.975, 0.025]))
    return Error(value, max(low, least), max(high, least))


def _bins(p: Floats, y: Floats, weight: Floats, which: NDArray[np.intp]) -> Iterable[Bin]:
    for k in np.unique(which):
        rows = which == k
        w = weight[rows] / weight[rows].sum()
        actual = float(w @ y[rows])
        effective = 1 / float((w**2).sum())
        # Wilson's interval: also of bins where all answers were right.
        z, n = 1.96, effective
        centre = (actual + z * z / (2 * n)) / (1 + z * z / n)
        wide = z * np.sqrt(actual * (1 - actual) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        yield Bin(float(w @ p[rows]), actual, float(centre - wide), float(centre + wide), int(rows.sum()))


# -- of a router -------------------------------------------------------------------------------
def recalibrated_reliability(
    router: Router, log: ChoiceLog, pool: Pool, *, seed: int = 0
) -> tuple[Reliability, str | None]:
    """Compares raw, calibrated and recalibrated scores of a router on decisions it has not learned from.

    Half of the queries fit the new curves, all figures are of the other half.

    Returns:
        The comparison, and the new calibration's id; None where this router cannot be calibrated by agent,
        and the comparison is of its raw and calibrated scores.

    Raises:
        DataError: there are too few judged decisions.
    """
    from agentnet.errors import RouterError
    from agentnet.routers.agent_calibration import in_pool, recalibrate

    first = np.random.default_rng(seed).permutation(len(log.queries)) % 2 == 0
    fitted_on, rest = log.of_queries(first), in_pool(log.of_queries(~first), pool)
    tasks = rest.queries.tasks()
    scores = router.score_batch(tasks, pool)
    predicted = {"raw": _matrix(np.clip(scores.raw, 0, 1)), "calibrated": _matrix(scores.calibrated)}
    name = None
    try:
        other = recalibrate(router, fitted_on, pool, seed=seed)
    except RouterError:
        pass
    else:
        after = other.score_batch(tasks, pool)
        predicted["by agent"] = _matrix(after.calibrated)
        name = after.calibration_id
    return reliability(rest, predicted, seed=seed), name


def _matrix(values: NDArray[Any]) -> Floats:
    return np.asarray(values, np.float64)


# -- drawing -----------------------------------------------------------------------------------
_SIDE, _GAP, _COLUMNS = 180, 44, 4


def reliability_plot(found: Reliability) -> str:
    """Returns small multiples: predicted (across) against actual (up) of each agent, by stage, as SVG."""
    agents = found.agents[:_MOST_PANELS]
    rows = (len(agents) + _COLUMNS - 1) // _COLUMNS
    width, height = _COLUMNS * (_SIDE + _GAP) + 10, rows * (_SIDE + _GAP + 14) + 26
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="predicted and actual score by agent" '
        'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="11">'
    ]
    for i, stage in enumerate(found.stages):
        parts.append(_mark(14 + 130 * i, 12, i, stage))
        parts.append(f'<text x="{24 + 130 * i}" y="16" fill="#334155">{escape(stage)}</text>')
    for i, item in enumerate(agents):
        left = 34 + (i % _COLUMNS) * (_SIDE + _GAP)
        top = 44 + (i // _COLUMNS) * (_SIDE + _GAP + 14)
        parts += _panel(item, found.stages, left, top)
    parts.append("</svg>")
    return "".join(parts)


def _panel(item: AgentReliability, stages: Sequence[str], left: int, top: int) -> list[str]:
    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * _SIDE, top + (1 - y) * _SIDE

    short = item.agent if len(item.agent) <= 24 else item.agent[:23] + "…"
    parts = [
        f'<text x="{left}" y="{top - 6}" fill="#0f172a" font-weight="600">{escape(short)}</text>',
        f'<text x="{left + _SIDE}" y="{top - 6}" text-anchor="end" fill="#64748b">{item.n:,}</text>',
        f'<rect x="{left}" y="{top}" width="{_SIDE}" height="{_SIDE}" fill="#fff" stroke="#cbd5e1"/>',
        f'<line x1="{left}" y1="{top + _SIDE}" x2="{left + _SIDE}" y2="{top}" stroke="#94a3b8" '
        'stroke-dasharray="4 4"/>',
    ]
    for tick in (0.0, 0.5, 1.0):
        x, y = at(tick, tick)
        parts.append(
            f'<text x="{x:.0f}" y="{top + _SIDE + 13}" text-anchor="middle" fill="#64748b">{tick:g}</text>'
        )
        parts.append(f'<text x="{left - 4}" y="{y + 4:.0f}" text-anchor="end" fill="#64748b">{tick:g}</text>')
    for i, stage in enumerate(stages):
        for one in item.bins[stage]:
            (x, low), (_, high) = at(one.predicted, one.low), at(one.predicted, one.high)
            parts.append(
                f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{PALETTE[i]}" '
                'stroke-opacity="0.55"/>'
            )
            told = f"{stage}: predicted {one.predicted:.3f}, actual {one.actual:.3f}, {one.n} decisions"
            parts.append(_mark(*at(one.predicted, one.actual), i, told))
    return parts


def _mark(x: float, y: float, i: int, title: str) -> str:
    tip = f"<title>{escape(title)}</title>"
    if i % 3 == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{PALETTE[i]}">{tip}</circle>'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if i % 3 == 2 else ""
    place = f'x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"'
    return f'<rect {place} fill="{PALETTE[i]}"{turn}>{tip}</rect>'


def reliability_section(found: Reliability, calibration_id: str | None) -> str:
    """Returns the HTML section of a page."""
    told = [
        page.paragraph(
            "Predicted score (across) against what came out (up) on held-out decisions, by agent; bars are "
            "95% intervals, points on the line are right. Each decision weighs one over its propensity."
        ),
        reliability_plot(found),
    ]
    if calibration_id is not None:
        change = found.change
        told.append(
            page.paragraph(
                f"Curves by agent ({calibration_id}), fitted on one half of the held-out queries and "
                f"measured on the other, change the calibration error by {change.value:+.4f} "
                f"[{change.low:+.4f}, {change.high:+.4f}]."
            )
        )
    rows = [["mean over agents", f"{found.n:,}", *(found.error[stage].line() for stage in found.stages)]]
    rows += [
        [item.agent, f"{item.n:,}", *(item.error[stage].line() for stage in found.stages)]
        for item in found.agents
    ]
    told.append(page.table(("calibration error", "decisions", *found.stages), rows))
    return page.section("Calibration", *told)
