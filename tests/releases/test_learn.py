"""From traces to a release: what is better is promoted, what is not is held, and the reasons are told."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from agentnet.errors import DataError
from agentnet.registry.base import Registry
from agentnet.releases.candidate import train_candidate
from agentnet.releases.evidence import decide_on
from agentnet.releases.gates import Gates, judge
from agentnet.releases.learn import Plan, Release, act, learn
from agentnet.releases.logged import logged_facts
from agentnet.routers.registry import make_router
from agentnet.traces.choices import read_choices
from agentnet.traces.store import TraceStore

from .world import POOL, write_log

SETTINGS = {"encoder": "hash:128", "clusters": 4}
PLAN = Plan(router="kmeans", settings=SETTINGS, gates=Gates(max_calibration_error=0.2))


def test_a_better_candidate_is_promoted_and_stands_in_the_registry(
    logged: TraceStore, each_registry: Registry
) -> None:
    release = learn(logged, each_registry, PLAN)
    assert release.done == "promoted", release.verdict
    assert release.facts.gain is not None
    assert release.facts.gain.low < 0.9 - 0.33 - 0.1 < release.facts.gain.high + 0.1
    state = each_registry.state()
    assert (state.serving, state.revision) == (release.version, 1)
    kept = each_registry.version(release.version)
    assert kept.data == release.candidate[0].data
    assert kept.metrics["gain"]["gain"] == pytest.approx(release.facts.gain.gain)
    served = each_registry.load(release.version)
    assert served.route("solve the equation factor root", POOL).agents == ("solver",)
    assert served.route("butter flour oven dough", POOL).agents == ("cook",)


def test_the_second_release_is_compared_with_the_first(logged: TraceStore, registry: Registry) -> None:
    first = learn(logged, registry, PLAN)
    again = learn(logged, registry, PLAN)
    assert (again.serving, again.done) == (first.version, "same")
    write_log(logged, 1500, seed=1, start=2e9)
    second = learn(logged, registry, PLAN)
    assert second.serving == first.version
    assert second.done in ("shadow", "same")  # as good as what serves: nothing to be gained
    assert registry.state().serving == first.version


def test_a_candidate_trained_on_shuffled_scores_is_not_promoted(
    store: TraceStore, registry: Registry
) -> None:
    write_log(store, 3000, shuffled=True)
    release = learn(store, registry, PLAN)
    assert release.done in ("held", "rejected")
    assert registry.state().serving is None


def test_a_candidate_spoilt_by_shuffled_scores_is_rejected_beside_a_good_one(
    logged: TraceStore, registry: Registry
) -> None:
    good = learn(logged, registry, PLAN)
    spoilt = _spoilt(registry, good)
    assert spoilt.done == "rejected"
    assert "worse than what serves" in spoilt.verdict.reason
    assert registry.state().serving == good.version
    assert registry.history()[0].action == "reject"


def _spoilt(registry: Registry, good: Release) -> Release:
    """Lets a candidate learn from shuffled scores, and judges it on the true ones."""
    _, learnable, held = good.candidate
    order = np.random.default_rng(0).permutation(len(learnable))
    mixed = replace(learnable, score=learnable.score[order])
    candidate = train_candidate(mixed, POOL, router="kmeans", settings=SETTINGS)
    vectors = candidate.router.encode(held.queries.tasks())
    judged = decide_on(held, POOL, candidate.router, registry.load(good.version), vectors=vectors)
    facts = logged_facts(judged, PLAN.gates, vectors=vectors)
    release = replace(
        good,
        version=candidate.router.version,
        serving=good.version,
        facts=facts,
        verdict=judge(PLAN.gates, facts),
        state=registry.state(),
        candidate=(candidate, mixed, held),
    )
    return act(release, registry, PLAN)


def test_a_log_without_propensities_is_refused_with_advice(store: TraceStore, registry: Registry) -> None:
    write_log(store, 2000, known=False)
    release = learn(store, registry, PLAN)
    assert release.done == "held"
    assert release.facts.gain is None
    assert "propensit" in release.verdict.reason
    assert "explor" in release.verdict.reason  # what to do about it
    assert registry.state().serving is None


def test_a_log_without_scores_is_an_error_that_says_what_to_do(store: TraceStore, registry: Registry) -> None:
    with pytest.raises(DataError, match="traces score"):
        learn(store, registry, PLAN)


def test_a_dry_run_changes_nothing(logged: TraceStore, registry: Registry) -> None:
    assert learn(logged, registry, Plan(router="best_single", dry_run=True)).done == "dry run"
    assert (registry.versions(), registry.state().revision) == ([], 0)


def test_of_two_learners_at_once_one_promotes(logged: TraceStore, each_registry: Registry) -> None:
    ready = threading.Barrier(2)

    class Meeting:
        """The each_registry, as two learners see it who decide at the same moment."""

        def __getattr__(self, name: str) -> object:
            return getattr(each_registry, name)

        def promote(self, *given: object, **more: object) -> object:
            ready.wait(timeout=60)
            return each_registry.promote(*given, **more)  # type: ignore[arg-type]

    done: list[str] = []
    plans = [PLAN, Plan(router="knn", settings={"encoder": "hash:128", "k": 40}, gates=PLAN.gates)]
    threads = [
        threading.Thread(target=lambda plan=plan: done.append(learn(logged, Meeting(), plan).done))  # type: ignore[arg-type,misc]
        for plan in plans
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert sorted(done) == ["conflict", "promoted"]
    assert each_registry.state().revision == 1


def test_a_canary_acts_on_a_share_first(logged: TraceStore, registry: Registry) -> None:
    old = make_router("random")
    old.fit(read_choices(logged)[0].to_outcomes(), POOL)
    registry.promote(registry.add(old).id)
    release = learn(logged, registry, replace(PLAN, canary_share=0.1))
    assert release.done == "canary", release.verdict
    state = registry.state()
    assert (state.serving, state.canary, state.canary_share) == (old.version, release.version, 0.1)


def test_equal_logs_give_equal_releases(logged: TraceStore, registry: Registry) -> None:
    plan = Plan(router="kmeans", settings=SETTINGS, dry_run=True)
    one, two = (learn(logged, registry, plan).to_dict() for _ in range(2))
    for report in (one, two):
        del report["seconds"]
    assert one == two
