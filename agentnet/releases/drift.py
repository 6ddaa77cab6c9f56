"""Drift: whether tasks, agents' scores or prices have changed from one window of a log to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from agentnet.errors import InvalidInput
from agentnet.releases.drift_tests import ChangePoint, holm
from agentnet.releases.windows import MOST, Window, read_windows, split_log

if TYPE_CHECKING:
    from agentnet.outcomes.choices import ChoiceLog
    from agentnet.outcomes.encoders import Encoder
    from agentnet.traces.store import TraceStore

LEVEL = 0.01
"""Most chance of any false alarm in one report."""
Kind = Literal["input", "score", "price"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was tested.

    Attributes:
        kind: ``"input"``, ``"score"`` or ``"price"``.
        name: What of the inputs, or the agent.
        unit: What ``before`` and ``after`` are measured in.
        before: In the reference window; at the mix of tasks that both windows share.
        after: In the recent window, at the same mix.
        change: After less before; for prices relative to before.
        low: Lower end of the change's 95% interval; None where there is none.
        high: Upper end.
        p: p-value of this test alone.
        n: Rows compared, before and after.
        since: When it changed, most likely; None where that is not asked.
        adjusted: p-value held against the report's level: Holm's, over all tests of the report.
        drifted: Whether it is at most the level.
        told: Further words.
    """

    kind: Kind
    name: str
    unit: str
    before: float
    after: float
    change: float
    low: float | None
    high: float | None
    p: float
    n: tuple[int, int]
    since: ChangePoint | None = None
    adjusted: float = 1.0
    drifted: bool = False
    told: str = ""

    def line(self) -> str:
        """Returns the finding for people."""
        percent = self.kind == "price"
        told = f"{self.kind} {self.name}: {self.unit} {self.before:.4g} -> {self.after:.4g}"
        sign = "+.1%" if percent else "+.4g"
        told += f" ({self.change:{sign}}"
        if self.low is not None and self.high is not None:
            told += f" [{self.low:{sign}}, {self.high:{sign}}]"
        told += f"), adjusted p {self.adjusted:.2g}"
        if self.since is not None:
            told += (
                f", since about {moment(self.since.at)} "
                f"({moment(self.since.low)} to {moment(self.since.high)})"
            )
        return f"{told}; {self.told}" if self.told else told

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """What has changed, and what was looked at.

    Attributes:
        level: Most chance of any false alarm.
        findings: All tests, the surest first.
        reference: How much there was before.
        recent: How much there is now.
        notes: What could not be told.
    """

    level: float
    findings: tuple[Finding, ...]
    reference: dict[str, Any]
    recent: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The findings that count."""
        return tuple(finding for finding in self.findings if finding.drifted)

    @property
    def drifted(self) -> bool:
        """Whether anything has drifted."""
        return bool(self.alarms)

    def lines(self) -> list[str]:
        """Returns the report for people, a line each."""
        sides = [
            f"{side['runs']:,} runs, {side['judged']:,} judged decisions looked at"
            for side in (self.reference, self.recent)
        ]
        told = [f"reference: {sides[0]}; recent: {sides[1]}"]
        told += [f"DRIFT {finding.line()}" for finding in self.alarms]
        if not self.drifted:
            told.append(f"no drift in {len(self.findings)} tests at level {self.level:g}")
        return told + [f"note: {note}" for note in self.notes]

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            "drifted": self.drifted,
            "level": self.level,
            "reference": dict(self.reference),
            "recent": dict(self.recent),
            "findings": [finding.to_dict() for finding in self.findings],
            "notes": list(self.notes),
        }


def drift_of(
    store: TraceStore,
    *,
    most: int = MOST,
    recent_from: float | None = None,
    level: float = LEVEL,
    encoder: Encoder | None = None,
    seed: int = 0,
    **where: Any,
) -> DriftReport:
    """Looks for drift in a trace database.

    Args:
        store: The traces.
        most: Runs of each window to look at; `agentnet.releases.windows.MOST` are taken at most.
        recent_from: When the recent window starts, seconds since the epoch; None: the latest quarter of the
            runs is compared with those before.
        level: Most chance of any false alarm.
        encoder: Of the tasks; None is the hashing encoder, which needs no model.
        seed: Draws the samples.
        **where: Fields of `agentnet.traces.reader.RunFilter`.

    Raises:
        DataError: one of the windows has no finished runs.
    """
    windows = read_windows(store, most=min(most, MOST), recent_from=recent_from, seed=seed, **where)
    return find_drift(*windows, level=level, encoder=encoder, seed=seed)


def drift_of_log(log: ChoiceLog, **how: Any) -> DriftReport:
    """Looks for drift in a log in memory: its latest quarter against what came before; see `find_drift`."""
    return find_drift(*split_log(log), **how)


def find_drift(
    reference: Window,
    recent: Window,
    *,
    level: float = LEVEL,
    encoder: Encoder | None = None,
    seed: int = 0,
) -> DriftReport:
    """Compares two windows: tasks, each agent's score, each agent's price.

    Scores and costs are compared within clusters of like tasks, so that other tasks are not taken for a worse
    or a dearer agent. All tests of the report share one level (Holm 1979).

    Raises:
        InvalidInput: the level is not a probability.
    """
    from agentnet.releases.drift_parts import Strata, input_findings, price_findings, score_findings

    if not 0 < level < 1:
        raise InvalidInput(f"level is a number between 0 and 1, such as 0.01; got {level!r}.")
    rng = np.random.default_rng(seed)
    notes = list(dict.fromkeys((*reference.notes, *recent.notes)))
    strata = Strata.of(reference, recent, rng=rng, encoder=encoder)
    found: list[Finding] = []
    if strata is None:
        notes.append("the tasks' texts were not captured, or are few: inputs are not compared")
    else:
        found += input_findings(strata, rng)
    for part in (score_findings, price_findings):
        more, told = part(reference, recent, strata)
        found += more
        notes += told
    adjusted = holm([finding.p for finding in found])
    findings = [
        replace(finding, adjusted=value, drifted=value <= level)
        for finding, value in zip(found, adjusted, strict=True)
    ]
    return DriftReport(
        level=level,
        findings=tuple(sorted(findings, key=lambda finding: (finding.adjusted, finding.p))),
        reference=reference.to_dict(),
        recent=recent.to_dict(),
        notes=tuple(notes),
    )


def moment(at: float) -> str:
    """Returns a time for people, in UTC; small numbers, such as a simulation's, stay numbers.

    >>> moment(1.7e9), moment(40)
    ('2023-11-14 22:13', '40')
    """
    if at < 1e8:
        return f"{at:.6g}"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def drift_sections(report: DriftReport) -> list[str]:
    """Returns HTML sections for a page."""
    from agentnet.bench import page

    verdict = "Drift was found." if report.drifted else "No drift was found."
    told = (
        f"{verdict} {len(report.findings)} tests; chance of any false alarm at most {report.level:g} (Holm)."
    )
    parts = [page.paragraph(told)]
    parts += [page.paragraph(finding.line()) for finding in report.alarms]
    if report.findings:
        parts.append(page.table(_HEAD, [_row(finding) for finding in report.findings[:_MOST_ROWS]]))
    if len(report.findings) > _MOST_ROWS:
        parts.append(
            page.paragraph(f"{len(report.findings) - _MOST_ROWS} further tests found nothing.", muted=True)
        )
    parts += [page.paragraph(note, muted=True) for note in report.notes]
    return [page.section("Drift", *parts)]


_HEAD = ("what", "before", "after", "change", "rows", "adjusted p")
_MOST_ROWS = 24


def _row(finding: Finding) -> Sequence[str]:
    sign = "+.1%" if finding.kind == "price" else "+.4g"
    change = f"{finding.change:{sign}}"
    if finding.low is not None and finding.high is not None:
        change += f" [{finding.low:{sign}}, {finding.high:{sign}}]"
    return [
        f"{finding.kind} {finding.name}, {finding.unit}",
        f"{finding.before:.4g}",
        f"{finding.after:.4g}",
        change,
        f"{finding.n[0]:,} / {finding.n[1]:,}",
        f"{finding.adjusted:.2g}",
    ]
