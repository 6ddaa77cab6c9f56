"""Matrices of outcomes from observations given one at a time, in a few bytes each."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEASURES = ("cost_usd", "latency_s", "prompt_tokens", "completion_tokens", "propensity")
_NAN = float("nan")


class Cells:
    """Collects what is known of (query, agent) pairs; means and weighted means come out."""

    def __init__(self) -> None:
        self._at = array("q")
        self._values = {name: array("d") for name in MEASURES}
        self._judged_at = array("q")
        self._score, self._weight = array("d"), array("d")
        self._responses: dict[tuple[int, int], str] = {}

    def observe(self, query: int, agent: int, response: str | None, *values: Any) -> None:
        """Adds what a step of an agent cost: values in the order of `MEASURES`, None for unknown."""
        self._at.extend((query, agent))
        for name, value in zip(MEASURES, values, strict=True):
            self._values[name].append(_NAN if value is None else float(value))
        if response is not None:
            self._responses[query, agent] = response

    def judge(self, query: int, agent: int, score: float, weight: float) -> None:
        """Adds a judgement of an agent's answer."""
        self._judged_at.extend((query, agent))
        self._score.append(score)
        self._weight.append(weight)

    def matrices(self, n: int, agents: int) -> dict[str, Any]:
        """Returns the [n, agents] matrices by their names in `Outcomes`."""
        shape = (n, agents)
        at = _flat(self._at, agents)
        mean = {name: _mean(at, _floats(self._values[name]), shape) for name in MEASURES}
        judged, score, weight = _flat(self._judged_at, agents), _floats(self._score), _floats(self._weight)
        total = np.bincount(judged, weight, n * agents)
        scores = _ratio(np.bincount(judged, weight * score, n * agents), total).reshape(shape)
        weights = _ratio(total, np.bincount(judged, minlength=n * agents))
        response = None
        if self._responses:
            response = np.full(shape, None, object)
            for cell, text in self._responses.items():
                response[cell] = text
        return {
            "score": np.clip(scores, 0, 1).astype(np.float32),
            "weight": np.where(total > 0, weights, 1).reshape(shape).astype(np.float32),
            "cost": mean["cost_usd"],
            "latency_s": mean["latency_s"].astype(np.float32),
            "propensity": mean["propensity"].astype(np.float32),
            "prompt_tokens": mean["prompt_tokens"],
            "completion_tokens": mean["completion_tokens"],
            "response": response,
        }


def _floats(values: array[float]) -> NDArray[np.float64]:
    return np.array(values, np.float64)


def _flat(pairs: array[int], agents: int) -> NDArray[np.int64]:
    table = np.array(pairs, np.int64).reshape(-1, 2)
    flat: NDArray[np.int64] = table[:, 0] * agents + table[:, 1]
    return flat


def _mean(at: NDArray[np.int64], values: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    size = shape[0] * shape[1]
    total = np.bincount(at[known], values[known], size)
    return _ratio(total, np.bincount(at[known], minlength=size)).reshape(shape)


def _ratio(total: NDArray[Any], count: NDArray[Any]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.full(total.shape, np.nan)
    np.divide(total, count, out=result, where=count > 0)
    return result
