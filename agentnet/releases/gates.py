"""`Gates`: what a candidate has to show before it may serve, written down before anybody looks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

from agentnet.errors import InvalidInput

Action = Literal["promote", "shadow", "reject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """Limits that a candidate is held to, against the version that serves.

    Attributes:
        level: Coverage of all intervals, two-sided: at .90 a candidate that is no better passes the gate of
            quality in one of twenty releases at most.
        power: Probability with which a gain of the smallest detectable size is found.
        min_gain: The gain's interval must lie above this, in score.
        max_cost_rise: Share by which the cost of a task may rise; the interval must lie below it. None: no
            limit.
        max_share: Share of the tasks that one agent may get, unless the serving version gives it as much.
        max_calibration_error: Most expected calibration error of what it predicts of its own choices.
        max_slice_loss: A slice of the tasks fails when its interval lies below minus this, in score.
        min_slice: Fewest effective decisions of a slice that is looked at.
        min_effective: Fewest effective decisions altogether.

    >>> Gates().detectable(0.005)
    0.0124
    """

    level: float = 0.90
    power: float = 0.80
    min_gain: float = 0.0
    max_cost_rise: float | None = 0.10
    max_share: float = 0.97
    max_calibration_error: float = 0.10
    max_slice_loss: float = 0.05
    min_slice: int = 100
    min_effective: int = 100

    def __post_init__(self) -> None:
        for name in ("level", "power"):
            value = getattr(self, name)
            if not 0.5 <= value < 1:
                raise InvalidInput(f"gate {name} is a number from 0.5 to below 1; got {value!r}.")
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
                raise InvalidInput(f"gate {item.name} is a number; got {value!r}.")

    @classmethod
    def load(cls, path: str | Path) -> Gates:
        """Reads gates from a TOML file of ``name = number`` lines; what is left out keeps its default.

        Raises:
            InvalidInput: it cannot be read, or names a gate there is not.
        """
        import tomllib

        try:
            found = tomllib.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidInput(f"the gates {path} cannot be read: {error}.") from None
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(found) - known):
            raise InvalidInput(f"no gate {', '.join(unknown)}; there are: {', '.join(sorted(known))}.")
        if found.get("max_cost_rise") == "none":
            found["max_cost_rise"] = None
        return cls(**found)

    def z(self, tests: int = 1) -> float:
        """Half the width of an interval in standard errors; wider where it is one of several (Bonferroni)."""
        return NormalDist().inv_cdf(1 - (1 - self.level) / (2 * tests))

    def detectable(self, error: float) -> float:
        """Returns the smallest true gain that is shown with probability `power`, given a standard error."""
        return round(self.min_gain + (self.z() + NormalDist().inv_cdf(self.power)) * error, 4)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """The difference between a candidate and what serves.

    Attributes:
        gain: Estimated difference in mean score.
        low: Lower end of its interval.
        high: Upper end.
        error: Its standard error.
        effective: Effective number of decisions behind it.
        source: ``"off-policy"``, ``"held-out"`` or ``"paired"``.
    """

    gain: float
    low: float
    high: float
    error: float
    effective: float
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a candidate beside what serves.

    Attributes:
        gain: Difference in quality; None where the log cannot answer.
        refused: Why the log cannot answer.
        cost_rise: Relative difference in USD a task: estimate, low, high; None unknown.
        share: Share of the tasks of each agent.
        serving_share: The same for what serves; empty where nothing does.
        calibration_error: Of the candidate's own predictions; None unknown.
        slices: Gains by slice.
    """

    gain: Gain | None
    refused: tuple[str, ...] = ()
    cost_rise: tuple[float, float, float] | None = None
    share: Mapping[str, float] = field(default_factory=dict)
    serving_share: Mapping[str, float] = field(default_factory=dict)
    calibration_error: float | None = None
    slices: Mapping[str, Gain] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """One gate's result."""

    gate: str
    passed: bool | None
    """None: it could not be told."""
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a candidate, and why."""

    action: Action
    reason: str
    checks: tuple[Check, ...]
    detectable: float | None
    """Smallest gain that this evidence can show; None where it can show none."""

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            "action": self.action,
            "reason": self.reason,
            "detectable": self.detectable,
            "checks": [asdict(check) for check in self.checks],
        }


def judge(gates: Gates, facts: Facts) -> Verdict:
    """Holds a candidate to the gates: the same facts always give the same verdict.

    * reject: a gate failed: shown to be worse, dearer, collapsed, badly calibrated, or worse on a slice;
    * shadow: nothing failed, but a gain (or a cost, where that is limited) is not shown: it may watch;
    * promote: everything that had to be shown was.

    >>> gain = Gain(gain=0.02, low=0.01, high=0.03, error=0.005, effective=900, source="off-policy")
    >>> judge(Gates(max_cost_rise=None), Facts(gain=gain, share={"a": 0.6, "b": 0.4})).action
    'promote'
    """
    checks = tuple(gate(gates, facts) for gate in (_quality, _cost, _collapse, _calibration, _slices))
    detectable = None if facts.gain is None else gates.detectable(facts.gain.error)
    failed = [check for check in checks if check.passed is False]
    open_ = [check for check in checks[:2] if check.passed is None]
    action: Action = "reject" if failed else "shadow" if open_ else "promote"
    reason = "; ".join(check.told for check in (failed or open_ or checks[:1]))
    return Verdict(action=action, reason=reason, checks=checks, detectable=detectable)


def _quality(gates: Gates, facts: Facts) -> Check:
    found = facts.gain
    if found is None:
        return Check("quality", None, "the log cannot tell: " + ("; ".join(facts.refused) or "no evidence"))
    told = f"gain {found.gain:+.4f} [{found.low:+.4f}, {found.high:+.4f}] ({found.source})"
    if found.error == 0 == found.gain:
        return Check("quality", None, f"it chooses as what serves does ({found.source}): nothing is gained")
    if found.effective < gates.min_effective:
        few = f"only {found.effective:.0f} effective decisions, {gates.min_effective} are asked for"
        return Check("quality", None, f"{told}: {few}")
    if found.low > gates.min_gain:
        return Check("quality", True, told)
    if found.high < gates.min_gain:
        return Check("quality", False, f"{told}: worse than what serves")
    least = gates.detectable(found.error)
    return Check("quality", None, f"{told}: not shown; this evidence detects gains from {least:.4f}")


def _cost(gates: Gates, facts: Facts) -> Check:
    most = gates.max_cost_rise
    if facts.cost_rise is None:
        if most is None:
            return Check("cost", True, "cost unknown, and not limited")
        return Check("cost", None, "cost unknown: a limit is set, so it must be known (or set it to none)")
    rise, low, high = facts.cost_rise
    told = f"cost {rise:+.1%} [{low:+.1%}, {high:+.1%}]"
    if most is None or high <= most:
        return Check("cost", True, told)
    if low > most:
        return Check("cost", False, f"{told}: more than {most:+.1%}")
    return Check("cost", None, f"{told}: not shown to be within {most:+.1%}")


def _collapse(gates: Gates, facts: Facts) -> Check:
    if not facts.share:
        return Check("collapse", None, "no agent is chosen")
    name, share = max(facts.share.items(), key=lambda item: item[1])
    told = f"{share:.0%} of the tasks go to {name}"
    most = max(gates.max_share, max(facts.serving_share.values(), default=0.0))
    return Check("collapse", share <= most + 1e-9, told)


def _calibration(gates: Gates, facts: Facts) -> Check:
    error = facts.calibration_error
    if error is None:
        return Check("calibration", None, "too few decisions to tell")
    return Check("calibration", error <= gates.max_calibration_error, f"calibration error {error:.3f}")


def _slices(gates: Gates, facts: Facts) -> Check:
    enough = {name: gain for name, gain in facts.slices.items() if gain.effective >= gates.min_slice}
    if not enough:
        return Check("slices", None, "no slice has enough decisions")
    z = gates.z(len(enough))
    bad = [
        f"{name} {gain.gain:+.3f}"
        for name, gain in enough.items()
        if gain.gain + z * gain.error < -gates.max_slice_loss
    ]
    if bad:
        return Check("slices", False, f"worse on {', '.join(bad)}")
    return Check("slices", True, f"{len(enough)} slices, none shown to lose {gates.max_slice_loss:g}")


def worst_first(checks: Sequence[Check]) -> list[Check]:
    """Returns checks as a reader wants them: failed, open, passed."""
    order = {False: 0, None: 1, True: 2}
    return sorted(checks, key=lambda check: order[check.passed])
