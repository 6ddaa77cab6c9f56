"""Contexts are learned from tasks alone."""

from __future__ import annotations

import numpy as np
import pytest

from agentnet.graphs.task import Task
from agentnet.outcomes.encoders import make_encoder
from agentnet.routers.bandits.contexts import (
    CLUSTERS,
    PARTS,
    TYPES,
    Contexts,
    learn_contexts,
)
from agentnet.routers.bandits.contexts import (
    TOPICS as GROUPS,
)
from agentnet.routers.bandits.looks import Features, look_at, measures, reading_ease

from .streams import TOPICS, tasks_of


def looks_of(features: Features, n: int = 200) -> tuple[np.ndarray, list[str]]:
    tasks, topics = tasks_of(n)
    return look_at(features, tasks, make_encoder("hash:64").encode([t.text for t in tasks])), topics


def told_apart(x: np.ndarray, topics: list[str]) -> float:
    """Share of the contexts whose nearest other context is of the same topic."""
    distance = ((x[:, None] - x[None]) ** 2).sum(-1)
    np.fill_diagonal(distance, np.inf)
    return float(np.mean([topics[i] == topics[j] for i, j in enumerate(distance.argmin(1))]))


def test_before_anything_is_learned_a_context_is_the_constant() -> None:
    looks, _ = looks_of("agentnet", 3)
    blank = Contexts("agentnet")
    assert blank.id == "" and blank.dim == 1 and blank.of(looks).tolist() == [[1.0]] * 3


@pytest.mark.parametrize("features", ["agentnet", "greenserv"])
def test_contexts_tell_topics_apart_without_labels(features: Features) -> None:
    looks, topics = looks_of(features)
    found = learn_contexts(features, looks)
    x = found.of(looks)
    assert x.shape == (len(looks), found.dim) and np.isfinite(x).all()
    least = {"agentnet": 0.9, "greenserv": 0.5}[features]
    assert told_apart(x, topics) > least > 1 / len(TOPICS)


def test_the_order_of_the_tasks_plays_no_part() -> None:
    looks, _ = looks_of("agentnet")
    mixed = looks[np.random.default_rng(0).permutation(len(looks))]
    assert learn_contexts("agentnet", looks).id == learn_contexts("agentnet", mixed).id
    assert learn_contexts("agentnet", looks).id != learn_contexts("agentnet", looks[:150]).id


def test_ours_is_a_constant_memberships_and_components() -> None:
    looks, _ = looks_of("agentnet")
    x = learn_contexts("agentnet", looks).of(looks)
    assert x.shape[1] == 1 + CLUSTERS + 2 * PARTS
    np.testing.assert_allclose(x[:, 0], 1)
    np.testing.assert_allclose(x[:, 1 : 1 + CLUSTERS].sum(1), 1, atol=1e-4)


def test_greenservs_is_three_one_hots() -> None:
    looks, _ = looks_of("greenserv")
    x = learn_contexts("greenserv", looks).of(looks)
    assert x.shape[1] == TYPES + GROUPS + 3 == 11
    assert set(np.unique(x)) == {0.0, 1.0}
    for part in np.split(x, [TYPES, TYPES + GROUPS], axis=1):
        assert (part.sum(1) == 1).all()


def test_greenserv_learns_task_types_from_labels_where_there_are_any() -> None:
    looks, topics = looks_of("greenserv")
    labels = np.unique(topics, return_inverse=True)[1]
    x = learn_contexts("greenserv", looks, labels).of(looks)
    assert (x[:, : len(TOPICS)].argmax(1) == labels).mean() > 0.95


def test_complexity_is_binned_by_reading_ease() -> None:
    plain, dense = (
        "The cat sat on the mat.",
        "Incomprehensible institutional heterogeneity necessitates clarification.",
    )
    assert reading_ease(plain) == pytest.approx(116.145, abs=0.01)
    assert reading_ease(dense) < 0 and reading_ease("1 + 1") == 100.0
    looks = look_at("greenserv", [Task(plain), Task(dense)], np.zeros((2, 4), np.float32))
    assert looks[:, 4:].tolist() == [[1, 0, 0], [0, 0, 1]]


def test_few_tasks_are_enough_to_learn_from() -> None:
    looks, _ = looks_of("agentnet", 5)
    for features in ("agentnet", "greenserv"):
        given = looks_of(features, 5)[0]
        assert np.isfinite(learn_contexts(features, given).of(given)).all()
    assert learn_contexts("agentnet", looks[:0]).dim == 1
    assert measures("agentnet") == looks.shape[1] - 64
