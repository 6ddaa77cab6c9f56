"""Task types without training, the floor, and saved state."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import InvalidInput, RouterLoadError
from agentnet.routers.intents.base import Fixed, OneType, TaskTypes, lift, restore_types


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8), st.floats(0, 1))
def test_lifted_weights_sum_to_one_and_keep_the_floor_and_the_order(raw: list[float], part: float) -> None:
    p = np.array([raw]) + 1e-9
    floor = part / len(raw)
    lifted = lift(p, floor)
    assert lifted.sum() == pytest.approx(1)
    assert lifted.min() >= floor - 1e-12
    assert (np.diff(lifted[0][np.argsort(p[0])]) >= -1e-12).all()


def test_without_a_floor_the_weights_are_the_probabilities() -> None:
    assert lift(np.array([[0.0, 0.25, 0.75]]), 0).tolist() == [[0, 0.25, 0.75]]


def test_one_type_takes_everything_whatever_the_text() -> None:
    types = OneType()
    assert types.weights(["a", "", "b"]).tolist() == [[1], [1], [1]]
    assert types.weights([]).shape == (0, 1)
    assert not types.needs_text


def test_fixed_weights_are_shared_out_and_unknown_texts_get_the_others() -> None:
    types = Fixed(("math", "code", "talk"), {"a": (2, 2, 0)}, other=(0, 0, 1), floor=0)
    assert types.weights(["a", "b"]).tolist() == [[0.5, 0.5, 0], [0, 0, 1]]
    assert Fixed(("x", "y"), {"a": (1, 0)}).weights(["a"]).tolist() == [[0.99, 0.01]]


@pytest.mark.parametrize("row", [(1,), (1, -1), (0, 0), (float("inf"), 1)])
def test_rows_that_are_no_weights_are_refused(row: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="no weights"):
        Fixed(("x", "y"), {"a": row})


@pytest.mark.parametrize(
    ("names", "floor"), [((), 0.01), (("x", "x"), 0.01), (("x", "y"), 0.6), (("x",), -0.1)]
)
def test_unusable_types_and_floors_are_refused(names: tuple[str, ...], floor: float) -> None:
    with pytest.raises(InvalidInput):
        Fixed(names, {}, floor=floor)


@pytest.mark.parametrize("types", [OneType("all"), Fixed(("x", "y"), {"a": (3, 1)}, other=(1, 2), floor=0.1)])
def test_saved_types_come_back_the_same(types: TaskTypes) -> None:
    config, arrays = types.state()
    again = restore_types(json.loads(json.dumps(config)), arrays)
    assert type(again) is type(types)
    assert again.types == types.types
    assert np.array_equal(again.weights(["a", "b"]), types.weights(["a", "b"]))


def test_a_state_of_another_kind_or_with_holes_is_refused() -> None:
    with pytest.raises(RouterLoadError, match="'magic'"):
        restore_types({"kind": "magic"}, {})
    with pytest.raises(RouterLoadError, match="lack"):
        restore_types({"kind": "encoded", "types": ["x", "y"]}, {})
