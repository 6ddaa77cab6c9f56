"""Takes a query apart that joins several requests, by trying where to cut it.

A joined query lies somewhere between its agents, and no linear score finds both. Its two halves are ordinary
queries. So cuts between words are tried, each half is scored like any query, and the cut is kept after which
both halves are surest. Whether the query is joined at all is a logistic decision on what was found, learned
from joined and single queries (`learn_splitter`). It needs nothing but scores of texts, so that it holds for
agents that came after training, and for any encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_WORDS = 2
"""Fewest words of a part."""
MOST_WORDS = 60
"""Words of a longer query are only cut among the first so many."""
COARSE, FINE = 6, 2
_FEWEST = 20
_EPS = 1e-6

ScoreTexts = Callable[[Sequence[str]], NDArray[np.float32]]
"""Gives [n, A] probabilities of texts."""


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """The best cut of a query.

    Attributes:
        parts: The two texts.
        chances: [2, A] probabilities of the agents for each part.
        features: [F] what `Splitter` decides by.
    """

    parts: tuple[str, str]
    chances: NDArray[np.float32]
    features: NDArray[np.float64]


def best_cuts(texts: Sequence[str], whole: NDArray[np.float32], score: ScoreTexts) -> list[Cut | None]:
    """Returns the best cut of each query; None where it is too short.

    First every few words, then around the best place: some 10 cuts a query, scored for all queries at once.

    Args:
        texts: [n] queries.
        whole: [n, A] probabilities of the agents for the queries as they are.
        score: Scores further texts.
    """
    words = [text.split()[:MOST_WORDS] for text in texts]
    coarse = [_coarse(len(row)) for row in words]
    tables: list[dict[int, NDArray[np.float32]]] = [{} for _ in texts]
    _try(words, coarse, tables, score)
    fine = [_around(row, table) for row, table in zip(coarse, tables, strict=True)]
    _try(words, fine, tables, score)
    found: list[Cut | None] = []
    for i, table in enumerate(tables):
        if not table:
            found.append(None)
            continue
        place = _surest(table)
        rest = texts[i].split()
        parts = (" ".join(rest[:place]), " ".join(rest[place:]))
        found.append(Cut(parts, table[place], _features(whole[i], table[place], len(rest))))
    return found


def _coarse(count: int) -> list[int]:
    """Places between words, at most `COARSE`, spread evenly."""
    places = range(LEAST_WORDS, count - LEAST_WORDS + 1)
    if len(places) <= COARSE:
        return list(places)
    picked = np.linspace(places[0], places[-1], COARSE).round().astype(int)
    return sorted(set(picked.tolist()))


def _around(coarse: Sequence[int], table: dict[int, NDArray[np.float32]]) -> list[int]:
    """Places between the best coarse one and its neighbours, nearest first."""
    if not table:
        return []
    best = _surest(table)
    at = list(coarse).index(best)
    low = coarse[at - 1] if at else best
    high = coarse[at + 1] if at + 1 < len(coarse) else best
    near = [place for place in range(low + 1, high) if place not in table]
    return sorted(near, key=lambda place: (abs(place - best), place))[: 2 * FINE]


def _try(
    words: Sequence[Sequence[str]],
    places: Sequence[Sequence[int]],
    tables: Sequence[dict[int, NDArray[np.float32]]],
    score: ScoreTexts,
) -> None:
    """Scores both parts of each cut and puts them into the tables."""
    asked = [(i, place) for i, row in enumerate(places) for place in row]
    if not asked:
        return
    halves = [" ".join(part) for i, place in asked for part in (words[i][:place], words[i][place:])]
    # Cuts of a query share parts with nobody, but a text may stand in several queries.
    unique = list(dict.fromkeys(halves))
    where = {text: row for row, text in enumerate(unique)}
    chances = score(unique)
    for number, (i, place) in enumerate(asked):
        tables[i][place] = chances[[where[halves[2 * number]], where[halves[2 * number + 1]]]]


def _surest(table: Mapping[int, NDArray[np.float32]]) -> int:
    """The place after which both parts are surest; of equals the first."""
    return max(table, key=lambda at: (_sureness(table[at]), -at))


def _sureness(chances: NDArray[np.float32]) -> float:
    return float(np.log(chances.max(1) + _EPS).sum())


def _features(whole: NDArray[np.float32], parts: NDArray[np.float32], words: int) -> NDArray[np.float64]:
    """What tells a joined query: the parts are sure, differ, and the whole is torn between the two."""
    a, b = (int(i) for i in parts.argmax(1))
    sure = np.sort(parts.max(1).astype(np.float64))
    top = float(whole.max())
    pair = float(whole[a] + whole[b]) if a != b else float(whole[a])
    return np.array(
        [
            1.0 if a != b else 0.0,
            _logit(float(sure[0])),
            _logit(float(sure[1])),
            _logit(top),
            np.log(pair + _EPS),
            np.log(min(float(whole[a]), float(whole[b])) + _EPS),
            np.log(words),
        ]
    )


def _logit(chance: float) -> float:
    clipped = min(max(chance, 1e-4), 1 - 1e-4)
    return float(np.log(clipped / (1 - clipped)))


@dataclass(frozen=True, slots=True)
class Splitter:
    """P(a query joins two requests | its best cut), and when it is worth looking for a cut.

    Attributes:
        weights: [F + 1] of the standardised features, the bias last; empty never splits.
        mean: [F].
        spread: [F].
        gate: Of the logit of the best agent's probability, the logarithm of the number of words, and a bias:
            a query is looked at when the sum is at least 0. Empty never looks.
    """

    weights: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    gate: tuple[float, ...] = ()

    def chance(self, cut: Cut) -> float:
        """Returns the probability that the query joins two requests."""
        if not self.weights or cut.features[0] == 0:
            return 0.0
        z = (cut.features - np.array(self.mean)) / np.array(self.spread)
        return float(1 / (1 + np.exp(-(z @ np.array(self.weights[:-1]) + self.weights[-1]))))

    def looks_at(self, texts: Sequence[str], best: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """[n] whether a query is looked at, by its length and its best agent's probability [n].

        Looking costs some twenty encodings; most queries are short and sure, and are spared it.
        """
        if not self.gate:
            return np.zeros(len(texts), bool)
        found: NDArray[np.bool_] = _gate_features(texts, best) @ np.array(self.gate) >= 0
        return found

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            "weights": list(self.weights),
            "mean": list(self.mean),
            "spread": list(self.spread),
            "gate": list(self.gate),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Splitter:
        """Builds a splitter from `to_dict`."""
        return cls(*(tuple(map(float, data[key])) for key in ("weights", "mean", "spread", "gate")))


def _gate_features(texts: Sequence[str], best: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """[n, 3] what the gate sees of each query."""
    words = np.log([max(1, len(text.split())) for text in texts])
    sure = np.clip(np.asarray(best, np.float64), 1e-4, 1 - 1e-4)
    return np.stack((np.log(sure / (1 - sure)), words, np.ones(len(words))), axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Queries of one kind, from which a splitter is learned.

    Attributes:
        texts: [n] queries.
        best: [n] probability of the best agent for each as a whole.
        cuts: [n] best cuts.
    """

    texts: Sequence[str]
    best: NDArray[np.floating[Any]]
    cuts: Sequence[Cut | None]


def learn_splitter(joined: Seen, single: Seen, *, share: float = 0.2, missed: float = 0.03) -> Splitter:
    """Learns to tell joined from single queries.

    Args:
        joined: Queries that join two requests.
        single: Queries of one request.
        share: Share of joined queries that is expected while serving; the two kinds are weighed so.
        missed: Share of joined queries that the gate may let pass without a look.
    """
    rows = [cut.features for cut in joined.cuts if cut is not None]
    others = [cut.features for cut in single.cuts if cut is not None]
    if len(rows) < _FEWEST or len(others) < _FEWEST:
        return Splitter()
    x = np.stack([*rows, *others])
    y = np.r_[np.ones(len(rows)), np.zeros(len(others))]
    apart = x[:, 0] > 0  # parts of one agent are one request, whatever else they look like
    mean, spread = x.mean(0), x.std(0) + 1e-6
    z = np.c_[(x - mean) / spread, np.ones(len(x))][apart]
    weight = np.where(y > 0, share / len(rows), (1 - share) / len(others))[apart]
    weights = _logistic(z, y[apart], weight / weight.sum())
    gate = _learn_gate(joined, single, missed)
    return Splitter(tuple(weights.tolist()), tuple(mean.tolist()), tuple(spread.tolist()), gate)


def _learn_gate(joined: Seen, single: Seen, missed: float) -> tuple[float, ...]:
    """The cheap look: as few single queries as possible, and all but a few of the joined ones."""
    ours, others = (_gate_features(kind.texts, kind.best) for kind in (joined, single))
    y = np.r_[np.ones(len(ours)), np.zeros(len(others))]
    weights = _logistic(
        np.concatenate((ours, others)), y, np.where(y > 0, 0.5 / y.sum(), 0.5 / (1 - y).sum())
    )
    weights[-1] -= float(np.quantile(ours @ weights, missed))
    return tuple(weights.tolist())


def _logistic(
    x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64], *, ridge: float = 1e-3
) -> NDArray[np.float64]:
    """Weighted logistic regression by Newton's method; the last column is the bias, free of the penalty."""
    theta = np.zeros(x.shape[1])
    pull = np.full(x.shape[1], ridge)
    pull[-1] = 1e-9
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(x @ theta, -30, 30)))
        gradient = x.T @ (weight * (chance - y)) + pull * theta
        curve = (x.T * (weight * np.maximum(chance * (1 - chance), 1e-6))) @ x + np.diag(pull)
        step = np.linalg.solve(curve, gradient)
        length = float(np.abs(step).max())
        theta = theta - step * min(1.0, 5.0 / max(length, 1e-9))
        if length < 1e-8:
            break
    return theta
