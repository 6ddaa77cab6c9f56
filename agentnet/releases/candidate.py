"""Trains a candidate from the part of a log that may be learned from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.outcomes.choices import ChoiceLog
from agentnet.outcomes.encoders import Encoder
from agentnet.outcomes.table import Outcomes
from agentnet.releases.priors import WEIGHT, with_prior
from agentnet.routers.agent_calibration import recalibrate
from agentnet.routers.base import FitReport, Router
from agentnet.routers.registry import make_router

HELD_OUT = ("test",)
"""Splits that no version ever learns from, so that all versions can be judged on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A router just trained."""

    router: Router
    report: FitReport | None
    """None: it was there already."""
    data: str
    """Fingerprint of the log it was trained on."""
    seconds: float = 0.0


def parts(log: ChoiceLog) -> tuple[ChoiceLog, ChoiceLog]:
    """Divides a log: what may be learned from, and what is held out; a question is never on both sides."""
    held = np.isin(log.queries.split, HELD_OUT)
    return log.of_queries(~held), log.of_queries(held)


def train_candidate(
    log: ChoiceLog,
    pool: Pool,
    *,
    router: str,
    settings: Mapping[str, Any] | None = None,
    encoder: Callable[[Router], Encoder | None] = lambda router: None,
    prior: Outcomes | None = None,
    prior_weight: float = WEIGHT,
    seed: int = 0,
    device: str = "auto",
) -> Candidate:
    """Fits a router on logged choices, by their propensities where they are known.

    Args:
        log: Decisions to learn from.
        pool: The agents that the router will choose from; what is logged of others is left out.
        router: Name of its kind.
        settings: Its settings.
        encoder: Returns the encoder it is to use, for example one with a cache; None its own.
        prior: What is known of the agents from elsewhere, see `agentnet.releases.priors`.
        prior_weight: How many decisions of an agent it counts for.
        seed: Makes it deterministic.
        device: Where to compute.

    Raises:
        DataError: no decision for an agent of the pool was judged.
    """
    start = time.perf_counter()
    outcomes = log.to_outcomes().for_pool(pool)
    seen = np.asarray(outcomes.observed.any(1))
    if not seen.any():
        raise DataError(
            "there is nothing to learn from: no judged decision for one agent of the pool; score the runs "
            "with `agentnet traces score`."
        )
    made = make_router(router, **dict(settings or {}))
    if (own := encoder(made)) is not None:
        made.use_encoder(own)
    given = with_prior(outcomes.take(seen), prior, prior_weight)
    report = made.fit(given, pool, seed=seed, device=device)
    data = log.fingerprint if prior is None else f"{log.fingerprint}+{prior.fingerprint}x{prior_weight:g}"
    return Candidate(router=made, report=report, data=data, seconds=time.perf_counter() - start)


def recalibrated(candidate: Candidate, held: ChoiceLog, pool: Pool) -> tuple[Candidate, ChoiceLog]:
    """Returns a candidate with curves by agent and slice, and the held-out decisions left to judge it.

    Every second held-out query, by its id, fits the curves and is not looked at again.

    Raises:
        RouterError: this kind of router has no curves.
        DataError: there are too few decisions.
    """
    ids = [int.from_bytes(blake2b(str(q).encode(), digest_size=1).digest()) for q in held.queries.query_id]
    first = np.array(ids, np.intp) % 2 == 0
    router = recalibrate(candidate.router, held.of_queries(first), pool)
    return replace(candidate, router=router), held.of_queries(~first)
