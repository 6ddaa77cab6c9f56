from __future__ import annotations

import pytest

from agentnet.graphs.live import BackendState, LiveState, PartialRun, Step


def test_an_unknown_backend_is_idle_and_healthy():
    state = LiveState({"b": BackendState(in_flight=3, capacity=4, healthy=False)})
    assert state.of("b").load == 0.75 and not state.of("b").healthy
    assert state.of("z") == BackendState() and state.of("z").load == 0
    assert BackendState(in_flight=3).load == 3
    with pytest.raises(TypeError):
        state.backends["z"] = BackendState()


@pytest.mark.parametrize(
    ("fields", "answered"),
    [({"answer": "x"}, True), ({"answer": " "}, False), ({"answer": "x", "error": "e"}, False),
     ({"answer": "x", "skipped": True}, False)],
)  # fmt: skip
def test_answered(fields, answered):
    assert Step(node="n", agent="a", **fields).answered is answered


def test_a_partial_run_names_who_ran():
    steps = (Step(node="1", agent="a"), Step(node="2", agent="b", skipped=True), Step(node="3", agent="a"))
    assert PartialRun(steps).agents == ("a", "a")
