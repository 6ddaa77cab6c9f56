"""The page of a release: what was decided, by which gates, on which evidence."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from agentnet.bench import page, plots
from agentnet.releases.gates import Gain, worst_first

if TYPE_CHECKING:
    from agentnet.releases.learn import Release

_MARK = {True: "pass", False: "FAIL", None: "open"}


def write_report(release: Release, path: Path, *, command: str = "") -> None:
    """Writes the self-contained page."""
    sections = [
        page.section("Verdict", *_verdict(release)),
        page.section("Choices", *_choices(release)),
    ]
    if release.facts.slices:
        sections.append(page.section("Slices", *_slices(release)))
    sections += [page.section("Log", *_log(release)), *_further(release)]
    if command:
        sections.append(page.section("Command", f"<pre>{escape(command)}</pre>"))
    lead = f"{release.router} {release.version} against {release.serving or 'what the log’s own routers did'}"
    page.write_page(path, title=f"Release: {release.done}", lead=lead, sections=sections)


def _verdict(release: Release) -> list[str]:
    verdict = release.verdict
    told = [page.paragraph(f"{release.done}: {verdict.reason}")]
    if verdict.detectable is not None:
        told.append(page.paragraph(f"The smallest gain this evidence can show is {verdict.detectable:.4f}."))
    rows = [[check.gate, _MARK[check.passed], check.told] for check in worst_first(verdict.checks)]
    return [*told, page.table(("gate", "", "what was found"), rows)]


def _choices(release: Release) -> list[str]:
    facts = release.facts
    shown = [
        page.paragraph("Share of the held-out tasks by agent, candidate:"),
        plots.bars(dict(facts.share)),
    ]
    if facts.serving_share:
        shown += [page.paragraph("What serves now:"), plots.bars(dict(facts.serving_share))]
    return shown


def _interval(gain: Gain) -> str:
    return f"{gain.gain:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"


def _slices(release: Release) -> list[str]:
    found = sorted(release.facts.slices.items(), key=lambda item: item[1].gain)
    rows = [[name, _interval(gain), f"{gain.effective:.0f}"] for name, gain in found]
    note = "Intervals are of each slice alone; the gate widens them for their number."
    return [page.paragraph(note, muted=True), page.table(("slice", "gain", "effective decisions"), rows)]


def _log(release: Release) -> list[str]:
    seen = release.seen
    rows = [
        ["decisions", f"{seen.decisions:,}"],
        ["judged", f"{seen.judged:,}"],
        ["with propensity", f"{seen.usable:,}"],
        ["kept", f"{seen.kept:,}"],
        ["learned from / held out", f"{release.used[0]:,} / {release.used[1]:,}"],
        ["kind", seen.kind],
    ]
    rows += [[f"decided by {name}", f"{count:,}"] for name, count in sorted(seen.routers.items())]
    agents = [
        [name, f"{total.runs:,}", _mean(total.score, total.judged), _mean(total.cost, total.priced)]
        for name, total in sorted(seen.agents.items(), key=lambda item: -item[1].runs)
    ]
    return [
        page.table(("", ""), rows),
        page.table(("agent alone", "runs", "mean score", "USD a run"), agents),
    ]


def _mean(total: float, count: int) -> str:
    return f"{total / count:.4g}" if count else "unknown"


def _further(release: Release) -> list[str]:
    """Calibration, drift and the learning curve, where the log allows them."""
    from agentnet.releases.further import further_sections

    return further_sections(release)
