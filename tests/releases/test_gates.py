"""The gates say what they are written to say, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import InvalidInput
from agentnet.releases.gates import Facts, Gain, Gates, judge, worst_first

OPEN = Gates(max_cost_rise=None)


def a_gain(gain: float, error: float = 0.005, effective: float = 1000.0) -> Gain:
    wide = OPEN.z() * error
    return Gain(
        gain=gain, low=gain - wide, high=gain + wide, error=error, effective=effective, source="paired"
    )


GOOD = Facts(gain=a_gain(0.03), share={"a": 0.6, "b": 0.4})


def test_all_passed_is_promoted_with_its_gain_as_reason() -> None:
    verdict = judge(OPEN, GOOD)
    assert verdict.action == "promote"
    assert "+0.0300" in verdict.reason


@pytest.mark.parametrize(
    ("facts", "action", "said"),
    [
        (replace(GOOD, gain=a_gain(0.005)), "shadow", "not shown; this evidence detects gains from 0.0124"),
        (replace(GOOD, gain=a_gain(-0.03)), "reject", "worse than what serves"),
        (replace(GOOD, gain=None, refused=("no propensities",)), "shadow", "no propensities"),
        (replace(GOOD, gain=a_gain(0.03, effective=40)), "shadow", "only 40 effective decisions, 100"),
        (replace(GOOD, share={"a": 0.99, "b": 0.01}), "reject", "99% of the tasks go to a"),
        (replace(GOOD, calibration_error=0.2), "reject", "calibration error 0.200"),
        (replace(GOOD, slices={"law": a_gain(-0.2)}), "reject", "worse on law -0.200"),
    ],
)
def test_each_gate_stops_with_its_reason(facts: Facts, action: str, said: str) -> None:
    verdict = judge(OPEN, facts)
    assert verdict.action == action
    assert said in verdict.reason


def test_an_unknown_cost_holds_where_cost_is_limited() -> None:
    assert judge(Gates(), GOOD).action == "shadow"
    assert judge(Gates(), replace(GOOD, cost_rise=(0.02, 0.0, 0.05))).action == "promote"
    assert judge(Gates(), replace(GOOD, cost_rise=(0.08, 0.02, 0.14))).action == "shadow"
    assert judge(Gates(), replace(GOOD, cost_rise=(0.3, 0.2, 0.4))).action == "reject"


def test_one_agent_may_have_what_it_has_already() -> None:
    facts = replace(GOOD, share={"a": 1.0}, serving_share={"a": 1.0})
    assert judge(OPEN, facts).action == "promote"


def test_a_small_slice_is_not_looked_at_and_many_slices_are_held_to_a_wider_interval() -> None:
    assert judge(OPEN, replace(GOOD, slices={"law": a_gain(-0.2, effective=50)})).action == "promote"
    just = a_gain(-0.05 - OPEN.z() * 0.02 - 0.001, error=0.02)
    assert judge(OPEN, replace(GOOD, slices={"law": just})).action == "reject"
    many = {f"slice {i}": a_gain(0.0, error=0.02) for i in range(9)}
    assert judge(OPEN, replace(GOOD, slices={"law": just, **many})).action == "promote"


def test_failed_gates_come_first() -> None:
    verdict = judge(OPEN, replace(GOOD, calibration_error=0.5))
    assert worst_first(verdict.checks)[0].gate == "calibration"


@given(error=st.floats(0.001, 0.1), scale=st.floats(1.1, 2.0))
def test_a_smaller_error_detects_smaller_gains(error: float, scale: float) -> None:
    assert OPEN.detectable(error * scale) > OPEN.detectable(error) > 0


def test_the_detectable_gain_is_detected_as_often_as_is_said() -> None:
    error, rng = 0.01, np.random.default_rng(0)
    least = OPEN.detectable(error)
    estimates = rng.normal(least, error, 4000)
    found = np.mean(
        [judge(OPEN, replace(GOOD, gain=a_gain(e, error))).action == "promote" for e in estimates]
    )
    assert abs(found - OPEN.power) < 0.03
    nothing = rng.normal(0, error, 4000)
    false = np.mean([judge(OPEN, replace(GOOD, gain=a_gain(e, error))).action == "promote" for e in nothing])
    assert false < 0.065


def test_gates_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "gates.toml"
    file.write_text('min_gain = 0.01\nmax_cost_rise = "none"\n')
    assert Gates.load(file) == Gates(min_gain=0.01, max_cost_rise=None)
    file.write_text("min_gian = 0.01\n")
    with pytest.raises(InvalidInput, match="no gate min_gian"):
        Gates.load(file)
    file.write_text('min_gain = "much"\n')
    with pytest.raises(InvalidInput, match="min_gain is a number"):
        Gates.load(file)
    with pytest.raises(InvalidInput, match="cannot be read"):
        Gates.load(tmp_path / "nowhere.toml")
