"""Priors help where there is little, fade as traces come, and never leak what is held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.encoders.hashing import HashingEncoder
from agentnet.outcomes.splits import hash_split
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.releases.priors import cold_router, described_prior, public_prior, with_prior
from agentnet.routers.registry import make_router
from agentnet.routers.stats import AgentStats
from tests.releases.simulated import SKILL, TOPICS, TopicEncoder, simulate

OWN = Pool(
    [
        Agent(name="ann", description="sums", price_in_per_mtok="1", price_out_per_mtok="2"),
        Agent(name="robert", description="words"),
        Agent(name="new", description="places rivers cities"),
    ]
)


def public(n: int = 400) -> Outcomes:
    """Public outcomes of ann, bob and cy, with tokens."""
    log = simulate(n, 50)
    topic = [list(TOPICS).index(text.split()[0]) for text in log.queries.text]
    score = (np.random.default_rng(51).random((n, 3)) < SKILL[topic]).astype(np.float32)
    return Outcomes(
        queries=log.queries, pool=log.pool, score=score, cost=np.full((n, 3), 0.5),
        propensity=np.ones((n, 3), np.float32), prompt_tokens=np.full((n, 3), 100.0),
        completion_tokens=np.full((n, 3), 50.0), source="public",
    )  # fmt: skip


def test_public_outcomes_are_matched_by_name_or_as_told_and_priced_by_the_list() -> None:
    prior = public_prior(public(), OWN, same_as={"robert": "bob"})
    assert prior.agents == ("ann", "robert", "new")
    assert prior.observed[:, :2].all() and not prior.observed[:, 2].any()
    assert prior.cost[0, 0] == pytest.approx((100 * 1 + 50 * 2) / 1e6)
    assert prior.cost[0, 1] == 0.5  # no list price: as recorded
    assert len(public_prior(public(), OWN, most=30)) == 30
    with pytest.raises(InvalidInput, match="no agent bert in the pool"):
        public_prior(public(), OWN, same_as={"bert": "bob"})
    with pytest.raises(InvalidInput, match="have no agent rob"):
        public_prior(public(), OWN, same_as={"robert": "rob"})
    with pytest.raises(DataError, match="OWN=PUBLIC"):
        public_prior(public(), Pool([Agent(name="x")]))


def test_what_any_log_would_hold_out_is_left_out() -> None:
    prior = public_prior(public(), OWN)
    assert "test" not in set(hash_split(prior.queries.text))
    held = set(np.array(public().queries.query_id)[public().queries.split == "test"].tolist())
    assert held and not {name.removeprefix("prior:") for name in prior.queries.query_id.tolist()} & held


def test_the_prior_counts_as_so_many_observations_and_fades() -> None:
    prior = public_prior(public(), OWN, same_as={"robert": "bob"})
    means = prior.mean_score[0]
    for n in (0, 50, 5000):
        own = Outcomes(
            queries=Queries(
                query_id=np.array([str(i) for i in range(n)], np.str_),
                text=tuple(f"sums {i}" for i in range(n)), split=np.full(n, "train", "<U5"),
            ),
            pool=OWN, score=np.tile(np.array([1.0, np.nan, np.nan], np.float32), (n, 1)),
            cost=np.full((n, 3), np.nan),
        )  # fmt: skip
        blended = with_prior(own, prior, 50.0)
        stats = AgentStats.of(blended)
        assert stats.count[:2] == pytest.approx([n + 50, 50], rel=1e-4)
        assert stats.mean(OWN)[0] == pytest.approx((n + 50 * means) / (n + 50), rel=1e-4)
    assert with_prior(own, None) is own and with_prior(own, prior, 0.0) is own
    with pytest.raises(InvalidInput, match="weight"):
        with_prior(own, prior, -1.0)


def test_own_costs_replace_public_ones() -> None:
    prior = public_prior(public(), OWN, same_as={"robert": "bob"})
    log = simulate(20, 60)
    own = replace(log.to_outcomes(), pool=OWN)
    own = replace(own, cost=np.where(np.arange(3) == 1, np.nan, own.cost))
    blended = with_prior(own, prior, 10.0)
    below = np.array([name.startswith("prior:") for name in blended.queries.query_id.tolist()])
    assert np.isnan(blended.cost[below, 0]).all()
    assert (blended.cost[below, 1] == 0.5).all()


def test_with_few_traces_the_prior_is_better_than_none() -> None:
    fresh = simulate(2000, 70)
    topic = np.array([list(TOPICS).index(text.split()[0]) for text in fresh.queries.text])
    prior = public_prior(public(), fresh.pool)

    def value(outcomes: Outcomes) -> float:
        router = make_router("kmeans", clusters=4)
        router.use_encoder(TopicEncoder())
        router.fit(outcomes, fresh.pool)
        chosen = [d.agents[0] for d in router.route_batch(fresh.queries.tasks(), fresh.pool)]
        return float(SKILL[topic, [fresh.pool.index(name) for name in chosen]].mean())

    few = [simulate(40, 80 + k, epsilon=1.0).to_outcomes() for k in range(3)]
    alone = np.mean([value(own) for own in few])
    helped = np.mean([value(with_prior(own, prior, 50.0)) for own in few])
    assert helped > alone + 0.03


def test_descriptions_and_prices_give_a_first_guess() -> None:
    pool = Pool(
        [
            Agent(name="cook", description="recipes oven flour butter", price_in_per_mtok="1",
                  price_out_per_mtok="1"),
            Agent(name="jurist", description="contracts court clause verdict", price_in_per_mtok="9",
                  price_out_per_mtok="9"),
            Agent(name="plain", description="general questions"),
        ]
    )  # fmt: skip
    prior = described_prior(pool)
    assert prior.score.mean(0).argmax() == 1  # dearest
    router = cold_router(pool, prior, router="knn", encoder=HashingEncoder())
    assert router.route("a court and a contract clause", pool).agents == ("jurist",)
    assert router.route("oven recipes with butter and flour", pool).agents == ("cook",)


def test_a_router_serves_before_there_are_traces() -> None:
    router = cold_router(OWN, public_prior(public(), OWN, same_as={"robert": "bob"}), encoder=TopicEncoder())
    assert router.route("sums add apples 5", OWN).agents == ("ann",)
    assert router.route("words spell letters 5", OWN).agents == ("robert",)
