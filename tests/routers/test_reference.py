"""On recorded data, with the encoder that needs no model: similarity routing beats the best single agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentnet.outcomes.packs import load_outcomes


@pytest.mark.pack
@pytest.mark.parametrize("name", ["knn", "kmeans", "task_best"])
def test_it_beats_the_best_single_agent_on_unlike_tasks(name: str, data_dir: Path, kit: Any) -> None:
    data = load_outcomes(data_dir / "ulab9")
    test = data.split("test")
    best = int(data.without_split("test").mean_score.argmax())
    single, oracle = float(test.score[:, best].mean()), float(test.score.max(1).mean())
    router = kit.make(name, encoder="hash")
    router.fit(data, data.pool)
    gap = (kit.score(router, test) - single) / (oracle - single)
    assert gap > 0.04
