"""Memory: messages of logged queries, drawn to what is known without them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from agentnet.routers.council.memory import LEVELS, Memory
from agentnet.routers.council.strengths import Attention, Strengths

Floats = NDArray[np.float64]
WIDTHS = (4, 2, 1, 0)
STRENGTHS = Strengths(
    Attention((6.0, 3.0, 0.0, 0.0), 1.0, WIDTHS), Attention((8.0, 2.0, 0.0, 0.0), 4.0, WIDTHS)
)


def views(n: int, rng: np.random.Generator, *, form: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
    """[n, 7] text at random, form one of two, one type."""
    text = rng.normal(size=(n, 4))
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    shape = np.eye(2)[np.zeros(n, int) if form is None else form]
    return np.concatenate((text, shape, np.ones((n, 1))), axis=1).astype(np.float32)


def remembered(score: Floats, relations: NDArray[np.float32], strengths: Strengths = STRENGTHS) -> Memory:
    one = np.ones((len(score), 1))
    return Memory.of(score, np.ones_like(score), one, relations, strengths)


def by_hand(memory: Memory, relations: NDArray[np.float32], own: int | None) -> Floats:
    """[M] the messages to one query, as the equations say."""
    query = np.split(relations, [4, 6])
    pieces = [np.split(logged, [4, 6]) for logged in memory.relations.astype(float)]
    cos = np.array([[q @ r for q, r in zip(query, piece, strict=True)] for piece in pieces])
    told = []
    for attention in (memory.strengths.common, memory.strengths.specific):
        weight = np.exp((cos - 1) @ np.array(attention.weights_by_relation[:3]))
        if own is not None:
            weight[own] = 0.0
        told.append((weight, attention.pull))
    (heavy, near), (sharp, pull) = told
    asked = (memory.seen > 0).any(1)
    hard = (heavy @ (asked * memory.common)) / (heavy @ asked + near)
    result: Floats = hard + (sharp @ (memory.seen * memory.specific)) / (sharp @ memory.seen + pull)
    return result


def test_messages_are_those_of_the_equations_in_blocks_too() -> None:
    rng = np.random.default_rng(0)
    relations = views(1100, rng, form=np.arange(1100) % 2)
    score = (rng.random((1100, 3)) < 0.6).astype(float)
    score[rng.random(score.shape) < 0.3] = np.nan
    memory = remembered(score, relations)
    told = memory.left_out()
    assert len(told) == len(LEVELS)
    for row in (0, 1023, 1024, 1099):  # a block has 1,024
        np.testing.assert_allclose(
            told[2][row] - told[1][row], by_hand(memory, relations[row], row), atol=1e-5
        )
    fresh = views(2, rng)
    told_of = (
        memory.predict(fresh, np.ones((2, 1))).score - memory.predict(fresh, np.ones((2, 1)), level=1).score
    )
    np.testing.assert_allclose(told_of[1], by_hand(memory, fresh[1], None), atol=1e-5)


def test_a_row_left_out_hears_nothing_of_itself() -> None:
    """Predicting logged rows as if new leans to their outcomes; leaving them out does not."""
    rng = np.random.default_rng(1)
    relations = views(200, rng)
    score = (rng.random((200, 4)) < 0.5).astype(float)  # noise: nothing can be known of a row
    memory = remembered(score, relations)
    left = memory.left_out()[2]
    seen = memory.predict(relations, np.ones((200, 1))).score
    centred = score - score.mean(0)
    assert np.mean((seen - left) * centred) > 0.02
    assert np.mean((left - left.mean(0)) * centred) < 0.01


def test_an_outcome_never_raises_its_own_prediction() -> None:
    """Changed outcomes of an arm known by few: the level of types stays to the digit."""
    rng = np.random.default_rng(2)
    relations = views(120, rng)
    score = (rng.random((120, 5)) < 0.6).astype(float)
    score[10:, -1] = np.nan
    score[3, -1] = 0.0
    low = remembered(score, relations).left_out()
    score[3, -1] = 1.0
    high = remembered(score, relations).left_out()
    assert high[1][3, -1] == pytest.approx(low[1][3, -1], abs=1e-12)
    assert high[2][3, -1] <= low[2][3, -1] + 1e-12
    assert (high[1][:10, -1] - low[1][:10, -1])[np.arange(10) != 3].min() > 0


def test_what_was_hard_for_all_is_hard_for_all_nearby() -> None:
    rng = np.random.default_rng(3)
    form = np.arange(200) % 2
    relations = views(200, rng, form=form)
    score = (rng.random((200, 5)) < np.where(form == 0, 0.2, 0.8)[:, None]).astype(float)
    score[form == 0, -1] = np.nan  # this one was never asked a hard one
    memory = remembered(score, relations)
    fresh = views(40, rng, form=np.arange(40) % 2)
    found = memory.predict(fresh, np.ones((40, 1))).score
    hard, easy = found[::2].mean(0), found[1::2].mean(0)
    assert (easy - hard)[:-1].min() > 0.3
    assert (easy - hard)[-1] > 0.2
    assert np.ptp(memory.predict(fresh, np.ones((40, 1)), level=1).score, axis=0).max() < 1e-9


def test_an_arms_own_strength_is_its_own() -> None:
    rng = np.random.default_rng(4)
    form = np.arange(200) % 2
    relations = views(200, rng, form=form)
    score = (rng.random((200, 4)) < 0.5).astype(float)
    score[:, 0], score[:, 1] = form, 1 - form
    fresh = views(20, rng, form=np.arange(20) % 2)
    found = remembered(score, relations).predict(fresh, np.ones((20, 1))).score
    assert (found[1::2, 0] - found[::2, 0]).min() > 0.2 and (found[::2, 1] - found[1::2, 1]).min() > 0.2
    assert np.abs(found[1::2, 2:].mean(0) - found[::2, 2:].mean(0)).max() < 0.15


def test_an_arm_hardly_known_is_held_back() -> None:
    rng = np.random.default_rng(5)
    score = (rng.random((200, 4)) < 0.5).astype(float)
    score[:, 3] = np.nan
    relations = views(200, rng)
    memory = remembered(score, relations)
    none = memory.predict(relations[:5], np.ones((5, 1)), level=1)
    np.testing.assert_allclose(none.score[:, :3], memory.profiles.score[:, :3].repeat(5, 0))
    assert (none.score[:, 3] < memory.profiles.score[0, 3] - 0.2 * none.error[:, 3]).all()
    assert (none.error[:, 3] > none.error[:, :3].max(1)).all()
    score[:20, 3] = 1.0
    some = remembered(score, relations).predict(relations[:5], np.ones((5, 1)), level=1)
    assert (some.score[:, 3] > some.score[:, :3].max(1)).all()
    assert (some.error[:, 3] < none.error[:, 3]).all()


def test_luck_with_hard_queries_is_taken_for_skill() -> None:
    """Asked the hard ones only, as right as the others are on all: it is better than they."""
    rng = np.random.default_rng(7)
    hard = np.arange(200) % 2 == 0
    score = (rng.random((200, 9)) < np.where(hard, 0.15, 0.95)[:, None]).astype(float)
    score[:, -1] = np.where(hard & (np.arange(200) < 60), (np.arange(200) % 4 == 0).astype(float), np.nan)
    relations = views(200, rng)
    told = remembered(score, relations).predict(relations[:3], np.ones((3, 1)), level=1).score
    assert np.nanmean(score[:, -1]) == 0.5
    assert (told[:, -1] > told[:, :-1].max(1) + 0.02).all()


def test_trust_counts_as_a_share_of_an_outcome() -> None:
    """Twice half an outcome says as much of an arm as one; none says nothing."""
    rng = np.random.default_rng(6)
    relations = views(60, rng)
    score = (rng.random((60, 3)) < 0.5).astype(float)
    one = np.ones((60, 1))
    trust = np.ones_like(score)
    trust[30:, 2] = 0.0
    hidden = score.copy()
    hidden[30:, 2] = np.nan
    doubted = Memory.of(score, trust, one, relations, STRENGTHS).predict(relations, one)
    unseen = Memory.of(hidden, np.ones_like(score), one, relations, STRENGTHS).predict(relations, one)
    np.testing.assert_allclose(doubted.score, unseen.score)
    np.testing.assert_allclose(doubted.error, unseen.error)
