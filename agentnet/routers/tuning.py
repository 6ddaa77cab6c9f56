"""Choosing hyper-parameters from predictions made for rows that were left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.decision import Floats

TOLERANCE = 0.5
"""Standard errors by which a smoother setting may be worse than the best and still be taken."""


_SAME = 0.005


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """What a setting gave on rows left out.

    Attributes:
        values: [n] the score that each row's choice would have got. Where not every agent has a score on
            every row, that is mostly unknown, and the row's negated mean squared error stands here.
        error: Mean squared error over all known scores.
        smoothness: Higher is taken when in doubt.
    """

    setting: Mapping[str, Any]
    values: NDArray[np.float64]
    error: float
    smoothness: float

    @classmethod
    def of(
        cls,
        setting: Mapping[str, Any],
        raw: Floats,
        score: Floats,
        smoothness: float,
        weight: Floats | None = None,
    ) -> Trial:
        """Judges predictions.

        Args:
            setting: What was tried.
            raw: [n, A] predictions for rows left out.
            score: [n, A] recorded scores; NaN unknown.
            smoothness: See above.
            weight: [n, A] how much a score counts; None is 1.
        """
        seen = ~np.isnan(score)
        mass = np.where(seen, 1.0 if weight is None else weight, 0.0)
        squared = mass * np.where(seen, raw - np.where(seen, score, 0), 0).astype(np.float64) ** 2
        if seen.all():
            values = score[np.arange(len(score)), raw.argmax(1)].astype(np.float64)
        else:
            values = -squared.sum(1) / np.maximum(mass.sum(1), 1e-9)
        error = float(squared.sum() / max(float(mass.sum()), 1e-9))
        return cls(setting=setting, values=values, error=error, smoothness=smoothness)


@dataclass(slots=True)
class Search:
    """Settings tried, and the choice among them.

    The best mean wins, unless a smoother setting is at most `TOLERANCE` standard errors (of the paired
    difference) worse: in noise the smoother one generalises better. Among settings that make the same
    choices as the winner on all but one row in 200, the one of least squared error is taken, for its
    scores mean most.
    """

    trials: list[Trial] = field(default_factory=list)

    def add(
        self,
        setting: Mapping[str, Any],
        raw: Floats,
        score: Floats,
        smoothness: float,
        weight: Floats | None = None,
    ) -> None:
        """Adds a setting; see `Trial.of`."""
        self.trials.append(Trial.of(setting, raw, score, smoothness, weight))

    def choose(self) -> Mapping[str, Any]:
        """Returns the chosen setting."""
        values = np.stack([trial.values for trial in self.trials])
        means = values.mean(1)
        best = int(means.argmax())
        error = (values[best] - values).std(1) / np.sqrt(values.shape[1])
        near = np.flatnonzero(means >= means[best] - TOLERANCE * error - 1e-12)
        smoothest = values[max(near.tolist(), key=lambda i: self.trials[i].smoothness)]
        alike = near[np.abs(values[near] - smoothest).mean(1) <= _SAME]
        return self.trials[min(alike.tolist(), key=lambda i: self.trials[i].error)].setting

    def table(self) -> tuple[dict[str, Any], ...]:
        """Returns every setting with its mean value and squared error, best first."""
        rows = [
            {**t.setting, "value": round(float(t.values.mean()), 6), "error": round(t.error, 6)}
            for t in self.trials
        ]
        return tuple(sorted(rows, key=lambda row: -row["value"]))


def sample_rows(n: int, most: int, seed: int) -> NDArray[np.intp]:
    """Returns all n rows in order, or ``most`` of them at random where there are more."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def options(fixed: Any, grid: Sequence[Any]) -> Sequence[Any]:
    """Returns the values to try: only ``fixed`` where the user gave one."""
    return grid if fixed is None else (fixed,)
