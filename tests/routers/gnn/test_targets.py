"""Targets (A5), loss (A6) and fusion (A1) against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from agentnet.graphs.agent import Agent
from agentnet.graphs.builders import star
from agentnet.graphs.pool import Pool
from agentnet.graphs.replay import replay
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.gnn.fusion import FusionReplay, choose_fusion, vote_weights
from agentnet.routers.gnn.targets import hard_targets, router_loss, soft_targets


def test_no_score_at_all_gives_the_even_distribution() -> None:
    assert torch.equal(soft_targets(torch.zeros(2, 8)), torch.full((2, 8), 0.125))


def test_one_right_agent_of_24_gets_what_the_formula_says() -> None:
    score = torch.zeros(1, 24)
    score[0, 5] = 1
    plain, smoothed = soft_targets(score, eps=0), soft_targets(score)
    assert plain[0, 5].item() == pytest.approx(math.exp(4) / (math.exp(4) + 23), abs=1e-6)
    assert plain[0, 5].item() == pytest.approx(0.7036, abs=1e-4)
    assert smoothed[0, 5].item() == pytest.approx(0.999 * 0.7036 + 0.001 / 24, abs=1e-4)


def test_rows_sum_to_one_and_unknown_agents_get_nothing() -> None:
    score = torch.rand(16, 5)
    known = torch.rand(16, 5) > 0.4
    for target in (soft_targets(score, known=known), hard_targets(score, eps=0.1, known=known)):
        assert torch.allclose(target.sum(1), known.any(1).float(), atol=1e-6)
        assert (target[~known] == 0).all()
    alone = soft_targets(score[:, :3])
    assert torch.allclose(soft_targets(score, known=torch.arange(5)[None].expand(16, 5) < 3)[:, :3], alone)


def test_hard_targets_share_ties_and_do_not_teach_the_order() -> None:
    assert hard_targets(torch.tensor([[0.0, 0.8, 0.8, 0.1]])).tolist() == [[0.0, 0.5, 0.5, 0.0]]


def test_the_loss_is_the_divergence_of_the_prediction_from_the_target() -> None:
    target, p = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    assert router_loss(target.log(), target).item() == pytest.approx(0, abs=1e-6)
    by_hand = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert router_loss(p.log(), target).item() == pytest.approx(by_hand, abs=1e-6)
    assert by_hand != pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1), abs=1e-2)


def test_the_loss_is_a_mean_over_the_batch_and_not_over_the_agents() -> None:
    target, logits = soft_targets(torch.rand(1, 24)), torch.randn(1, 24)
    once = router_loss(logits, target)
    assert router_loss(logits.repeat(7, 1), target.repeat(7, 1)).item() == pytest.approx(
        once.item(), rel=1e-5
    )


def test_unknown_agents_take_no_part_in_the_loss_and_give_finite_gradients() -> None:
    score, known = (
        torch.rand(3, 4),
        torch.tensor([[1, 1, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool),
    )
    logits = torch.randn(3, 4, requires_grad=True)
    loss = router_loss(logits, soft_targets(score, known=known), known)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and torch.isfinite(logits.grad).all()
    assert (logits.grad[~known] == 0).all() and (logits.grad[1:] == 0).all()
    rest = router_loss(logits[:1, [0, 1, 3]].detach(), soft_targets(score[:1, [0, 1, 3]]))
    assert 3 * loss.item() == pytest.approx(rest.item(), rel=1e-4)


def table(responses: list[list[str]], scores: list[list[float]], repeat: int = 20) -> Outcomes:
    n, agents = len(responses) * repeat, len(responses[0])
    queries = Queries(
        query_id=np.arange(n).astype(str),
        text=tuple(f"q{i}" for i in range(n)),
        split=np.array(["train"] * n),
    )
    return Outcomes(
        queries=queries,
        pool=Pool(Agent(name=f"a{j}") for j in range(agents)),
        score=np.array(scores * repeat, np.float32),
        cost=np.full((n, agents), np.nan),
        response=np.array(responses * repeat, object),
    )


def test_two_who_agree_beat_one_who_is_surer() -> None:
    graph = star(["a", "b", "c"], [0.5, 0.3, 0.3])
    assert replay(graph, {"a": "dog", "b": "The Cat", "c": "cat"}).key == "cat"
    outcomes = table([["dog", "The Cat", "cat"]], [[0.0, 1.0, 1.0]])
    recorded = FusionReplay.of(outcomes, "default")
    assert recorded is not None
    weight, order = np.tile([0.5, 0.3, 0.3], (20, 1)), np.tile([0, 1, 2], (20, 1))
    assert recorded.score(order, weight, 3).tolist() == [1.0] * 20
    assert recorded.score(order, weight, 2).tolist() == [0.0] * 20


def test_without_any_answer_the_first_agent_stands() -> None:
    outcomes = table([["", " ", ""]], [[0.25, 1.0, 1.0]])
    recorded = FusionReplay.of(outcomes, "default")
    assert recorded is not None
    assert recorded.score(np.tile([0, 2, 1], (20, 1)), np.ones((20, 3)), 3).tolist() == [0.25] * 20


def test_the_fast_replay_is_the_slow_one() -> None:
    rng = np.random.default_rng(0)
    words = np.array(["Rome", "rome.", "Paris", "", "Oslo"])
    texts = words[rng.integers(0, 5, (40, 4))]
    outcomes = table(texts.tolist(), rng.random((40, 4)).tolist(), repeat=1)
    recorded = FusionReplay.of(outcomes, "default")
    assert recorded is not None
    weight = vote_weights(rng.random((40, 4)), 0.25)
    order = np.argsort(-weight, 1)
    for k in (1, 2, 4):
        fast = recorded.score(order, weight, k)
        for i in range(40):
            names = [f"a{j}" for j in order[i, :k]]
            graph = star(names, [float(weight[i, j]) for j in order[i, :k]])
            slow = replay(graph, {f"a{j}": str(texts[i, j]) for j in range(4)}).winner or names[0]
            assert fast[i] == pytest.approx(outcomes.score[i, int(slow[1:])])


def test_the_size_of_the_vote_is_chosen_by_what_it_scores() -> None:
    # Three agents are right in turn, two at a time: only all three together are always right.
    responses = [["r", "r", "w1"], ["r", "w2", "r"], ["w3", "r", "r"]]
    outcomes = table(responses, [[1, 1, 0], [1, 0, 1], [0, 1, 1]])
    recorded = FusionReplay.of(outcomes, "default")
    predicted = np.tile([0.67, 0.66, 0.65], (60, 1))
    found, tried = choose_fusion(recorded, predicted, most=3, k=None, tau=None, uniform=False)
    assert found.k == 3 and found.gains[2] == pytest.approx(1 / 3, abs=1e-4) and len(tried) == 18
    held, _ = choose_fusion(recorded, predicted, most=3, k=1, tau=0.5, uniform=False)
    assert (held.k, held.tau) == (1, 0.5)
    alone, _ = choose_fusion(None, predicted, most=3, k=None, tau=None, uniform=False)
    assert alone.k == 1
