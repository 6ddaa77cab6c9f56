"""`amro_s`: ants choose a path of agents; pheromones per task type learn from judged answers.

AMRO-S (arXiv 2603.12933): a layered graph of agents, a pheromone specialist per task type, their fusion by
the query's types, a heuristic of ability and load, and updates off the serving path from accepted answers
only. Recipe ``paper`` is a faithful reconstruction from secondary sources; recipe ``agentnet`` is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput, RouterError
from agentnet.graphs.answers import NORMALISERS
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.encoders import task_text
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport, RouteOptions
from agentnet.routers.calibration import Calibration, fit_calibration
from agentnet.routers.colony.bank import Bank, agents_in
from agentnet.routers.colony.evidence import Drawn
from agentnet.routers.colony.heuristic import Moment
from agentnet.routers.colony.paths import Join
from agentnet.routers.colony.pheromones import Colony
from agentnet.routers.colony.recipes import Method, Recipe
from agentnet.routers.colony.serving import Views, uniform
from agentnet.routers.colony.space import PathSpace
from agentnet.routers.decision import Decision, Scores
from agentnet.routers.encoding import Encodes, Vectors
from agentnet.routers.intents.base import OneType, TaskTypes, restore_types
from agentnet.routers.online import OnlineRouter, Served
from agentnet.routers.selection import FALSE_ALARMS, LOW_END, good_enough, pick_threshold
from agentnet.routers.settings import check_at_least, check_choice
from agentnet.routers.single import training_rows
from agentnet.routers.stats import AgentStats

Mode = Literal["sample", "greedy"]


class AmroSRouter(Encodes, OnlineRouter):
    """Draws a path of agents by pheromone and heuristic; learns while serving. See docs/routers/amro_s.md.

    Args:
        recipe: ``"paper"``: a path of exactly ``layers`` agents. ``"agentnet"`` (ours): every layer but the
            first also has a stop, and the next hop is chosen knowing whether the answers so far agree.
        layers: Most agents of a path; None: 3 for ``paper`` (default, not in paper), 4 for ``agentnet``,
            which has at most 4.
        join: ``"vote"``: agents answer independently and the weighted vote stands. ``"chain"``: each sees
            what came before. None takes the recipe's: ``agentnet`` votes, ``paper`` chains.
        mode: ``"sample"`` draws, ``"greedy"`` takes the most probable hop. None: ``paper`` samples,
            ``agentnet`` is greedy once it has been fitted. A colony that is to learn online must sample.
        types: Number of task types to find by clustering; None takes the training data's task labels.
        alpha: Exponent of the pheromone; None: 1 for ``paper`` (default, not in paper), 10 for ``agentnet``.
        beta: Exponent of the heuristic; None: 1 (default, not in paper).
        rho: Evaporation per update (0.05: default, not in paper).
        max_min: Keep pheromones within [0.05, 20] (default, not in paper, and off when reproducing);
            ``agentnet``'s always stay within [0.0001, 1].
        theta: Temperature of ``agentnet``'s warm start, in utility: higher explores more when sampling.
        dial: Setting of the quality-cost dial after `fit`. None: ``agentnet`` takes the cheapest one that,
            cross-validated, scores as much as the best single agent; ``paper`` 0.5, the price of the spec.
        normalise: Name of the normaliser by which answers are compared.
        semantic: What tells task types: ``"head"``, a calibrated head on the encoder's vectors, or the folder
            of a fine-tuned language model (`agentnet.routers.intents.language_model`).
        encoder: Name of the text encoder.
        seed: Seed of drawn paths; None takes the seed of `fit`.

    Without ``options.rng`` a path is drawn by a hash of the seed and the task, so that batches can be
    repeated and resumed; with it every call draws afresh. A path is drawn whole, with the load at that
    moment; the paper draws hop by hop (our choice: one decision, one propensity). It serves without `fit`
    too: one task type, even pheromone.
    """

    name = "amro_s"
    needs_fit = False
    recipes = ("agentnet", "paper")

    def __init__(
        self,
        *,
        recipe: Recipe = "agentnet",
        layers: int | None = None,
        join: Join | None = None,
        mode: Mode | None = None,
        types: int | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        rho: float = 0.05,
        max_min: bool = False,
        theta: float = 0.5,
        dial: float | None = None,
        normalise: str = "default",
        semantic: str = "head",
        encoder: str = "minilm",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        check_choice(recipe=(recipe, self.recipes), mode=(mode, ("sample", "greedy")))
        check_choice(normalise=(normalise, tuple(NORMALISERS)))
        if types is not None and types > 100:
            raise InvalidInput(f"setting 'types' is at most 100; got {types!r}.")
        check_at_least(alpha=(alpha, 0), beta=(beta, 0), theta=(theta, 1e-9), types=(types, 1))
        if dial is not None and not 0 <= dial <= 1:
            raise InvalidInput(f"setting 'dial' is a number from 0 to 1; got {dial!r}.")
        self.recipe, self.layers, self.join, self.mode, self.types = recipe, layers, join, mode, types
        self.alpha, self.beta, self.rho, self.max_min, self.theta = alpha, beta, rho, max_min, theta
        self.dial, self.normalise, self.semantic = dial, normalise, semantic
        self.encoder, self.seed = encoder, seed
        self.method = Method.of(
            recipe, layers=layers, join=join, alpha=alpha, beta=beta, rho=rho, max_min=max_min, dial=dial
        )
        self.stats = AgentStats.empty()
        self.calibration = Calibration()
        self.threshold: float | None = None
        self._types: TaskTypes = OneType()
        self._given: TaskTypes | None = None
        self._set_ability(np.zeros((1, 0)))
        self._scores: tuple[tuple[float, ...], ...] = ()
        self._bank: Bank | None = None
        self._unlearned: Bank | None = None
        self._seed = seed or 0
        self._views = Views(self.method.join, normalise)

    def use_types(self, types: TaskTypes) -> None:
        """Takes task types made elsewhere; a colony that has learned for other types starts anew.

        An unfitted router has one type only: give it types, and it learns online who is good at what.

        Raises:
            RouterError: it was fitted; its task types are part of what it learned.
        """
        if self.training is not None:
            raise RouterError("this router was fitted with task types of its own; give them before `fit`.")
        self._given, self._types, self._bank, self.version = types, types, None, "unfitted"

    # -- learning from outcomes ----------------------------------------------------------------
    def _fit(self, outcomes: Outcomes, pool: Pool, *, seed: int, device: str) -> FitReport:
        from agentnet.routers.colony import fitting

        rows = training_rows(outcomes, pool)
        self.stats = AgentStats.of(rows)
        self._seed = seed if self.seed is None else self.seed
        vectors, group = self._learn_types(rows, seed)
        weights = self._weights(vectors)
        job = fitting.Job(
            outcomes=rows,
            types=group,
            names=self._types.types,
            weights=weights,
            abilities=fitting.Abilities.of(rows, group, len(self._types.types)),
            method=self.method,
            unit_cost=self.stats.unit_cost,
            normalise=self.normalise,
            theta=self.theta,
            seed=seed,
        )
        trained = fitting.train_settled(job) if self.recipe == "agentnet" else fitting.train_walked(job)
        ability = job.abilities.score
        self._scores, self._bank = trained.scores, trained.bank
        self._set_ability(ability)
        self._views = Views(self.method.join, self.normalise)
        self.options = replace(self.options, cost_weight=trained.dial)
        raw = weights @ ability
        self.calibration = fit_calibration(raw, rows.score, seed=seed)
        top = self.calibration.apply(raw).max(1)
        found = pick_threshold(top, rows.out_of_scope, false_alarms=FALSE_ALARMS)
        self.threshold = found[0] if found else None
        n_val = int((rows.queries.split == "val").sum())
        return FitReport(
            router=self.name, n_train=len(rows) - n_val, n_val=n_val, seconds=0.0, chosen=trained.chosen,
            tried=trained.tried, notes=trained.notes,
        )  # fmt: skip

    def _learn_types(self, rows: Outcomes, seed: int) -> tuple[Vectors, NDArray[np.intp]]:
        """Learns task types, or takes the given ones; returns the encodings and the [n] type of each row."""
        from agentnet.routers.colony import fitting

        if self._given is None and self.semantic != "head":
            from agentnet.routers.intents.language_model import LanguageModelTypes

            self._given = LanguageModelTypes.load(self.semantic)
        if self._given is not None:
            self._types = self._given
            vectors = self._encode(rows.tasks(), None)
            return vectors, self._weights(vectors).argmax(1)
        vectors = super()._encode(rows.tasks(), None)
        self._types, group = fitting.learn_types(rows, vectors, self.types, seed=seed)
        return vectors, group

    # -- learning while serving ----------------------------------------------------------------
    @property
    def colony(self) -> Colony:
        """The colony that serves at the present setting of the dial.

        Raises:
            NotFitted: it has neither been fitted nor served a pool.
        """
        if self._bank is None:
            self._check_fitted()
        assert self._bank is not None
        return self._bank.colonies[self._bank.nearest(self.options.cost_weight)]

    @property
    def snapshot_number(self) -> int:
        """Number of updates behind the snapshot that is served."""
        return self._bank.number if self._bank else 0

    def learn(self, batch: Sequence[Served]) -> int:
        """Learns from served tasks; see `OnlineRouter.learn`. Only accepted ones (score >= 0.5) deposit."""
        bank = self._bank
        if bank is None:
            known = agents_in(batch)
            if not known:
                return 0
            bank = self._start(sorted(known))
        bank, used = bank.learned(batch, self.method.rules)
        if used:
            self._take(bank)
        return used

    def snapshot(self) -> bytes:
        """Returns the pheromones of all settings of the dial; see `OnlineRouter.snapshot`."""
        if self._bank is None:
            self._check_fitted()
        assert self._bank is not None
        return self._bank.to_bytes(self._fitted)

    def adopt(self, data: bytes) -> None:
        """Swaps in a snapshot; see `OnlineRouter.adopt`."""
        self._take((self._bank or self._start(["?"])).adopted(data, self._fitted))

    def _take(self, bank: Bank) -> None:
        # The one assignment by which readers see the new snapshot, whole.
        self._bank = bank
        self.version = self._version(bank)

    @property
    def _fitted(self) -> str:
        """Version of the fit, without the number of updates since."""
        return self.version.partition(".")[0]

    def _version(self, bank: Bank) -> str:
        return self._fitted if not bank.number else f"{self._fitted}.{bank.number}"

    def _start(self, agents: Sequence[str]) -> Bank:
        """A colony that knows nothing."""
        method = self.method
        space = PathSpace(tuple(agents), method.layers, stops=method.stops, repeats=method.repeats)
        colony = Colony.start(space, self._types.types, tau0=method.tau0)
        dials = (self.options.cost_weight if method.dial is None else method.dial,)
        return Bank(dials=dials, colonies=(colony,), cost=method.cost, learns_cost=True)

    def _blank(self, pool: Pool) -> Bank:
        """The colony that knows nothing of a pool; kept, so that its view is too."""
        if self._unlearned is None or self._unlearned.space.agents != tuple(sorted(pool.names)):
            self._unlearned = self._start(sorted(pool.names))
        return self._unlearned

    # -- deciding ------------------------------------------------------------------------------
    @property
    def _greedy(self) -> bool:
        if self.mode is not None:
            return self.mode == "greedy"
        return self.recipe == "agentnet" and self.training is not None

    def _weights(self, vectors: Vectors) -> NDArray[np.float64]:
        """[n, T] task types of encoded tasks."""
        if self._types.needs_text:
            weights: NDArray[np.float64] = vectors / vectors.sum(1, keepdims=True, dtype=np.float64)
            return weights
        return self._types.weights([""] * len(vectors), vectors)

    def _encode(self, tasks: Sequence[Task], vectors: Vectors | None) -> Vectors:
        if vectors is None and self._types.needs_text:
            # The types themselves: a language model is asked once a decision, not for scores and path each.
            return self._types.weights([task_text(task) for task in tasks]).astype(np.float32)
        if vectors is None and isinstance(self._types, OneType):
            return np.zeros((len(tasks), 1), np.float32)
        return super()._encode(tasks, vectors)

    def score_batch(self, tasks: Sequence[Task], pool: Pool, *, vectors: Vectors | None = None) -> Scores:
        """Every agent's mean score over the query's task types; see `Router.score_batch`."""
        weights = self._weights(self._encode(tasks, vectors))
        raw = weights @ self._abilities(pool)
        return Scores(
            agents=pool.names,
            raw=raw,
            calibrated=self.calibration.apply(raw),
            cost=self.stats.cost(pool),
            known=self.stats.known(pool),
            calibration_id=self.calibration.id,
        )

    def _set_ability(self, ability: NDArray[np.float64]) -> None:
        self._ability = ability
        self._low = np.percentile(ability, LOW_END, axis=1)[:, None] if ability.size else np.zeros((1, 1))

    def _abilities(self, pool: Pool) -> NDArray[np.float64]:
        """[T, A] abilities of the pool's agents; unknown ones are held to the low end of the known."""
        at = self.stats.columns(pool)
        known = at >= 0
        ability = np.full((len(self._types.types), len(pool)), 0.5)
        if self._ability.size:
            ability = np.where(known, self._ability[:, at], self._low)
        return ability

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
        from agentnet.routers.colony.walk import walk

        bank = self._bank or self._blank(pool)
        at = bank.nearest(options.cost_weight)
        view = self._views.of(pool, bank, at, self._abilities(pool))
        assert vectors is not None  # `route_batch` encodes
        weights = self._weights(vectors)
        moment = Moment.of([pool.agents[i] for i in view.order], live)
        ability = weights @ view.ability if self.recipe == "paper" else np.ones((1, len(pool)))
        method = self.method
        eta = method.heuristic.eta(ability, moment)
        slots = len(view.colony.space.slots)
        draws = uniform(tasks, slots, seed=self._seed, rng=options.rng, needed=not self._greedy)
        found = walk(
            view.colony.tau, weights, eta, view.colony.space, draws,
            alpha=method.alpha, beta=method.beta, greedy=self._greedy,
        )  # fmt: skip
        drawn = Drawn(
            colony=view.colony, graphs=view.graphs, dial=bank.dials[at], snapshot=bank.number,
            weights=weights, ability=ability, eta=eta, moment=moment, columns=found.columns.tolist(),
            heuristic=method.heuristic, alpha=method.alpha, beta=method.beta, greedy=self._greedy,
        )  # fmt: skip
        # Known for the very trees that the warm start chose, and for nothing else.
        warm = self._scores and self._greedy and not bank.number and view.colony is view.source
        expected = (weights @ np.array(self._scores[at])).tolist() if warm else [None] * len(tasks)
        fits = good_enough(scores.calibrated, self.threshold, options.abstain_below)
        return [
            Decision(
                graph=partial(drawn.graphs.graph, columns) if fits[i] else None,
                candidates=scores.agents,
                raw=scores.raw[i],
                calibrated=scores.calibrated[i],
                cost=scores.cost,
                propensity=chance if fits[i] else 1.0,
                router=self.name,
                version=self._version(bank),
                evidence=partial(drawn.evidence, i),
                calibration_id=scores.calibration_id,
                expected_score=expected[i] if fits[i] else None,
            )
            for i, (columns, chance) in enumerate(zip(drawn.columns, found.propensity.tolist(), strict=True))
        ]

    # -- disk ----------------------------------------------------------------------------------
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        config, arrays = self.stats.state()
        types, more = self._types.state()
        bank = self._bank
        pheromones: tuple[dict[str, Any] | None, Mapping[str, Any]] = bank.state() if bank else (None, {})
        config |= {
            "types": types,
            "bank": pheromones[0],
            "path_scores": [list(row) for row in self._scores],
            "calibration": self.calibration.to_dict(),
            "threshold": self.threshold,
            "seed": self._seed,
        }
        return config, arrays | more | dict(pheromones[1]) | {"ability": self._ability}

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.stats = AgentStats.restore(config, arrays)
        self._types = restore_types(config["types"], arrays)
        self._bank = Bank.restore(config["bank"], arrays) if config["bank"] else None
        self._scores = tuple(tuple(row) for row in config["path_scores"])
        self.calibration = Calibration.from_dict(config["calibration"])
        self.threshold = config["threshold"]
        self._seed = int(config["seed"])
        self._set_ability(arrays["ability"])
        self._views = Views(self.method.join, self.normalise)
