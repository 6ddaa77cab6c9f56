"""Further sections of a release's page: calibration, drift, learning curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentnet.bench import page
from agentnet.errors import AgentnetError
from agentnet.outcomes.choices import ChoiceLog

if TYPE_CHECKING:
    from agentnet.releases.learn import Release

QUICK = ("best_single", "eps_greedy", "kmeans", "knn", "linucb", "task_best", "thompson")
"""Kinds of routers that are fitted in seconds: a learning curve fits them several times."""
MOST = 20_000
"""Decisions above which no learning curve is drawn with a release."""


def further_sections(release: Release) -> list[str]:
    """Returns HTML sections; what cannot be measured says why, and never keeps a release from its page."""
    _, learnable, held = release.candidate
    return [_calibration(release), _drift(learnable, held), _curve(release)]


def _calibration(release: Release) -> str:
    from agentnet.releases.reliability import recalibrated_reliability, reliability_section

    candidate, _, held = release.candidate
    try:
        found = recalibrated_reliability(candidate.router, held, candidate.router.training_pool)
    except AgentnetError as error:
        return _not("Calibration", str(error))
    return reliability_section(*found)


def _drift(learnable: ChoiceLog, held: ChoiceLog) -> str:
    """Within the judged decisions of this log, its latest quarter against those before."""
    from agentnet.releases.drift import drift_sections, find_drift
    from agentnet.releases.windows import joined, split_log

    log = joined(learnable, held)
    if len(log) < 2 or not log.at.max() > log.at.min():
        return _not("Drift", "the log's decisions have no times.")
    return "".join(drift_sections(find_drift(*split_log(log))))


def _curve(release: Release) -> str:
    from agentnet.releases.curve import curve_or_note

    candidate, learnable, held = release.candidate
    router = candidate.router
    if release.router not in QUICK or len(learnable) + len(held) > MOST:
        return _not(
            "Learning curve",
            f"it fits the router several times: drawn for {', '.join(QUICK)} and logs of at most {MOST:,} "
            "decisions; `agentnet.releases.curve.learning_curve` measures others.",
        )
    encoder = getattr(router, "_encoder", None)  # the candidate's, with what it has encoded already
    return curve_or_note(
        learnable, held, router.training_pool, router=release.router, settings=router.settings,
        encoder=lambda made: encoder,
    )  # fmt: skip


def _not(title: str, why: str) -> str:
    return page.section(title, page.paragraph(f"Not measured: {why}", muted=True))
