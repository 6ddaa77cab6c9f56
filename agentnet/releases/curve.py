"""Learning curve: what a router gains by the number of traces it learns from, and from when on it pays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import page, plots
from agentnet.bench.offpolicy import compare_policies
from agentnet.errors import AgentnetError, DataError
from agentnet.graphs.pool import Pool
from agentnet.outcomes.choices import ChoiceLog
from agentnet.outcomes.encoders import CachedEncoder, Encoder, make_encoder
from agentnet.releases.candidate import train_candidate
from agentnet.routers.base import Router
from agentnet.routers.policy import policy_of

Floats = NDArray[np.float64]
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
POWERS = (0.25, 0.5, 0.75, 1.0)
MOST = 10_000
_FAR = 100.0
"""A crossing is looked for up to so many times the longest log."""
_RESAMPLES = 400
_FEWEST = 100


@dataclass(frozen=True, slots=True)
class Point:
    """What a router learned from ``n`` decisions gains, with its interval."""

    n: int
    gain: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """Gains by number of decisions learned from.

    Attributes:
        points: Measured, shortest log first.
        against: Name of what is compared with.
        limit: Gain that the fitted curve limit - scale * n^-power tends to.
        scale: See ``limit``.
        power: See ``limit``.
        pays_from: Where the fitted curve crosses zero; None: nowhere in sight.
        low: Lower end of the crossing's 95% interval; None: nowhere in sight.
        high: Upper end; None: not bounded by this log.
        notes: What could not be measured.
    """

    points: tuple[Point, ...]
    against: str
    limit: float
    scale: float
    power: float
    pays_from: float | None
    low: float | None
    high: float | None
    notes: tuple[str, ...] = ()

    @property
    def visible(self) -> bool:
        """Whether the longest log's gain is shown to be above zero."""
        return bool(self.points) and self.points[-1].low > 0

    def line(self) -> str:
        """Returns the answer for people."""
        if self.pays_from is None:
            return f"not yet visible: no gain over {self.against} in sight"
        fewest = self.points[0].n
        if self.visible and self.pays_from < fewest:
            return f"pays from no more than {fewest:,} traces, the fewest looked at, against {self.against}"
        end = "more than this log can tell" if self.high is None else _count(self.high)
        span = f"{_count(self.low)} to {end}"
        told = f"about {_count(self.pays_from)} traces ({span})"
        if self.visible:
            return f"pays from {told}, against {self.against}"
        return (
            f"not yet visible; if the curve goes on as it does, it pays from {told}, against {self.against}"
        )

    def gain_at(self, n: float) -> float:
        """Returns the fitted gain of n decisions."""
        return float(self.limit - self.scale * n**-self.power)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return asdict(self) | {"visible": self.visible, "told": self.line()}


def learning_curve(
    learnable: ChoiceLog,
    held: ChoiceLog,
    pool: Pool,
    *,
    router: str,
    settings: Mapping[str, Any] | None = None,
    encoder: Callable[[Router], Encoder | None] = lambda router: None,
    against: Router | None = None,
    shares: Sequence[float] = SHARES,
    most: int = MOST,
    seed: int = 0,
) -> LearningCurve:
    """Fits a router on nested parts of a log, and estimates each one's gain off-policy on the held-out part.

    Args:
        learnable: Decisions to learn from.
        held: Decisions on other queries, to judge on.
        pool: The agents.
        router: Kind of the router.
        settings: Its settings.
        encoder: Returns the encoder to use; None: the router's own, shared by all fits.
        against: What is compared with; None: the best single agent of the whole learnable log.
        shares: Of the learnable decisions, increasing.
        most: Decisions to use at most, of both logs.
        seed: Draws the parts and fits.

    Raises:
        DataError: there are too few decisions, or the held-out log cannot answer.
    """
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(learnable.judged)
    order = rng.permutation(known)[:most]
    if len(order) < _FEWEST:
        raise DataError(f"{len(order)} judged decisions to learn from: a curve needs {_FEWEST}.")
    if len(held) > most:
        held = held.take(np.sort(rng.permutation(len(held))[:most]))
    shared = _Shared(encoder)
    base = against
    if base is None:
        full = learnable.take(np.sort(order))
        base = train_candidate(full, pool, router="best_single", seed=seed).router
    tasks = held.queries.tasks()
    old = policy_of(base, tasks, pool)
    points, rows, notes = [], [], []
    for n in sorted({max(int(share * len(order)), 1) for share in shares}):
        try:
            part = learnable.take(np.sort(order[:n]))
            found = train_candidate(
                part, pool, router=router, settings=settings, encoder=shared, seed=seed
            ).router
        except DataError as error:
            notes.append(f"{n} decisions: {error}")
            continue
        vectors = found.encode(tasks)
        compared = compare_policies(
            held, policy_of(found, tasks, pool, vectors=vectors), old, vectors=vectors
        )
        if not compared.answered:
            notes.append(f"{n} decisions: {'; '.join(compared.refusals)}")
            continue
        points.append(Point(n, compared.value, compared.low, compared.high))
        rows.append(compared.differences)
    if not points:
        raise DataError("the held-out log cannot tell any gain: " + "; ".join(notes))
    return _with_crossing(points, np.stack(rows), f"{base.name}", notes, rng)


class _Shared:
    """One encoder with a memory for all fits, so that no text is encoded twice."""

    def __init__(self, given: Callable[[Router], Encoder | None]) -> None:
        self._given = given
        self._made: Encoder | None = None

    def __call__(self, router: Router) -> Encoder | None:
        given = self._given(router)  # which may also set the router's encoder itself
        name = router.settings.get("encoder")
        if name is None:
            return given
        if self._made is None:
            self._made = given or getattr(router, "_encoder", None) or CachedEncoder(make_encoder(name))
        return self._made


def _with_crossing(
    points: list[Point], rows: Floats, against: str, notes: list[str], rng: np.random.Generator
) -> LearningCurve:
    """Fits the curve, and its crossing's interval by resampling held-out decisions, for all points alike."""
    n = np.array([point.n for point in points], np.float64)
    gain = np.array([point.gain for point in points])
    # A router that chooses as the old one does has an interval of no width: it is not infinitely sure.
    wide = np.array([point.high - point.low for point in points])
    weight = 1 / np.maximum(wide, max(float(np.median(wide)) / 2, 1e-6)) ** 2
    limit, scale, power = fit_power_law(n, gain, weight)
    crossing = _crossing(limit, scale, power, n[-1])
    # Shifts of the whole mean, so that what an estimator does beyond a mean of rows stays in place.
    used = np.nan_to_num(rows - np.nanmean(rows, axis=1, keepdims=True))
    count = np.maximum((~np.isnan(rows)).sum(1), 1)
    total = rows.shape[1]
    draws = rng.multinomial(total, np.full(total, 1 / total), _RESAMPLES)
    shifted = gain + (draws @ used.T) / count
    found = []
    for one in shifted:
        where = _crossing(*fit_power_law(n, one, weight), n[-1])
        found.append(math.inf if where is None else where)
    low, high = np.quantile(found, [0.025, 0.975], method="inverted_cdf")
    return LearningCurve(
        points=tuple(points), against=against, limit=limit, scale=scale, power=power, pays_from=crossing,
        low=float(low) if math.isfinite(low) else None, high=float(high) if math.isfinite(high) else None,
        notes=tuple(notes),
    )  # fmt: skip


def fit_power_law(n: Floats, gain: Floats, weight: Floats) -> tuple[float, float, float]:
    """Returns limit, scale >= 0 and power of limit - scale * n^-power by weighted least squares.

    The power is one of `POWERS`, that of the smallest error. Source of the form: Hestness et al.,
    "Deep learning scaling is predictable, empirically", 2017.

    >>> n = np.array([100.0, 400.0, 1600.0])
    >>> limit, scale, power = fit_power_law(n, 0.05 - n**-0.5, np.ones(3))
    >>> round(limit, 3), round(scale, 3), power
    (0.05, 1.0, 0.5)
    """
    best: tuple[float, float, float, float] | None = None
    for power in POWERS:
        x = -(n**-power)
        mean_x, mean_y = np.average(x, weights=weight), np.average(gain, weights=weight)
        spread = float(weight @ (x - mean_x) ** 2)
        scale = float(weight @ ((x - mean_x) * (gain - mean_y))) / spread if spread > 0 else 0.0
        scale = max(scale, 0.0)
        limit = float(mean_y - scale * mean_x)
        error = float(weight @ (gain - limit - scale * x) ** 2)
        if best is None or error < best[0] * (1 - 1e-9):
            best = (error, limit, scale, power)
    assert best is not None
    return best[1:]


def _crossing(limit: float, scale: float, power: float, longest: float) -> float | None:
    """Where the curve crosses zero, at least 1; None beyond sight."""
    if limit <= 0:
        return None
    log_n = math.log(max(scale / limit, 1e-12)) / power
    return max(math.exp(log_n), 1.0) if log_n <= math.log(_FAR * longest) else None


def _count(n: float | None) -> str:
    """A number of traces to two digits; more would be for show."""
    if n is None:
        return "unknown"
    digits = 10 ** max(int(math.log10(max(n, 1))) - 1, 0)
    return f"{round(n / digits) * digits:,.0f}"


def curve_section(curve: LearningCurve) -> str:
    """Returns the HTML section of a page."""
    measured = [(float(point.n), point.gain) for point in curve.points]
    spans = [(point.low, point.high) for point in curve.points]
    last = curve.points[-1].n
    stop = max(float(last), min(2 * (curve.pays_from or 0), 20.0 * last))
    grid = np.geomspace(curve.points[0].n, stop, 25) if stop > curve.points[0].n else np.array([stop])
    series = [
        plots.Series("gain, measured", measured, spans, joined=False),
        plots.Series("fitted curve", [(float(n), curve.gain_at(n)) for n in grid], dashed=True),
        plots.Series("no gain", [(float(grid[0]), 0.0), (float(grid[-1]), 0.0)]),
    ]
    told = [
        page.paragraph(f"How many traces until it pays: {curve.line()}."),
        plots.line_plot(
            series,
            x_label="decisions learned from",
            y_label=f"gain in score over {curve.against}",
            log_x=True,
        ),
        page.paragraph(
            "Each point is a router of this kind, fitted on a part of the log and estimated off-policy on "
            "the held-out decisions, with its 95% interval. The crossing's interval knows the chance of the "
            "held-out decisions, not that of the draw of the parts.", muted=True,
        ),
    ]  # fmt: skip
    told += [page.paragraph(note, muted=True) for note in curve.notes]
    return page.section("Learning curve", *told)


def curve_or_note(*args: Any, **how: Any) -> str:
    """Returns the section, or one that says why there is none; arguments as of `learning_curve`."""
    try:
        return curve_section(learning_curve(*args, **how))
    except AgentnetError as error:
        return page.section("Learning curve", page.paragraph(f"Not measured: {error}", muted=True))
