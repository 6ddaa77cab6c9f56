"""Further sections of a release's page: calibration, drift, learning curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentnet.releases.learn import Release


def further_sections(release: Release) -> list[str]:
    """Returns HTML sections."""
    return []
