"""What the ``online`` suite reports of its streams: regret, the last rounds, and the curve of regret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.metrics import bootstrap_ci
from agentnet.bench.suites.online_measure import Bandit, World

Floats = NDArray[np.float64]

POINTS = 25
"""Points of a curve."""
NEAR = 0.015
"""How far below offline kNN the last rounds may be."""


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """A bandit's scores.

    Attributes:
        bandit: The bandit, with its setting.
        score: [orders, T] score of every round.
    """

    bandit: Bandit
    score: Floats


def figure(values: Floats) -> dict[str, Any]:
    """Returns the mean over orders with its 95% interval.

    >>> figure(np.array([1.0, 1.0]))["ci"]
    [1.0, 1.0]
    """
    return {"mean": float(values.mean()), "ci": list(bootstrap_ci(values, draws=10_000))}


def make_part(
    split: str,
    world: World,
    streams: Sequence[NDArray[np.intp]],
    played: Sequence[Played],
    further: Sequence[Played],
    *,
    last: int,
    offline: Floats,
    best: int,
) -> dict[str, Any]:
    """Returns one set of streams as JSON values.

    Args:
        split: Which queries.
        world: The n queries.
        streams: The orders played.
        played: Every bandit; the first is what the others are compared with.
        further: Variants of the best contextual one: late scores, a budget.
        last: Rounds at the end that are looked at by themselves.
        offline: [orders] mean score of offline kNN on the last rounds.
        best: Position in ``played`` of the contextual bandit that tuning scored highest.
    """
    top = np.array([world.score[order].max(1) for order in streams])
    single = int(world.score.mean(0).argmax())
    alone = np.array([world.score[order, single] for order in streams])
    evenly = np.array([world.score[order].mean(1) for order in streams])
    fixed = _by_label(world)
    by_label = np.array([world.score[order, fixed[world.labels[order]]] for order in streams])
    rows = [
        _row("random", None, evenly, top, alone, last, offline),
        _row("best single, in hindsight", None, alone, top, alone, last, offline),
        _row("best agent per task label, in hindsight", None, by_label, top, alone, last, offline),
    ]
    free = played[0].score
    for one in played:
        row = _row(one.bandit.name, one.bandit, one.score, top, alone, last, offline)
        rows.append(row | {"regret_vs_free": figure(free.sum(1) - one.score.sum(1))})
    for one in further:
        what = (
            f"scores in batches of {one.bandit.every}" if one.bandit.every > 1
            else f"budget of regret {one.bandit.budget:g} a round"
        )  # fmt: skip
        name = f"{one.bandit.name}, {what}"
        row = _row(name, one.bandit, one.score, top, alone, last, offline)
        rows.append(row | {"regret_vs_free": figure(free.sum(1) - one.score.sum(1))})
    return {
        "split": split,
        "n": len(world.score),
        "orders": len(streams),
        "last": last,
        "oracle": float(top.mean()),
        "offline_knn_last": figure(offline),
        "rows": rows,
        "verdict": verdict(played[best], free, alone, last, offline),
    }


def verdict(best: Played, free: Floats, alone: Floats, last: int, offline: Floats) -> dict[str, Any]:
    """Returns what was to be shown of the best contextual bandit: each figure, and whether it holds."""
    regret = figure(free.sum(1) - best.score.sum(1))
    over = figure(best.score[:, -last:].mean(1) - alone[:, -last:].mean(1))
    behind = figure(best.score[:, -last:].mean(1) - offline)
    return {
        "bandit": best.bandit.name,
        "setting": dict(best.bandit.setting),
        "regret_vs_free": regret | {"holds": regret["ci"][1] < 0},
        "last_vs_single": over | {"holds": over["mean"] >= 0},
        "last_vs_offline": behind | {"holds": behind["mean"] >= -NEAR},
    }


def _row(
    name: str, bandit: Bandit | None, score: Floats, top: Floats, alone: Floats, last: int, offline: Floats
) -> dict[str, Any]:
    regret = (top - score).cumsum(1)
    at = np.unique(np.linspace(0, score.shape[1] - 1, POINTS).round().astype(int))
    curve = regret[:, at].mean(0)
    setting: Mapping[str, Any] = {} if bandit is None else asdict(bandit)
    return {
        "name": name,
        "bandit": setting,
        "score": figure(score.mean(1)),
        "regret": figure(regret[:, -1]),
        "last_score": figure(score[:, -last:].mean(1)),
        "last_vs_single": figure(score[:, -last:].mean(1) - alone[:, -last:].mean(1)),
        "last_vs_offline": figure(score[:, -last:].mean(1) - offline),
        "curve": [[int(t) + 1, float(value)] for t, value in zip(at, curve, strict=True)],
    }


def _by_label(world: World) -> NDArray[np.intp]:
    """[L] the best agent of every task label, on the very outcomes: a bound, not a router."""
    labels = int(world.labels.max()) + 1
    found = [
        world.score[world.labels == label].mean(0).argmax() if (world.labels == label).any() else 0
        for label in range(labels)
    ]
    return np.array(found, np.intp)
