"""Learning from partial feedback: logs in which one agent a task was run and the others are unknown.

A log is no sample of the full matrix: an agent that was only given easy tasks looks good. With the
probability p(a | x) of each choice (its propensity) the bias is taken out, in one of two ways that need
nothing of the router:

* ``weighted``: a score counts min(1 / p, cap)^power, so that rare choices stand for the tasks on which the
  agent was not run (Horvitz and Thompson 1952; capped as in Ionides 2008), with each agent's weights scaled
  to the number of scores that they are worth (Kish 1965).
* ``doubly_robust``: every score is replaced by q(x, a) + 1[a ran] min(1 / p, cap) (r - q(x, a)), held to
  [0, 1], with q a mixed-effects model fitted without the score itself (Dudik, Langford and Li 2011).

Full matrices are left as they are. A log without propensities cannot be corrected and is learned from as
observed; the fit's report says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.outcomes.table import Outcomes

if TYPE_CHECKING:
    from agentnet.routers.base import Router

FeedbackMode = Literal["auto", "observed", "weighted", "doubly_robust"]
"""How a router learns from partial feedback; ``auto`` takes the router's own way."""
Floats = NDArray[np.float64]
CAP = 20.0
"""Most that a score counts for under weighting: 1 / p of choices rarer than 5% is cut off there."""
_FEWEST = 0.5
"""Least share of scores with a known propensity for which correcting is tried."""


def is_partial(outcomes: Outcomes) -> bool:
    """Returns whether agents that have outcomes lack them on some rows, as in a log.

    >>> from agentnet.outcomes.table import Queries
    >>> from agentnet import Agent, Pool
    >>> one = Queries(query_id=np.array(["1"]), text=("hi",), split=np.array(["train"]))
    >>> pool = Pool([Agent(name="a")])
    >>> is_partial(Outcomes(queries=one, pool=pool, score=np.ones((1, 1), np.float32), cost=np.ones((1, 1))))
    False
    """
    seen = outcomes.observed
    return outcomes.kind != "label" and not bool(seen[:, seen.any(0)].all())


def known_propensity(outcomes: Outcomes) -> NDArray[np.bool_]:
    """Returns [n, A] scores whose propensity is known."""
    return outcomes.observed & (outcomes.propensity > 0)


def inverse_weights(outcomes: Outcomes, *, power: float = 1.0, cap: float = CAP) -> Floats:
    """Returns [n, A] what a score counts for its rarity alone; 1 on average, and where nothing is known.

    Args:
        outcomes: A log.
        power: 1 is the full correction; less trades what is left of the bias for less variance.
        cap: Most that 1 / p may be.

    >>> from agentnet.outcomes.table import Queries
    >>> from agentnet import Agent, Pool
    >>> two = Queries(query_id=np.array(["1", "2"]), text=("x", "y"), split=np.array(["train"] * 2))
    >>> log = Outcomes(queries=two, pool=Pool([Agent(name="a")]), score=np.ones((2, 1), np.float32),
    ...                cost=np.ones((2, 1)), propensity=np.array([[0.75], [0.25]], np.float32))
    >>> inverse_weights(log).tolist()
    [[0.5], [1.5]]
    """
    known = known_propensity(outcomes)
    chance = np.where(known, outcomes.propensity, 1.0).astype(np.float64)
    factor = np.minimum(1 / chance, cap) ** power
    mean = factor[known].mean() if known.any() else 1.0
    weights: Floats = np.where(known, factor / mean, 1.0)
    return weights


def weigh(outcomes: Outcomes, *, power: float = 1.0, cap: float = CAP) -> Outcomes:
    """Returns a log with weights by inverse propensity; see the module and `inverse_weights`.

    An agent's weights add up to the effective number of its scores, so that routers that draw an agent with
    few outcomes to a prior see how little stands behind uneven weights.
    """
    weight = np.nan_to_num(outcomes.weight, nan=1.0).astype(np.float64)
    factor = np.where(outcomes.observed, inverse_weights(outcomes, power=power, cap=cap), 0.0)
    total = factor.sum(0)
    squares = (factor**2).sum(0)
    # Kish: (sum w)^2 / sum w^2 scores' worth, spread over the scores in proportion to w.
    scale = np.divide(total, squares, out=np.ones_like(total), where=squares > 0)
    weighted = np.where(outcomes.observed, weight * factor * scale, outcomes.weight)
    return replace(outcomes, weight=weighted.astype(np.float32), propensity=_unknown(outcomes))


def doubly_robust(outcomes: Outcomes, model: Floats, *, cap: float = CAP) -> Outcomes:
    """Returns a full matrix of doubly robust targets.

    Args:
        outcomes: A log.
        model: [n, A] predictions, of known scores made without them.
        cap: Most that 1 / p may be; a score of unknown propensity stands as it is.

    >>> from agentnet.outcomes.table import Queries
    >>> from agentnet import Agent, Pool
    >>> one = Queries(query_id=np.array(["1"]), text=("hi",), split=np.array(["train"]))
    >>> log = Outcomes(queries=one, pool=Pool([Agent(name="a"), Agent(name="b")]), cost=np.ones((1, 2)),
    ...                score=np.array([[0.75, np.nan]], np.float32),
    ...                propensity=np.array([[0.5, np.nan]], np.float32))
    >>> doubly_robust(log, np.array([[0.625, 0.25]])).score.tolist()
    [[0.875, nan]]
    """
    seen, known = outcomes.observed, known_propensity(outcomes)
    score = np.where(seen, outcomes.score, 0.0).astype(np.float64)
    factor = np.where(known, np.minimum(1 / np.where(known, outcomes.propensity, 1.0), cap), 1.0)
    target = np.clip(model, 0, 1)
    target = np.clip(np.where(seen, target + factor * (score - target), target), 0, 1)
    # An agent without any outcome stays unknown: a guess of the model is no evidence of it.
    target[:, ~seen.any(0)] = np.nan
    return replace(
        outcomes,
        score=target.astype(np.float32),
        weight=np.ones_like(outcomes.weight),
        propensity=_unknown(outcomes),
    )


def prepare(
    router: Router, outcomes: Outcomes, *, feedback: FeedbackMode, seed: int
) -> tuple[Outcomes, tuple[str, ...]]:
    """Returns the outcomes as a router should learn from them, and notes for the fit's report.

    Args:
        router: Whose fit it is: its encoder serves the model of doubly robust targets.
        outcomes: Rows that may be learned from.
        feedback: How partial feedback is used.
        seed: Of that model.

    Raises:
        InvalidInput: there is no such mode.
    """
    if feedback not in get_args(FeedbackMode):
        raise InvalidInput(f"feedback is one of {', '.join(get_args(FeedbackMode))}; got {feedback!r}.")
    if not len(outcomes) or not is_partial(outcomes):
        return outcomes, ()
    if feedback == "observed":
        return replace(outcomes, propensity=_unknown(outcomes)), ("partial feedback: as observed, as asked",)
    seen = int(outcomes.observed.sum())
    known = int(known_propensity(outcomes).sum())
    if known < _FEWEST * seen or not known:
        note = f"partial feedback: as observed, {seen - known} of {seen} scores have no propensity"
        return replace(outcomes, propensity=_unknown(outcomes)), (note,)
    if bool((outcomes.propensity[known_propensity(outcomes)] >= 1 - 1e-6).all()):
        note = "partial feedback: as observed, every choice was certain: there is nothing to correct by"
        return replace(outcomes, propensity=_unknown(outcomes)), (note,)
    mode = router.partial_feedback if feedback == "auto" else feedback
    notes = [f"partial feedback: {mode.replace('_', ' ')}, {known} of {seen} scores with propensities"]
    rare = int((known_propensity(outcomes) & (outcomes.propensity < 1 / CAP)).sum())
    if rare and mode != "observed":
        notes.append(f"{rare} scores of propensity below {1 / CAP:g} count as if it were {1 / CAP:g}")
    if mode == "observed":
        return outcomes, tuple(notes)
    if mode == "doubly_robust":
        return doubly_robust(outcomes, _model(router, outcomes, seed)), tuple(notes)
    if router.uses_propensities:
        return outcomes, tuple(notes)
    return weigh(outcomes, power=router.weighting_power), tuple(notes)


def _model(router: Router, outcomes: Outcomes, seed: int) -> Floats:
    """[n, A] left-out predictions of the mixed-effects model, over the router's encoder where it has one."""
    from agentnet.outcomes.encoders import make_encoder
    from agentnet.routers.council.views import Viewer
    from agentnet.routers.encoding import Encodes
    from agentnet.routers.feedback.fitting import fit_model

    encoder = router._made_encoder() if isinstance(router, Encodes) else make_encoder("hash:512")
    vectors = Viewer(encoder, entities=False).encode(outcomes.tasks())
    return fit_model(outcomes, vectors, seed=seed).left_out


def _unknown(outcomes: Outcomes) -> NDArray[np.float32]:
    return np.full(outcomes.score.shape, np.nan, np.float32)
