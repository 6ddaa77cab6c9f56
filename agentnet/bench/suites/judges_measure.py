"""Suite ``judges``: every estimator on every draw, and what comes of it on average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.suites.judges_world import Draw, kendall
from agentnet.learning.scoring.correct import Estimate, corrected_values, ppi, stratified
from agentnet.learning.scoring.rates import fit_rates
from agentnet.learning.scoring.table import Judgements

Floats = NDArray[np.float64]

RECOMMENDED = "corrected"
ESTIMATORS = {
    "raw": "the judge's accept rate",
    "ppi": "prediction-powered inference, each policy with its own labels",
    "rogan_gladen": "per agent, error rates from its labels alone",
    "stratified": "per agent and verdict, from its labels alone",
    RECOMMENDED: "hierarchical error rates per agent (corrected_values)",
    "known": "the judge's true error rates: what the logs' own noise leaves",
}
_RESAMPLES = 10_000


def measure(drawn: Draw) -> dict[str, Any]:
    """Returns one draw's values by estimator, with intervals where there are some, as JSON values."""
    table = drawn.table
    rates = fit_rates(table)
    found: dict[str, list[Estimate]] = {
        "raw": _plain(_raw(table)),
        "ppi": _ppi(table),
        "rogan_gladen": _plain(_rogan_gladen(table, *_own_rates(table))),
        "stratified": [stratified(table, table.group == g) for g in range(len(table.groups))],
        RECOMMENDED: [item.corrected for item in corrected_values(table, rates)],
        "known": _plain(_rogan_gladen(table, drawn.false_accept, drawn.false_reject)),
    }
    return {
        "favoured": table.agents[drawn.favoured],
        "labels": int(table.labelled.sum()),
        "policies": list(drawn.policies),
        "true": drawn.true.tolist(),
        "values": {name: [item.value for item in items] for name, items in found.items()},
        "intervals": {
            name: [[item.low, item.high] for item in found[name]]
            for name in ("ppi", "stratified", RECOMMENDED)
        },
        "tau": {name: kendall([item.value for item in items], drawn.true) for name, items in found.items()},
        "agents": [
            {
                "agent": name,
                "labelled": int(rates.labelled[a]),
                "false_accept": float(drawn.false_accept[a]),
                "false_accept_estimate": float(rates.false_accept[a]),
                "false_accept_ci": rates.false_accept_ci[a].tolist(),
                "false_reject": float(drawn.false_reject[a]),
                "false_reject_estimate": float(rates.false_reject[a]),
                "false_reject_ci": rates.false_reject_ci[a].tolist(),
            }
            for a, name in enumerate(table.agents)
        ],
    }


def summary(draws: Sequence[Mapping[str, Any]], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Returns a row per estimator: mean tau with its interval over draws, over raw, error, coverage."""
    pick = rng.integers(len(draws), size=(_RESAMPLES, len(draws)))
    true = np.array([item["true"] for item in draws])
    raw = np.array([item["tau"]["raw"] for item in draws])

    def interval(values: Floats) -> list[float]:
        low, high = np.quantile(values[pick].mean(1), (0.025, 0.975))
        return [float(low), float(high)]

    rows = []
    for name, meaning in ESTIMATORS.items():
        tau = np.array([item["tau"][name] for item in draws])
        values = np.array([item["values"][name] for item in draws])
        row: dict[str, Any] = {
            "estimator": name,
            "meaning": meaning,
            "tau": float(tau.mean()),
            "tau_ci": interval(tau),
            "over_raw": float((tau - raw).mean()),
            "over_raw_ci": interval(tau - raw),
            "rmse": float(np.sqrt(((values - true) ** 2).mean())),
            "bias": float((values - true).mean()),
            "coverage": None,
        }
        if name in draws[0]["intervals"]:
            ends = np.array([item["intervals"][name] for item in draws])
            row["coverage"] = float(((ends[..., 0] <= true) & (true <= ends[..., 1])).mean())
        rows.append(row)
    return rows


def _plain(values: Floats) -> list[Estimate]:
    return [Estimate(float(value), float("nan"), float("nan")) for value in values]


def _raw(table: Judgements) -> Floats:
    counts = table.counts()
    found: Floats = counts[:, :, 1].sum(1) / counts.sum((1, 2))
    return found


def _own_rates(table: Judgements) -> tuple[Floats, Floats]:
    """Error rates of each agent from its own labels, weighted back to all verdicts (half a label added)."""
    counts, labels = table.counts().sum(0), table.labels() + 0.5
    joint = labels / labels.sum(2, keepdims=True) * (counts + 0.5)[:, :, None]
    return joint[:, 1, 0] / joint[:, :, 0].sum(1), joint[:, 0, 1] / joint[:, :, 1].sum(1)


def _rogan_gladen(table: Judgements, false_accept: Floats, false_reject: Floats) -> Floats:
    counts = table.counts().astype(np.float64)
    judged = counts.sum(2)
    accept = counts[:, :, 1] / np.maximum(judged, 1)
    skill = np.maximum(1 - false_accept - false_reject, 0.05)
    quality = np.clip((accept - false_accept) / skill, 0, 1)
    found: Floats = (judged * quality).sum(1) / judged.sum(1)
    return found


def _ppi(table: Judgements) -> list[Estimate]:
    """Each policy with its own labels; one that has fewer than two keeps its raw value."""
    stratum = table.agent * 2 + table.accepted
    size = np.bincount(stratum, minlength=2 * len(table.agents))
    taken = np.bincount(stratum[table.labelled], minlength=2 * len(table.agents))
    found = []
    for g in range(len(table.groups)):
        rows = table.group == g
        known = rows & table.labelled
        if known.sum() < 2:
            found.append(Estimate(float(table.judge[rows].mean()), 0.0, 1.0))
            continue
        weight = (size / np.maximum(taken, 1))[stratum[known]]
        found.append(ppi(table.judge[rows], table.judge[known], table.gold[known], weight=weight))
    return found
