"""Data building, SFT and DAPO in one call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentnet.errors import InvalidInput
from agentnet.routers.intents.backbone import AdapterShape
from agentnet.routers.reasoning.local import LocalModel
from agentnet.routers.reasoning.rollouts import DapoRecipe
from agentnet.routers.reasoning.sft import SftRecipe
from agentnet.routers.reasoning.training import train_local

Make = Callable[..., Any]
SHAPE = AdapterShape(blocks=1, rank=2)


def test_it_goes_through_all_stages_and_on_from_its_folder(
    backbone: Make, agents: Make, labelled: Make, tmp_path: Path
) -> None:
    stages: list[str] = []

    def train(**options: Any) -> LocalModel:
        stages.clear()
        return train_local(
            *labelled(30),
            agents(),
            base=backbone(),
            sft_recipe=SftRecipe(shape=SHAPE, steps=2, groups=1),
            # Nothing that an untrained model writes can be read: all its answers agree, and tau 1 keeps them.
            dapo_recipe=DapoRecipe(steps=1, rollouts=2, prompts=1, tries=1, max_tokens=2, consistency=1.0),
            seconds=60,
            candidates=2,
            threads=1,
            progress=lambda stage, done, of: stages.append(f"{stage} {done}/{of}"),
            **options,
        )

    model = train(folder=tmp_path)
    assert model.tuned
    assert model.compact
    assert stages == ["sft 1/2", "sft 2/2", "filter 1/2", "filter 2/2", "dapo 1/1"]
    again = train(folder=tmp_path)
    assert stages == []
    arrays = model.state()[1]
    assert {name: array.tobytes() for name, array in again.state()[1].items()} == {
        name: array.tobytes() for name, array in arrays.items()
    }


def test_what_does_not_fit_together_is_refused_before_a_model_is_loaded(agents: Make) -> None:
    with pytest.raises(InvalidInput, match="not in the pool"):
        train_local(["a"], [{"nobody"}], agents(), base="no such model")
