from __future__ import annotations

import itertools
import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import GraphError
from agentnet.graphs.ops import from_matrix
from agentnet.graphs.sampling import log_probability, sample_ordered, sample_visit

probabilities = st.integers(1, 7).flatmap(
    lambda n: st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), min_size=n * n, max_size=n * n).map(
        lambda values: np.array(values).reshape(n, n)
    )
)


@given(probabilities, st.integers(0, 999), st.sampled_from([None, "random"]), st.booleans(), st.data())
def test_every_sample_is_a_dag_of_kept_nodes(matrix, seed, order, ordered, data):
    n = len(matrix)
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    rng = np.random.default_rng(seed)
    if ordered:
        sample = sample_ordered(matrix, rng, order=order, keep=keep)
    else:
        sample = sample_visit(matrix, rng, visit=order, keep=keep)
    assert nx.is_directed_acyclic_graph(nx.from_numpy_array(sample.edges, create_using=nx.DiGraph))
    assert not (sample.edges & ~sample.open).any()
    assert not sample.open[~keep].any() and not sample.open[:, ~keep].any()
    assert not np.diag(sample.open).any()
    assert math.isfinite(sample.log_prob) and sample.log_prob <= 0
    assert sample.log_prob == log_probability(matrix, sample.edges, sample.open)
    assert len(from_matrix([f"a{i}" for i in range(n)], sample.edges).edges) == sample.edges.sum()


@given(probabilities, st.integers(0, 999))
def test_samples_are_the_seeds(matrix, seed):
    for sample in (sample_ordered, sample_visit):
        first, second = (sample(matrix, np.random.default_rng(seed)) for _ in range(2))
        assert (first.edges == second.edges).all() and first.log_prob == second.log_prob


@pytest.mark.parametrize("sample", [sample_ordered, sample_visit])
def test_frequencies_are_the_stated_probabilities(sample):
    """Three nodes: exp(log_prob) is a distribution over the DAGs, and is how often they come."""
    matrix = np.array([[0, 0.3, 0.6], [0.5, 0, 0.2], [0.8, 0.4, 0]])
    rng = np.random.default_rng(1)
    seen: dict[bytes, list[float]] = {}
    n = 6000
    for _ in range(n):
        one = sample(matrix, rng)
        entry = seen.setdefault(one.edges.tobytes(), [0, math.exp(one.log_prob)])
        assert entry[1] == pytest.approx(math.exp(one.log_prob))
        entry[0] += 1
    assert sum(chance for _, chance in seen.values()) == pytest.approx(1, abs=0.01)
    for count, chance in seen.values():
        assert abs(count / n - chance) < 5 * math.sqrt(chance / n) + 1e-3


def test_the_order_decides_which_edges_are_open():
    ones = np.ones((3, 3))
    sample = sample_ordered(ones, np.random.default_rng(0), order=[2, 0, 1])
    assert sample.edges.astype(int).tolist() == [[0, 1, 0], [0, 0, 0], [1, 1, 0]]
    sample = sample_visit(ones, np.random.default_rng(0), visit=[(2, 1), (1, 0), (0, 2)])
    assert sample.edges.astype(int).tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert not sample.open[0, 2]


def test_random_orders_favour_no_direction():
    rng = np.random.default_rng(0)
    for sample in (lambda: sample_ordered(np.ones((2, 2)), rng, order="random"),
                   lambda: sample_visit(np.ones((2, 2)), rng, visit="random")):  # fmt: skip
        forward = sum(sample().edges[0, 1] for _ in range(400))
        assert 140 < forward < 260


def test_an_impossible_sample_has_no_probability():
    edge = np.array([[False, True], [False, False]])
    assert log_probability([[0, 0], [0, 0]], edge, edge) == -math.inf


def test_row_major_visits_skip_exactly_what_would_close_a_cycle():
    rng = np.random.default_rng(3)
    matrix = np.full((6, 6), 0.4)
    sample = sample_visit(matrix, rng)
    g = nx.DiGraph()
    g.add_nodes_from(range(6))
    for i, j in itertools.product(range(6), repeat=2):
        if i != j:
            assert sample.open[i, j] == (not nx.has_path(g, j, i))
            if sample.edges[i, j]:
                g.add_edge(i, j)


@pytest.mark.parametrize(
    ("matrix", "settings"),
    [
        ([[0, 1]], {}),
        ([], {}),
        ([[0, 1.5], [0, 0]], {}),
        ([[0, float("nan")], [0, 0]], {}),
        ([[0, 1], [0, 0]], {"keep": [1, 0]}),
        ([[0, 1], [0, 0]], {"keep": [True]}),
        ([[0, 1], [0, 0]], {"order": [0, 0], "visit": [(0, 0)]}),
        ([[0, 1], [0, 0]], {"order": "best", "visit": "best"}),
        ([[0, 1], [0, 0]], {"order": [0], "visit": [(0, 1), (0, 1)]}),
    ],
)
def test_bad_input_is_a_graph_error(matrix, settings):
    rng = np.random.default_rng(0)
    for sample, other in ((sample_ordered, "visit"), (sample_visit, "order")):
        with pytest.raises(GraphError):
            sample(matrix, rng, **{k: v for k, v in settings.items() if k != other})
