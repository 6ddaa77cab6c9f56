"""`collective`: one graph of queries, types, entities and agents; chooses sets and cascades, too.

Logged queries send what is known of agents to a new query: along query-type edges and along query-query
edges by text, form, type and entities (`agentnet.routers.council`). A set of agents with a vote or a stop
condition is an arm like any agent: on logged queries its outcome follows exactly from its members' answers,
so that the joint correctness of agents is in the data and needs no assumption. What is chosen is the arm of
highest expected value: score minus the price of its cost. The design is agentnet's own; its roots are
attention over neighbours (Kim et al., attentive neural processes, ICLR 2019), empirical Bayes shrinkage
(James and Stein 1961; Morris 1983), and races to k equal answers (Wald's sequential tests, 1945).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.live import LiveState, PartialRun
from agentnet.graphs.normalise import NORMALISERS
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import Aggregation, TaskGraph
from agentnet.outcomes.encoders.base import unit_rows
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import FitReport, RouteOptions
from agentnet.routers.council.bank import PlanBank
from agentnet.routers.council.choice import ChoiceMaker
from agentnet.routers.council.council import Council
from agentnet.routers.council.log import Log
from agentnet.routers.council.memory import LEVELS
from agentnet.routers.council.strengths import Lesson, Strengths, learn
from agentnet.routers.council.types import TypeHead, labels_of
from agentnet.routers.council.views import Vectors, Viewer
from agentnet.routers.decision import Decision, Evidence, Floats, Scores
from agentnet.routers.encoded import EncodedRouter, Stranger
from agentnet.routers.gnn.plan import TrainingOptions
from agentnet.routers.plans import AnswerTable, complete_rows
from agentnet.routers.selection import good_enough
from agentnet.routers.settings import check_at_least, check_choice
from agentnet.routers.single import Choice

Reach = Literal["means", "types", "neighbours"]
_FEWEST_TO_LEARN = 60
"""Fewest logged queries from which the strengths of the propagation are learned."""


class CollectiveRouter(EncodedRouter[ChoiceMaker]):
    """Predicts agents and sets of agents by messages from logged queries; see the module.

    Args:
        encoder: Name of the text encoder.
        types: Clusters of queries to use as types; None takes the task labels of the log, where there are
            several. A query's type is always predicted: no label is read when routing.
        form: Whether the form of a question (layout, options, digits, length) is looked at beside its text.
        sets: Whether votes, cascades and races may be chosen; needs recorded answers.
        entities: Whether queries are tied by the entities they name; None does it where most of the logged
            tasks have a context.
        reach: How far messages go; None decides on logged queries that were left out, for agents and for
            sets.
        normalise: Name of the normaliser by which answers are compared.
        keep_texts: Store the first characters of logged queries, to show them as evidence.
    """

    name = "collective"

    def __init__(
        self,
        *,
        encoder: str = "minilm",
        types: int | None = None,
        form: bool = True,
        sets: bool = True,
        entities: bool | None = None,
        reach: Reach | None = None,
        normalise: str = "default",
        keep_texts: bool = True,
    ) -> None:
        super().__init__(encoder=encoder)
        check_at_least(types=(types, 1))
        check_choice(reach=(reach, LEVELS), normalise=(normalise, tuple(NORMALISERS)))
        if types is not None and types > 100:
            raise InvalidInput(f"setting 'types' is at most 100; got {types!r}.")
        self.types, self.form, self.sets, self.entities, self.reach = types, form, sets, entities, reach
        self.normalise, self.keep_texts = normalise, keep_texts
        self._use_entities = bool(entities)
        self._training_options: TrainingOptions | None = None
        self._device = "auto"
        self._head = TypeHead()
        self._form_mean: Vectors = np.zeros(0, np.float32)
        self._council: Council | None = None
        self._viewer_made: Viewer | None = None

    def use_training(self, options: TrainingOptions) -> None:
        """Takes progress, log and checkpoint for the next `fit`."""
        self._training_options = options

    # -- views ---------------------------------------------------------------------------------
    @property
    def _viewer(self) -> Viewer:
        encoder, made = self._made_encoder(), self._viewer_made
        if made is None or made.text is not encoder or made.with_entities != self._use_entities:
            made = self._viewer_made = Viewer(encoder, entities=self._use_entities, form=self.form)
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

    def _edges(self, vectors: Vectors, posterior: NDArray[np.float64]) -> Vectors:
        """[n, R] unit views side by side: what edges between queries are weighed by."""
        text, form, entities = self._viewer.layout.parts(vectors)
        typed = np.sqrt(posterior).astype(np.float32)
        return np.concatenate((text, unit_rows(form - self._form_mean), typed, entities), axis=1)

    def _place(self, vectors: Vectors) -> tuple[Vectors, NDArray[np.float64]]:
        """[n, R] edges' views and [n, T] types of new queries."""
        posterior = self._head.predict(vectors)
        return self._edges(vectors, posterior), posterior

    def _similarity(self, vectors: Vectors, agent: Agent) -> Vectors:
        return super()._similarity(self._viewer.layout.parts(vectors)[0], agent)

    def _guess(self, stranger: Stranger, vectors: Vectors) -> Floats:
        return super()._guess(stranger, self._viewer.layout.parts(vectors)[0])

    # -- learning ------------------------------------------------------------------------------
    def _learn(self, outcomes: Outcomes, *, seed: int, device: str) -> FitReport:
        given = self.entities
        contexts = sum(bool(text) for text in outcomes.queries.context)
        self._use_entities = contexts > len(outcomes) / 2 if given is None else given
        self._device = device
        return super()._learn(outcomes, seed=seed, device=device)

    def _learn_vectors(
        self, outcomes: Outcomes, vectors: Vectors, *, seed: int
    ) -> tuple[FitReport, NDArray[np.intp], Floats]:
        layout = self._viewer.layout
        labels = labels_of(outcomes, vectors, layout, self.types, seed)
        self._head, posterior = TypeHead.fit(vectors, labels, layout, seed=seed)
        self._form_mean = layout.parts(vectors)[1].mean(0)
        relations = self._edges(vectors, posterior)
        widths = (layout.text, layout.form, posterior.shape[1], layout.entities)
        log = Log.of(outcomes, relations, posterior, keep_texts=self.keep_texts)
        bank = self._search(outcomes)
        council = Council(log, bank, Strengths.default(widths))
        if len(outcomes) >= _FEWEST_TO_LEARN and self.reach in (None, "neighbours"):
            memory = council.memory
            strengths = learn(
                Lesson(relations, memory.common, memory.specific, memory.seen), council.strengths, seed=seed,
                device=self._device, options=self._training_options, label=f"{self.name} edges",
            )  # fmt: skip
            council = council.with_(strengths=strengths)
        left = council.memory.left_out()
        council = council.with_(reach=council.worth_reaching(left, self.reach, self.stats.unit_cost))
        self._council = council
        split = outcomes.queries.split
        chosen = {
            "task_types": len(self._head.names),
            "type_accuracy": round(self._head.accuracy, 4),
            "reach_agents": LEVELS[council.reach[0]],
            "reach_sets": LEVELS[council.reach[1]] if bank else None,
            "plans": len(bank.plans) if bank else 0,
        }
        report = FitReport(
            router=self.name, n_train=int((split == "train").sum()), n_val=int((split == "val").sum()),
            seconds=0, chosen=chosen, notes=("chosen by leaving rows out over train and val",),
        )  # fmt: skip
        return report, np.arange(len(outcomes)), np.clip(left[council.reach[0]], 0.0, 1.0)

    def _search(self, outcomes: Outcomes) -> PlanBank | None:
        if not self.sets or outcomes.kind == "label":
            return None
        table = AnswerTable.of(outcomes, kind=self.normalise)
        if table is None or len(table.agents) < 2:
            return None
        return PlanBank.of(table, complete_rows(outcomes), self.stats.unit_cost)

    def with_probes(self, probes: Outcomes) -> Self:
        """Returns this router with the probes among its logged queries; nothing is trained.

        A probe on a logged query joins it, so that what was common to all agents there is known already.
        """
        from agentnet.routers.persist import fingerprint

        self._check_fitted()
        relations, posterior = self._place(self._encode(probes.tasks(), None))
        more = Log.of(probes, relations, posterior, keep_texts=self.keep_texts)
        other = self._copy()
        other._council = self._fitted.with_(log=self._fitted.log.join(more))
        other.stats = self.stats.add(probes)
        other.version = fingerprint(other)
        return other

    @property
    def _fitted(self) -> Council:
        if self._council is None:
            self._check_fitted()
        assert self._council is not None
        return self._council

    def _view(self, pool: Pool) -> ChoiceMaker:
        council = self._fitted
        sets, at = council.sets_of(pool)
        return ChoiceMaker(
            pool=pool,
            agents=council.agents_of(pool, self.stats.cost(pool)),
            sets=sets,
            plans=tuple(council.bank.plans[i] for i in at.tolist()) if council.bank else (),
            unit_cost=self.stats.unit_cost,
            log=council.log,
        )

    def _knows(self, pool: Pool) -> NDArray[np.bool_]:
        return self.stats.known(pool)

    def _copy(self) -> Self:
        other = super()._copy()
        other._graphs = {}
        return other

    # -- deciding ------------------------------------------------------------------------------
    def _predict_known(self, view: ChoiceMaker, vectors: Vectors) -> tuple[Floats, Floats]:
        relations, posterior = self._place(vectors)
        found = view.agents.predict(relations, posterior)
        return found.score, view.agents.price(posterior)

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
        maker, _ = self._prepared(pool)
        assert vectors is not None  # `route_batch` encodes
        if maker.sets is None:
            return super()._decide(
                tasks, pool, scores, options, live=live, seen=seen, vectors=vectors
            )  # fmt: skip
        relations, posterior = self._place(vectors)
        chosen = maker.choose(scores, relations, posterior, options.cost_weight)
        fits = good_enough(scores.calibrated, self.threshold, options.abstain_below)
        return [
            Decision(
                graph=self._plan_graph(maker, int(arm)) if fits[i] else None,
                candidates=scores.agents,
                raw=scores.raw[i],
                calibrated=scores.calibrated[i],
                cost=scores.cost[i],
                propensity=1.0,
                router=self.name,
                version=self.version,
                evidence=partial(
                    self._gather, task, maker, relations[i], posterior[i], int(arm) if fits[i] else None,
                    options.cost_weight, scores, i,
                ),
                calibration_id=scores.calibration_id,
                expected_score=float(chosen.expected[i]) if fits[i] else None,
            )
            for i, (task, arm) in enumerate(zip(tasks, chosen.arms.tolist(), strict=True))
        ]  # fmt: skip

    def _plan_graph(self, maker: ChoiceMaker, arm: int) -> TaskGraph:
        """The graph of an arm; made once, because most decisions share it."""
        key = maker.key(arm)
        graph = self._graphs.get(key)
        if graph is None:
            plan = maker.plan(arm)
            if len(plan.agents) == 1:
                return self._graph(plan.agents[0])
            made = plan.graph().with_(aggregation=Aggregation("vote", normalise=self.normalise))
            graph = self._graphs.setdefault(key, made)
        return graph

    def _gather(
        self,
        task: Task,
        maker: ChoiceMaker,
        relations: Vectors,
        posterior: NDArray[np.float64],
        arm: int | None,
        dial: float,
        scores: Scores,
        row: int,
    ) -> Evidence:
        calibrated = scores.calibrated[row]
        return maker.evidence(task.text, self._head.names, relations, posterior, arm, dial, calibrated)

    def _explain(self, choice: Choice) -> Evidence:
        vectors = choice.vector if choice.vector is not None else self._encode([choice.task], None)[0]
        relations, posterior = self._place(vectors[None])
        maker, _ = self._prepared(choice.pool)
        calibrated = self.calibration.apply(choice.raw)
        names, text = self._head.names, choice.task.text
        return maker.evidence(text, names, relations[0], posterior[0], choice.agent, 0.0, calibrated)

    # -- disk ----------------------------------------------------------------------------------
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._state()
        types, of_types = self._head.state()
        council, of_council = self._fitted.state()
        state |= {"head": types, "council": council, "use_entities": self._use_entities}
        return state, arrays | of_types | of_council | {"form_mean": self._form_mean}

    def _restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(config, arrays)
        self._head = TypeHead.restore(config["head"], arrays)
        self._council = Council.restore(config["council"], arrays)
        self._use_entities = bool(config["use_entities"])
        self._form_mean = arrays["form_mean"]
