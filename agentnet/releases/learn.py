"""`learn`: from new traces to a released router, by written gates.

```text
traces -> candidate -> off-policy and held-out evidence against what serves -> promote, shadow or reject
```
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentnet.errors import RegistryConflict
from agentnet.graphs.pool import Pool
from agentnet.outcomes.choices import ChoiceLog
from agentnet.outcomes.encoders import Encoder
from agentnet.outcomes.table import Outcomes
from agentnet.registry.base import Registry
from agentnet.registry.records import Serving
from agentnet.releases.arms import with_arms
from agentnet.releases.candidate import Candidate, parts, recalibrated, train_candidate
from agentnet.releases.evidence import Pairs, decide_on, held_out_pairs, paired_facts
from agentnet.releases.gates import Facts, Gates, Verdict, judge
from agentnet.releases.logged import logged_facts
from agentnet.releases.paired import read_pairs
from agentnet.releases.priors import WEIGHT
from agentnet.routers.base import Router
from agentnet.traces.choices import MOST, Seen, newest_pool, read_choices
from agentnet.traces.store import TraceStore

Say = Callable[[str], None]
LEAST_EXPLORED = 0.005
"""Probability of every agent from which on a log can tell of it."""
FIRST = "kmeans"
"""Kind of the first candidate, where none is named and nothing serves yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to learn.

    Attributes:
        router: Kind of the candidate; None takes that of the serving version.
        settings: Its settings; None takes those of the serving version, where its kind is the same.
        gates: What it has to show.
        most: Decisions of the log that are kept: what bounds the memory.
        where: Fields of `agentnet.traces.reader.RunFilter`: since, until, kind and so on.
        seed: Of the sample and the fit.
        device: Where to fit.
        dry_run: Whether to judge only, and to leave the registry as it is.
        canary_share: Share of the tasks that a candidate which passes all gates acts on first; None lets it
            serve at once.
        note: Written to the version.
        candidate: Id of a version to judge anew, such as a shadow that has been watched, instead of training.
        recalibrate: Whether half of the held-out questions fit curves by agent and slice; the other half
            judges.
        prior_weight: How many decisions of each agent a prior counts for.
    """

    router: str | None = None
    settings: Mapping[str, Any] | None = None
    gates: Gates = field(default_factory=Gates)
    most: int = MOST
    where: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "auto"
    dry_run: bool = False
    canary_share: float | None = None
    note: str = ""
    candidate: str | None = None
    recalibrate: bool = False
    prior_weight: float = WEIGHT


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Release:
    """What `learn` did.

    Attributes:
        version: Id of the candidate.
        router: Name of its kind.
        serving: Id of the version it was compared with; None: what the log's own routers did.
        verdict: What the gates said.
        done: What was done: ``"promoted"``, ``"canary"``, ``"shadow"``, ``"rejected"``, ``"held"`` (kept in
            the registry, but nothing serves that it could stand beside), ``"same"`` (the candidate is what
            serves), ``"conflict"`` (somebody else released meanwhile) or ``"dry run"``.
        facts: What the gates looked at.
        seen: What was counted of the log.
        used: Decisions learned from, and held out.
        chosen: Settings that the candidate chose for itself.
        notes: What the fit had to say.
        seconds: By part of the work.
        state: What serves now.
        candidate: The router, its log and the held-out log, for further reports.
    """

    version: str
    router: str
    serving: str | None
    verdict: Verdict
    done: str
    facts: Facts
    seen: Seen
    used: tuple[int, int]
    chosen: Mapping[str, Any]
    notes: tuple[str, ...]
    seconds: Mapping[str, float]
    state: Serving
    candidate: tuple[Candidate, ChoiceLog, ChoiceLog]

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values: what stands in the registry and in ``results.json``."""
        facts = self.facts
        return {
            "version": self.version,
            "router": self.router,
            "serving": self.serving,
            "done": self.done,
            "verdict": self.verdict.to_dict(),
            "gain": None if facts.gain is None else facts.gain.to_dict(),
            "refused": list(facts.refused),
            "cost_rise": None if facts.cost_rise is None else list(facts.cost_rise),
            "share": dict(facts.share),
            "calibration_error": facts.calibration_error,
            "slices": {name: gain.to_dict() for name, gain in facts.slices.items()},
            "seen": self.seen.to_dict(),
            "learned_from": self.used[0],
            "held_out": self.used[1],
            "chosen": dict(self.chosen),
            "notes": list(self.notes),
            "seconds": dict(self.seconds),
        }


class _Clock:
    """Seconds by part of the work."""

    def __init__(self, say: Say) -> None:
        self.seconds: dict[str, float] = {}
        self._say = say
        self._part, self._since = "", time.perf_counter()

    def start(self, part: str, told: str) -> None:
        self.stop()
        self._part = part
        self._say(told)

    def stop(self) -> None:
        now = time.perf_counter()
        if self._part:
            self.seconds[self._part] = self.seconds.get(self._part, 0.0) + now - self._since
        self._part, self._since = "", now


def learn(
    store: TraceStore,
    registry: Registry,
    plan: Plan | None = None,
    *,
    encoder: Callable[[Router], Encoder | None] = lambda router: None,
    held_out: Outcomes | None = None,
    pairs: Pairs | None = None,
    prior: Outcomes | None = None,
    say: Say = lambda told: None,
) -> Release:
    """Trains a candidate from traces, judges it by the gates, and releases it if they let it.

    The log is divided by question: what is held out no version ever learns from. There the candidate is
    compared with the serving version, off-policy; where recorded outcomes of all agents or paired runs are
    given, the evidence with the smaller standard error counts. What is learned and why stands in the
    registry with the version.

    Args:
        store: The traces.
        registry: What serves, and where to.
        plan: How to learn.
        encoder: Returns the encoder that a router is to use, for example one with a cache; None its own.
        held_out: A pack with outcomes of all agents; only its split ``test`` is looked at.
        pairs: Tasks on which both routers' choices were run and scored; None takes those in the store.
        prior: What is known of the agents from elsewhere (`agentnet.releases.priors`), for a cold start.
        say: Is told what is being done.

    Raises:
        DataError: there is nothing to learn from.
        RegistryError: the registry cannot be read or changed.
    """
    plan = plan or Plan()
    clock = _Clock(say)
    state = registry.state()
    serving = registry.load(state.serving) if state.serving is not None else None
    clock.start("read", "reading traces")
    log, seen = read_choices(store, most=plan.most, seed=plan.seed, **plan.where)
    pool = newest_pool(store) or log.pool
    log, unmixed = with_arms(log, seen.tags, registry, pool)
    learnable, held = parts(log)
    candidate = _candidate(plan, registry, serving, learnable, pool, encoder, prior, clock)
    if plan.recalibrate:
        candidate, held = recalibrated(candidate, held, pool)
    clock.start("judge", f"judging it on {len(held):,} held-out decisions")
    if serving is not None and (own := encoder(serving)) is not None:
        serving.use_encoder(own)
    if pairs is None and state.serving is not None:
        pairs = read_pairs(store, old=state.serving, new=candidate.router.version)
    facts = _facts(held, pool, candidate.router, serving, plan.gates, held_out, pairs)
    verdict = judge(plan.gates, facts)
    clock.stop()
    report = candidate.report
    release = Release(
        version=candidate.router.version,
        router=candidate.router.name,
        serving=state.serving,
        verdict=verdict,
        done="dry run",
        facts=facts,
        seen=seen,
        used=(len(learnable), len(held)),
        chosen=report.chosen if report is not None else {},
        notes=(
            *(report.notes if report is not None else ()),
            *unmixed,
            *_certain(candidate.router, held, pool),
        ),
        seconds=clock.seconds,
        state=state,
        candidate=(candidate, learnable, held),
    )
    return release if plan.dry_run else act(release, registry, plan)


def _certain(router: Router, held: ChoiceLog, pool: Pool) -> tuple[str, ...]:
    """A note where the candidate's own log would say nothing of other choices."""
    if not len(held):
        return ()
    tasks = held.queries.tasks()[:1]
    scores = router.score_batch(tasks, pool)
    chances = router.chances(tasks, pool, scores, router.options)
    if chances is not None and float(chances.min()) >= LEAST_EXPLORED:
        return ()
    return (
        "its log will hardly show what other agents can do: serve it beside a canary, or let a bandit with a "
        "floor serve, or the next candidate cannot be judged from it",
    )


def _candidate(
    plan: Plan,
    registry: Registry,
    serving: Router | None,
    learnable: ChoiceLog,
    pool: Pool,
    encoder: Callable[[Router], Encoder | None],
    prior: Outcomes | None,
    clock: _Clock,
) -> Candidate:
    """A router just trained, or the version that is to be judged again."""
    if plan.candidate is not None:
        version = registry.version(plan.candidate)
        router = registry.load(version.id)
        if (own := encoder(router)) is not None:
            router.use_encoder(own)
        return Candidate(router=router, report=None, data=version.data)
    kind, settings = _kind(plan, serving)
    clock.start("fit", f"fitting {kind} on {len(learnable):,} decisions")
    return train_candidate(
        learnable, pool, router=kind, settings=settings, seed=plan.seed, device=plan.device,
        encoder=encoder, prior=prior, prior_weight=plan.prior_weight,
    )  # fmt: skip


def _kind(plan: Plan, serving: Router | None) -> tuple[str, Mapping[str, Any]]:
    kind = plan.router or (serving.name if serving is not None else FIRST)
    if plan.settings is not None:
        return kind, plan.settings
    return kind, serving.settings if serving is not None and serving.name == kind else {}


def _facts(
    held: ChoiceLog,
    pool: Pool,
    candidate: Router,
    serving: Router | None,
    gates: Gates,
    outcomes: Outcomes | None,
    pairs: Pairs | None,
) -> Facts:
    """The off-policy facts, with better evidence in the place of theirs where there is some."""
    vectors = candidate.encode(held.queries.tasks())
    facts = logged_facts(decide_on(held, pool, candidate, serving, vectors=vectors), gates, vectors=vectors)
    others = []
    if outcomes is not None and serving is not None:
        others.append(paired_facts(held_out_pairs(candidate, serving, outcomes), gates, source="held-out"))
    if pairs is not None:
        others.append(paired_facts(pairs, gates))
    for other in others:
        assert other.gain is not None
        if facts.gain is None or other.gain.error < facts.gain.error:
            facts = replace(
                facts, gain=other.gain, cost_rise=other.cost_rise, slices=other.slices, refused=()
            )
    return facts


def act(release: Release, registry: Registry, plan: Plan) -> Release:
    """Writes the version and does what the verdict says, unless somebody released meanwhile."""
    candidate, state = release.candidate[0], release.state
    if release.version == state.serving:
        return replace(release, done="same")
    reason = release.verdict.reason
    metrics = release.to_dict()
    del metrics["done"]  # what is done with it from here on stands in the history
    registry.add(candidate.router, parent=state.serving, data=candidate.data, metrics=metrics, note=plan.note)
    try:
        if release.verdict.action == "reject":
            registry.reject(release.version, reason=reason)
            return replace(release, done="rejected", state=registry.state())
        if release.verdict.action == "shadow" and state.serving is None:
            return replace(release, done="held")  # a shadow stands beside something that serves
        if release.verdict.action == "shadow":
            now = registry.shadow(release.version, expect=state.revision, reason=reason)
            return replace(release, done="shadow", state=now)
        if plan.canary_share is not None and state.serving is not None:
            now = registry.canary(release.version, plan.canary_share, expect=state.revision, reason=reason)
            return replace(release, done="canary", state=now)
        now = registry.promote(release.version, expect=state.revision, reason=reason)
        return replace(release, done="promoted", state=now)
    except RegistryConflict:
        return replace(release, done="conflict", state=registry.state())
