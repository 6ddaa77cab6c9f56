"""`Router`: the contract of every router.

A router turns a task into a `Decision`: it never calls an agent and never opens a database. It sees a
task's text, context and history and nothing else.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput, NotFitted, RouterError
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.table import Outcomes
from agentnet.routers.decision import Decision, Feedback, Scores

if TYPE_CHECKING:
    from agentnet.outcomes.encoders import Encoder
    from agentnet.routers.gnn.plan import TrainingOptions
    from agentnet.routers.partial import FeedbackMode
    from agentnet.routers.reasoning.model import RouterModel


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptions:
    """Settings of one call of ``route``.

    Attributes:
        cost_weight: The quality-cost dial w in [0, 1]: utility = (1 - w) * score - w * cost / c, with c
            the training data's dearest mean agent cost. 0 is quality only, 1 is cost only.
        abstain_below: Abstain when the best calibrated score is below this. None takes the threshold
            the router learned from training rows out of scope, if there were any; 0 never abstains.
        rng: Source of randomness for sampling routers; None makes them use their own seed.
    """

    cost_weight: float = 0.0
    abstain_below: float | None = None
    rng: np.random.Generator | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.cost_weight <= 1:
            raise InvalidInput(f"cost_weight is a number from 0 to 1; got {self.cost_weight!r}.")
        if self.abstain_below is not None and not 0 <= self.abstain_below <= 1:
            raise InvalidInput(f"abstain_below is a number from 0 to 1; got {self.abstain_below!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """What a fit did: the choice made on validation, and what it was chosen from."""

    router: str
    n_train: int
    n_val: int
    seconds: float
    chosen: Mapping[str, Any] = field(default_factory=dict)
    """Hyper-parameters chosen."""
    tried: tuple[Mapping[str, Any], ...] = ()
    """Every setting tried with its validation score."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a router was trained on; kept with it for reports and for comparing with the best single agent."""

    pool: Pool
    mean_score: Mapping[str, float]
    """Mean observed score by agent; agents without a score are left out."""
    n: int
    """Queries."""
    data: str
    """Fingerprint of the outcomes."""

    @classmethod
    def of(cls, outcomes: Outcomes, pool: Pool) -> Training:
        """Reads the facts from the outcomes given to ``fit``."""
        means = zip(outcomes.agents, outcomes.mean_score.tolist(), strict=True)
        known = {name: mean for name, mean in means if mean == mean}  # noqa: PLR0124 - NaN is not itself
        return cls(pool=pool, mean_score=known, n=len(outcomes), data=outcomes.fingerprint)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; the inverse of `from_dict`."""
        return {
            "pool": self.pool.to_list(),
            "mean_score": dict(self.mean_score),
            "n": self.n,
            "data": self.data,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Training:
        """Builds the facts from JSON values."""
        means = {str(name): float(mean) for name, mean in data["mean_score"].items()}
        return cls(
            pool=Pool.from_list(data["pool"]), mean_score=means, n=int(data["n"]), data=str(data["data"])
        )


class Router(ABC):
    """Base of all routers.

    Subclasses give ``name``, `_fit`, `score_batch`, `_decide`, `_state` and `_restore`; the base does
    timing, options and the folder on disk (``config.json`` and ``arrays.safetensors``, no pickle).
    Constructor arguments are the router's settings: keyword only, typed with plain JSON types, and kept
    as attributes of the same names, so that they can be parsed, saved and restored (see `settings`).
    """

    name: ClassVar[str]
    """Name on the command line and in traces."""
    needs_fit: ClassVar[bool] = True
    """False for routers that can serve before there is any outcome."""
    recipes: ClassVar[tuple[str, ...]] = ()
    """Values of the setting ``recipe``, where there are several."""
    partial_feedback: ClassVar[FeedbackMode] = "observed"
    """What ``feedback="auto"`` means in `fit`; see `agentnet.routers.partial`."""
    weighting_power: ClassVar[float] = 0.5
    """Exponent of the inverse propensity in `fit` with weights; 1 for routers that look at no task."""
    uses_propensities: ClassVar[bool] = False
    """Whether it takes propensities into account by itself, so that `fit` leaves the weights alone."""

    def __init__(self) -> None:
        self.options = RouteOptions()
        """Defaults for ``route``; change them with `with_options`."""
        self.version = "unfitted"
        """Content hash of the fitted state."""
        self.training: Training | None = None
        """What it was trained on; None before `fit`."""

    @property
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments by name, as JSON values."""
        from agentnet.routers.settings import setting_types

        return {name: getattr(self, name) for name in setting_types(type(self))}

    def use_encoder(self, encoder: Encoder) -> None:  # noqa: B027 - optional, not abstract
        """Takes this encoder, for example one shared by several routers; ignored by those that need none."""

    def use_model(self, model: RouterModel) -> None:  # noqa: B027 - optional, not abstract
        """Takes a language model to ask; ignored by those that ask none."""

    def use_training(self, options: TrainingOptions) -> None:  # noqa: B027 - optional, not abstract
        """Takes progress, log and checkpoint for the next `fit`; ignored by those that train no network."""

    # -- learning ------------------------------------------------------------------------------
    def fit(
        self,
        outcomes: Outcomes,
        pool: Pool,
        *,
        seed: int = 0,
        device: str = "auto",
        feedback: FeedbackMode = "auto",
    ) -> FitReport:
        """Learns from outcomes; all selection happens inside ``train`` and ``val``.

        Args:
            outcomes: Rows of split ``train`` and ``val``; rows of split ``test`` are taken out first.
            pool: The agents, with descriptions and prices.
            seed: Makes the fit deterministic.
            device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
            feedback: How logs in which not every agent ran are learned from: ``"observed"`` ignores
                propensities, ``"weighted"`` and ``"doubly_robust"`` use them, ``"auto"`` is the router's own
                way (`partial_feedback`). Full matrices are the same under all; see
                `agentnet.routers.partial`.
        """
        from agentnet.routers.partial import prepare
        from agentnet.routers.persist import fingerprint

        start = time.perf_counter()
        seen = self._visible(outcomes)
        given, notes = prepare(self, seen, feedback=feedback, seed=seed)
        report = self._fit(given, pool, seed=seed, device=device)
        self.training = Training.of(seen, pool)
        self.version = fingerprint(self)
        return replace(report, seconds=time.perf_counter() - start, notes=(*report.notes, *notes))

    def _visible(self, outcomes: Outcomes) -> Outcomes:
        """Returns the rows that may be learned from: all but the split ``test``."""
        return outcomes.without_split("test")

    @abstractmethod
    def _fit(self, outcomes: Outcomes, pool: Pool, *, seed: int, device: str) -> FitReport:
        """Learns; called by `fit`."""

    def observe(self, feedback: Feedback) -> None:  # noqa: B027 - optional, not abstract
        """Learns from one served task; routers that do not learn online ignore it."""

    def with_probes(self, probes: Outcomes) -> Self:
        """Returns this router knowing further outcomes of the pool's agents, without retraining.

        Probes are outcomes on other queries, typically of agents that were not there in training.

        Raises:
            RouterError: this router cannot use probes.
        """
        raise RouterError(f"the router {self.name!r} takes no probes; leave them out.")

    @property
    def training_pool(self) -> Pool:
        """The agents it was trained on; raises NotFitted before `fit`."""
        self._check_fitted()
        assert self.training is not None
        return self.training.pool

    # -- deciding ------------------------------------------------------------------------------
    def encode(self, tasks: Sequence[Task]) -> NDArray[np.float32] | None:
        """Returns the tasks' encodings, [n, d], as ``vectors`` takes them; None if it encodes nothing."""
        return self._encode(tasks, None)

    @abstractmethod
    def score_batch(
        self, tasks: Sequence[Task], pool: Pool, *, vectors: NDArray[np.float32] | None = None
    ) -> Scores:
        """Predicts score and cost of every agent of the pool; arrays only.

        Args:
            tasks: n tasks.
            pool: A agents; ones never seen in training are allowed.
            vectors: [n, d] the tasks' encodings, where the caller has them already.
        """

    @abstractmethod
    def _decide(
        self,
        tasks: Sequence[Task],
        pool: Pool,
        scores: Scores,
        options: RouteOptions,
        *,
        live: LiveState | None,
        seen: PartialRun | None,
        vectors: NDArray[np.float32] | None,
    ) -> list[Decision]:
        """Makes a decision for each task from the scores; called by `route_batch`.

        Args:
            tasks: n tasks.
            pool: A agents.
            scores: What `score_batch` returned for them.
            options: Settings of this call.
            live: As in `route`.
            seen: As in `route`.
            vectors: [n, d] the encodings behind ``scores``; None for routers that encode nothing.
        """

    def _encode(
        self, tasks: Sequence[Task], vectors: NDArray[np.float32] | None
    ) -> NDArray[np.float32] | None:
        """Returns the tasks' encodings: ``vectors`` where given; routers with an encoder make them."""
        return vectors

    def chances(
        self, tasks: Sequence[Task], pool: Pool, scores: Scores, options: RouteOptions
    ) -> NDArray[np.float64] | None:
        """Returns [n, A] the probability with which each agent alone is chosen; None where nothing is drawn.

        For routers that draw their choice: with it they can be judged on the logs of another router
        (`agentnet.routers.policy.policy_of`).
        """
        return None

    def route(
        self,
        task: Task | str,
        pool: Pool,
        *,
        live: LiveState | None = None,
        seen: PartialRun | None = None,
        options: RouteOptions | None = None,
    ) -> Decision:
        """Decides for one task.

        Args:
            task: The task or its text.
            pool: The agents to choose from.
            live: Load, health and warmth of the backends.
            seen: What a growing graph has produced so far; None at the start.
            options: Overrides this router's `options`.
        """
        return self.route_batch([Task.of(task)], pool, live=live, seen=seen, options=options)[0]

    @property
    def asks_model(self) -> bool:
        """Whether deciding may ask a language model; the runtime then awaits `aroute`."""
        return False

    async def aroute(
        self,
        task: Task | str,
        pool: Pool,
        *,
        live: LiveState | None = None,
        seen: PartialRun | None = None,
        options: RouteOptions | None = None,
        model: RouterModel | None = None,
    ) -> Decision:
        """Does as `route`, awaiting a language model where the router asks one.

        Args:
            task: The task or its text.
            pool: The agents to choose from.
            live: As in `route`.
            seen: As in `route`.
            options: As in `route`.
            model: The model to ask, for example one that keeps a run's limits; None is the router's own.
        """
        return self.route(task, pool, live=live, seen=seen, options=options)

    def route_batch(
        self,
        tasks: Sequence[Task],
        pool: Pool,
        *,
        live: LiveState | None = None,
        seen: PartialRun | None = None,
        options: RouteOptions | None = None,
        vectors: NDArray[np.float32] | None = None,
        scores: Scores | None = None,
    ) -> list[Decision]:
        """Decides for n tasks at once, vectorised; same arguments as `route` and `score_batch`.

        ``scores`` is what `score_batch` gave for these tasks and this pool, where the caller has it: to
        try several settings of the dial without predicting anew.
        """
        if not tasks:
            return []
        start = time.perf_counter()
        vectors = self._encode(tasks, vectors)
        if scores is None:
            scores = self.score_batch(tasks, pool, vectors=vectors)
        decisions = self._decide(
            tasks, pool, scores, options or self.options, live=live, seen=seen, vectors=vectors
        )
        each = (time.perf_counter() - start) / len(tasks)
        for decision in decisions:
            decision.latency_s = each
        return decisions

    def with_options(self, **changes: Any) -> Self:
        """Returns this router with other defaults for `route`; the fitted state is shared."""
        import copy

        other = copy.copy(self)
        other.options = replace(self.options, **changes)
        return other

    # -- disk ----------------------------------------------------------------------------------
    @abstractmethod
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns the fitted state as JSON values and named arrays."""

    @abstractmethod
    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what `_state` returned."""

    def save(self, path: str | Path) -> None:
        """Writes the router to a folder (``config.json``, ``arrays.safetensors``), atomically."""
        from agentnet.routers.persist import save

        save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads a router from a folder.

        Raises:
            RouterLoadError: the folder is missing, incomplete, corrupt, of another router or of a newer
                format.
        """
        from agentnet.routers.persist import load

        router = load(Path(path))
        if not isinstance(router, cls):
            from agentnet.errors import RouterLoadError

            raise RouterLoadError(f"{path} holds a {router.name!r} router, not {cls.name!r}.")
        return router

    def _check_fitted(self) -> None:
        if self.version == "unfitted":
            raise NotFitted(f"fit or load the {self.name!r} router first.")
