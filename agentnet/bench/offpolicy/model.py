"""Reward models for the direct and doubly robust estimators, cross-fitted over the queries of a log.

Every query is predicted by a model that saw none of its decisions: else a model that has learned the log's
noise by heart would make the doubly robust correction vanish (Chernozhukov et al. 2018, cross-fitting).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError

if TYPE_CHECKING:
    from agentnet.outcomes.table import Queries

Floats = NDArray[np.float64]
FOLDS = 5
DIMENSIONS = 24
"""Directions of the queries' encodings that a model on a log is fitted on."""
_SHARED = 100.0
"""Decisions' worth of pull of the slopes all plans share towards 0."""
_OWN = 100.0
"""Decisions' worth of pull of a plan's own slopes towards the shared ones."""
_INTERCEPT = 5.0
"""Decisions' worth of pull of a plan's own mean towards that of all plans."""
_OFFSET = 0.05
"""How far off a given model is expected to be on average over plans, in standard deviations of the value."""
_SPREAD = 0.025
"""How far off from plan to plan, likewise; worth `_DOUBT` plans against what the log shows."""
_DOUBT = 3


def deal_folds(m: int, seed: int, folds: int = FOLDS) -> NDArray[np.intp]:
    """Returns [m] the fold of every query, dealt at random into equal parts.

    >>> sorted(np.bincount(deal_folds(10, seed=0)).tolist())
    [2, 2, 2, 2, 2]
    """
    dealt: NDArray[np.intp] = np.random.default_rng([seed, 3]).permutation(m) % folds
    return dealt


def reduce_vectors(vectors: NDArray[np.floating], most: int = DIMENSIONS) -> Floats:
    """Returns the principal directions of encodings, scaled to mean square 1; no score is looked at.

    Args:
        vectors: [m, d] encodings; with d <= ``most`` they are only centred and scaled.
        most: Directions that are kept.

    >>> reduce_vectors(np.eye(40), 5).shape
    (40, 5)
    """
    centred = np.asarray(vectors, np.float64)
    centred = centred - centred.mean(0) if len(centred) else centred
    if centred.shape[1] > most:
        directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :most]
        centred = centred @ directions
    scale = float(np.sqrt((centred**2).mean())) if centred.size else 0.0
    return centred / scale if scale > 0 else centred


def encode_queries(queries: Queries, encoder: str = "hash:256") -> Floats:
    """Returns [m, DIMENSIONS] reduced encodings of the queries' texts, for ``vectors`` of an evaluation.

    Args:
        queries: The log's.
        encoder: Name of a text encoder; ``"hash:DIM"`` needs no model.
    """
    from agentnet.outcomes.encoders import make_encoder, task_text

    texts = [task_text(task) for task in queries.tasks()]
    return reduce_vectors(make_encoder(encoder).encode(texts))


def cross_fit_rewards(
    features: Floats,
    query: NDArray[np.intp],
    plan: NDArray[np.intp],
    value: Floats,
    plans: int,
    *,
    trust: Floats | None = None,
    fold: NDArray[np.intp] | None = None,
    seed: int = 0,
) -> Floats:
    """Returns [m, K] what each plan is expected to bring on each query, learned from the log itself.

    Ridge regressions of the value on the features, a line a plan, drawn to the line all plans share: plans
    that the log seldom chose borrow from the others. Predictions are kept within the values that occur.

    Args:
        features: [m, d] of the queries, as `reduce_vectors` makes them; d may be 0.
        query: [n] the query of each decision.
        plan: [n] the plan that was chosen.
        value: [n] what came of it.
        plans: K.
        trust: [n] how much a decision counts; None is 1.
        fold: [m] of each query; None deals `FOLDS`.
        seed: Of the deal.
    """
    m = len(features)
    fold = deal_folds(m, seed) if fold is None else fold
    count = int(fold.max()) + 1 if m else 1
    if not len(value):
        return np.full((m, plans), np.nan)
    centre = float(value.mean())
    line = np.concatenate([np.ones((m, 1)), features], axis=1)
    d = line.shape[1]
    gram = np.zeros((count * plans, d, d))
    cross = np.zeros((count * plans, d))
    cell = fold[query] * plans + plan
    order = np.argsort(cell, kind="stable")
    rows, target = line[query[order]], value[order] - centre
    heavy = rows if trust is None else rows * trust[order][:, None]
    size = np.bincount(cell, minlength=count * plans)
    stop = np.cumsum(size)
    for k in np.flatnonzero(size):
        part = slice(stop[k] - size[k], stop[k])
        gram[k] = heavy[part].T @ rows[part]
        cross[k] = heavy[part].T @ target[part]
    grams, crosses = gram.reshape(count, plans, d, d), cross.reshape(count, plans, d)
    grams, crosses = grams.sum(0) - grams, crosses.sum(0) - crosses
    pull = np.full(d, _SHARED)
    pull[0] = 1e-6
    shared = np.linalg.solve(grams.sum(1) + np.diag(pull), crosses.sum(1)[..., None])[..., 0]
    pull = np.full(d, _OWN)
    pull[0] = _INTERCEPT
    own = np.linalg.solve(grams + np.diag(pull), (crosses + pull * shared[:, None])[..., None])[..., 0]
    found = np.empty((m, plans))
    for part_of in range(count):
        found[fold == part_of] = line[fold == part_of] @ own[part_of].T
    return np.clip(found + centre, value.min(), value.max())


def recalibrate(
    given: Floats,
    query: NDArray[np.intp],
    plan: NDArray[np.intp],
    value: Floats,
    *,
    fold: NDArray[np.intp] | None = None,
    seed: int = 0,
) -> Floats:
    """Returns [m, K] a given model plus, a plan, what the log says it is off; cross-fitted.

    A plan's offset is drawn to that of all plans, and this one to 0, as far as the log's own spread of
    offsets between plans asks for (random effects, DerSimonian and Laird 1986; empirical Bayes, Morris
    1983). A plan that the log never chose takes the offset of all.

    Args:
        given: [m, K] predictions of a model fitted on other queries.
        query: [n] the query of each decision.
        plan: [n] the plan that was chosen.
        value: [n] what came of it.
        fold: [m] of each query; None deals `FOLDS`.
        seed: Of the deal.

    Raises:
        DataError: ``given`` has no number for a plan that was chosen.
    """
    m, plans = given.shape
    residual = value - given[query, plan]
    if np.isnan(residual).any():
        raise DataError("the reward model has no prediction for a plan that the log chose: fill its NaN.")
    if not len(value):
        return given.copy()
    fold = deal_folds(m, seed) if fold is None else fold
    count = int(fold.max()) + 1
    cell = fold[query] * plans + plan

    def others(values: Floats | None) -> Floats:
        """[F, K] sums over all folds but one."""
        total = np.bincount(cell, values, count * plans).reshape(count, plans)
        left: Floats = (total.sum(0) - total).astype(np.float64)
        return left

    size, total, squares = others(None), others(residual), others(residual**2)
    offset = _offsets(size, total, squares, float(value.var()))
    low, high = min(value.min(), np.nanmin(given)), max(value.max(), np.nanmax(given))
    return np.clip(given + offset[fold], low, high)


def _offsets(size: Floats, total: Floats, squares: Floats, variance: float) -> Floats:
    """[F, K] empirical Bayes means of residuals, from counts, sums and sums of squares a fold and plan."""
    seen = size > 0
    rows = size.sum(1, keepdims=True)
    known = seen.sum(1, keepdims=True)
    mean = total / np.maximum(size, 1)
    inner = (squares - total * mean).sum(1, keepdims=True) / np.maximum(rows - known, 1)
    noise = np.maximum(inner, 1e-12) / np.maximum(size, 1e-9)
    weight = np.where(seen, 1 / noise, 0.0)
    weights = np.maximum(weight.sum(1, keepdims=True), 1e-12)
    centre = (weight * mean).sum(1, keepdims=True) / weights
    spread = (weight * (mean - centre) ** 2).sum(1, keepdims=True) - (known - 1)
    scale = weights - (weight**2).sum(1, keepdims=True) / weights
    between = np.where(scale > 0, np.maximum(spread, 0) / np.maximum(scale, 1e-12), 0.0)
    between = (between * known + _DOUBT * _SPREAD**2 * variance) / (known + _DOUBT)
    joint = np.where(seen, 1 / (between + noise), 0.0)
    pull = 1 / max(_OFFSET**2 * variance, 1e-12)
    centre = (joint * mean).sum(1, keepdims=True) / (joint.sum(1, keepdims=True) + pull)
    share = np.where(seen, between / (between + noise), 0.0)
    offset: Floats = centre + share * (mean - centre)
    return offset
