from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from agentnet.graphs.plain import plain, plainer


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (math.inf, None),
        (np.float64("nan"), None),
        (np.float32(0.5), 0.5),
        (np.array([[1.0, np.nan], [np.inf, 2.0]]), [[1.0, None], [None, 2.0]]),
        (MappingProxyType({1: Decimal("1.50"), None: ()}), {"1": "1.50", "None": []}),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({("b", math.nan)}), [["b", None]]),
        ([b"x", ValueError("no")], ["b'x'", "no"]),
    ],
    ids=repr,
)
def test_values_become_strict_json(value: object, expected: object) -> None:
    found = plain(value)
    assert found == expected and type(found) is type(expected)
    assert json.loads(json.dumps(found, allow_nan=False)) == expected


def test_sets_of_what_cannot_be_compared_have_one_order() -> None:
    assert plain({1, "a"}) == plain({"a", 1}) == ["a", 1]


def test_an_encoder_may_refuse_what_is_not_plain() -> None:
    values: Mapping[str, Any] = MappingProxyType({"a": np.arange(2), "b": (Decimal("0.1"), {"x"})})
    assert json.dumps(values, default=plainer) == '{"a": [0, 1], "b": ["0.1", ["x"]]}'
    with pytest.raises(TypeError, match="object"):
        json.dumps([object()], default=plainer)
