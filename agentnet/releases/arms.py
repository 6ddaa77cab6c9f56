"""Logs of a canary: the draw of the arm is exploration too, and makes both arms' choices comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agentnet.errors import AgentnetError, InvalidInput
from agentnet.graphs.pool import Pool
from agentnet.outcomes.choices import ChoiceLog
from agentnet.registry.arms import RELEASE_TAG, Arm
from agentnet.registry.base import Registry
from agentnet.routers.policy import policy_of


def with_arms(
    log: ChoiceLog, tags: Sequence[Mapping[str, Any]], registry: Registry, pool: Pool
) -> tuple[ChoiceLog, tuple[str, ...]]:
    r"""Returns a log whose propensities count the draw between serving version and canary.

    A run that was drawn for the canary with share s has its plan with probability
    :math:`(1 - s) \pi_{old} + s \pi_{new}`; each arm alone may be certain of its choice, and its own
    propensity of 1 would say that nothing else was possible.

    Args:
        log: Decisions.
        tags: [n] the runs' tags.
        registry: Where both versions are.
        pool: The agents they chose from.

    Returns:
        The log, and notes on what could not be mixed and keeps its propensity.
    """
    drawn: dict[tuple[str, str, float], list[int]] = {}
    for row, found in enumerate(tags):
        arm = _arm(found)
        if arm is not None and arm.canary is not None and 0 < arm.share < 1:
            drawn.setdefault((arm.serving, arm.canary, arm.share), []).append(row)
    propensity, notes = log.propensity.copy(), []
    for (serving, canary, share), rows in drawn.items():
        at = np.array(rows)
        queries, which = np.unique(log.query[at], return_inverse=True)
        tasks = log.queries.take(queries).tasks()
        try:
            old, new = (
                policy_of(registry.load(version), tasks, pool).of_plans(log.plans)
                for version in (serving, canary)
            )
        except AgentnetError as failure:
            notes.append(f"canary {canary} beside {serving}: {failure}")
            continue
        mixed = ((1 - share) * old + share * new)[which, log.plan[at]]
        # A plan that neither would choose now was chosen under other circumstances: nobody knows how likely.
        propensity[at] = np.where(mixed > 0, mixed, np.nan)
    return replace(log, propensity=propensity), tuple(notes)


def _arm(tags: Mapping[str, Any]) -> Arm | None:
    found = tags.get(RELEASE_TAG)
    if not isinstance(found, Mapping):
        return None
    try:
        return Arm.from_dict(found)
    except InvalidInput:
        return None
