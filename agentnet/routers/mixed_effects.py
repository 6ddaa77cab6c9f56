"""`mixed_effects`: effects all agents share and effects of each agent's own; made for logs of one choice.

Most of what a log tells of a task it tells of all agents: how hard it is. What is an agent's own is drawn to
zero until its own outcomes ask for it: agents that rarely ran are neither praised nor blamed for luck.
Propensities weigh the scores, and what the logging router chose is a regressor (`agentnet.routers.feedback`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport
from agentnet.routers.council.views import Viewer
from agentnet.routers.decision import Evidence, Floats
from agentnet.routers.encoded import EncodedRouter, Stranger
from agentnet.routers.encoding import Vectors
from agentnet.routers.feedback.fitting import Model, fit_model
from agentnet.routers.settings import check_at_least
from agentnet.routers.single import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectsEvidence(Evidence):
    """From what the chosen agent's expected score is added up."""

    agent: str | None
    """The chosen agent; None when the router abstained."""
    parts: Mapping[str, float] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Returns the evidence for a person, a line each."""
        who = self.agent or "the best agent (abstained)"
        words = [f"  {value:+.3f} {name}" for name, value in self.parts.items()]
        return [f"expected score of {who}:", *words]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _View:
    """What is needed to predict for one pool."""

    model: Model
    cost: NDArray[np.float64]


class MixedEffectsRouter(EncodedRouter[_View]):
    """Predicts by a linear mixed-effects model on likenesses to typical tasks; see `Effects`.

    Args:
        encoder: Name of the text encoder; the form of a question is looked at beside its text.
        pull: Outcomes that the prior of an agent's own effects counts for; None takes 4 for a log, and for a
            full matrix what chooses best for rows left out.

    >>> from agentnet.routers.registry import make_router
    >>> make_router("mixed_effects", encoder="hash:64").settings
    {'encoder': 'hash:64', 'pull': None}
    """

    name = "mixed_effects"
    partial_feedback = "weighted"
    uses_propensities = True
    _model: Model

    def __init__(self, *, encoder: str = "minilm", pull: float | None = None) -> None:
        super().__init__(encoder=encoder)
        check_at_least(pull=(pull, 0.01))
        self.pull = pull
        self._viewer_made: Viewer | None = None

    # -- views ---------------------------------------------------------------------------------
    @property
    def _viewer(self) -> Viewer:
        encoder, made = self._made_encoder(), self._viewer_made
        if made is None or made.text is not encoder:
            made = self._viewer_made = Viewer(encoder, entities=False)
        return made

    def _encode(self, tasks: Sequence[Task], vectors: Vectors | None) -> Vectors:
        if vectors is None:
            return self._viewer.encode(tasks)
        if vectors.shape != (len(tasks), self._viewer.layout.width):
            raise InvalidInput(
                f"vectors must be [{len(tasks)}, {self._viewer.layout.width}], as `encode` gives them; got "
                f"shape {vectors.shape}."
            )
        return np.asarray(vectors, np.float32)

    def _similarity(self, vectors: Vectors, agent: Agent) -> Vectors:
        return super()._similarity(self._viewer.layout.parts(vectors)[0], agent)

    def _guess(self, stranger: Stranger, vectors: Vectors) -> Floats:
        return super()._guess(stranger, self._viewer.layout.parts(vectors)[0])

    # -- learning ------------------------------------------------------------------------------
    def _learn_vectors(
        self, outcomes: Outcomes, vectors: Vectors, *, seed: int
    ) -> tuple[FitReport, NDArray[np.intp], Floats]:
        fitted = fit_model(outcomes, vectors, seed=seed, pulls=None if self.pull is None else (self.pull,))
        self._model = fitted.model
        split = outcomes.queries.split
        notes = ("pull chosen by leaving one score out, over train and val",)
        report = FitReport(
            router=self.name,
            n_train=int((split == "train").sum()),
            n_val=int((split == "val").sum()),
            seconds=0,
            chosen=fitted.search.choose(),
            tried=fitted.search.table(),
            notes=notes if len(fitted.search.trials) > 1 else (),
        )
        return report, np.arange(len(outcomes)), np.clip(fitted.left_out, 0.0, 1.0)

    def with_probes(self, probes: Outcomes) -> Self:
        """Returns this router with the probes among its agents' outcomes; shared effects stay."""
        from agentnet.routers.persist import fingerprint

        self._check_fitted()
        other = self._copy()
        other.stats = self.stats.add(probes)
        where = {name: i for i, name in enumerate(self.stats.names)}
        names = other.stats.names
        grown = self._model.columns(np.array([where.get(name, -1) for name in names], np.intp))
        probed = probes.for_pool(Pool([_agent(probes.pool, name) for name in names]))
        weight = np.nan_to_num(probed.weight, nan=1.0).astype(np.float64)
        design = grown.design(self._encode(probes.tasks(), None))
        other._model = replace(
            grown, effects=grown.effects.add(design, probed.score.astype(np.float64), weight)
        )
        other.version = fingerprint(other)
        return other

    # -- predicting ----------------------------------------------------------------------------
    def _view(self, pool: Pool) -> _View:
        return _View(model=self._model.columns(self.stats.columns(pool)), cost=self.stats.cost(pool))

    def _knows(self, pool: Pool) -> NDArray[np.bool_]:
        return self.stats.known(pool)

    def _predict_known(self, view: _View, vectors: Vectors) -> tuple[Floats, Floats]:
        return np.clip(view.model.predict(vectors), 0.0, 1.0), view.cost

    def _explain(self, choice: Choice) -> Evidence:
        vector = choice.vector if choice.vector is not None else self._encode([choice.task], None)[0]
        view, _ = self._prepared(choice.pool)
        column = int(np.argmax(choice.raw)) if choice.agent is None else choice.agent
        design, effects = view.model.design(vector[None]), view.model.effects
        own = effects.own[column]
        parts = {
            "tasks like this, any agent": float(design.common[0] @ effects.shared[:-1]),
            "the agent on all tasks": float(own[0]),
            "the agent on tasks like this": float(design.own[0, 1:] @ own[1:]),
        }
        if view.model.habit is not None:
            parts["chosen here by the logging router"] = float(design.habit[0, column] * effects.shared[-1])
        return EffectsEvidence(
            agent=None if choice.agent is None else choice.pool.names[choice.agent],
            parts={name: round(value, 4) for name, value in parts.items()},
        )

    # -- disk ----------------------------------------------------------------------------------
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._state()
        return state, arrays | self._model.state()

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(config, arrays)
        self._model = Model.restore(arrays)


def _agent(pool: Pool, name: str) -> Agent:
    """The pool's agent of this name, or one that only has the name."""
    return pool.agents[pool.index(name)] if name in pool else Agent(name=name)
