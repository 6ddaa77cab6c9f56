"""SFT learns the answers' tokens, and goes on where it was cut off."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import InvalidInput, RouterError, RouterLoadError
from agentnet.routers.intents.backbone import AdapterShape
from agentnet.routers.intents.finetune import Progress
from agentnet.routers.reasoning.data import PoolSampler, PoolShape
from agentnet.routers.reasoning.generate import Decoding
from agentnet.routers.reasoning.learner import Learner
from agentnet.routers.reasoning.local import LocalModel
from agentnet.routers.reasoning.packing import pack
from agentnet.routers.reasoning.reply import parse_reply
from agentnet.routers.reasoning.sft import SftRecipe, sequence_of, sft

Make = Callable[..., Any]
RECIPE = SftRecipe(
    shape=AdapterShape(blocks=2, rank=4), learning_rate=1e-2, steps=7, groups=2, checkpoint_every=3
)


@pytest.fixture
def source(agents: Make, labelled: Make) -> Callable[[int], Any]:
    return PoolSampler(*labelled(), agents(), shape=PoolShape(size=3, queries=2), seed=0).group


def bits(model: LocalModel) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.state()[1].items()}


def held_out_loss(model: LocalModel, agents: Make, labelled: Make) -> float:
    fresh = PoolSampler(*labelled(40, seed=9), agents(), shape=PoolShape(size=3, queries=2), seed=9)
    groups = [[sequence_of(model, example) for example in fresh.group(number)] for number in range(10)]
    learner = Learner(model.backbone(), RECIPE.shape, seed=0)
    return -float(learner.log_probabilities(pack(groups)).mean().detach())


class Cut(Exception):
    """Stands for a crash."""


def cut_at(step: int) -> Callable[[Progress], None]:
    def progress(now: Progress) -> None:
        if now.step == step:
            raise Cut

    return progress


def test_it_learns_to_answer_prompts_it_has_not_seen(
    backbone: Make, source: Any, agents: Make, labelled: Make
) -> None:
    before = held_out_loss(LocalModel(backbone(), compact=True), agents, labelled)
    model = LocalModel(backbone(), compact=True, threads=1)
    done = sft(model, source, recipe=replace(RECIPE, steps=60, groups=4))
    assert done.done
    assert len(done.losses) == 60
    assert held_out_loss(model, agents, labelled) < 0.35 * before
    example = source(1000)[0]
    prompt = example.prompt(compact=True)
    assert not parse_reply(
        LocalModel(backbone(), compact=True).answer([prompt])[0][0].text, prompt.ids
    ).readable
    assert parse_reply(model.answer([prompt], Decoding(max_tokens=60))[0][0].text, prompt.ids).readable


def test_only_the_answers_tokens_count(backbone: Make, source: Any) -> None:
    model = LocalModel(backbone(), compact=True)
    example = source(0)[0]
    prompt, answer = sequence_of(model, example)
    assert prompt == model.encode(example.prompt(compact=True).messages)
    assert answer[-1] == model.backbone().tokenizer.eos_token_id
    assert model.backbone().tokenizer.decode(answer[:-1]) == example.answer
    packed = pack([[(prompt, answer)]])
    assert packed.target.tolist() == answer
    assert packed.source.tolist() == list(range(len(prompt) - 1, len(prompt) + len(answer) - 1))


@pytest.mark.parametrize("crash", [2, 3, 5])
def test_an_interrupted_run_ends_with_the_same_bits(
    crash: int, backbone: Make, source: Any, tmp_path: Path
) -> None:
    def run(folder: str, progress: Callable[[Progress], None] | None = None) -> dict[str, bytes]:
        model = LocalModel(backbone(), compact=True)
        assert sft(model, source, tmp_path / folder, recipe=RECIPE, progress=progress).done
        return bits(model)

    whole = run("whole")
    with pytest.raises(Cut):
        run("cut", cut_at(crash))
    steps: list[int] = []
    assert run("cut", lambda now: steps.append(now.step)) == whole
    assert steps[0] == crash // 3 * 3 + 1
    assert run("cut", cut_at(7)) == whole  # once it is done, another call only reads it


def test_time_up_saves_and_stops(backbone: Make, source: Any, tmp_path: Path) -> None:
    none = sft(LocalModel(backbone(), compact=True), source, tmp_path, recipe=RECIPE, seconds=0)
    assert (none.step, none.done, none.losses) == (0, False, ())
    done = sft(LocalModel(backbone(), compact=True), source, tmp_path, recipe=RECIPE)
    assert done.done
    assert np.isfinite(done.losses).all()


def test_checkpoints_of_another_run_and_broken_ones_are_refused(
    backbone: Make, source: Any, agents: Make, labelled: Make, tmp_path: Path
) -> None:
    sft(LocalModel(backbone(), compact=True), source, tmp_path, recipe=RECIPE)
    other = PoolSampler(*labelled(), agents(), shape=PoolShape(size=3, queries=2), seed=1).group
    with pytest.raises(RouterError, match="another folder"):
        sft(LocalModel(backbone(), compact=True), other, tmp_path, recipe=RECIPE)
    with pytest.raises(RouterError, match="another folder"):
        sft(LocalModel(backbone(), compact=True), source, tmp_path, recipe=replace(RECIPE, steps=8))
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["checkpoint.json", "step-000007.safetensors"]
    assert len(json.loads((tmp_path / "checkpoint.json").read_text())["state"]["losses"]) == 7
    (tmp_path / "step-000007.safetensors").write_bytes(b"rubbish")
    with pytest.raises(RouterLoadError, match="corrupt"):
        sft(LocalModel(backbone(), compact=True), source, tmp_path, recipe=RECIPE)


def test_the_rate_rises_and_falls_and_wrong_recipes_are_refused() -> None:
    recipe = SftRecipe(steps=100, learning_rate=1.0, warmup=0.1)
    rates = [recipe.rate(step) for step in range(100)]
    assert int(np.argmax(rates)) in (9, 10)
    assert min(rates) >= 0.1
    assert (np.diff(rates[10:]) < 0).all()
    with pytest.raises(InvalidInput, match="above 0"):
        SftRecipe(steps=0)
