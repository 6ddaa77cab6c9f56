"""`Served`: what a router learns from, and how it is made of feedback."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from agentnet import Decision, TaskGraph
from agentnet.errors import InvalidInput
from agentnet.routers.decision import Evidence, Feedback
from agentnet.routers.online import Served

from .doubles import CountingRouter, decided


@dataclass(frozen=True, slots=True)
class Odd(Evidence):
    """Evidence with values that JSON does not have."""

    values: Any
    weight: Any
    price: Any


def _decision(evidence: Evidence) -> Decision:
    return Decision(
        graph=TaskGraph.of(["a", "b"]), candidates=("a", "b"), raw=[0, 0], calibrated=[0, 0], cost=[0, 0],
        propensity=1.0, router="r", version="1", evidence=evidence,
    )  # fmt: skip


def test_evidence_becomes_plain_json_as_a_trace_holds_it() -> None:
    odd = Odd((np.float64(0.5), float("nan")), np.arange(2), Decimal("0.1"))
    served = Served.of(Feedback(text="q", decision=_decision(odd), score=1.0))
    assert served.evidence == {"values": [0.5, None], "weight": [0, 1], "price": "0.1"}
    assert json.loads(json.dumps(served.to_dict(), allow_nan=False)) == served.to_dict()
    assert Served.from_dict(json.loads(json.dumps(served.to_dict()))) == served


def test_unknown_nodes_are_all_of_the_graph_and_unknown_cost_stays_unknown() -> None:
    decision = _decision(Odd(1, 2, 3))
    nodes = tuple(node.id for node in decision.graph.nodes)  # type: ignore[union-attr]
    whole = Served.of(Feedback(text="q", decision=decision, score=0.5))
    assert (whole.ran, whole.cost, whole.latency_s) == (nodes, None, None)
    part = Served.of(
        Feedback(text="q", decision=decision, score=0.5, ran=nodes[:1], cost=Decimal("0.25"), latency_s=2.0)
    )
    assert (part.ran, part.cost, part.latency_s) == (nodes[:1], 0.25, 2.0)


def test_what_was_not_judged_cannot_be_learned_from() -> None:
    with pytest.raises(InvalidInput, match="judged"):
        Served.of(Feedback(text="q", decision=decided("q")))
    router = CountingRouter()
    router.observe(Feedback(text="q", decision=decided("q")))
    router.observe(Feedback(text="q", decision=decided("q"), score=1.0))
    assert router.counts == {"q": 1}


@pytest.mark.parametrize(
    "changes",
    [{"score": 1.5}, {"score": float("nan")}, {"cost": -1.0}, {"latency_s": float("inf")}],
)
def test_values_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Served(**{"evidence": {}, "ran": (), "score": 1.0, **changes})


@pytest.mark.parametrize(
    "data", [{}, {"evidence": 1, "ran": [], "score": 1, "cost": None, "latency_s": None}]
)
def test_what_is_no_served_task(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="not a served task"):
        Served.from_dict(data)
