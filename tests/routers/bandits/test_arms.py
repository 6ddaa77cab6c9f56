"""The regressions, against the same model solved as one dense system."""

from __future__ import annotations

import numpy as np
import pytest

from agentnet.routers.bandits.arms import Arms, Floats, root_of

RIDGE, SHARED, AGENTS, DIM = 2.0, 3.0, 3, 4


def rows(n: int = 40, seed: int = 0) -> tuple[np.ndarray, Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    return rng.integers(AGENTS, size=n), rng.normal(size=(n, DIM)), rng.random(n), 0.5 + rng.random(n)


def start(shared: float | None = SHARED) -> Arms:
    return Arms.start(("a", "b", "c"), DIM, ridge=RIDGE, shared=shared)


def dense(agent: np.ndarray, x: Floats, score: Floats, weight: Floats, at: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of [w, u_1 .. u_A] as one regression, in context ``at``."""

    def wide(who: int, x: Floats) -> Floats:
        z = np.zeros(DIM * (AGENTS + 1))
        z[:DIM] = z[DIM * (who + 1) : DIM * (who + 2)] = x
        return z

    z = np.stack([wide(int(a), row) for a, row in zip(agent, x, strict=True)])
    prior = np.diag(np.repeat([SHARED, *[RIDGE] * AGENTS], DIM))
    covariance = np.linalg.inv(prior + z.T @ (z * weight[:, None]))
    theta = covariance @ z.T @ (weight * (score - 0.5))
    asked = np.stack([wide(a, at) for a in range(AGENTS)])
    return 0.5 + asked @ theta, np.sqrt(np.einsum("ad,de,ae->a", asked, covariance, asked))


def test_rank_one_updates_give_the_dense_posterior() -> None:
    agent, x, score, weight = rows()
    at = np.random.default_rng(9).normal(size=DIM)
    found = start().learned(agent, x, score, weight).posterior(at[None])
    mean, deviation = dense(agent, x, score, weight, at)
    np.testing.assert_allclose(found.mean[0], mean, atol=1e-10)
    np.testing.assert_allclose(found.deviation[0], deviation, atol=1e-10)


def test_all_at_once_or_one_by_one_in_any_order_is_the_same() -> None:
    agent, x, score, weight = rows()
    table, trust = np.full((len(x), AGENTS), np.nan), np.zeros((len(x), AGENTS))
    table[np.arange(len(x)), agent], trust[np.arange(len(x)), agent] = score, weight
    once = start().of_rows(x, table, trust)
    mixed = np.random.default_rng(1).permutation(len(x))
    one_by_one = start().learned(agent[mixed], x[mixed], score[mixed], weight[mixed])
    for part in ("inverse", "sums", "common", "pull"):
        np.testing.assert_allclose(getattr(once, part), getattr(one_by_one, part), atol=1e-10)


def test_ten_thousand_updates_do_not_drift() -> None:
    agent, x, score, weight = rows(10_000)
    table, trust = np.full((len(x), AGENTS), np.nan), np.zeros((len(x), AGENTS))
    table[np.arange(len(x)), agent], trust[np.arange(len(x)), agent] = score, weight
    slow, once = start().learned(agent, x, score, weight), start().of_rows(x, table, trust)
    np.testing.assert_allclose(slow.posterior(x[:9]).mean, once.posterior(x[:9]).mean, atol=1e-9)


def test_learning_leaves_the_arms_it_started_from_alone() -> None:
    before = start()
    kept = before.inverse.copy(), before.common.copy()
    before.learned(*rows())
    assert np.array_equal(before.inverse, kept[0]) and np.array_equal(before.common, kept[1])


def test_an_agent_never_seen_has_what_all_share_and_more_doubt() -> None:
    x = np.ones((1, DIM))
    told = start().learned(np.zeros(50, int), np.ones((50, DIM)), np.ones(50))
    more = told.for_agents(("new", "a")).posterior(x)
    assert 0.5 < more.mean[0, 0] < more.mean[0, 1]
    assert more.deviation[0, 0] > more.deviation[0, 1]
    assert more.mean[0, 1] == pytest.approx(told.posterior(x).mean[0, 0])


def test_disjoint_agents_tell_nothing_of_each_other() -> None:
    told = start(shared=None).learned(np.zeros(50, int), np.ones((50, DIM)), np.ones(50))
    found = told.posterior(np.ones((1, DIM)))
    assert found.mean[0, 0] > 0.9 and found.mean[0, 1] == 0.5
    assert found.deviation[0, 1] == pytest.approx(np.sqrt(DIM / RIDGE))


def test_root_is_a_root() -> None:
    common = start().learned(*rows()).common
    np.testing.assert_allclose(root_of(common) @ root_of(common).T, common, atol=1e-9)
    assert not root_of(np.zeros((2, 2))).any()
