"""Learning from logs in which one agent a task ran: the corrections, and every router's fit with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.choices import draw_log
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.feedback.behaviour import choices_of
from agentnet.routers.feedback.effects import Design, fit_effects, with_one
from agentnet.routers.feedback.fitting import LOG_PULL, fit_model
from agentnet.routers.partial import (
    CAP,
    FeedbackMode,
    doubly_robust,
    inverse_weights,
    is_partial,
    prepare,
    weigh,
)
from agentnet.routers.registry import router_names

MODES: tuple[FeedbackMode, ...] = ("weighted", "doubly_robust")
LEARNERS = ("knn", "kmeans", "mixed_effects")


def epsilon_greedy(greedy: np.ndarray, agents: int, epsilon: float) -> np.ndarray:
    policy = np.full((len(greedy), agents), epsilon / agents)
    policy[np.arange(len(greedy)), greedy] += 1 - epsilon
    return policy


def logged(full: Outcomes, *, epsilon: float = 0.5, n: int = 600, seed: int = 0) -> Outcomes:
    """A log around a router that always takes the first agent; the test rows stay as they are, in full."""
    inside = full.without_split("test")
    policy = epsilon_greedy(np.zeros(len(inside), int), len(full.pool), epsilon)
    log = draw_log(inside, policy, n, np.random.default_rng(seed)).to_outcomes()
    return log.take(log.observed.any(1))


@pytest.fixture(scope="module")
def planted(kit: Any) -> Outcomes:
    return kit.planted(640)


def simpson(n: int = 4000, seed: int = 0) -> Outcomes:
    """`steady` is better on hard and on easy tasks, but was mostly given the hard ones."""
    rng = np.random.default_rng(seed)
    hard = np.arange(n) % 2 == 0
    chance = np.where(hard[:, None], [0.35, 0.25], [0.95, 0.85])
    score = (rng.random((n, 2)) < chance).astype(np.float32)
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(n)]),
        text=tuple(f"{'theorem lemma proof' if h else 'hello thanks bye'} {i}" for i, h in enumerate(hard)),
        split=np.array(["train"] * n),
    )
    policy = epsilon_greedy(np.where(hard, 0, 1), 2, 0.2)
    ran = (rng.random(n) < policy[:, 1]).astype(int)[:, None] == np.arange(2)
    return Outcomes(
        queries=queries, pool=Pool([Agent(name="steady"), Agent(name="spared")]),
        score=np.where(ran, score, np.nan).astype(np.float32), cost=np.full((n, 2), 1e-4),
        propensity=np.where(ran, policy, np.nan).astype(np.float32),
    )  # fmt: skip


# -- known answers -------------------------------------------------------------------------------
def test_ignoring_propensities_finds_the_wrong_best_agent_and_using_them_the_right_one(kit: Any) -> None:
    log = simpson()
    found = {}
    for mode in ("observed", "weighted", "doubly_robust"):
        router = kit.make("best_single")
        router.fit(log, log.pool, feedback=mode)
        found[mode] = router.route("anything", log.pool).agents
    assert found == {"observed": ("spared",), "weighted": ("steady",), "doubly_robust": ("steady",)}


def test_weighted_means_are_near_the_true_means() -> None:
    log = weigh(simpson(20_000))
    mass = np.where(log.observed, log.weight, 0)
    means = (mass * np.nan_to_num(log.score)).sum(0) / mass.sum(0)
    np.testing.assert_allclose(means, [0.65, 0.55], atol=0.03)
    plain = simpson(20_000).mean_score
    assert plain[0] < plain[1], "without weights the example would show nothing"


def test_doubly_robust_targets_are_unbiased_whatever_the_model_says() -> None:
    rng = np.random.default_rng(0)
    n, chance = 40_000, np.array([0.8, 0.2])
    score = (rng.random((n, 2)) < [0.5, 0.6]).astype(np.float32)
    ran = rng.random(n) < chance[1]
    hidden = np.where(np.stack([~ran, ran], 1), score, np.nan).astype(np.float32)
    queries = Queries(
        query_id=np.array([str(i) for i in range(n)]), text=("x",) * n, split=np.array(["train"] * n)
    )
    log = Outcomes(
        queries=queries, pool=Pool([Agent(name="a"), Agent(name="b")]), score=hidden,
        cost=np.full((n, 2), np.nan), propensity=np.tile(chance, (n, 1)).astype(np.float32),
    )  # fmt: skip
    # A model whose targets need not be held: q + (r - q) / p stays in [0, 1] for agent a with q = r +- .2.
    model = np.stack([np.where(score[:, 0] > 0, 0.8, 0.2), np.zeros(n)], 1)
    targets = doubly_robust(log, model).score
    assert targets[:, 0].mean() == pytest.approx(score[:, 0].mean(), abs=0.01)
    assert targets[~ran, 1].max() == 0
    assert ((targets >= 0) & (targets <= 1)).all()


@pytest.mark.parametrize("name", LEARNERS)
def test_a_log_teaches_who_is_good_at_what(name: str, planted: Outcomes, kit: Any) -> None:
    log, test = logged(planted), planted.split("test")
    best = float(test.mean_score.max())
    router = kit.make(name)
    report = router.fit(log, log.pool)
    assert kit.score(router, test) > best + 0.1
    assert any("scores with propensities" in note for note in report.notes)


@pytest.mark.parametrize("name", LEARNERS)
def test_shuffled_scores_teach_nothing(name: str, planted: Outcomes, kit: Any) -> None:
    log, test = logged(planted), planted.split("test")
    at = np.flatnonzero(log.observed)
    mixed = log.score.copy()
    mixed.flat[at] = mixed.flat[np.random.default_rng(0).permutation(at)]
    router = kit.make(name)
    router.fit(replace(log, score=mixed), log.pool)
    assert kit.score(router, test) < float(test.mean_score.max()) + 0.08


# -- every router --------------------------------------------------------------------------------
@pytest.mark.parametrize("name", router_names())
def test_full_matrices_give_the_same_router_under_every_mode(name: str, kit: Any) -> None:
    data = kit.planted(80)
    data = replace(data, propensity=np.ones_like(data.propensity))
    made = [kit.make(name) for _ in range(2)]
    made[0]._fit(made[0]._visible(data), data.pool, seed=1, device="auto")
    notes = []
    notes.append(made[1].fit(data, data.pool, seed=1, feedback="doubly_robust").notes)
    from agentnet.routers.persist import fingerprint

    assert {fingerprint(router) for router in made} == {made[1].version}
    assert not any("partial" in note for each in notes for note in each)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [name for name in router_names() if name != "oracle"])
def test_every_router_fits_a_log_in_every_mode(name: str, mode: FeedbackMode, kit: Any) -> None:
    full = kit.planted(160)
    log = logged(full, n=140)
    router = kit.make(name)
    report = router.fit(log, log.pool, feedback=mode)
    assert any(note.startswith("partial feedback") for note in report.notes)
    decisions = router.route_batch(full.split("test").tasks()[:12], log.pool)
    assert all(d.agents for d in decisions) and all(np.isfinite(d.raw).all() for d in decisions)


# -- what the notes say --------------------------------------------------------------------------
def test_unknown_propensities_fall_back_to_observed(planted: Outcomes, kit: Any) -> None:
    log = logged(planted)
    blind = replace(log, propensity=np.full_like(log.propensity, np.nan))
    versions = set()
    for table, mode in ((log, "observed"), (blind, "auto"), (blind, "weighted"), (blind, "doubly_robust")):
        router = kit.make("mixed_effects")
        report = router.fit(table, log.pool, feedback=mode)
        versions.add(router.version)
        if table is blind:
            assert any("have no propensity" in note for note in report.notes)
    assert len(versions) == 1


def test_certain_choices_are_learned_from_as_observed(planted: Outcomes, kit: Any) -> None:
    log = replace(logged(planted), propensity=np.ones((len(logged(planted)), 4), np.float32))
    routers = [kit.make("knn") for _ in range(2)]
    report = routers[0].fit(log, log.pool, feedback="weighted")
    routers[1].fit(log, log.pool, feedback="observed")
    assert routers[0].version == routers[1].version
    assert any("every choice was certain" in note for note in report.notes)


def test_tiny_propensities_are_capped_and_the_notes_say_so(planted: Outcomes, kit: Any) -> None:
    log = logged(planted)
    chance = log.propensity.copy()
    chance[0, np.flatnonzero(log.observed[0])[0]] = 1e-6
    tiny = replace(log, propensity=chance)
    weights = inverse_weights(tiny)[log.observed]
    assert weights.max() / weights.min() <= CAP
    target = doubly_robust(tiny, np.full(log.score.shape, 0.5)).score
    assert np.isfinite(target).all() and target.min() >= 0 and target.max() <= 1
    _, notes = prepare(kit.make("knn"), tiny, feedback="weighted", seed=0)
    assert any(f"1 scores of propensity below {1 / CAP:g}" in note for note in notes)
    assert not any("below" in n for n in prepare(kit.make("knn"), log, feedback="weighted", seed=0)[1])


def test_an_unknown_mode_is_refused(planted: Outcomes, kit: Any) -> None:
    with pytest.raises(InvalidInput, match="feedback is one of auto, observed"):
        kit.make("knn").fit(planted, planted.pool, feedback="ips")


# -- the parts -----------------------------------------------------------------------------------
def test_the_same_log_gives_the_same_router(planted: Outcomes, kit: Any) -> None:
    log = logged(planted)
    for mode in ("weighted", "doubly_robust"):
        pair = [kit.make("mixed_effects") for _ in range(2)]
        for router in pair:
            router.fit(log, log.pool, feedback=mode, seed=5)
        assert pair[0].version == pair[1].version


def test_agents_without_outcomes_do_not_make_a_table_partial(planted: Outcomes) -> None:
    grown = planted.for_pool(planted.pool.add(Agent(name="new")))
    assert not is_partial(grown) and not is_partial(planted)
    assert is_partial(logged(planted))


def test_an_agent_that_never_ran_stays_unknown(planted: Outcomes, kit: Any) -> None:
    log = logged(planted)
    wider = log.for_pool(log.pool.add(Agent(name="new", description="a new one")))
    for mode in ("weighted", "doubly_robust"):
        router = kit.make("mixed_effects")
        router.fit(wider, wider.pool, feedback=mode)
        assert router.score_batch(log.tasks()[:2], wider.pool).known.tolist() == [True] * 4 + [False]


def test_weights_add_up_to_the_scores_worth(planted: Outcomes) -> None:
    log = logged(planted)
    weighed = weigh(log)
    seen = log.observed
    factor = np.where(seen, 1 / np.where(seen, log.propensity, 1), 0)
    worth = factor.sum(0) ** 2 / (factor**2).sum(0)
    np.testing.assert_allclose(np.where(seen, weighed.weight, 0).sum(0), worth, rtol=1e-4)
    assert (worth <= seen.sum(0) * 1.0001).all()


def test_left_out_predictions_are_those_of_a_fit_without_the_score() -> None:
    rng = np.random.default_rng(0)
    score = np.where(rng.random((30, 3)) < 0.5, rng.random((30, 3)), np.nan)
    weight = rng.uniform(0.5, 2.0, (30, 3))
    common, own = with_one(rng.normal(size=(30, 4))), with_one(rng.normal(size=(30, 2)))
    design = Design(common, own, rng.random((30, 3)))
    _, left = fit_effects(design, score, weight, 2.0)
    for i, a in np.argwhere(~np.isnan(score))[:6]:
        without = score.copy()
        without[i, a] = np.nan
        effects, _ = fit_effects(design, without, weight, 2.0)
        assert left[i, a] == pytest.approx(effects.predict(design)[i, a], abs=1e-8)


def test_effects_are_the_solution_of_the_whole_system() -> None:
    """Agents' blocks eliminated or not: the same ridge regression."""
    rng = np.random.default_rng(1)
    score = rng.random((25, 2))
    common, own = with_one(rng.normal(size=(25, 2))), with_one(rng.normal(size=(25, 1)))
    design = Design(common, own, np.zeros((25, 2)))
    effects, _ = fit_effects(design, score, np.ones((25, 2)), 3.0)
    zero = np.zeros_like(own)
    first = np.concatenate([common, zero[:, :1], own, zero], 1)
    second = np.concatenate([common, zero[:, :1], zero, own], 1)
    x = np.concatenate([first, second])
    penalty = np.diag([1e-4, 0.6, 0.6, 1.7, 6.7, 3.0, 6.7, 3.0])
    whole = np.linalg.solve(x.T @ x + penalty, x.T @ np.concatenate([score[:, 0], score[:, 1]]))
    np.testing.assert_allclose(effects.shared, whole[:4], atol=1e-8)
    np.testing.assert_allclose(effects.own.ravel(), whole[4:], atol=1e-8)


def test_the_older_routers_choices_are_read_from_propensities(planted: Outcomes) -> None:
    log = logged(planted, epsilon=0.4)
    guess, rows = choices_of(log)
    assert rows.all()
    np.testing.assert_allclose(guess.sum(1), 1, atol=1e-6)
    greedy = log.observed[:, 0] & (log.observed.sum(1) == 1)
    np.testing.assert_allclose(guess[greedy, 0], 0.7, atol=1e-6)


def test_a_log_is_fitted_with_the_pull_of_logs(planted: Outcomes, kit: Any) -> None:
    log = logged(planted)
    vectors = kit.make("mixed_effects").encode(log.tasks())
    assert fit_model(log, vectors, seed=0).model.effects.pull == LOG_PULL
    assert (
        len(fit_model(planted, kit.make("mixed_effects").encode(planted.tasks()), seed=0).search.trials) > 1
    )


def test_probes_join_the_mixed_effects(kit: Any) -> None:
    data = kit.planted(480)
    router = kit.make("mixed_effects")
    router.fit(data.for_pool(data.pool.subset(data.pool.names[:3])), data.pool.subset(data.pool.names[:3]))
    probes = data.split("train").take(np.arange(60)).for_pool(data.pool.subset(data.pool.names[3:]))
    grown = router.with_probes(probes)
    test = data.split("test")
    assert grown.score_batch(test.tasks(), data.pool).known.all()
    assert kit.score(grown, test) > kit.score(router, test) + 0.05
    assert grown.version != router.version
