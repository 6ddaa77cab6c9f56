"""`Judgements`: what a judge and a gold standard say of the same runs, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError, NotEnoughEvidence
from agentnet.learning.judges import ACCEPT

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

FEWEST_LABELS = 10
"""Gold labels below which nothing is said about a judge."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgements:
    """n judged answers of A agents in G groups; a gold score for some of them.

    Attributes:
        agents: Names of the A agents.
        groups: Names of the G groups whose values are asked for: routers, policies, weeks.
        agent: [n] whose answer it is.
        group: [n] to which group it belongs.
        judge: [n] the judge's score, in [0, 1].
        gold: [n] the gold score, in [0, 1]; NaN where there is none.
        ids: [n] what names each answer; empty where nobody asks.

    >>> table = Judgements.of(agent=["a", "a", "b"], judge=[1, 0, 1], gold=[1, None, 0])
    >>> table.counts().tolist(), table.labelled.tolist()
    ([[[1, 1], [0, 1]]], [True, False, True])
    """

    agents: tuple[str, ...]
    groups: tuple[str, ...]
    agent: Ints
    group: Ints
    judge: Floats
    gold: Floats
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.agent)
        for name in ("group", "judge", "gold"):
            if getattr(self, name).shape != (n,):
                raise DataError(f"{name} has shape {getattr(self, name).shape}; ({n},) is needed.")
        known = self.gold[~np.isnan(self.gold)]
        for name, values in (("judge", self.judge), ("gold", known)):
            if values.size and not ((values >= 0) & (values <= 1)).all():
                raise DataError(f"scores of {name} must lie in [0, 1]: divide them by their maximum first.")

    @classmethod
    def of(
        cls,
        *,
        agent: Sequence[str],
        judge: Sequence[float],
        gold: Sequence[float | None] | None = None,
        group: Sequence[str] | None = None,
        ids: Sequence[str] = (),
    ) -> Judgements:
        """Builds a table from names and scores; gold that is None is not known."""
        agents, at = _coded(agent)
        groups, of_group = _coded(group if group is not None else ["all"] * len(agent))
        known = [np.nan if value is None else value for value in gold] if gold is not None else None
        return cls(
            agents=agents,
            groups=groups,
            agent=at,
            group=of_group,
            judge=np.asarray(judge, np.float64),
            gold=np.full(len(at), np.nan) if known is None else np.asarray(known, np.float64),
            ids=tuple(ids),
        )

    def __len__(self) -> int:
        return len(self.agent)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """[n] where gold is known."""
        return ~np.isnan(self.gold)

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """[n] whether the judge accepts, at the usual threshold."""
        return self.judge >= ACCEPT

    @property
    def right(self) -> NDArray[np.bool_]:
        """[n] whether gold accepts; False where it is not known."""
        return self.gold >= ACCEPT

    def counts(self) -> NDArray[np.intp]:
        """Returns [G, A, 2] judged answers by group, agent and verdict (0 rejected, 1 accepted)."""
        shape = (len(self.groups), len(self.agents), 2)
        flat = (self.group * shape[1] + self.agent) * 2 + self.accepted
        return np.bincount(flat, minlength=shape[0] * shape[1] * 2).reshape(shape)

    def labels(self) -> NDArray[np.intp]:
        """Returns [A, 2, 2] gold labels by agent, verdict and whether gold says right."""
        rows = self.labelled
        flat = (self.agent[rows] * 2 + self.accepted[rows]) * 2 + self.right[rows]
        return np.bincount(flat, minlength=len(self.agents) * 4).reshape(-1, 2, 2)

    def take(self, rows: Any) -> Judgements:
        """Returns some of the rows, by index or mask; names stay."""
        columns = {name: getattr(self, name)[rows] for name in ("agent", "group", "judge", "gold")}
        ids = tuple(np.array(self.ids, object)[rows].tolist()) if self.ids else ()
        return replace(self, **columns, ids=ids)

    def check_labels(self) -> None:
        """Refuses what cannot tell anything about the judge.

        Raises:
            NotEnoughEvidence: too few answers have both a judgement and a gold label.
        """
        found = int(self.labelled.sum())
        if found < FEWEST_LABELS:
            raise NotEnoughEvidence(
                f"{found} of {len(self):,} judged answers have a gold label; at least {FEWEST_LABELS} are "
                "needed, and some 20 an agent say something: `agentnet traces sample-gold` picks which to "
                "label, `agentnet traces score --with labels:FILE` reads them."
            )


def _coded(names: Sequence[str]) -> tuple[tuple[str, ...], Ints]:
    order: dict[str, int] = {}
    codes = [order.setdefault(name, len(order)) for name in names]
    return tuple(order), np.array(codes, np.intp)
