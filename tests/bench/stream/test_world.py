"""The simulated world: its optimum is known, its streams are repeatable, its luck belongs to the query."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from agentnet.bench.stream.intervals import interval
from agentnet.bench.stream.run import Setup, recovery, serve
from agentnet.bench.stream.setups import PAPER, RANDOM, of_recipe
from agentnet.bench.stream.world import AGENTS, LAYERS, TYPES, Stream, World
from agentnet.errors import InvalidInput
from agentnet.routers.amro_s import AmroSRouter
from agentnet.routers.colony.update import Rules


def test_the_optimum_is_that_of_all_paths():
    world = World.of(3)
    for t in range(len(TYPES)):
        every = [
            world.success[t, a, b, c] for a, b, c in itertools.product(range(len(AGENTS)), repeat=LAYERS)
        ]
        assert world.best()[t] == max(every)
        assert min(every) > 0 and max(every) < 1


def test_conflict_is_between_types_and_none_without_it():
    apart, alike = World.of(1, conflict=1.0), World.of(1, conflict=0.0)
    assert apart.best().mean() - apart.best_shared() > 0.1
    assert apart.crossed() < apart.best_shared()
    assert alike.best().mean() == pytest.approx(alike.best_shared())
    with pytest.raises(InvalidInput, match="conflict"):
        World.of(1, conflict=1.5)


def test_the_path_matters_and_not_single_nodes_alone():
    logit = np.log(World.of(0).success[0] / (1 - World.of(0).success[0]))
    means = [logit.mean(axes, keepdims=True) for axes in ((1, 2), (0, 2), (0, 1))]
    single = sum(means) - 2 * logit.mean()
    assert 0.1 < ((logit - single) ** 2).mean() / logit.var() < 0.7


def test_a_drift_exchanges_two_nodes_in_every_layer():
    world = World.of(2)
    after = world.swapped()
    assert np.allclose(np.sort(after.success.ravel()), np.sort(world.success.ravel()))
    changed = [k for k in range(len(AGENTS)) if not np.array_equal(world.success[:, k], after.success[:, k])]
    one, two = (
        k
        for k in range(len(AGENTS))
        if not np.isclose(world.success[:, k].mean(), after.success[:, k].mean())
    )
    assert {one, two} <= set(changed)
    assert world.success[0, one, one, two] == after.success[0, two, two, one]
    assert np.array_equal(after.swapped().best(), world.best())


def test_streams_repeat_and_their_intents_are_mostly_right():
    stream, again = Stream.of(5, 4000), Stream.of(5, 4000)
    assert np.array_equal(stream.weights, again.weights)
    assert not np.array_equal(stream.types, Stream.of(6, 4000).types)
    assert np.allclose(stream.weights.sum(1), 1) and stream.weights.min() > 0.009
    right = (stream.weights.argmax(1) == stream.types).mean()
    assert 0.97 < right < 0.99


@pytest.mark.parametrize("bursts", [False, True])
def test_every_query_is_in_one_moment(bursts):
    stream = Stream.of(0, 1000, bursts=bursts)
    assert stream.ticks[0] == 0 and stream.ticks[-1] == 1000
    sizes = np.diff(stream.ticks)
    assert sizes.min() > 0
    assert (sizes.max() > 2 * np.median(sizes)) == bursts


def test_bursts_arrive():
    sizes = np.diff(Stream.of(0, 20_000, bursts=True).ticks)
    assert np.quantile(sizes, 0.2) < 10 < 25 < np.quantile(sizes, 0.9)


def test_the_same_path_has_the_same_outcome_whoever_took_it():
    world, stream = World.of(0), Stream.of(0, 3000)
    one, other = serve(world, stream, PAPER), serve(world, stream, replace(PAPER, shared=True))
    same = (one.columns == other.columns).all(1)
    assert 10 < same.sum() < len(same)
    assert np.array_equal(one.right[same], other.right[same])


def test_serving_is_deterministic_and_learns():
    world, stream = World.of(4), Stream.of(4, 6000)
    log, again, blind = (serve(world, stream, s) for s in (PAPER, PAPER, RANDOM))
    assert np.array_equal(log.columns, again.columns)
    assert log.colony.number > 20 and blind.colony.number == 0
    assert log.chance[log.last()].mean() > blind.chance[blind.last()].mean() + 0.1
    assert (log.chance <= log.best + 1e-12).all()
    assert (log.f_sys >= 0).all() and (log.f_sys <= 1).all()


def test_congestion_costs_answers_and_time_and_eta_sees_it():
    world, stream = World.of(1, capacity=3.0), Stream.of(1, 3000, bursts=True)
    calm, busy = (serve(world, stream, PAPER, congested=c) for c in (False, True))
    assert busy.right.mean() < calm.right.mean() - 0.05
    assert busy.latency_s.mean() > 1.2 * calm.latency_s.mean()


def test_eta_leads_calls_away_from_nodes_of_little_capacity():
    world, stream = World.of(1), Stream.of(1, 3000, bursts=True)
    world = replace(world, capacity=np.where(np.arange(len(AGENTS)) < 8, 0.5, 50.0))
    blind = replace(PAPER, learns=False, eta=None)
    sees = replace(blind, eta=of_recipe("agentnet").eta, beta=3.0, prior=False)
    unseen, seen = (serve(world, stream, s, congested=True) for s in (blind, sees))
    assert (seen.columns < 8).mean() < 0.7 * (unseen.columns < 8).mean()
    assert seen.right.mean() > unseen.right.mean() + 0.02


def test_judge_noise_changes_what_is_learned_and_nothing_else():
    world, stream = World.of(2), Stream.of(2, 2000)
    exact, noisy = serve(world, stream, PAPER), serve(world, stream, replace(PAPER, false_accept=0.3))
    assert not np.array_equal(exact.colony.tau, noisy.colony.tau)
    blind = replace(PAPER, learns=False)
    a, b = serve(world, stream, blind), serve(world, stream, replace(blind, false_accept=0.3))
    assert np.array_equal(a.right, b.right)


def test_a_judge_that_is_always_wrong_is_the_opposite_of_the_gate():
    world, stream = World.of(2), Stream.of(2, 8000)
    good = serve(world, stream, replace(PAPER, price=0.0))
    bad = serve(world, stream, replace(PAPER, price=0.0, false_accept=1.0, false_reject=1.0))
    assert bad.chance[bad.last()].mean() < good.chance[good.last()].mean() - 0.2


def test_recovery_counts_queries_to_the_end_of_the_first_good_window():
    world, stream = World.of(0), Stream.of(0, 2000)
    log = serve(world, stream, RANDOM)
    log = replace(log, chance=np.r_[np.full(1000, 0.9), np.full(300, 0.1), np.full(700, 0.9)])
    assert recovery(log, 0.9, since=1000, window=100) == 400
    assert recovery(log, 0.95, since=1000, window=100) is None


def test_drift_takes_effect_halfway():
    world, stream = World.of(0), Stream.of(0, 4000, tick=100)
    still, moved = serve(world, stream, PAPER), serve(world, stream, PAPER, after=world.swapped())
    assert np.array_equal(still.chance[:2000], moved.chance[:2000])
    assert not np.array_equal(still.chance[2000:2100], moved.chance[2000:2100])
    assert np.array_equal(still.columns[2000:2100], moved.columns[2000:2100])


def test_the_interval_covers_queries_and_seeds():
    rng = np.random.default_rng(0)
    alike = [(rng.random(1000) < 0.5).astype(float) for _ in range(5)]
    apart = [(rng.random(1000) < p).astype(float) for p in (0.1, 0.3, 0.5, 0.7, 0.9)]
    width = {name: np.diff(interval(values)[1:])[0] for name, values in (("a", alike), ("b", apart))}
    assert 0.015 < width["a"] < 0.06 < 0.3 < width["b"]
    single = interval([alike[0]])
    assert single[0] == alike[0].mean() and single[1] < single[0] < single[2]


def test_the_setups_are_the_routers():
    assert of_recipe("paper") == PAPER == Setup()
    assert PAPER.rules == Rules(rho=0.05, q=1.0, eps=0.1, bounds=None, evaporation="attributed")
    own = of_recipe("agentnet")
    start = AmroSRouter(recipe="agentnet")._start(["a", "b"])
    assert start.colonies[0].tau.max() == own.tau0
    assert own.rules.evaporation == "edges" and own.rules != PAPER.rules
    assert (own.price, own.prior) == (0.0, False)
