"""Calibration: from a router's raw score to the probability of a right answer.

One curve per router, fitted on predictions for tasks that the router had not learned from. It is
strictly increasing and the same for all agents, so that it never changes which agent scores best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.agent import content_hash
from agentnet.routers.decision import Floats

_EPS = 1e-3
_MIN_SLOPE = 0.02
_TILT = 1e-3
_FEWEST = 50
_BIN, _BINS = 50, 20


@dataclass(frozen=True)
class Calibration:
    """A strictly increasing curve from raw score to probability.

    ``"platt"`` is p = sigmoid(slope * logit(raw) + offset) (Platt 1999, on log-odds); ``"isotonic"`` is
    the best increasing step function (Zadrozny and Elkan 2002), drawn as straight lines between the steps'
    middles and mixed with a thousandth of the raw score, so that no two scores become equal;
    ``"none"`` changes nothing.

    >>> Calibration().apply(np.array([0.25])), Calibration().id
    (array([0.25]), None)
    """

    kind: Literal["none", "platt", "isotonic", "agents"] = "none"
    slope: float = 1.0
    offset: float = 0.0
    x: tuple[float, ...] = ()
    """Raw scores of the isotonic curve's knots, increasing."""
    y: tuple[float, ...] = ()
    """Probabilities at the knots."""

    @cached_property
    def id(self) -> str | None:
        """Content hash; None where nothing is changed."""
        return None if self.kind == "none" else content_hash(self.to_dict())

    def apply(self, raw: Floats) -> Floats:
        """Returns calibrated scores in [0, 1] of the same shape."""
        if self.kind == "none":
            return np.clip(raw, 0, 1)
        if self.kind == "isotonic":
            curve: Floats = np.interp(raw, self.x, self.y)
            return (1 - _TILT) * curve + _TILT * np.clip(raw, 0, 1)
        clipped = np.clip(raw, _EPS, 1 - _EPS)
        odds = np.log(clipped / (1 - clipped))
        calibrated: Floats = 1 / (1 + np.exp(-(self.slope * odds + self.offset)))
        return calibrated

    def apply_to(
        self, raw: Floats, agents: Sequence[str], vectors: NDArray[np.float32] | None = None
    ) -> Floats:
        """Returns calibrated scores of named agents; one curve is the same for all of them.

        Args:
            raw: [n, A] raw scores.
            agents: The A names, for curves by agent.
            vectors: [n, d] the tasks' encodings, for offsets by slice.
        """
        return self.apply(raw)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            "kind": self.kind,
            "slope": self.slope,
            "offset": self.offset,
            "x": list(self.x),
            "y": list(self.y),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Builds a calibration, of one curve or of one by agent, from `to_dict`."""
        if data["kind"] == "agents":
            from agentnet.routers.agent_calibration import AgentCalibration

            return AgentCalibration.from_dict(data)
        x, y = (tuple(float(value) for value in data[key]) for key in ("x", "y"))
        return cls(data["kind"], float(data["slope"]), float(data["offset"]), x, y)


def fit_calibration(raw: Floats, score: Floats, *, seed: int = 0) -> Calibration:
    """Fits the curve that predicts held-back scores of the best-scored agents best.

    Half of the rows fit a Platt and an isotonic curve, the other half chooses between them (by squared
    error of each row's highest prediction); the winner is fitted again on all rows.

    Args:
        raw: [n, A] predictions made without the scores they are compared with.
        score: [n, A] what came out, in [0, 1]; NaN is left out.
        seed: Divides the rows.
    """
    known = ~np.isnan(score)
    if known.sum() < _FEWEST or np.ptp(raw[known]) < 1e-9:
        return Calibration()
    half = np.random.default_rng(seed).permutation(len(raw)) < len(raw) // 2
    loss = {}
    for fit in (_platt, _isotonic):
        curve = fit(raw[half], score[half])
        top = np.where(known[~half], raw[~half], -1).argmax(1)[:, None]
        hit = np.take_along_axis(score[~half], top, 1)
        error = (curve.apply(np.take_along_axis(raw[~half], top, 1)) - hit) ** 2
        loss[fit] = float(np.nanmean(error)) if not np.isnan(error).all() else np.inf
    return min(loss, key=lambda fit: loss[fit])(raw, score)


def _platt(raw: Floats, score: Floats) -> Calibration:
    known = ~np.isnan(score)
    clipped = np.clip(raw[known].astype(np.float64), _EPS, 1 - _EPS)
    if clipped.size < 2:
        return Calibration()
    slope, offset = fit_logistic(np.log(clipped / (1 - clipped)), score[known].astype(np.float64))
    return Calibration("platt", max(round(slope, 6), _MIN_SLOPE), round(offset, 6))


def _isotonic(raw: Floats, score: Floats) -> Calibration:
    """Pool-adjacent-violators over bins, half of which are spread over the rows' highest scores."""
    known = ~np.isnan(score)
    x, y = raw[known].astype(np.float64), score[known].astype(np.float64)
    count = int(np.clip(x.size // _BIN, 2, _BINS))
    at = np.linspace(0, 1, count + 1)[1:-1]
    edges = np.unique(np.concatenate((np.quantile(x, at), np.quantile(raw.max(1), at))))
    which = np.searchsorted(edges, x, "right")
    size = np.bincount(which, minlength=len(edges) + 1).astype(np.float64)
    full = size > 0
    middle = np.bincount(which, x, len(size))[full] / size[full]
    mean = np.bincount(which, y, len(size))[full] / size[full]
    blocks: list[list[float]] = []  # each: size, mean of y, mean of x
    for values in zip(size[full].tolist(), mean.tolist(), middle.tolist(), strict=True):
        blocks.append(list(values))
        while len(blocks) > 1 and blocks[-2][1] >= blocks[-1][1]:
            n2, y2, x2 = blocks.pop()
            n1, y1, x1 = blocks[-1]
            total = n1 + n2
            blocks[-1] = [total, (n1 * y1 + n2 * y2) / total, (n1 * x1 + n2 * x2) / total]
    xs = tuple(round(block[2], 8) for block in blocks)
    return Calibration("isotonic", x=xs, y=tuple(round(block[1], 6) for block in blocks))


def fit_logistic(x: Floats, y: Floats, *, ridge: float = 1e-3) -> tuple[float, float]:
    """Returns slope and offset of a logistic curve of one feature, by Newton's method.

    Args:
        x: [n] feature.
        y: [n] targets in [0, 1].
        ridge: Weak pull of the slope to zero, so that separable data have a finite answer.
    """
    base = float(np.clip(y.mean(), _EPS, 1 - _EPS))
    centre, spread = float(x.mean()), float(x.std()) or 1.0
    z = (x - centre) / spread
    weights = np.array([0.0, np.log(base / (1 - base))])
    features = np.stack((z, np.ones_like(z)))
    pull = np.array([ridge, 1e-9]) * len(x)

    def loss(candidate: NDArray[np.float64]) -> float:
        logits = candidate @ features
        return float((np.logaddexp(0, logits) - y * logits).sum() + ridge * len(x) * candidate[0] ** 2 / 2)

    now = loss(weights)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(weights @ features, -30, 30)))
        gradient = features @ (chance - y) + pull * np.array([weights[0], 0.0])
        curve = (features * (chance * (1 - chance))) @ features.T + np.diag(pull)
        step = np.linalg.solve(curve, gradient)
        while (then := loss(weights - step)) > now and np.abs(step).max() > 1e-9:
            step = step / 2
        weights, gain, now = weights - step, now - then, then
        if gain <= 1e-9 * max(1.0, abs(now)):
            break
    slope = float(weights[0] / spread)
    return slope, float(weights[1] - slope * centre)


def calibration_error(predicted: Floats, score: Floats, *, bins: int = 15) -> float:
    """Returns the expected calibration error: mean |predicted - score| over bins of equal size.

    Args:
        predicted: [n] predicted probability of a right answer.
        score: [n] what came out, in [0, 1]; NaN is left out.
        bins: Number of bins; each holds about as many predictions, and equal ones are never parted.

    Source: Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015,
    with equal-mass bins.

    >>> calibration_error(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 1, 1, 1]), bins=2)
    0.25
    """
    known = ~np.isnan(score)
    p, y = np.asarray(predicted, np.float64)[known], np.asarray(score, np.float64)[known]
    if not p.size:
        return float("nan")
    # Inner quantiles as edges: equal predictions share a bin, in whatever order the rows come.
    edges = np.unique(np.quantile(p, np.linspace(0, 1, min(bins, p.size) + 1)[1:-1]))
    which = np.searchsorted(edges, p, side="left")
    return float(np.abs(np.bincount(which, p) - np.bincount(which, y)).sum() / p.size)
